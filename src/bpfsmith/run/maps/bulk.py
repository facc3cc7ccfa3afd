"""Whole maps in and out. Batches where the kernel has them (5.6, later for some types), else one by one; found out by
the first refusal of each type, once per process."""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import KernelError, MapFull
from bpfsmith.run.link import duplicate
from bpfsmith.run.maps.base import E2BIG, EINVAL, ENOMEM, ENOSPC, ENOTSUPP, EOPNOTSUPP, F_LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Fd
    from bpfsmith.run.maps.base import Map

__all__ = ["Layout", "delete", "dump", "forget", "full", "update"]

LOOKUP_BATCH, LOOKUP_AND_DELETE_BATCH = 24, 25
_REFUSED = (EINVAL, EOPNOTSUPP, ENOTSUPP)
# Hashes go on from bucket to bucket, arrays from index to index; others by key, and start over when that key is gone.
_STEADY = frozenset(("hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "hash_of_maps", "array", "percpu_array",
                     "array_of_maps"))  # fmt: skip
# (door, map type, what) of refusals met; the door is part of it so that tests with another one start anew.
_without: set[tuple[int, str, str]] = set()


def forget() -> None:
    """Forgets which batches were refused; for tests."""
    _without.clear()


class Layout:
    """A row of a dump: key, then the value at `value_at` where numpy reads it aligned. `copied`: bytes the kernel
    copies per value."""

    __slots__ = ("copied", "key", "row", "value_at")

    def __init__(self, key: int, copied: int, keys_only: bool = False) -> None:
        self.key = key
        self.copied = copied
        align = 8 if copied % 8 == 0 else 4 if copied % 4 == 0 else 2 if copied % 2 == 0 else 1
        self.value_at = key if keys_only else -(-key // align) * align
        # The next row's key and value lie aligned too.
        wide = max(align, 8 if key % 8 == 0 else 4 if key % 4 == 0 else 2 if key % 2 == 0 else 1)
        self.row = key if keys_only else -(-(self.value_at + copied) // wide) * wide

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return self.key, self.copied, self.row, self.value_at


def _held(source: Map) -> Fd:
    """A descriptor of its own for something that takes long: another thread may close the map meanwhile, and then its
    number may be that of a map with larger values, which would be written beyond our memory."""
    source.fileno()  # says when it is closed
    try:
        return source._fd.dup() if hasattr(source._fd, "dup") else duplicate(source.fileno())
    except ValueError:
        source.fileno()
        raise


def dump(source: Map, layout: Layout, *, drain: bool = False, flags: int = 0) -> tuple[Any, int]:
    """(rows as a buffer, rows left out because they were met twice). Complete, or `KernelError`."""
    with _held(source) as held:
        return _dump(source, held.fileno(), layout, drain, flags)


def _dump(source: Map, fd: int, layout: Layout, drain: bool, flags: int) -> tuple[Any, int]:
    door = kernel.door()
    command = LOOKUP_AND_DELETE_BATCH if drain else LOOKUP_BATCH
    mark = (id(door), source.type, "drain" if drain else "dump")
    if mark not in _without:
        steady = source.type in _STEADY
        most = 0 if steady else 2 * source.max_entries + 8192
        # Room for all of a small map; of a large one the native half decides.
        chunk = 0 if source.max_entries > 4096 or layout.copied > 256 else max(source.max_entries, 64)
        rows, errno, _, repeated = door.map_dump(fd, layout.sizes, command, flags, chunk, most, not steady)
        if not errno:
            return rows, repeated
        if errno not in _REFUSED or len(rows):
            raise _broken(source, command, errno, len(rows) // layout.row)
        if not flags:  # else it may be the flag that this one map refuses
            _without.add(mark)
    if drain:
        return _drained(source, layout, flags)
    rows, errno, _, repeated = door.map_dump_each(fd, layout.sizes, flags, source.max_entries)
    if errno:
        if errno == EINVAL and flags & F_LOCK:
            raise source._without_lock()
        raise _broken(source, 4, errno, len(rows) // layout.row)
    return rows, repeated


def _drained(source: Map, layout: Layout, flags: int) -> tuple[Any, int]:
    """Reads everything and deletes what was read: what programs add to an entry between the two is lost with it, so
    each is taken out by one command where the kernel has that (5.14)."""
    from bpfsmith.run.maps.base import DELETE, ENOENT, LOOKUP_AND_DELETE

    keys, _ = dump(source, Layout(layout.key, layout.copied, keys_only=True))
    held = memoryview(keys)
    out = bytearray()
    for at in range(0, len(held), layout.key):
        key = bytes(held[at : at + layout.key])
        value = bytearray(layout.copied)
        errno = -source._element(LOOKUP_AND_DELETE, key, value, flags)
        if errno in _REFUSED:
            errno = -source._element(1, key, value, flags) or -source._element(DELETE, key, None)
        if errno == ENOENT:
            continue
        if errno > 0:
            raise source._refused("BPF_MAP_LOOKUP_AND_DELETE_ELEM", errno)
        row = bytearray(layout.row)
        row[: layout.key] = key
        row[layout.value_at : layout.value_at + layout.copied] = value
        out += row
    return out, 0


def _broken(source: Map, command: int, errno: int, rows: int) -> Exception:
    from bpfsmith.kernel.attrs import name_of

    error = source._refused(name_of(command), errno)
    if rows and isinstance(error, KernelError):
        error.hint = f"{rows} entries had been read"
    return error


def update(target: Map, keys: Any, values: Any, count: int, flags: int = 0) -> tuple[int, int]:
    """Stores `count` elements in their order: (stored, errno). `keys`, `values`: (buffer, offset, size, stride)."""
    with _held(target) as held:
        return _update(target, held.fileno(), keys, values, count, flags)


def _update(target: Map, fd: int, keys: Any, values: Any, count: int, flags: int) -> tuple[int, int]:
    door = kernel.door()
    mark = (id(door), target.type, "update")
    done = 0
    # Batches know no flags but F_LOCK.
    if count > 1 and mark not in _without and not flags & ~F_LOCK:
        done, _, errno, _ = door.map_update(fd, keys, values, count, flags, True)
        if errno not in _REFUSED:
            return done, errno
        if not done:
            # Refused as a whole; or the first element is what is refused, which the single command says better.
            first = door.map_update(fd, keys, values, 1, flags, False)[2]
            if first:
                return 0, first
            _without.add(mark)
    left = count - done
    more, _, errno, _ = door.map_update(fd, _after(keys, done), _after(values, done), left, flags, False)
    return done + more, errno


def _after(items: Any, count: int) -> Any:
    buffer, offset, size, stride = items
    return buffer, offset + count * stride, size, stride


def delete(target: Map, keys: Any, count: int) -> tuple[int, int, int]:
    """Deletes `count` keys: (deleted, not there, errno)."""
    with _held(target) as held:
        return _delete(target, held.fileno(), keys, count)


def _delete(target: Map, fd: int, keys: Any, count: int) -> tuple[int, int, int]:
    door = kernel.door()
    mark = (id(door), target.type, "delete")
    if count > 1 and mark not in _without:
        deleted, missing, errno, _ = door.map_delete(fd, keys, count, True)
        if errno not in _REFUSED or deleted or missing:
            return deleted, missing, errno
        _without.add(mark)
    deleted, missing, errno, _ = door.map_delete(fd, keys, count, False)
    return deleted, missing, errno


def full(target: Map, errno: int, stored: int, keys: Any) -> Exception:
    """The error for an update of entries with these keys (a list or an array) that ended after `stored` of them."""
    count = len(keys)
    last, first = (_shown(keys[stored - 1]) if stored else None), _shown(keys[stored])
    if errno in (E2BIG, ENOSPC, ENOMEM) and target.spec.type not in ("array", "percpu_array"):
        why = "the kernel has no memory left for it" if errno == ENOMEM else f"it holds {target.max_entries} entries"
        told = f"the last one stored is {last}; " if stored else ""
        return MapFull(
            f"{target._where} is full: {why}; {stored} of {count} were stored", stored, errno, target._where,
            f"{told}the first that is not is {first}; load with `map_sizes={{'{target.name}': ...}}`", keys[:stored],
        )  # fmt: skip
    error = target._refused("BPF_MAP_UPDATE_ELEM", errno, f"key {first} of")
    if count > 1 and isinstance(error, KernelError):
        error.hint = f"{stored} of {count} were stored" + (f", the last one is {last}" if stored else "")
        error.args = (error.message, error.where, error.hint)
    return error


def _shown(key: Any) -> str:
    return repr(key.tolist() if hasattr(key, "tolist") else key)
