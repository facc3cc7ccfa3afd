"""Maps in maps."""

from __future__ import annotations

from bpfsmith.model.errors import InputError, ValueMismatch
from bpfsmith.run.maps import bulk
from bpfsmith.run.maps.base import Map
from bpfsmith.run.maps.spec import MapSpec, map_btf, map_info
from bpfsmith.run.maps.table import ArrayMap, Table
from bpfsmith.run.values import Codec, IntCodec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ArrayOfMaps", "HashOfMaps", "MapOfMaps"]


class MapOfMaps(Table):
    """Values are maps: `m[key]` opens the one stored there (a map of its own, to be closed; a context manager), storing
    takes a map or a descriptor. What is stored must be like the template the object declares; what differs is said.

    `ids()` answers the ids without opening anything."""

    __slots__ = ()

    @property
    def value_type(self) -> Codec:
        return IntCodec("map", 4, False, False)

    def _decode_value(self, raw: Any) -> Any:
        from bpfsmith.kernel.info import open_id
        from bpfsmith.run.maps import open_map

        # Reading answers an id, storing takes a descriptor.
        fd = open_id("map", int(IntCodec("id", 4, False, _big()).decode(raw)))
        info = map_info(fd)
        btf, inner = map_btf(info), self.spec.inner
        spec = MapSpec.of(info, btf)
        if btf is None and inner is not None:
            spec.btf, spec.key_type, spec.value_type = inner.btf, inner.key_type, inner.value_type
        return open_map(fd, spec)

    def ids(self) -> dict[Any, int]:
        """Key -> id of the map there; empty slots of an array are left out."""
        decode = IntCodec("id", 4, False, _big()).decode
        layout = self._layout()
        rows, _ = bulk.dump(self, layout)
        found = {}
        view = memoryview(rows)
        for at in range(0, len(view), layout.row):
            number = decode(view, at + layout.value_at)
            if number:
                found[self.key_type.decode(view, at)] = number
        return found

    def _encode_value(self, value: Any) -> bytes:
        if isinstance(value, int) and not isinstance(value, bool):
            return value.to_bytes(4, "big" if _big() else "little")
        if not hasattr(value, "fileno"):
            raise ValueMismatch(f"{self._where}: expected a map or its descriptor, got {value!r}")
        self._check(value)
        return int(value.fileno()).to_bytes(4, "big" if _big() else "little")

    def _check(self, value: Any) -> None:
        """What is stored must be like the template, as `bpf_map_meta_equal()` of the kernel sees it."""
        wanted = self.spec.inner
        if wanted is None or not isinstance(value, Map):
            return
        have = value.spec
        rows = [("type", wanted.type, have.type), ("key size", wanted.key_size, have.key_size),
                ("value size", wanted.value_size, have.value_size)]  # fmt: skip
        # A flexible array (BPF_F_INNER_MAP, 5.10) may have another length.
        if wanted.type in ("array", "percpu_array") and not (wanted.flags | have.flags) & 1 << 12:
            rows.append(("max_entries", wanted.max_entries, have.max_entries))
        ignored = (1 << 12) | 7  # what the kernel does not compare: preallocation, LRU lists, NUMA nodes
        rows.append(("flags", wanted.flags & ~ignored, have.flags & ~ignored))
        told = [f"{name} {two} instead of {one}" for name, one, two in rows if one != two]
        if told:
            raise ValueMismatch(
                f"`{have.name}` does not fit into {self._where}: {', '.join(told)}", where=self._where,
                hint="the kernel takes only maps that are like the template",
            )  # fmt: skip

    def _not_stored(self, key: Any, errno: int, new: bool | None = None) -> Exception:
        if errno == 22:
            return InputError(
                f"{self._where} refuses this map: it is not like its template", where=self._where,
                hint="type, sizes and flags must be the same (for arrays also max_entries)",
            )  # fmt: skip
        return super()._not_stored(key, errno, new)

    def to_numpy(self, **options: Any) -> Any:  # noqa: ARG002
        raise InputError(f"{self._where} holds maps: open them one by one", where=self._where, hint="or take `ids()`")


def _big() -> bool:
    from sys import byteorder

    return byteorder == "big"


class HashOfMaps(MapOfMaps):
    """`hash_of_maps`."""

    __slots__ = ()


class ArrayOfMaps(MapOfMaps):
    """`array_of_maps`: slots may be empty, and can be emptied."""

    __slots__ = ()
    _indexed = False

    def _missing(self, key: Any) -> Any:
        return ArrayMap._missing(self, key) if _beyond(self, key) else super()._missing(key)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.ids())

    def __iter__(self) -> Any:
        return iter(self.ids())

    def clear(self) -> None:
        """Empties every slot."""
        for key in self.ids():
            del self[key]


def _beyond(table: Table, key: Any) -> bool:
    return isinstance(key, int) and not 0 <= key < table.max_entries
