"""The door to a guest's kernel: what `kernel.Door` is for this machine's, over a channel.

Answers are the guest kernel's own: a value or `-errno`, `OSError` of files. Memory of the guest cannot be mapped here:
`mmap`, `ring`, `perf_ring`, `user_ring` and `poller` answer -EOPNOTSUPP.
"""

from __future__ import annotations

import os
from collections import deque
from errno import ENODEV, EOPNOTSUPP

from bpfsmith._native import encode_plan
from bpfsmith.kernel._door import Door

from . import wire
from .agent import PATIENCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bpfsmith._native import Step

    from .agent import Channel

__all__ = ["GuestDoor", "GuestFd"]

LOG_LIMIT = 1 << 30
# Commands in one message: a slow guest needs milliseconds for each.
_AT_ONCE = 2000
_LOOKUP_BATCH, _LOOKUP_AND_DELETE_BATCH = 24, 25


class GuestFd:
    """A descriptor in a guest, as `_native.Fd` is one here. Closing costs no round trip; a guest whose worker was ended
    has closed them all."""

    __slots__ = ("__weakref__", "_door", "_generation", "_number")

    def __init__(self, door: GuestDoor, number: int) -> None:
        self._door = door
        self._number = number
        self._generation = door.channel.generation

    @property
    def closed(self) -> bool:
        return self._number < 0 or self._generation != self._door.channel.generation

    def fileno(self) -> int:
        if self.closed:
            raise ValueError("the file descriptor is closed")
        return self._number

    def detach(self) -> int:
        number = self.fileno()
        self._number = -1
        return number

    def close(self) -> None:
        if not self.closed:
            self._door.let_go(self.detach())
            self._door.flush()

    def dup(self) -> GuestFd:
        copy: GuestFd = self._door.dup(self.fileno())
        return copy

    def __enter__(self) -> GuestFd:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Any thread may be in here, in the middle of anything: the next request takes it along.
        number = getattr(self, "_number", -1)
        if number >= 0 and not self.closed:
            self._door.let_go(number)

    def __repr__(self) -> str:
        return "GuestFd(closed)" if self.closed else f"GuestFd({self._number})"


class GuestDoor(Door):
    """`told`: what the guest said about itself (`Channel.hello`)."""

    __slots__ = ("_cpus", "_going", "channel", "patience", "told")

    local = False

    def __init__(self, channel: Channel, told: dict[str, str]) -> None:
        self.channel = channel
        self.told = told
        self.patience = PATIENCE  # seconds each answer may take
        self._cpus = 0
        self._going: deque[tuple[int, int]] = deque()

    # ------------------------------------------------------------ requests

    def ask(self, kind: int, body: bytes | bytearray, doing: str) -> bytes:
        if self._going:
            self.flush()
        return self.channel.ask(kind, body, doing, self.patience)

    def call(self, kind: int, body: bytes, doing: str) -> int:
        """A request that answers one number."""
        reader = wire.Reader(self.ask(kind, body, doing), doing)
        value = reader.i64()
        reader.end()
        return value

    def _file(self, kind: int, body: bytes, path: str) -> bytes:
        try:
            return self.ask(kind, body, f"`{path}`")
        except OSError as error:
            error.filename = path
            raise

    def let_go(self, number: int) -> None:
        """A descriptor nobody has any more; closed with the next request."""
        self._going.append((self.channel.generation, number))

    def flush(self) -> None:
        """Closes what was let go of; no answer is waited for."""
        numbers = []
        while self._going:
            generation, number = self._going.popleft()
            if generation == self.channel.generation:
                numbers.append(number)
        if numbers and not self.channel.closed:
            self.channel.tell(wire.CLOSE, wire.numbers(f"{len(numbers)}i", *numbers), "closing descriptors")

    def _fd(self, value: int) -> GuestFd | int:
        return GuestFd(self, value) if value >= 0 else value

    # ------------------------------------------------------------ bpf

    def _base(self, buffer: Any) -> int:  # noqa: ARG002
        return wire.NESTED

    def bpf(self, cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> int:
        from bpfsmith.kernel.attrs import name_of

        try:
            body = self.ask(wire.BPF, wire.bpf(cmd, attr, buffers), name_of(cmd))
        except OSError as error:
            return -(error.errno or 5)  # the guest has no memory for the buffers
        return wire.bpf_answer(cmd, body, attr, buffers)

    def bpf_fd(self, cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> Any:
        return self._fd(self.bpf(cmd, attr, buffers))

    def replay(
        self, steps: Sequence[Step], slots: int, given: Sequence[tuple[int, int]] = (), log_level: int = 0,
        log_limit: int = LOG_LIMIT,
    ) -> Any:  # fmt: skip
        body = wire.replay(encode_plan(steps, slots), given, log_level, log_limit)
        fds, failure, logs, _ = wire.outcome(self.ask(wire.REPLAY, body, "loading"), False)
        return [None if fd < 0 else GuestFd(self, fd) for fd in fds], failure, logs

    def replay_once(
        self, steps: Sequence[Step], slots: int, given: Sequence[tuple[int, int]] = (), log_level: int = 0,
        log_limit: int = LOG_LIMIT,
    ) -> Any:  # fmt: skip
        body = wire.replay(encode_plan(steps, slots), given, log_level, log_limit)
        _, failure, logs, infos = wire.outcome(self.ask(wire.REPLAY_ONCE, body, "loading"), True)
        return failure, logs, infos

    def each(self, steps: Sequence[Step], log_level: int = 0, log_limit: int = 1 << 14) -> list[tuple[int, str]]:
        answers: list[tuple[int, str]] = []
        for first in range(0, len(steps), _AT_ONCE):
            plan = encode_plan(steps[first : first + _AT_ONCE], 0)
            body = wire.replay(plan, (), log_level, log_limit)
            answers += wire.answers(self.ask(wire.EACH, body, "giving many commands"))
        return answers

    def perf_event_open(
        self, attr: bytes, pid: int, cpu: int, group_fd: int = -1, flags: int = 8,
        buffers: Sequence[tuple[int, bytes]] = (),
    ) -> Any:  # fmt: skip
        body = wire.perf_event_open(attr, pid, cpu, group_fd, flags, buffers)
        return self._fd(self.call(wire.PERF_EVENT_OPEN, body, "opening a perf event"))

    def ioctl(self, fd: int, request: int, arg: int = 0) -> int:
        body = wire.numbers("iQQ", fd, request, arg & 0xFFFF_FFFF_FFFF_FFFF)
        return self.call(wire.IOCTL, body, "ioctl")

    def ioctl_ptr(self, fd: int, request: int, data: bytearray) -> int:
        body = self.ask(wire.IOCTL_BUFFER, wire.numbers("iQ", fd, request) + wire.counted(data), "ioctl")
        reader = wire.Reader(body, "ioctl")
        value, changed = reader.i64(), reader.rest()
        data[: len(changed)] = changed
        return value

    # ------------------------------------------------------------ maps

    def map_read(self, fd: int, key: bytes, size: int, flags: int = 0) -> bytes | int:
        body = wire.numbers("iQI", fd, flags, size) + wire.counted(key)
        try:
            reader = wire.Reader(self.ask(wire.MAP_READ, body, "reading a map"), "reading a map")
        except OSError as error:
            return -(error.errno or 5)
        value = reader.i64()
        return value if value < 0 else reader.rest()

    def map_write(self, fd: int, key: bytes, value: bytes, flags: int = 0) -> int:
        body = wire.numbers("iQ", fd, flags) + wire.counted(key) + wire.counted(value)
        return self.call(wire.MAP_WRITE, body, "writing a map")

    def map_dump(
        self, fd: int, sizes: Any, command: int, flags: int = 0, chunk: int = 0, most: int = 0, unique: bool = False
    ) -> tuple[Any, int, int, int]:
        return self._dump(fd, sizes, command, flags, chunk, most, unique)

    def map_dump_each(self, fd: int, sizes: Any, flags: int = 0, most: int = 0) -> tuple[Any, int, int, int]:
        return self._dump(fd, sizes, 0, flags, 0, most, False)

    def _dump(
        self, fd: int, sizes: Any, command: int, flags: int, chunk: int, most: int, unique: bool
    ) -> tuple[Any, int, int, int]:
        key, value, row, value_at = sizes
        body = wire.numbers("iIQIIIIIQB", fd, command, flags, key, value, row, value_at, chunk, most, unique)
        reader = wire.Reader(self.ask(wire.MAP_DUMP, body, "reading a map"), "reading a map")
        errno, calls, repeated = reader.i32(), reader.u64(), reader.u64()
        return bytearray(reader.rest()), errno, calls, repeated  # writable, as rows of this machine's kernel are

    def map_update(
        self, fd: int, keys: Any, values: Any, count: int, flags: int = 0, batch: bool = True
    ) -> tuple[int, int, int, int]:
        (key, told), (value, data) = _column(keys, count), _column(values, count)
        body = wire.numbers("iQBIII", fd, flags, batch, count, key, value) + told + data
        return self._changed(self.ask(wire.MAP_UPDATE, body, "writing a map"))

    def map_delete(self, fd: int, keys: Any, count: int, batch: bool = True) -> tuple[int, int, int, int]:
        key, told = _column(keys, count)
        body = wire.numbers("iBII", fd, batch, count, key) + told
        return self._changed(self.ask(wire.MAP_DELETE, body, "writing a map"))

    @staticmethod
    def _changed(body: bytes) -> tuple[int, int, int, int]:
        reader = wire.Reader(body, "writing a map")
        done, missing, errno, calls = reader.u64(), reader.u64(), reader.i32(), reader.u64()
        reader.end()
        return done, missing, errno, calls

    # ------------------------------------------------------------ what needs shared memory

    def mmap(self, fd: int, length: int, offset: int = 0, prot: int = 1, flags: int = 1, address: int = 0) -> int:  # noqa: ARG002
        return -EOPNOTSUPP

    def ring(self, fd: int, size: int) -> int:  # noqa: ARG002
        return -EOPNOTSUPP

    def perf_ring(self, fd: int, size: int) -> int:  # noqa: ARG002
        return -EOPNOTSUPP

    def user_ring(self, fd: int, size: int) -> int:  # noqa: ARG002
        return -EOPNOTSUPP

    def poller(self) -> int:
        return -EOPNOTSUPP

    # ------------------------------------------------------------ descriptors

    def dup(self, fd: int) -> Any:
        answer = self.call(wire.DUP, wire.numbers("i", fd), "copying a descriptor")
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return GuestFd(self, answer)

    def inode(self, fd: int) -> int:
        return self.stat(f"/proc/self/fd/{fd}").st_ino

    def netlink(self) -> GuestSocket:
        return GuestSocket(self, 16, 3, 0)  # AF_NETLINK, SOCK_RAW, NETLINK_ROUTE

    def interfaces(self) -> list[tuple[int, str]]:
        found = []
        for name in self.listdir("/sys/class/net"):
            try:
                found.append((int(self.read_text(f"/sys/class/net/{name}/ifindex")), name))
            except (OSError, ValueError):
                continue  # no interface (`bonding_masters`), or gone meanwhile
        return sorted(found)

    def interface_index(self, name: str) -> int:
        if "/" in name:
            raise OSError(ENODEV, os.strerror(ENODEV))
        return int(self.read_text(f"/sys/class/net/{name}/ifindex"))

    # ------------------------------------------------------------ files

    def read_fd(self, fd: int, length: int) -> bytes:
        return self.ask(wire.READ_FD, wire.numbers("iI", fd, length), "reading a descriptor")

    def read_bytes(self, path: str) -> bytes:
        return self._file(wire.READ_FILE, wire.text(path), path)

    def write_text(self, path: str, text: str, append: bool = False) -> None:
        self.write_bytes(path, wire.text(text), wire.APPEND if append else 0)

    def write_bytes(self, path: str, data: bytes, flags: int = wire.CREATE | wire.TRUNCATE, mode: int = 0o644) -> None:
        """One write; `flags` of `wire`."""
        self._file(wire.WRITE_FILE, wire.numbers("BI", flags, mode) + wire.counted(path) + data, path)

    def listdir(self, path: str) -> list[str]:
        return wire.names(self._file(wire.LIST, wire.text(path), path))

    def readlink(self, path: str) -> str:
        return self._file(wire.READLINK, wire.text(path), path).decode("utf-8", "surrogateescape")

    def stat(self, path: str) -> os.stat_result:
        return self._stat(path, True)

    def _stat(self, path: str, follow: bool) -> os.stat_result:
        told = wire.status(self._file(wire.STAT, wire.numbers("B", follow) + wire.text(path), path))
        dev, ino, mode, links, uid, gid, size, atime, mtime, ctime = told
        return os.stat_result((mode, ino, dev, links, uid, gid, size, atime, mtime, ctime))

    def exists(self, path: str) -> bool:
        try:
            self._stat(path, False)
        except OSError:
            return False
        return True

    def isdir(self, path: str) -> bool:
        try:
            return self._stat(path, True).st_mode & 0o170000 == 0o040000
        except OSError:
            return False

    def unlink(self, path: str) -> None:
        self._file(wire.UNLINK, wire.text(path), path)

    def rmdir(self, path: str) -> None:
        self._file(wire.RMDIR, wire.text(path), path)

    def makedirs(self, path: str) -> None:
        self._file(wire.MKDIRS, wire.text(path), path)

    def symlink(self, target: str, path: str) -> None:
        self._file(wire.SYMLINK, wire.counted(target) + wire.text(path), path)

    def open_fd(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> Any:
        return self._fd(self.call(wire.OPEN, wire.numbers("II", flags, mode) + wire.text(path), f"opening `{path}`"))

    # ------------------------------------------------------------ the machine

    def mount(self, path: str, kind: str, source: str = "", flags: int = 0, data: str = "") -> None:
        body = wire.numbers("Q", flags) + wire.counted(source or kind) + wire.counted(kind) + wire.counted(data)
        self._file(wire.MOUNT, body + wire.text(path), path)

    def umount(self, path: str, flags: int = 0) -> None:
        self._file(wire.UMOUNT, wire.numbers("I", flags) + wire.text(path), path)

    def load_module(self, data: bytes, parameters: str = "") -> None:
        """A kernel module, by its bytes."""
        self._file(wire.MODULE, wire.counted(parameters) + data, "a module")

    def pidfd_open(self, pid: int, flags: int = 0) -> Any:
        return self._fd(self.call(wire.PIDFD_OPEN, wire.numbers("iI", pid, flags), "opening a process"))

    def possible_cpus(self) -> int:
        if not self._cpus:
            reader = wire.Reader(self.ask(wire.POSSIBLE_CPUS, b"", "counting CPUs"), "counting CPUs")
            self._cpus = reader.u32()
        return self._cpus

    def kernel_symbols(self, names: Sequence[str], module: str | None = None) -> dict[str, list[tuple[int, str]]]:
        body = wire.numbers("B", module is not None) + wire.counted(module or "") + b"".join(map(wire.counted, names))
        return wire.symbols(self._file(wire.SYMBOLS, body, "/proc/kallsyms"))

    def uname(self) -> tuple[str, str, str]:
        return self.told["release"], self.told["version"], self.told["machine"]

    def getuid(self) -> int:
        return 0


class GuestSocket:
    """A socket in a guest, as far as netlink needs one."""

    __slots__ = ("_door", "fd")

    def __init__(self, door: GuestDoor, family: int, kind: int, protocol: int) -> None:
        self._door = door
        cloexec = 0o2000000
        number = self._call(wire.SOCKET, wire.numbers("III", family, kind | cloexec, protocol))
        self.fd = GuestFd(door, number)

    def _call(self, kind: int, body: bytes) -> int:
        answer = self._door.call(kind, body, "a socket")
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer

    def setsockopt(self, level: int, option: int, value: int) -> None:
        body = wire.numbers("iii", self.fd.fileno(), level, option) + wire.counted(value.to_bytes(4, "little"))
        self._call(wire.SETSOCKOPT, body)

    def bind(self, address: tuple[int, int]) -> None:
        """(port, groups) of netlink."""
        told = wire.numbers("HHII", 16, 0, *address)
        self._call(wire.BIND, wire.numbers("i", self.fd.fileno()) + wire.counted(told))

    def send(self, data: bytes) -> int:
        return self._call(wire.WRITE_FD, wire.numbers("i", self.fd.fileno()) + data)

    def recv(self, most: int) -> bytes:
        return self._door.read_fd(self.fd.fileno(), most)

    def close(self) -> None:
        self.fd.close()


def _column(items: Any, count: int) -> tuple[int, bytes]:
    """(size of an item, all of them one after the other)."""
    buffer, at, size, stride = items
    data = memoryview(buffer).cast("B")
    if stride == size:
        return size, bytes(data[at : at + count * size])
    return size, b"".join(bytes(data[at + one * stride : at + one * stride + size]) for one in range(count))
