"""What every map has: a name, sizes, types, a descriptor; pinning, freezing, closing."""

from __future__ import annotations

from os import fspath
from struct import Struct

from bpfsmith import kernel
from bpfsmith.model.errors import Closed, InputError, KernelError, Unsupported
from bpfsmith.run.codec import codec_for, parse_type
from bpfsmith.run.maps.spec import F_MMAPABLE, MapSpec, map_info, type_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any

    from bpfsmith.run.codec import Codec
    from bpfsmith.run.maps.spec import MapInfo

__all__ = ["Map"]

_ELEM = Struct("=IIQQQ")
LOOKUP, UPDATE, DELETE, NEXT_KEY, LOOKUP_AND_DELETE = 1, 2, 3, 4, 21
EPERM, ENOENT, E2BIG, ENOMEM, EACCES, EBUSY, EEXIST, EINVAL, ENOSPC, EOPNOTSUPP, ENOTSUPP = (
    1, 2, 7, 12, 13, 16, 17, 22, 28, 95, 524,
)  # fmt: skip
F_NO_PREALLOC, F_LOCK = 1 << 0, 4


class Map:
    """One map in the kernel.

    `name`, `type` (libbpf's word), `key_size`, `value_size` (bytes, of one CPU), `max_entries`, `flags`; `key_type`,
    `value_type`: how keys and values are read (`run.codec.Codec`). Opened by `bpf.maps["NAME"]`, `Map.from_id(7)` or
    `Map.from_pin(path)`. Of a loaded object the object closes it; one opened by id or pin is a context manager of its
    own. Using it afterwards raises `Closed`. Safe to use from several threads, as far as the kernel's operations are.
    """

    __slots__ = ("__weakref__", "_fd", "_key", "_key_where", "_owned", "_value", "_value_where", "spec")

    def __init__(self, fd: Any, spec: MapSpec, owned: bool = False) -> None:
        self._fd = fd
        self.spec = spec
        self._owned = owned
        self._key: Codec | None = None
        self._value: Codec | None = None
        # How messages call them; made once, not at each use.
        self._key_where = f"key of map `{spec.name}`"
        self._value_where = f"value of map `{spec.name}`"

    # ------------------------------------------------------------ opening

    @classmethod
    def from_id(cls, number: int, *, key_type: Any = None, value_type: Any = None) -> Any:
        """The map of that id (`bpfsmith ps` lists them), with the types it was made with, or the ones given (as
        `run.codec.parse_type` takes them). `UnknownName` when there is none; needs CAP_SYS_ADMIN."""
        from bpfsmith.kernel.info import open_id
        from bpfsmith.run.maps import opened

        return opened(open_id("map", number), key_type, value_type)

    @classmethod
    def from_pin(cls, path: str | PathLike[str], *, key_type: Any = None, value_type: Any = None) -> Any:
        """The map pinned at `path`. `TargetMissing` when nothing is, `InputError` when something else is."""
        from bpfsmith.kernel.info import open_pin
        from bpfsmith.run.maps import opened

        return opened(open_pin("map", fspath(path)), key_type, value_type)

    def typed(self, key_type: Any = None, value_type: Any = None, *, dtype: Any = None) -> Any:
        """The same map read with other types (see `run.codec.parse_type`), for objects without BTF: numpy dtypes,
        `struct` formats, C or Rust names. `dtype`: of the value, or with the fields `key` and `value` of both; numpy's
        words are tried first here (`i8` has eight bytes)."""
        from bpfsmith.run.maps import open_map

        spec = self.spec
        if dtype is not None:
            key_type, value_type = _from_dtype(dtype, key_type)
        other = MapSpec(
            spec.name, spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.map_extra,
            spec.btf, spec.key_type if key_type is None else key_type,
            spec.value_type if value_type is None else value_type,
            spec.inner, spec.origin,
        )  # fmt: skip
        return open_map(self._fd, other, self)

    # ------------------------------------------------------------ what it is

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def type(self) -> str:
        """libbpf's word: `hash`, `percpu_array`."""
        return self.spec.type

    @property
    def key_size(self) -> int:
        return self.spec.key_size

    @property
    def value_size(self) -> int:
        """Bytes, of one CPU for per-CPU kinds."""
        return self.spec.value_size

    @property
    def max_entries(self) -> int:
        return self.spec.max_entries

    @property
    def flags(self) -> int:
        """Those it was made with (`BPF_F_...`)."""
        return self.spec.flags

    @property
    def key_type(self) -> Codec:
        """How keys are read and written."""
        if self._key is None:
            self._key = self._codec(self.spec.key_type, self.spec.key_size)
        return self._key

    @property
    def value_type(self) -> Codec:
        """How values are read and written."""
        if self._value is None:
            self._value = self._codec(self.spec.value_type, self.spec.value_size)
        return self._value

    def _codec(self, wanted: Any, size: int) -> Codec:
        if wanted.__class__ is int:
            return codec_for(self.spec.btf, wanted, size)
        return parse_type(wanted, self.spec.btf, size)

    @property
    def mmapable(self) -> bool:
        """Whether its memory can be mapped: then `view()` reads and writes in place."""
        return bool(self.spec.flags & F_MMAPABLE)

    @property
    def id(self) -> int:
        return self.info().id

    def info(self) -> MapInfo:
        """What the kernel tells of it now."""
        self.fileno()
        return map_info(self._fd)

    @property
    def fd(self) -> Any:
        """Its descriptor (`fileno()`), which stays the map's."""
        return self._fd

    def fileno(self) -> int:
        """`Closed` after `close()`, also of the object it belongs to."""
        try:
            number: int = self._fd.fileno()
        except ValueError:
            raise Closed(f"map `{self.spec.name}` was closed", where=self._where) from None
        return number

    @property
    def closed(self) -> bool:
        return bool(self._fd.closed)

    @property
    def _where(self) -> str:
        return f"map `{self.spec.name}`"

    # ------------------------------------------------------------ for all of it

    def pin(self, path: str | PathLike[str]) -> None:
        """Keeps it alive under that path of a bpffs, beyond this process, until `unpin` or `rm`. Folders of bpffs that
        are missing are made, and go with the last pin that this process removes from them."""
        from bpfsmith.kernel import pinning

        self.fileno()
        pinning.pin(self._where, fspath(path), self._fd)

    def unpin(self, path: str | PathLike[str]) -> None:
        """Removes the pin; the map lives on while something holds it. `TargetMissing` when nothing is pinned there,
        `InputError` when it is something else."""
        from bpfsmith.kernel import pinning
        from bpfsmith.kernel.info import open_pin

        path = fspath(path)
        with open_pin("map", path) as fd:
            if map_info(fd).id != self.id:
                raise InputError(f"what is pinned at `{path}` is not {self._where}", where=path)
        pinning.unpin(path)

    def freeze(self) -> None:
        """Makes it read-only for user space, for good (5.2+); programs write on unless it has BPF_F_RDONLY_PROG.
        Refused while a writable `view()` is open."""
        self.fileno()
        value = kernel.try_call("BPF_MAP_FREEZE", map_fd=self._fd)
        if value == -EBUSY:
            raise KernelError(
                f"cannot freeze {self._where}: it is mapped writable, or frozen already", "BPF_MAP_FREEZE", EBUSY,
                hint="close its `view()` and the globals that live in it first",
            )  # fmt: skip
        if value < 0:
            raise self._refused("BPF_MAP_FREEZE", -value)

    def close(self) -> None:
        """Lets go of it. Of a loaded object the object decides: there this does nothing."""
        if self._owned:
            self._fd.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.spec.max_entries} entries at most"
        return f"<{type(self).__name__} {self.spec.name}: {self.spec.type}, {state}>"

    # ------------------------------------------------------------ single elements, as bytes

    def _element(self, command: int, key: Any, value: Any, flags: int = 0) -> int:
        """One command on one element: its value or `-errno`."""
        attr = bytearray(_ELEM.pack(self.fileno(), 0, 0, 0, flags))
        buffers = [(8, key)] if key is not None else []
        if value is not None:
            buffers.append((16, value))
        return kernel.door().bpf(command, attr, buffers)

    def _refused(self, command: str, errno: int, what: str = "") -> Exception:
        """The error to raise for a refusal that means nothing special for this map."""
        from bpfsmith.kernel.failures import error

        about = f"{what} {self._where}" if what else self._where
        if errno in (EPERM, EACCES) and command == "BPF_MAP_UPDATE_ELEM" and self._frozen():
            return InputError(f"{self._where} is frozen: user space may only read it", where=self._where)
        if errno in (EOPNOTSUPP, ENOTSUPP):
            number = type_number(self.spec.type)
            return Unsupported(
                f"`{self.spec.type}` maps do not offer {command} to user space",
                feature=command, instead=self._instead(), where=self._where if number else "",
            )  # fmt: skip
        return error(command, errno, about)

    def _without_lock(self) -> InputError:
        """The error for `lock=True` where the kernel finds no lock."""
        return InputError(
            f"values of {self._where} hold no `bpf_spin_lock`", where=self._where,
            hint="leave `lock` out: entries are copied as they are",
        )  # fmt: skip

    def _instead(self) -> str:
        return ""

    def _frozen(self) -> bool:
        try:
            return self.info().frozen
        except Exception:
            return False


def _from_dtype(dtype: Any, key_type: Any) -> tuple[Any, Any]:
    """(key, value): types in numpy's words, or in ours where numpy has none."""
    from bpfsmith.run.columns import numpy

    try:
        dtype = numpy().dtype(dtype)
    except (TypeError, ValueError):
        fields = dict(dtype) if isinstance(dtype, (list, dict)) else {}
        return (fields["key"], fields["value"]) if set(fields) == {"key", "value"} else (key_type, dtype)
    if set(dtype.names or ()) == {"key", "value"}:
        return dtype.fields["key"][0], dtype.fields["value"][0]
    return key_type, dtype
