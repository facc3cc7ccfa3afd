"""Maps whose memory is mapped: arrays made with BPF_F_MMAPABLE, and arenas."""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import InputError, KernelError, Unsupported
from bpfsmith.run.maps.base import EBUSY, EINVAL, EOPNOTSUPP, EPERM, Map
from bpfsmith.run.maps.spec import F_RDONLY_PROG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Mapping
    from bpfsmith.run.maps.table import ArrayMap

__all__ = ["Arena", "array_view", "map_memory"]

PROT_READ, PROT_WRITE = 1, 2
MAP_SHARED = 1


def _pages(length: int) -> int:
    page = kernel.live().page_size
    return -(-length // page) * page


def map_memory(target: Map, length: int, what: str, writable: bool = True) -> Mapping:
    """The map's memory, at least `length` bytes; read-only when it is frozen or for programs to read."""
    door, fd = kernel.door(), target.fileno()
    writable = writable and not target.flags & F_RDONLY_PROG
    found = door.mmap(fd, _pages(length), 0, PROT_READ | PROT_WRITE if writable else PROT_READ, MAP_SHARED)
    if found == -EPERM and writable:
        found = door.mmap(fd, _pages(length), 0, PROT_READ, MAP_SHARED)  # frozen
    if isinstance(found, int):
        if not door.local:
            from bpfsmith.kernel.failures import error

            raise error("mmap", -found, what)
        raise KernelError(_no_mapping(what, found), "mmap", -found, where=target._where)
    return found


def _no_mapping(what: str, answer: int) -> str:
    from os import strerror

    from bpfsmith.kernel.failures import errno_name

    return f"cannot map {what}: {strerror(-answer).lower()} ({errno_name(-answer)})"


def array_view(table: ArrayMap) -> Any:
    """A numpy array over the values where they are."""
    from bpfsmith.run.columns import numpy

    numpy()
    if not table.mmapable:
        raise InputError(
            f"{table._where} was not made with BPF_F_MMAPABLE: its memory cannot be mapped", where=table._where,
            hint="add the flag where the map is declared; or read it with `to_numpy()`",
        )  # fmt: skip
    table.fileno()
    if table._mapped is None:
        step = -(-table.value_size // 8) * 8  # a value takes a multiple of eight bytes
        table._mapped = map_memory(table, step * table.max_entries, table._where)
    return _values(numpy(), table, table._mapped)


def _values(numpy: Any, table: ArrayMap, mapping: Any) -> Any:
    value = table.value_type
    step = -(-table.value_size // 8) * 8
    if step == value.size:
        return numpy.frombuffer(mapping, value.dtype, table.max_entries)
    padded = numpy.dtype({"names": ["v"], "formats": [value.dtype], "offsets": [0], "itemsize": step})
    return numpy.frombuffer(mapping, padded, table.max_entries)["v"]


class Arena(Map):
    """Memory shared between programs and user space, up to `max_entries` pages (6.9+).

    `view()` maps it where the programs expect it; pages appear when either side first touches them. `user_address` is
    where pointers that programs store point to in this process."""

    __slots__ = ("_mapped",)

    def __init__(self, fd: Any, spec: Any, owned: bool = False) -> None:
        super().__init__(fd, spec, owned)
        self._mapped: Any = None

    @property
    def size(self) -> int:
        """Bytes of address space it takes."""
        return self.max_entries * kernel.live().page_size

    def mapping(self) -> Mapping:
        """Its memory as a buffer; the same one at each call."""
        if self._mapped is None:
            found = kernel.door().mmap(
                self.fileno(), self.size, 0, PROT_READ | PROT_WRITE, MAP_SHARED, self.spec.map_extra
            )
            if isinstance(found, int):
                if found == -EINVAL:
                    raise Unsupported(
                        f"{self._where} cannot be mapped", "arena", "6.9", "share a BPF_F_MMAPABLE array", self._where
                    )
                if found == -EOPNOTSUPP:
                    from bpfsmith.kernel.failures import error

                    raise error("mmap", EOPNOTSUPP, self._where)
                hint = "another process mapped it at another address" if found == -EBUSY else ""
                raise KernelError(_no_mapping(self._where, found), "mmap", -found, where=self._where, hint=hint)
            self._mapped = found
        return self._mapped  # type: ignore[no-any-return]

    def view(self) -> memoryview:
        """Its memory, writable; touching a page makes it exist. For numpy: `numpy.frombuffer(arena.view(), "u8")`."""
        mapping: Any = self.mapping()
        return memoryview(mapping)

    @property
    def user_address(self) -> int:
        """Where it lies in this process: pointers programs keep in it are addresses of this range."""
        from bpfsmith.run.columns import numpy

        return int(numpy().frombuffer(self.mapping(), "u1", 1).ctypes.data)

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a pointer a program stored: an address in this process's view, or its low 32 bits."""
        offset = address - self.user_address if address >= 1 << 32 else (address - self.user_address) & 0xFFFFFFFF
        if not 0 <= offset <= self.size - size:
            raise InputError(f"{address:#x} is not in {self._where}", where=self._where)
        return bytes(self.view()[offset : offset + size])

    def close(self) -> None:
        """Unmaps it too."""
        super().close()
        self._mapped = None
