"""Storage that belongs to sockets, files, tasks and cgroups; and the older cgroup storage."""

from __future__ import annotations

from sys import byteorder

from bpfsmith import kernel
from bpfsmith.model.errors import InputError, TargetMissing, Unsupported, ValueMismatch
from bpfsmith.run.maps.base import EINVAL
from bpfsmith.run.maps.percpu import PerCpuTable
from bpfsmith.run.maps.slots import open_cgroup
from bpfsmith.run.maps.table import Table
from bpfsmith.run.structs import Field, StructCodec
from bpfsmith.run.values import Codec, IntCodec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = [
    "CgroupLocal",
    "CgrpStorage",
    "InodeStorage",
    "LocalStorage",
    "PerCpuCgroupLocal",
    "SkStorage",
    "TaskStorage",
]


class _Held(bytes):
    """A descriptor's number as a key; the descriptor stays open as long as the key is there."""

    fd: Any


class LocalStorage(Table):
    """A value per object, which goes with the object. Keys are told by descriptor; the kernel offers no walk over them
    to user space, so there is no iterating, `len` or `to_numpy`: an `iter` program can list them."""

    __slots__ = ()
    _what = "an object with a descriptor"
    _singly = True

    @property
    def key_type(self) -> Codec:
        return IntCodec("descriptor", 4, True, byteorder == "big")

    def _open(self, key: Any) -> Any:
        """Something with `fileno()` for what is no descriptor yet."""
        raise ValueMismatch(f"key of map `{self.spec.name}`: expected {self._what}, got {key!r}")

    def _encode_key(self, key: Any) -> bytes:
        fd = key if hasattr(key, "fileno") else self._open(key)
        held = _Held(int(fd.fileno()).to_bytes(4, byteorder))
        held.fd = fd
        return held

    def delete(self, keys: Iterable[Any]) -> int:
        done = 0
        for key in keys:
            try:
                del self[key]
                done += 1
            except KeyError:
                pass
        return done

    def _raw_keys(self) -> Any:
        raise self._no_walk()

    def _rows(self, *, drain: bool = False, lock: bool = False) -> Iterator[tuple[Any, Any]]:
        del drain, lock
        raise self._no_walk()

    def to_numpy(self, **options: Any) -> Any:  # noqa: ARG002
        raise self._no_walk()

    def _no_walk(self) -> Unsupported:
        return Unsupported(
            f"{self._where} cannot be listed: the kernel keeps {self.type} with the objects it belongs to",
            feature="listing of local storage", instead="ask for single keys, or load an `iter` program",
            where=self._where,
        )  # fmt: skip


class SkStorage(LocalStorage):
    """Keys are sockets (5.2+)."""

    __slots__ = ()
    _what = "a socket"


class InodeStorage(LocalStorage):
    """Keys are files: paths, or anything open (5.10+)."""

    __slots__ = ()
    _what = "the path of a file or something open"

    def _open(self, key: Any) -> Any:
        if not isinstance(key, str) and not hasattr(key, "__fspath__"):
            return super()._open(key)
        from os import O_RDONLY, fspath

        # Not O_PATH: the kernel wants a file that is really open.
        fd = kernel.door().open_fd(fspath(key), O_RDONLY | 0o4000)  # O_NONBLOCK: a FIFO has nobody to wait for
        if isinstance(fd, int):
            from bpfsmith.kernel.failures import errno_name

            raise TargetMissing(f"cannot open `{key}` ({errno_name(-fd)})", where=self._where)
        return fd


class TaskStorage(LocalStorage):
    """Keys are processes: their number, something with a `pid`, or a pidfd (5.11+)."""

    __slots__ = ()
    _what = "a process: its number or a pidfd"

    def _open(self, key: Any) -> Any:
        pid = getattr(key, "pid", key)
        if not isinstance(pid, int) or isinstance(pid, bool):
            return super()._open(key)
        fd = kernel.door().pidfd_open(pid)
        if isinstance(fd, int):
            hint = "only whole processes can be named, by the number of their first thread" if fd == -EINVAL else ""
            raise TargetMissing(f"no process {pid}", where=self._where, hint=hint)
        return fd


class CgrpStorage(LocalStorage):
    """Keys are cgroups (v2): paths, or descriptors of their folders (6.2+)."""

    __slots__ = ()
    _what = "the path of a cgroup or a descriptor of it"

    def _open(self, key: Any) -> Any:
        return open_cgroup(key) if isinstance(key, str) else super()._open(key)


class CgroupLocal(Table):
    """`cgroup_storage`: a value per cgroup (and attach type) a program is attached to, made with the attachment. Keys:
    the path of a cgroup, its id, or (id or path, attach type's number). They can be read and changed, not added."""

    __slots__ = ()
    _singly = True

    @property
    def key_type(self) -> Codec:
        if self._key is None:
            big = byteorder == "big"
            u64, u32 = IntCodec("u64", 8, False, big), IntCodec("u32", 4, False, big)
            fields = [Field("cgroup", 0, u64), Field("attach_type", 64, u32)]
            self._key = u64 if self.spec.key_size == 8 else StructCodec("struct", "cgroup key", 16, fields, big)
        return self._key

    def _encode_key(self, key: Any) -> bytes:
        if isinstance(key, str):
            key = _cgroup_id(key)
        elif isinstance(key, tuple) and key and isinstance(key[0], str):
            key = (_cgroup_id(key[0]), *key[1:])
        if self.spec.key_size == 16 and isinstance(key, int):
            raise ValueMismatch(
                f"key of map `{self.spec.name}`: expected (cgroup, number of the attach type), got {key!r}"
            )
        return super()._encode_key(key)

    def put(self, key: Any, value: Any, *, new: bool | None = None, lock: bool = False) -> None:
        """Changes the value of a cgroup the program is attached to; `KeyMissing` for others."""
        del new
        super().put(key, value, new=False, lock=lock)

    def __delitem__(self, key: Any) -> None:
        raise InputError(f"entries of {self._where} go with their cgroup: they cannot be deleted", where=self._where)


class PerCpuCgroupLocal(CgroupLocal, PerCpuTable):
    """`percpu_cgroup_storage`."""

    __slots__ = ()


def _cgroup_id(path: str) -> int:
    """The kernel's number of a cgroup: the inode of its folder."""
    from bpfsmith import kernel

    with open_cgroup(path) as fd:
        return kernel.door().inode(fd.fileno())
