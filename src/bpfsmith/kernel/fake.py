"""A door for unit tests: a kernel made of answers, that records what it was asked.

    door = FakeDoor(version="5.10.0", features={"ringbuf": False}, files={"/proc/sys/net/core/bpf_jit_enable": "1\\n"})
    door.fail("BPF_MAP_CREATE", errno.EPERM)                # every one; `when=lambda fields: ...` for some
    door.answer("BPF_OBJ_GET_INFO_BY_FD", lambda fields: 0) # fields hold the caller's buffers: write into them
    with installed(door):
        ...
    assert door.commands() == ["BPF_MAP_CREATE"]

Descriptors it hands out are real ones (of /dev/null), so that closing can be checked: `door.open_fds()`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import ENOENT
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bpfsmith import kernel
from bpfsmith._native import Fd

from ._door import Door
from .attrs import decode, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bpfsmith._native import Step

# Commands that answer a descriptor.
MAKERS = {
    "BPF_MAP_CREATE", "BPF_PROG_LOAD", "BPF_BTF_LOAD", "BPF_OBJ_GET", "BPF_RAW_TRACEPOINT_OPEN", "BPF_LINK_CREATE",
    "BPF_ITER_CREATE", "BPF_TOKEN_CREATE", "BPF_ENABLE_STATS", "BPF_PROG_GET_FD_BY_ID", "BPF_MAP_GET_FD_BY_ID",
    "BPF_LINK_GET_FD_BY_ID", "BPF_BTF_GET_FD_BY_ID",
}  # fmt: skip


class FakeDoor(Door):
    """Answers 0 (or a fresh descriptor) to everything that no rule answers; files are those given and no others.

    `features`: name -> bool for `LiveKernel.has`, consulted instead of probing; `files`: path -> text or bytes (a
    folder exists when something lies below it); `version`: the release `uname` tells; `cpus`: possible CPUs."""

    __slots__ = ("calls", "cpus", "fds", "features", "files", "logs", "machine", "rules", "symbols", "uid", "version")

    def __init__(
        self,
        version: str = "6.18.0",
        features: Mapping[str, bool] | None = None,
        files: Mapping[str, str | bytes] | None = None,
        cpus: int = 2,
        symbols: Mapping[str, list[tuple[int, str]]] | None = None,
        machine: str = "x86_64",
        uid: int = 0,
    ) -> None:
        self.version = version
        self.machine = machine
        self.uid = uid
        self.features = dict(features or {})
        self.files: dict[str, str | bytes] = dict(files or {})
        self.cpus = cpus
        self.symbols = dict(symbols or {})
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fds: list[Fd] = []
        # Latest first: (command, answer by fields; None = not mine).
        self.rules: list[tuple[str, Callable[[dict[str, Any]], int | None]]] = []
        self.logs: dict[str, str] = {}  # program name -> verifier log of its rejection

    # ---- programming

    def answer(self, command: str, rule: int | Callable[[dict[str, Any]], int | None]) -> None:
        """`rule`: the value, or a function of the fields that answers it (None: the next rule decides)."""
        self.rules.insert(0, (command, rule if callable(rule) else lambda _: rule))

    def fail(self, command: str, errno: int, when: Callable[[dict[str, Any]], bool] | None = None) -> None:
        self.answer(command, lambda fields: -errno if when is None or when(fields) else None)

    def commands(self) -> list[str]:
        return [command for command, _ in self.calls]

    def of(self, command: str) -> list[dict[str, Any]]:
        """The fields of each call of that command."""
        return [fields for name, fields in self.calls if name == command]

    def open_fds(self) -> list[Fd]:
        """Descriptors handed out and not closed."""
        return [fd for fd in self.fds if not fd.closed]

    # ---- the door

    def _ask(self, command: str, fields: dict[str, Any]) -> int | None:
        self.calls.append((command, fields))
        for name, rule in self.rules:
            if name == command:
                value = rule(fields)
                if value is not None:
                    return value
        return None

    def _fd(self) -> Fd:
        fd = Fd(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        self.fds.append(fd)
        return fd

    def bpf(self, cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> int:
        return self._ask(name_of(cmd), decode(cmd, attr, buffers)) or 0

    def bpf_fd(self, cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> Fd | int:
        value = self._ask(name_of(cmd), decode(cmd, attr, buffers))
        return value if value is not None and value < 0 else self._fd()

    def replay(
        self, steps: Sequence[Step], slots: int, given: Sequence[tuple[int, int]] = (), log_level: int = 0
    ) -> tuple[list[Fd | None], tuple[int, int, str] | None, list[tuple[int, str]]]:
        made: list[Fd | None] = [None] * slots
        numbers = dict(given)
        logs: list[tuple[int, str]] = []
        for at, (cmd, attr, blobs, uses, out) in enumerate(steps):
            filled = bytearray(attr)
            for where, slot in uses:
                fd = made[slot]
                filled[where : where + 4] = (fd.fileno() if fd else numbers[slot]).to_bytes(4, "little")
            fields = decode(cmd, filled, [(where, data) for where, data, _ in blobs])
            value = self._ask(name_of(cmd), fields)
            if value is not None and value < 0:
                for fd in made:
                    if fd is not None:
                        fd.close()
                return [], (at, -value, self.logs.get(fields.get("prog_name", ""), "")), logs
            if out >= 0:
                made[out] = self._fd()
            if log_level and name_of(cmd) == "BPF_PROG_LOAD":
                logs.append((at, self.logs.get(fields.get("prog_name", ""), "")))
        return made, None, logs

    def replay_once(
        self, steps: Sequence[Step], slots: int, given: Sequence[tuple[int, int]] = (), log_level: int = 0,
        log_limit: int = 1 << 30,  # noqa: ARG002
    ) -> tuple[tuple[int, int, str] | None, list[tuple[int, str]], list[tuple[int, bytes]]]:  # fmt: skip
        fds, failure, logs = self.replay(steps, slots, given, log_level)
        for fd in fds:
            if fd is not None:
                fd.close()
        return failure, logs, []

    def perf_event_open(
        self, attr: bytes, pid: int, cpu: int, group_fd: int = -1, flags: int = 8,
        buffers: Sequence[tuple[int, bytes]] = (),
    ) -> Fd | int:  # fmt: skip
        fields = {"attr": attr, "pid": pid, "cpu": cpu, "group_fd": group_fd, "flags": flags}
        if buffers:
            fields["buffers"] = dict(buffers)
        value = self._ask("perf_event_open", fields)
        return value if value is not None and value < 0 else self._fd()

    def ioctl(self, fd: int, request: int, arg: int = 0) -> int:
        return self._ask("ioctl", {"fd": fd, "request": request, "arg": arg}) or 0

    def ioctl_ptr(self, fd: int, request: int, data: bytearray) -> int:
        return self._ask("ioctl", {"fd": fd, "request": request, "data": data}) or 0

    # Whole maps: rules of BPF_MAP_LOOKUP_BATCH and BPF_MAP_GET_NEXT_KEY add to `rows` (bytes as `sizes` lays them out);
    # those of BPF_MAP_UPDATE_BATCH and BPF_MAP_UPDATE_ELEM see `keys`, `values`, `count`, and set `done` when refusing.

    def map_read(self, fd: int, key: bytes, size: int, flags: int = 0) -> bytes | int:
        value = bytearray(size)
        fields = {"map_fd": fd, "key": key, "value": value, "flags": flags}
        answer = self._ask("BPF_MAP_LOOKUP_ELEM", fields) or 0
        return answer if answer < 0 else bytes(value)

    def map_write(self, fd: int, key: bytes, value: bytes, flags: int = 0) -> int:
        fields = {"map_fd": fd, "key": key, "value": value, "flags": flags}
        return self._ask("BPF_MAP_UPDATE_ELEM", fields) or 0

    def map_dump(
        self, fd: int, sizes: Any, command: int, flags: int = 0, chunk: int = 0, most: int = 0, unique: bool = False
    ) -> tuple[Any, int, int, int]:
        fields = {"map_fd": fd, "sizes": sizes, "flags": flags, "count": chunk, "rows": bytearray(), "most": most,
                  "unique": unique}  # fmt: skip
        return fields["rows"], -min(self._ask(name_of(command), fields) or 0, 0), 1, 0

    def map_dump_each(self, fd: int, sizes: Any, flags: int = 0, most: int = 0) -> tuple[Any, int, int, int]:
        fields = {"map_fd": fd, "sizes": sizes, "flags": flags, "most": most, "rows": bytearray()}
        return fields["rows"], -min(self._ask("BPF_MAP_GET_NEXT_KEY", fields) or 0, 0), 1, 0

    def map_update(
        self, fd: int, keys: Any, values: Any, count: int, flags: int = 0, batch: bool = True
    ) -> tuple[int, int, int, int]:
        fields: dict[str, Any] = {"map_fd": fd, "keys": _column(keys, count), "values": _column(values, count),
                                  "count": count, "flags": flags, "done": 0}  # fmt: skip
        value = self._ask("BPF_MAP_UPDATE_BATCH" if batch else "BPF_MAP_UPDATE_ELEM", fields) or 0
        return (count, 0, 0, 1) if value >= 0 else (fields["done"], 0, -value, 1)

    def map_delete(self, fd: int, keys: Any, count: int, batch: bool = True) -> tuple[int, int, int, int]:
        fields: dict[str, Any] = {"map_fd": fd, "keys": _column(keys, count), "count": count, "done": 0, "missing": 0}
        value = self._ask("BPF_MAP_DELETE_BATCH" if batch else "BPF_MAP_DELETE_ELEM", fields) or 0
        if value < 0:
            return fields["done"], fields["missing"], -value, 1
        return count - fields["missing"], fields["missing"], 0, 1

    def mmap(self, fd: int, length: int, offset: int = 0, prot: int = 1, flags: int = 1, address: int = 0) -> Any:
        fields = {"fd": fd, "length": length, "offset": offset, "prot": prot, "flags": flags, "address": address}
        value = self._ask("mmap", fields)
        return value if value is not None and value < 0 else bytearray(length)

    def read_bytes(self, path: str) -> bytes:
        value = self.files.get(path)
        if value is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)
        return value.encode() if isinstance(value, str) else value

    def write_text(self, path: str, text: str, append: bool = False) -> None:
        self.calls.append(("write", {"path": path, "text": text}))
        value = self._ask("write_text", {"path": path, "text": text})
        if value is not None and value < 0:
            raise OSError(-value, os.strerror(-value), path)
        old = self.read_text(path) if append and path in self.files else ""
        self.files[path] = old + text

    def listdir(self, path: str) -> list[str]:
        below = path.rstrip("/") + "/"
        names = {file[len(below) :].partition("/")[0] for file in self.files if file.startswith(below)}
        if not names:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)
        return sorted(names - {""})

    def readlink(self, path: str) -> str:
        return self.read_text(path)

    def stat(self, path: str) -> Any:
        if not self.exists(path):
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)
        return SimpleNamespace(st_mode=0o040755 if self.isdir(path) else 0o100644, st_ino=1, st_dev=1, st_uid=0)

    def exists(self, path: str) -> bool:
        return path in self.files or self.isdir(path)

    def isdir(self, path: str) -> bool:
        return any(file.startswith(path.rstrip("/") + "/") for file in self.files)

    def unlink(self, path: str) -> None:
        if self.files.pop(path, None) is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)

    def rmdir(self, path: str) -> None:
        self.files.pop(path.rstrip("/") + "/", None)

    def makedirs(self, path: str) -> None:
        self.files[path.rstrip("/") + "/"] = ""

    def open_fd(self, path: str, flags: int = os.O_RDONLY) -> Fd | int:  # noqa: ARG002
        return self._fd() if self.exists(path) else -ENOENT

    def possible_cpus(self) -> int:
        return self.cpus

    def kernel_symbols(
        self,
        names: Sequence[str],
        module: str | None = None,  # noqa: ARG002
    ) -> dict[str, list[tuple[int, str]]]:
        return {name: self.symbols[name] for name in names if name in self.symbols}

    def pidfd_open(self, pid: int, flags: int = 0) -> Fd | int:
        value = self._ask("pidfd_open", {"pid": pid, "flags": flags})
        return value if value is not None and value < 0 else self._fd()

    def uname(self) -> tuple[str, str, str]:
        return self.version, "#1 SMP", self.machine

    def getuid(self) -> int:
        return self.uid


def _column(items: Any, count: int) -> list[bytes]:
    """The single keys or values of a column as the door takes it."""
    buffer, at, size, stride = items
    data = bytes(buffer)
    return [data[at + number * stride : at + number * stride + size] for number in range(count)]


@contextmanager
def installed(door: FakeDoor) -> Iterator[FakeDoor]:
    """`kernel.door()` is `door` inside; afterwards the real one is back and descriptors left open are closed."""
    old = kernel._install(door)
    try:
        yield door
    finally:
        kernel._install(old)
        for fd in door.open_fds():
            fd.close()
