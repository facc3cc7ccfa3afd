"""Maps of objects user space hands over by descriptor: programs' cousins for sockets, cgroups and AF_XDP sockets."""

from __future__ import annotations

from sys import byteorder

from bpfsmith import kernel
from bpfsmith.model.errors import InputError, TargetMissing, ValueMismatch
from bpfsmith.run.maps.base import DELETE, EINVAL, ENOENT, EOPNOTSUPP, LOOKUP, UPDATE
from bpfsmith.run.maps.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["CgroupArray", "ReuseportArray", "SlotTable", "SockHash", "SockMap", "XskMap"]


class SlotTable(Table):
    """Storing takes something with `fileno()` (or the number of a descriptor); the kernel holds the object, not the
    descriptor. What reading tells depends on the kind."""

    __slots__ = ()
    _what = "an object with a descriptor"
    _singly = True

    def _encode_value(self, value: Any) -> bytes:
        number = value.fileno() if hasattr(value, "fileno") else value
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ValueMismatch(f"value of map `{self.spec.name}`: expected {self._what}, got {value!r}")
        # Some objects declare eight bytes (sockets told by cookie): the number takes them all.
        return number.to_bytes(self.spec.value_size, byteorder)

    def put(self, key: Any, value: Any, *, new: bool | None = None, lock: bool = False) -> None:
        """Stores one. `new=True`: only into an empty slot."""
        del lock
        flags = 0 if new is None else 1 if new else 2
        answer = self._element(UPDATE, self._encode_key(key), self._encode_value(value), flags)
        if answer < 0:
            raise self._not_stored(key, -answer, new)

    def _not_stored(self, key: Any, errno: int, new: bool | None = None) -> Exception:
        if errno in (EINVAL, EOPNOTSUPP, 9, 88, 94):  # also EBADF, ENOTSOCK, ESOCKTNOSUPPORT
            from bpfsmith.kernel.failures import errno_name

            return InputError(
                f"{self._where} does not take this: expected {self._what} ({errno_name(errno)})", where=self._where
            )
        return super()._not_stored(key, errno, new)

    def pop(self, key: Any, *default: Any) -> Any:
        value = self.get(key, *default) if default else self[key]
        if key in self:
            del self[key]
        return value

    def clear(self) -> None:
        """Empties every slot."""
        for key in self.keys_all():
            self._element(DELETE, key, None)

    def keys_all(self) -> list[bytes]:
        """Every key there may be something under: all indices of an array."""
        if self._indexed:
            return [at.to_bytes(4, byteorder) for at in range(self.max_entries)]
        keys, size = bytes(self._raw_keys()), self.key_size
        return [keys[at : at + size] for at in range(0, len(keys), size)]

    def __iter__(self) -> Iterator[Any]:
        for raw in self.keys_all():
            if not self._indexed or self._read(raw) is not None:
                yield self.key_type.decode(raw)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _rows(self, *, drain: bool = False, lock: bool = False) -> Iterator[tuple[Any, Any]]:
        del drain, lock
        for raw in self.keys_all():
            value = self._read(raw)
            if value is not None:
                yield self.key_type.decode(raw), self._decode_value(value)

    def to_numpy(self, **options: Any) -> Any:  # noqa: ARG002
        raise InputError(f"{self._where} holds kernel objects, not numbers", where=self._where, hint="take `items()`")


class _Sockets(SlotTable):
    """Sockets. Reading tells a socket's cookie (`SO_COOKIE`), for maps whose values have eight bytes; others can only
    be written to, and `in`, `len` and iterating see nothing of them."""

    __slots__ = ()
    _what = "a socket"

    def _read(self, key: bytes, flags: int = 0) -> bytes | bytearray | None:
        if self.spec.value_size != 8:
            raise InputError(
                f"{self._where} cannot be read: a cookie takes 8 bytes, its values have {self.spec.value_size}",
                where=self._where, hint="declare it with 8-byte values",
            )  # fmt: skip
        out = bytearray(8)
        answer = self._element(LOOKUP, key, out, flags)
        if answer == -ENOENT:
            return None
        if answer < 0:
            raise self._refused("BPF_MAP_LOOKUP_ELEM", -answer)
        return out

    def _decode_value(self, raw: Any) -> int:
        return int.from_bytes(raw, byteorder)

    def __delitem__(self, key: Any) -> None:
        answer = self._element(DELETE, self._encode_key(key), None)
        if answer in (-ENOENT, -EINVAL):  # of an empty slot of a sockmap: EINVAL
            raise self._missing(key)
        if answer < 0:
            raise self._refused("BPF_MAP_DELETE_ELEM", -answer)

    def pop(self, key: Any, *default: Any) -> Any:
        value = self.get(key, *default) if self.spec.value_size == 8 else None
        try:
            del self[key]
        except KeyError:
            if not default:
                raise
            return default[0]
        return value


class SockMap(_Sockets):
    """`sockmap`: sockets by index. TCP sockets must be connected or listening."""

    __slots__ = ()
    _indexed = True


class SockHash(_Sockets):
    """`sockhash`: sockets by key."""

    __slots__ = ()


class ReuseportArray(_Sockets):
    """`reuseport_sockarray`: bound sockets of a SO_REUSEPORT group, for `sk_reuseport` programs."""

    __slots__ = ()
    _indexed = True
    _what = "a bound socket with SO_REUSEPORT"


class XskMap(SlotTable):
    """`xskmap`: AF_XDP sockets by queue."""

    __slots__ = ()
    _indexed = True
    _what = "a bound AF_XDP socket"

    def _read(self, key: bytes, flags: int = 0) -> bytes | bytearray | None:  # noqa: ARG002
        raise InputError(f"{self._where} cannot be read from user space", where=self._where)


class CgroupArray(SlotTable):
    """`cgroup_array`: cgroups (v2) by index, for `bpf_skb_under_cgroup` and `bpf_current_task_under_cgroup`. Storing
    takes the path of a cgroup or a descriptor of it; reading is not offered by the kernel."""

    __slots__ = ()
    _indexed = True
    _what = "the path of a cgroup or a descriptor of it"

    def put(self, key: Any, value: Any, *, new: bool | None = None, lock: bool = False) -> None:
        """Stores one."""
        if not isinstance(value, str):
            super().put(key, value, new=new, lock=lock)
            return
        with open_cgroup(value) as fd:
            super().put(key, fd, new=new, lock=lock)

    def _read(self, key: bytes, flags: int = 0) -> bytes | bytearray | None:  # noqa: ARG002
        raise InputError(f"{self._where} cannot be read from user space", where=self._where)

    def __delitem__(self, key: Any) -> None:
        answer = self._element(DELETE, self._encode_key(key), None)
        if answer == -ENOENT:
            raise self._missing(key)
        if answer < 0:
            raise self._refused("BPF_MAP_DELETE_ELEM", -answer)

    def pop(self, key: Any, *default: Any) -> Any:
        del default
        del self[key]


def open_cgroup(path: str) -> Any:
    """A descriptor of a cgroup's folder; also by its name below the mounted hierarchy."""
    from os import O_DIRECTORY, O_RDONLY

    door = kernel.door()
    tried = [path] if path.startswith("/") else []
    if not tried or not path.startswith("/sys"):
        from bpfsmith.kernel.info import mounts

        tried += [f"{root}/{path.lstrip('/')}" for root in mounts("cgroup2")]
    for one in tried:
        fd = door.open_fd(one, O_RDONLY | O_DIRECTORY)
        if not isinstance(fd, int):
            return fd
    raise TargetMissing(
        f"no cgroup `{path}`", where=path,
        hint=f"looked for {' and '.join(f'`{one}`' for one in tried)}; list them with `find /sys/fs/cgroup -type d`",
    )  # fmt: skip
