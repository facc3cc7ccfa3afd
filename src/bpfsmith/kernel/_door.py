"""The live door: thin over the native half. Nothing here interprets an answer; `-errno` stays `-errno`."""

from __future__ import annotations

import os
from sys import byteorder

from bpfsmith import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bpfsmith._native import Fd, Mapping, PerfRing, Poller, Ring, Step, UserRing


class Door:
    """What the rest of bpfsmith may ask of the kernel. System calls answer their value or `-errno` and release the GIL;
    kernel files raise `OSError` as Python's own functions do."""

    __slots__ = ()

    # Whether it is this machine's kernel: what concerns processes and files of this machine is left alone otherwise.
    local = True

    def bpf(self, cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> int:
        return _native.bpf(cmd, attr, buffers)

    def bpf_fd(self, cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> Fd | int:
        return _native.bpf_fd(cmd, attr, buffers)

    def pointers(self, texts: Sequence[bytes]) -> Any:
        """A buffer for bpf(2) that begins with as many addresses: of the texts, which follow and end with NUL."""
        from array import array  # tells the address of what it holds

        made = array("B", bytes(8 * len(texts)) + b"".join(text + b"\0" for text in texts))
        at = self._base(made) + 8 * len(texts)
        view = memoryview(made)
        for number, text in enumerate(texts):
            view[8 * number : 8 * number + 8] = at.to_bytes(8, byteorder)
            at += len(text) + 1
        return made

    def _base(self, buffer: Any) -> int:
        """What stands for the address of a buffer in that buffer itself."""
        address: int = buffer.buffer_info()[0]
        return address

    def replay(
        self, steps: Sequence[Step], slots: int, given: Sequence[tuple[int, int]] = (), log_level: int = 0
    ) -> tuple[list[Fd | None], tuple[int, int, str] | None, list[tuple[int, str]]]:
        return _native.replay(steps, slots, given, log_level)

    def replay_once(
        self, steps: Sequence[Step], slots: int, given: Sequence[tuple[int, int]] = (), log_level: int = 0,
        log_limit: int = 1 << 30,
    ) -> tuple[tuple[int, int, str] | None, list[tuple[int, str]], list[tuple[int, bytes]]]:  # fmt: skip
        """As `replay`, and everything is closed again: (failure, logs, (step, `struct bpf_prog_info`) of programs)."""
        return _native.replay_once(steps, slots, given, log_level, log_limit)

    def each(self, steps: Sequence[Step], log_level: int = 0, log_limit: int = 1 << 14) -> list[tuple[int, str]]:
        """Gives every command by itself, whatever became of those before it: (value or `-errno`, the log of a refused
        program or types). What was made is closed again (0). For thousands of questions; steps name no slots."""
        answers = []
        for step in steps:
            failure, _, _ = self.replay_once([step], 0, (), log_level, log_limit)
            answers.append((0, "") if failure is None else (-failure[1], failure[2]))
        return answers

    def perf_event_open(
        self, attr: bytes, pid: int, cpu: int, group_fd: int = -1, flags: int = 8,
        buffers: Sequence[tuple[int, bytes]] = (),
    ) -> Fd | int:  # fmt: skip
        """`flags` 8 is PERF_FLAG_FD_CLOEXEC; `buffers`: (offset in `attr`, what the pointer there points to)."""
        if not buffers:
            return _native.perf_event_open(attr, pid, cpu, group_fd, flags)
        from array import array  # tells the address of what it holds

        held, made = [array("B", data) for _, data in buffers], bytearray(attr)
        for (at, _), data in zip(buffers, held, strict=True):
            made[at : at + 8] = data.buffer_info()[0].to_bytes(8, byteorder)
        fd = _native.perf_event_open(bytes(made), pid, cpu, group_fd, flags)
        del held
        return fd

    def ioctl(self, fd: int, request: int, arg: int = 0) -> int:
        return _native.ioctl(fd, request, arg)

    def ioctl_ptr(self, fd: int, request: int, data: bytearray) -> int:
        return _native.ioctl_ptr(fd, request, data)

    def map_read(self, fd: int, key: bytes, size: int, flags: int = 0) -> bytes | int:
        return _native.map_read(fd, key, size, flags)

    def map_write(self, fd: int, key: bytes, value: bytes, flags: int = 0) -> int:
        return _native.map_write(fd, key, value, flags)

    def map_dump(
        self, fd: int, sizes: Any, command: int, flags: int = 0, chunk: int = 0, most: int = 0, unique: bool = False
    ) -> tuple[Any, int, int, int]:
        return _native.map_dump(fd, sizes, command, flags, chunk, most, unique)

    def map_dump_each(self, fd: int, sizes: Any, flags: int = 0, most: int = 0) -> tuple[Any, int, int, int]:
        return _native.map_dump_each(fd, sizes, flags, most)

    def map_update(
        self, fd: int, keys: Any, values: Any, count: int, flags: int = 0, batch: bool = True
    ) -> tuple[int, int, int, int]:
        return _native.map_update(fd, keys, values, count, flags, batch)

    def map_delete(self, fd: int, keys: Any, count: int, batch: bool = True) -> tuple[int, int, int, int]:
        return _native.map_delete(fd, keys, count, batch)

    def mmap(
        self, fd: int, length: int, offset: int = 0, prot: int = 1, flags: int = 1, address: int = 0
    ) -> Mapping | int:
        """`address`: where it is wished (arenas lie where programs expect them); never in place of something else."""
        if not address:
            return _native.Mapping.map(fd, length, offset, prot, flags)
        return _native.Mapping.map(fd, length, offset, prot, flags, address)

    def ring(self, fd: int, size: int) -> Ring | int:
        return _native.Ring.open(fd, size)

    def perf_ring(self, fd: int, size: int) -> PerfRing | int:
        return _native.PerfRing.open(fd, size)

    def user_ring(self, fd: int, size: int) -> UserRing | int:
        return _native.UserRing.open(fd, size)

    def poller(self) -> Poller | int:
        return _native.Poller.open()

    def dup(self, fd: int) -> Fd:
        """Another descriptor of the same thing."""
        return _native.Fd(os.dup(fd))

    def inode(self, fd: int) -> int:
        return os.fstat(fd).st_ino

    def netlink(self) -> Any:
        """A raw NETLINK_ROUTE socket of the calling thread's network namespace, not bound."""
        from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket  # `socket` makes enums of its constants, 4 ms

        return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)

    def interfaces(self) -> list[tuple[int, str]]:
        """(index, name) of the interfaces of the calling thread's network namespace."""
        from _socket import if_nameindex

        return if_nameindex()

    def interface_index(self, name: str) -> int:
        """`OSError` when there is none of that name (other names of it count)."""
        from _socket import if_nametoindex

        return if_nametoindex(name)

    def read_fd(self, fd: int, length: int) -> bytes:
        return os.read(fd, length)

    def read_bytes(self, path: str) -> bytes:
        with open(path, "rb", buffering=0) as file:
            return file.read()

    def read_text(self, path: str) -> str:
        """Undecodable bytes survive as surrogates: names of tasks and files are bytes."""
        return self.read_bytes(path).decode("utf-8", "surrogateescape")

    def write_text(self, path: str, text: str, append: bool = False) -> None:
        # One write: kernel files take a command per system call.
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | (os.O_APPEND if append else 0))
        try:
            os.write(fd, text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(fd)

    def listdir(self, path: str) -> list[str]:
        return os.listdir(path)

    def readlink(self, path: str) -> str:
        return os.readlink(path)

    def stat(self, path: str) -> os.stat_result:
        return os.stat(path)

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def isdir(self, path: str) -> bool:
        return os.path.isdir(path)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def makedirs(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def open_fd(self, path: str, flags: int = os.O_RDONLY) -> Fd | int:
        """Close-on-exec; `-errno` on failure (a descriptor is what commands want, so failures read alike)."""
        try:
            return _native.Fd(os.open(path, flags | os.O_CLOEXEC))
        except OSError as error:
            return -(error.errno or 5)

    def pidfd_open(self, pid: int, flags: int = 0) -> Fd | int:
        """A descriptor of a process, or `-errno` (5.3+)."""
        try:
            return _native.Fd(os.pidfd_open(pid, flags))
        except OSError as error:
            return -(error.errno or 5)

    def possible_cpus(self) -> int:
        return _native.possible_cpus()

    def kernel_symbols(self, names: Sequence[str], module: str | None = None) -> dict[str, list[tuple[int, str]]]:
        return _native.kernel_symbols(names, module)

    def uname(self) -> tuple[str, str, str]:
        """(release, version, machine)."""
        name = os.uname()
        return name.release, name.version, name.machine

    def getuid(self) -> int:
        return os.geteuid()
