"""numpy and Arrow where a user asked for arrays; nothing else in bpfsmith imports them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.run.values import Codec

__all__ = ["arrow", "expand", "numpy", "storage"]


def numpy() -> Any:
    """The module; `EnvironmentMissing` with the command that gets it."""
    try:
        import numpy as module
    except ImportError:
        from bpfsmith.model.errors import EnvironmentMissing

        raise EnvironmentMissing("numpy is not installed", "pip install 'bpfsmith[arrays]'") from None
    return module


def arrow() -> Any:
    """The module pyarrow; `EnvironmentMissing` with the command that gets it."""
    try:
        import pyarrow as module
    except ImportError:
        from bpfsmith.model.errors import EnvironmentMissing

        raise EnvironmentMissing("pyarrow is not installed", "pip install 'bpfsmith[arrow]'") from None
    return module


def expand(codec: Codec, array: Any) -> Any:
    """`array` (of `codec.dtype`) with a column for each bit field; the same array when there are none."""
    if not codec.has_bits:
        return array
    out = numpy().zeros(array.shape, _wide(codec))
    _spread(codec, array, out)
    return out


def _wide(codec: Codec) -> Any:
    """A dtype in which bit fields are integers of their declared type."""
    if not codec.has_bits:
        return codec.dtype
    module = numpy()
    if codec.kind == "array":
        return module.dtype((_wide(codec.item), (codec.count,)))  # type: ignore[attr-defined]
    members = [(field.name, _wide(field.codec)) for field in codec.fields if field.codec.size]
    return module.dtype(members)


def _spread(codec: Codec, array: Any, out: Any) -> None:
    if codec.kind == "array":
        _spread(codec.item, array, out)  # type: ignore[attr-defined]
        return
    raw = None
    for field in codec.fields:
        if field.bits:
            if raw is None:
                raw = numpy().frombuffer(array.tobytes(), "u1").reshape(*array.shape, codec.size)
            out[field.name] = _bits(field, raw, codec.big)
        elif not field.codec.size:
            continue
        elif field.codec.has_bits:
            _spread(field.codec, array[field.name], out[field.name])
        else:
            out[field.name] = array[field.name]


def _bits(field: Any, raw: Any, big: bool) -> Any:
    """The bit field of each row of bytes, as int64 or uint64."""
    module = numpy()
    word = module.zeros(raw.shape[:-1], "u8")
    # A field may touch nine bytes; what is shifted out above is not part of it.
    for at in range(field.size):
        place = (field.size - 1 - at if big else at) * 8 - field.shift
        byte = raw[..., field.offset + at].astype("u8")
        if -8 < place < 64:
            word |= byte << module.uint64(place) if place >= 0 else byte >> module.uint64(-place)
    if field.bits < 64:
        word &= module.uint64((1 << field.bits) - 1)
    if getattr(field.codec, "signed", False):
        spare = module.int64(64 - field.bits)
        return word.view("i8") << spare >> spare
    return word


def storage(codec: Codec, values: Any, where: str) -> Any:  # noqa: PLR0911 - a table of kinds
    """`values` as a contiguous array of `codec.dtype`: without a copy when it is one; by field names, or by casting
    plain numbers that fit. `ValueMismatch` for anything else."""
    from bpfsmith.model.errors import ValueMismatch

    module = numpy()
    array = module.asarray(values)
    wanted = codec.dtype
    if array.dtype == wanted:
        return module.ascontiguousarray(array)
    if wanted.names and array.dtype.names and not codec.has_bits:
        if set(array.dtype.names) != set(wanted.names):
            lacking = [name for name in wanted.names if name not in array.dtype.names]
            extra = [name for name in array.dtype.names if name not in wanted.names]
            told = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"has {', '.join(extra)} besides"] * bool(extra)
            raise ValueMismatch(f"{where}: expected the fields of `{codec.name}`; the array {' and '.join(told)}")
        out = module.zeros(array.shape, wanted)
        for field in codec.fields:
            if field.codec.size:
                out[field.name] = storage(field.codec, array[field.name], f"{where}, field {field.name}")
        return out
    if wanted.subdtype is not None:
        base, shape = wanted.subdtype
        if array.dtype == base and array.shape[-len(shape) :] == shape:
            return module.ascontiguousarray(array)
        if array.dtype.kind in "iu" and array.shape[-len(shape) :] == shape:
            return _cast(array, base, codec, where)
    elif wanted.kind in "iufb" and array.dtype.kind in "iufb":
        return _cast(array, wanted, codec, where)
    elif wanted.kind == "S" and array.dtype.kind == "S" and array.dtype.itemsize <= wanted.itemsize:
        return array.astype(wanted)
    elif array.dtype.kind == "V" and not array.dtype.names and array.dtype.itemsize == codec.size:
        return module.ascontiguousarray(array).view(wanted)
    raise _other(codec, array, where)


def _other(codec: Codec, array: Any, where: str) -> Exception:
    from bpfsmith.model.errors import ValueMismatch

    return ValueMismatch(f"{where}: expected an array of `{codec.name}` (numpy `{codec.dtype}`), got `{array.dtype}`")


def _cast(array: Any, wanted: Any, codec: Codec, where: str) -> Any:
    if array.dtype.kind == "f" and wanted.kind in "iub":
        raise _other(codec, array, where)
    out = array.astype(wanted)
    same = out == array
    if wanted.kind != "f" and not same.all():
        at = int(numpy().argmin(same.reshape(-1)))
        raise codec.refuse(
            f"{where}, row {at}", f"a `{codec.name}` of {codec.size} bytes", array.reshape(-1)[at].item()
        )
    return out
