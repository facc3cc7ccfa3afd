"""Maps of keys and values: hash, LRU, array, and what the other kinds build on."""

from __future__ import annotations

from _collections_abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from struct import Struct
from sys import byteorder

from bpfsmith import kernel
from bpfsmith.model.errors import InputError, KernelError, KeyMissing, ValueMismatch
from bpfsmith.run.maps import bulk
from bpfsmith.run.maps.base import (
    DELETE,
    E2BIG,
    EEXIST,
    EINVAL,
    ENOENT,
    ENOTSUPP,
    EOPNOTSUPP,
    F_LOCK,
    LOOKUP_AND_DELETE,
    Map,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from bpfsmith.run.maps.snapshot import Snapshot

__all__ = ["ArrayMap", "HashMap", "Table"]

_NOTHING: Any = object()
_NOTHING_THERE: Any = object()


class Table(Map, MutableMapping):  # type: ignore[type-arg]  # keys and values are typed by the map
    """A map as a mapping: `m[key]`, `get`, `in`, `len`, `keys/values/items`, `update`, `pop`, `del`, `clear`.

    A missing key raises `KeyMissing` (which is a `KeyError` too), a key or value that does not fit `ValueMismatch`, an
    update for which there is no room `MapFull`. Iterating goes over what was there when it began, read at once:
    deleting, storing and other programs' doings meanwhile disturb nothing. `len` counts, which costs a walk over the
    keys.
    """

    __slots__ = ()
    _lanes = 0
    """CPUs that have a value of their own; 0: there is one value."""
    _indexed = False
    """Whether keys are positions."""
    _singly = False
    """Whether `update` stores one after the other: keys or values are made while they are stored."""

    # ------------------------------------------------------------ keys and values as bytes

    def _encode_key(self, key: Any) -> bytes:
        return (self._key or self.key_type).encode(key, self._key_where)

    def _encode_value(self, value: Any) -> bytes:
        return (self._value or self.value_type).encode(value, self._value_where)

    @property
    def _copied(self) -> int:
        """Bytes the kernel copies per value."""
        return self.spec.value_size

    def _decode_value(self, raw: Any) -> Any:
        return (self._value or self.value_type).decode(raw)

    def _missing(self, key: Any) -> KeyMissing:
        return KeyMissing(f"{self._where} has no key {key!r}", where=self._where)

    # ------------------------------------------------------------ one entry

    def _read(self, key: bytes, flags: int = 0) -> bytes | bytearray | None:
        """The bytes of a value; None when there is no such key."""
        found = kernel.door().map_read(self.fileno(), key, self._copied, flags)
        if isinstance(found, bytes):
            return found
        if found == -ENOENT:
            return None
        if found == -EINVAL and flags & F_LOCK:
            raise self._without_lock()
        raise self._refused("BPF_MAP_LOOKUP_ELEM", -found)

    def __getitem__(self, key: Any) -> Any:
        raw = self._read(self._encode_key(key))
        if raw is None:
            raise self._missing(key)
        return self._decode_value(raw)

    def get(self, key: Any, default: Any = None, *, lock: bool = False) -> Any:
        """The value, or `default`. `lock`: read under its `bpf_spin_lock`, so that it is of one piece (5.1+)."""
        raw = self._read(self._encode_key(key), F_LOCK if lock else 0)
        return default if raw is None else self._decode_value(raw)

    def __contains__(self, key: object) -> bool:
        return self._read(self._encode_key(key)) is not None

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def put(self, key: Any, value: Any, *, new: bool | None = None, lock: bool = False) -> None:
        """Stores one entry. `new=True`: only when there is none yet (else `KernelError` with EEXIST); `new=False`: only
        in place of one (else `KeyMissing`); `lock`: under the value's `bpf_spin_lock`."""
        flags = (0 if new is None else 1 if new else 2) | (F_LOCK if lock else 0)
        # Held until the call is over: a key may keep a descriptor open.
        raw = self._encode_key(key)
        answer = kernel.door().map_write(self.fileno(), raw, self._encode_value(value), flags)
        if answer == -EINVAL and lock:
            raise self._without_lock()
        if answer < 0:
            raise self._not_stored(key, -answer, new)

    def _not_stored(self, key: Any, errno: int, new: bool | None = None) -> Exception:
        if errno == EEXIST:
            text = f"{self._where} has the key {key!r} already"
            return KernelError(text, "BPF_MAP_UPDATE_ELEM", errno, where=self._where)
        if errno == ENOENT and new is False:
            return self._missing(key)
        return bulk.full(self, errno, 0, [key])

    def __delitem__(self, key: Any) -> None:
        answer = self._element(DELETE, self._encode_key(key), None)
        if answer == -ENOENT:
            raise self._missing(key)
        if answer < 0:
            raise self._refused("BPF_MAP_DELETE_ELEM", -answer)

    def pop(self, key: Any, default: Any = _NOTHING) -> Any:
        """Takes an entry out: in one step where the kernel has that (hashes since 5.14), else read and then deleted."""
        raw = self._encode_key(key)
        out = bytearray(self._copied)
        answer = self._element(LOOKUP_AND_DELETE, raw, out)
        if answer in (-EINVAL, -EOPNOTSUPP, -ENOTSUPP):
            found = self._read(raw)
            answer = -ENOENT if found is None else self._element(DELETE, raw, None)
            out = bytearray(found) if found is not None else out
        if answer == -ENOENT:
            if default is _NOTHING:
                raise self._missing(key)
            return default
        if answer < 0:
            raise self._refused("BPF_MAP_LOOKUP_AND_DELETE_ELEM", -answer)
        return self._decode_value(out)

    lookup_and_delete = pop

    def popitem(self) -> tuple[Any, Any]:
        """Some entry, taken out; `KeyMissing` when the map is empty."""
        for key in self:
            value = self.pop(key, _NOTHING_THERE)
            if value is not _NOTHING_THERE:
                return key, value
        raise KeyMissing(f"{self._where} is empty", where=self._where)

    # ------------------------------------------------------------ many entries

    def update(self, other: Any = (), values: Any = None, /, **more: Any) -> None:
        """Stores entries of a mapping or of pairs, in their order, by as few system calls as the kernel offers; numpy
        arrays too, as `update_numpy` takes them.

        All are checked before the first one is stored. `MapFull` says how many are in when there is no room for the
        rest; any other refusal says so in its hint."""
        if values is not None or hasattr(other, "dtype"):
            self.update_numpy(other, values)
            other = ()
        pairs = list(other.items() if isinstance(other, Mapping) or hasattr(other, "items") else other)
        pairs += more.items()
        if not pairs:
            return
        if len(pairs) == 1 or self._singly:
            for key, value in pairs:
                self[key] = value
            return
        try:
            keys = _column([key for key, _ in pairs], self.key_type, self._encode_key)
            own = type(self)._encode_value is Table._encode_value
            values = _column([value for _, value in pairs], self.value_type if own else None, self._encode_value)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise ValueMismatch(f"{self._where}: `update` takes a mapping or pairs of key and value") from None
        key, value = self.spec.key_size, self._copied
        stored, errno = bulk.update(self, (keys, 0, key, key), (values, 0, value, value), len(pairs))
        if errno:
            raise bulk.full(self, errno, stored, [key for key, _ in pairs])

    def delete(self, keys: Iterable[Any]) -> int:
        """Deletes these keys, by batches where there are some; those that are not there are passed over. How many
        were."""
        raw = [self._encode_key(key) for key in keys]
        return self._delete_raw(b"".join(raw), len(raw))

    def _delete_raw(self, keys: Any, count: int) -> int:
        if not count:
            return 0
        size = self.spec.key_size
        deleted, _, errno = bulk.delete(self, (keys, 0, size, size), count)
        if errno:
            error = self._refused("BPF_MAP_DELETE_ELEM", errno)
            if isinstance(error, KernelError):
                error.hint = f"{deleted} of {count} were deleted"
            raise error
        return deleted

    def clear(self) -> None:
        """Deletes every entry that is there when it begins."""
        keys = self._raw_keys()
        self._delete_raw(keys, len(keys) // self.spec.key_size)

    # ------------------------------------------------------------ all entries

    def _layout(self, keys_only: bool = False) -> bulk.Layout:
        return bulk.Layout(self.spec.key_size, self._copied, keys_only)

    def _raw_keys(self) -> Any:
        return bulk.dump(self, self._layout(keys_only=True))[0]

    def __len__(self) -> int:
        return len(self._raw_keys()) // self.spec.key_size

    def __iter__(self) -> Iterator[Any]:
        codec = self.key_type
        keys = memoryview(self._raw_keys())
        # Decoded as they are asked for: a million keys are not a million objects at once.
        unpack, load = Struct((">" if codec.big else "<") + codec.code).iter_unpack, codec.load
        for (raw,) in unpack(keys):
            yield raw if load is None else load(raw)

    def _rows(self, *, drain: bool = False, lock: bool = False) -> Iterator[tuple[Any, Any]]:
        layout = self._layout()
        rows, _ = bulk.dump(self, layout, drain=drain, flags=F_LOCK if lock else 0)
        return self._decoded(memoryview(rows), layout)

    def _decoded(self, rows: Any, layout: bulk.Layout) -> Iterator[tuple[Any, Any]]:
        """Key and value of each row, made as they are asked for."""
        key, value = self.key_type, self.value_type
        order, load, code, read = ">" if key.big else "<", key.load, f"{layout.copied}s", self._decode_value
        if type(self)._decode_value is Table._decode_value and value.big == key.big:
            # One format for both: numbers need nothing done to them.
            code, read = value.code, value.load  # type: ignore[assignment]
        gap, end = layout.value_at - layout.key, layout.row - layout.value_at - layout.copied
        pairs = Struct(f"{order}{key.code}{gap}x{code}{end}x").iter_unpack(rows)
        if load is None:
            return pairs if read is None else ((raw, read(data)) for raw, data in pairs)
        if read is None:
            return ((load(raw), data) for raw, data in pairs)
        return ((load(raw), read(data)) for raw, data in pairs)

    def keys(self) -> KeysView[Any]:
        return KeysView(self)

    def items(self, *, lock: bool = False) -> ItemsView[Any, Any]:
        """Pairs, read at once when iteration begins. `lock`: each under its `bpf_spin_lock`."""
        return _Items(self, lock)

    def values(self) -> ValuesView[Any]:
        return _Values(self)

    def drain(self) -> list[tuple[Any, Any]]:
        """Takes every entry out and answers them. What programs store meanwhile is either in the list or in the map:
        hashes do it in one step per bucket (5.6+)."""
        return list(self._rows(drain=True))

    # ------------------------------------------------------------ arrays and snapshots

    def to_numpy(self, *, flat: bool = False, drain: bool = False, lock: bool = False, dtype: Any = None) -> Any:
        """Everything as one structured array with the fields `key` and `value`, whose names and types come from BTF.

        `flat`: the fields of struct keys and values side by side instead (`key_x`, `value_x` where a name occurs
        twice). `drain`: take the entries out. `dtype`: other types, as with `typed`. Per-CPU kinds:
        `value` has the shape `(possible CPUs,)` in each row. Bit fields become columns of their own. Complete however
        full or busy the map is; needs numpy."""
        from bpfsmith.run.maps import arrays

        table = self if dtype is None else self.typed(dtype=dtype)
        return arrays.to_numpy(table, flat=flat, drain=drain, flags=F_LOCK if lock else 0)

    def to_arrow(self) -> Any:
        """Everything as a `pyarrow.Table`, a column per field as with `to_numpy(flat=True)`; needs pyarrow."""
        from bpfsmith.run.maps import arrays

        return arrays.to_arrow(self)

    def update_numpy(self, keys: Any, values: Any = None) -> int:
        """Stores entries from arrays: one structured array with `key` and `value` (what `to_numpy` answers), or keys
        and values of equal length. How many were stored; errors as with `update`."""
        from bpfsmith.run.maps import arrays

        return arrays.update_numpy(self, keys, values)

    def snapshot(self, tries: int = 3) -> Snapshot:
        """Everything, and whether it is consistent: read twice without a difference, or frozen."""
        from bpfsmith.run.maps.snapshot import take

        return take(self, tries)

    # A map is itself, whatever it holds: as a key of a dict, in a list of maps.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return True  # not a walk over all keys


def _column(values: list[Any], codec: Any, encode: Any) -> bytes:
    """Many keys or values one after the other; plain integers all at once."""
    if codec is not None and codec.kind == "int" and codec.code in "BHIQbhiq" and codec.big == (byteorder == "big"):
        from array import array

        try:
            return array(codec.code, values).tobytes()
        except (TypeError, OverflowError):
            pass  # some are no such integers: one by one, to take or refuse them
    return b"".join([encode(value) for value in values])


class _Items(ItemsView):  # type: ignore[type-arg]
    __slots__ = ("_lock",)

    def __init__(self, table: Table, lock: bool) -> None:
        super().__init__(table)
        self._lock = lock

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping._rows(lock=self._lock)  # type: ignore[attr-defined,no-any-return]


class _Values(ValuesView):  # type: ignore[type-arg]
    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping._rows())  # type: ignore[attr-defined]


class HashMap(Table):
    """`hash` and `lru_hash`. An LRU throws out old entries instead of being full."""

    __slots__ = ()


class ArrayMap(Table):
    """`array`: every index from 0 to `max_entries - 1` is there, always; negative ones count from the end. Entries
    cannot be deleted; `clear()` stores zeros."""

    __slots__ = ("_mapped",)
    _indexed = True

    def __init__(self, fd: Any, spec: Any, owned: bool = False) -> None:
        super().__init__(fd, spec, owned)
        self._mapped: Any = None

    def _encode_key(self, key: Any) -> bytes:
        if key.__class__ is int and -self.spec.max_entries <= key < 0:
            key += self.spec.max_entries  # from the end, as in a list
        return self.key_type.encode(key, f"index of map `{self.spec.name}`")

    def _missing(self, key: Any) -> KeyMissing:
        last = self.spec.max_entries - 1
        return KeyMissing(f"{self._where} has the indices 0 to {last}, not {key!r}", where=self._where)

    def _not_stored(self, key: Any, errno: int, new: bool | None = None) -> Exception:
        if errno == E2BIG:
            return self._missing(key)
        return super()._not_stored(key, errno, new)

    def __contains__(self, key: object) -> bool:
        return (
            int.from_bytes(self._encode_key(key), "little" if not self.key_type.big else "big") < self.spec.max_entries
        )

    def __len__(self) -> int:
        return self.spec.max_entries

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.spec.max_entries))

    def __delitem__(self, key: Any) -> None:
        raise InputError(
            f"entries of {self._where} cannot be deleted: it is an array", where=self._where, hint="store zeros instead"
        )

    def pop(self, key: Any, default: Any = None) -> Any:  # noqa: ARG002 - refused whatever it is
        del self[key]

    lookup_and_delete = pop

    def delete(self, keys: Iterable[Any]) -> int:
        for key in keys:
            del self[key]
        return 0

    def drain(self) -> list[tuple[Any, Any]]:
        del self[0]
        return []

    def close(self) -> None:
        """As for every map; and its memory is let go of when no array shows it any more."""
        self._mapped = None
        super().close()

    def clear(self) -> None:
        """Stores zeros everywhere."""
        from array import array

        size, some = self._copied, 4096
        zeros = bytes(size * min(some, self.spec.max_entries))
        for first in range(0, self.spec.max_entries, some):
            count = min(some, self.spec.max_entries - first)
            keys = array("I", range(first, first + count)).tobytes()
            _, errno = bulk.update(self, (keys, 0, 4, 4), (zeros, 0, size, size), count)
            if errno:
                raise self._refused("BPF_MAP_UPDATE_ELEM", errno)

    def view(self) -> Any:
        """A numpy array of all values that is the map's memory: reading and writing it is reading and writing the map,
        without a system call. Needs a map made with BPF_F_MMAPABLE (5.5+) and numpy; read-only for frozen maps and
        constants."""
        from bpfsmith.run.maps.memory import array_view

        return array_view(self)
