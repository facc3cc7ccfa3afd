"""Whole maps as numpy arrays and Arrow tables."""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import ValueMismatch
from bpfsmith.run import columns
from bpfsmith.run.maps import bulk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.run.maps.table import Table

__all__ = ["shaped", "to_arrow", "to_numpy", "update_numpy"]


def to_numpy(table: Table, *, flat: bool, drain: bool, flags: int) -> Any:
    """`Table.to_numpy`; `flags` of each read (4: under its lock)."""
    columns.numpy()  # said before the kernel is asked
    # Memory of a guest cannot be mapped here.
    if table.spec.type == "array" and table.mmapable and not flags and kernel.door().local:
        return columns.expand(table.value_type, table.view().copy())  # type: ignore[attr-defined]
    layout = table._layout()
    rows, _ = bulk.dump(table, layout, drain=drain, flags=flags)
    return shaped(table, layout, rows, flat)


def shaped(table: Table, layout: bulk.Layout, rows: Any, flat: bool) -> Any:
    """The rows of a dump as users get them: values only for arrays, whose key is the position."""
    numpy = columns.numpy()
    key, value, lanes = table.key_type, table.value_type, table._lanes
    step = layout.copied // lanes if lanes else layout.copied
    # A CPU's value takes a multiple of eight bytes.
    one = value.dtype if step == value.size else numpy.dtype(
        {"names": ["v"], "formats": [value.dtype], "offsets": [0], "itemsize": step}
    )  # fmt: skip
    form = (one, (lanes,)) if lanes else one
    raw = numpy.frombuffer(
        rows,
        numpy.dtype(
            {"names": ["key", "value"], "formats": [key.dtype, form], "offsets": [0, layout.value_at],
             "itemsize": layout.row}
        ),
    )  # fmt: skip
    values = raw["value"] if step == value.size else raw["value"]["v"]
    if table._indexed:
        return columns.expand(value, numpy.ascontiguousarray(values))
    if step != value.size or key.has_bits or value.has_bits:
        keys, values = columns.expand(key, raw["key"]), columns.expand(value, values)
        wide = (values.dtype, (lanes,)) if lanes else values.dtype
        out = numpy.empty(len(raw), [("key", keys.dtype), ("value", wide)])
        out["key"], out["value"] = keys, values
        raw = out
    return _flat(raw) if flat else raw


def _flat(array: Any) -> Any:
    """The same memory with the fields of key and value side by side."""
    numpy = columns.numpy()
    names, formats, offsets = [], [], []
    own = {side: array.dtype[side].names or () for side in ("key", "value")}
    for side in ("key", "value"):
        form, base = array.dtype.fields[side][:2]
        if not form.names:
            names.append(side)
            formats.append(form)
            offsets.append(base)
            continue
        other = own["value" if side == "key" else "key"] or ("key", "value")
        for name in form.names:
            names.append(f"{side}_{name}" if name in other or name in ("key", "value") else name)
            formats.append(form.fields[name][0])
            offsets.append(base + form.fields[name][1])
    return array.view(
        numpy.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": array.dtype.itemsize})
    )


def to_arrow(table: Table) -> Any:
    """`Table.to_arrow`."""
    arrow = columns.arrow()
    array = to_numpy(table, flat=True, drain=False, flags=0)
    if not array.dtype.names:
        array = {"value": array}
        return arrow.table({"value": _column(arrow, array["value"])})
    found: dict[str, Any] = {}
    _columns(arrow, array, "", found)
    return arrow.table(found)


def _columns(arrow: Any, array: Any, before: str, out: dict[str, Any]) -> None:
    """A column per scalar field; nested names are joined by dots."""
    for name in array.dtype.names:
        part = array[name]
        if part.dtype.names and part.ndim == 1:
            _columns(arrow, part, f"{before}{name}.", out)
        else:
            out[before + name] = _column(arrow, part)


def _column(arrow: Any, part: Any) -> Any:
    numpy = columns.numpy()
    if part.ndim > 1:
        if part.dtype == numpy.uint8 and part.ndim == 2:
            flat = numpy.ascontiguousarray(part)
            return arrow.array([row.tobytes() for row in flat], arrow.binary(part.shape[1]))
        inner = _column(arrow, numpy.ascontiguousarray(part).reshape(-1, *part.shape[2:]))
        return arrow.FixedSizeListArray.from_arrays(inner, part.shape[1])
    if part.dtype.names:
        fields = [_column(arrow, part[name]) for name in part.dtype.names]
        return arrow.StructArray.from_arrays(fields, list(part.dtype.names))
    if part.dtype.kind == "S":
        # numpy cuts NULs at the end only; text ends at the first one.
        return arrow.array(
            [one.partition(b"\0")[0].decode("utf-8", "replace") for one in part.tolist()], arrow.string()
        )
    if part.dtype.kind == "V":
        return arrow.array([one.tobytes() for one in part], arrow.binary(part.dtype.itemsize))
    return arrow.array(numpy.ascontiguousarray(part.astype(part.dtype.newbyteorder("="))))


def update_numpy(table: Table, keys: Any, values: Any) -> int:
    """`Table.update_numpy`."""
    numpy = columns.numpy()
    if values is None:
        both = numpy.asarray(keys)
        if both.dtype.names is None or not {"key", "value"} <= set(both.dtype.names):
            raise ValueMismatch(
                f"{table._where}: one array needs the fields `key` and `value`", hint="or pass keys and values"
            )
        if both.ndim == 1 and not table._lanes and both.flags.c_contiguous:
            fields = both.dtype.fields
            if fields["key"][0] == table.key_type.dtype and fields["value"][0] == table.value_type.dtype:
                # Taken from where they lie.
                bytes_, row = both.view("u1"), both.dtype.itemsize
                where = (bytes_, fields["key"][1], table.spec.key_size, row)
                return _store(table, where, (bytes_, fields["value"][1], table._copied, row), len(both), both["key"])
        keys, values = both["key"], both["value"]
    keys, values = numpy.asarray(keys), numpy.asarray(values)
    raw = columns.storage(table.key_type, keys, f"keys of {table._where}")
    lanes = table._lanes
    count = raw.nbytes // table.spec.key_size
    if lanes and (values.ndim < 2 or values.shape[1] != lanes):
        raise ValueMismatch(f"{table._where}: values need the shape ({count}, {lanes}): one per possible CPU")
    data = columns.storage(table.value_type, values, f"values of {table._where}")
    if lanes:
        data = _padded(numpy, data, table)
    if data.nbytes != count * table._copied:
        raise ValueMismatch(f"{table._where}: {count} keys, but values for {data.nbytes / table._copied:g}")
    key, value = table.spec.key_size, table._copied
    return _store(table, (_bytes(raw), 0, key, key), (_bytes(data), 0, value, value), count, raw)


def _bytes(array: Any) -> Any:
    return array.reshape(-1).view("u1") if array.nbytes else array


def _padded(numpy: Any, data: Any, table: Table) -> Any:
    step, size = table._copied // table._lanes, table.value_type.size
    if step == size or not data.nbytes:
        return data
    out = numpy.zeros((data.nbytes // size, step), "u1")
    out[:, :size] = _bytes(data).reshape(-1, size)
    return out


def _store(table: Table, keys: Any, values: Any, count: int, shown: Any) -> int:
    if not count:
        return 0
    stored, errno = bulk.update(table, keys, values, count)
    if errno:
        raise bulk.full(table, errno, stored, shown)
    return stored
