"""A running guest: its door, its kernel, commands and files in it.

with lab.open("6.1") as guest:
    guest.put("/tmp/prog.o", data)
    done = guest.exec(["uname", "-r"])
"""

from __future__ import annotations

import os
import time

from bpfsmith.model.errors import BpfsmithError, GuestFailed, InputError

from . import wire
from .agent import Channel
from .door import GuestDoor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike
    from socket import socket
    from typing import Protocol

    from bpfsmith.model.kernel import Kernel

    class Machine(Protocol):
        """What a guest needs of the machine it runs on."""

        @property
        def channel(self) -> socket: ...
        def failure(self, doing: str, limit: float | None = None) -> BpfsmithError: ...
        def console(self, lines: int = 40) -> str: ...
        def verdict(self) -> str | None: ...
        def kill(self) -> None: ...


__all__ = ["Completed", "Guest", "Running"]

PIECE = 1 << 20  # of a file that is put
KILL = 9
# A minute is long for a command that was killed, also on a busy machine.
AFTERWARDS = 60.0


class Completed:
    """What a command did: `status` its exit status, or -1 when `signal` (0 = none) ended it; `stdout`, `stderr` bytes
    (empty when they were streamed); `timed_out`: it was killed because its time was over."""

    __slots__ = ("argv", "signal", "status", "stderr", "stdout", "timed_out")

    def __init__(self, argv: list[str], wait_status: int, stdout: bytes, stderr: bytes, timed_out: bool) -> None:
        self.argv = argv
        self.signal = wait_status & 0x7F
        self.status = -1 if self.signal else wait_status >> 8 & 0xFF
        self.stdout = stdout
        self.stderr = stderr
        self.timed_out = timed_out

    @property
    def ok(self) -> bool:
        return not self.status and not self.signal

    def __repr__(self) -> str:
        how = f"signal {self.signal}" if self.signal else f"status {self.status}"
        return f"<Completed {self.argv[0] if self.argv else ''} {how}>"


class Running:
    """A command that runs in a guest: fed, listened to and waited for."""

    __slots__ = ("_answer", "_guest", "argv")

    def __init__(self, guest: Guest, argv: list[str], answer: object) -> None:
        self._guest = guest
        self._answer = answer
        self.argv = argv

    @property
    def number(self) -> int:
        return self._answer.number  # type: ignore[attr-defined, no-any-return]

    @property
    def done(self) -> bool:
        return self._answer.kind >= 0  # type: ignore[attr-defined, no-any-return]

    def feed(self, data: bytes) -> None:
        """More input; b"" ends it. Waits while the command does not take what it was given."""
        if not data:
            return self.end_input()
        left = memoryview(data)
        while left and not self.done:
            left = self.offer(left, 3600.0)
        return None

    def offer(self, data: memoryview, timeout: float = 0.0) -> memoryview:
        """Gives it as much as there is room for in the guest, waiting up to `timeout` seconds for room: what is left
        of `data`."""
        channel = self._guest.channel
        if timeout and data:
            channel.wait(self._answer, timeout, room=True)  # type: ignore[arg-type]
        room = channel.take_room(self._answer, len(data))  # type: ignore[arg-type]
        for at in range(0, room, PIECE):
            piece = data[at : min(at + PIECE, room)]
            channel.tell(wire.INPUT, wire.numbers("I", self.number) + piece, "giving input")
        return data[room:]

    def end_input(self) -> None:
        """No more input comes."""
        self._guest.channel.tell(wire.INPUT, wire.numbers("I", self.number), "giving input")

    def signal(self, number: int) -> None:
        """To its whole process group."""
        self._guest.channel.tell(wire.SIGNAL, wire.numbers("Ii", self.number, number), "sending a signal")

    def resize(self, rows: int, columns: int) -> None:
        """Of its terminal."""
        self._guest.channel.tell(wire.RESIZE, wire.numbers("IHH", self.number, rows, columns), "resizing")

    def output(self, timeout: float, *, room: bool = False) -> list[tuple[int, bytes]]:
        """What it wrote, waiting up to `timeout` seconds for something: (1 or 2, bytes). Empty when `done`, or nothing
        came; with `room` also when it takes input."""
        channel = self._guest.channel
        channel.wait(self._answer, timeout, output=True, room=room)  # type: ignore[arg-type]
        return channel.output(self._answer)  # type: ignore[arg-type]

    def result(self, timeout: float = 1.0) -> int:
        """Its wait status; call it when `done`. `OSError`: it could not be started."""
        body = self._guest.channel.finish(self._answer, timeout)  # type: ignore[arg-type]
        reader = wire.Reader(body, "a command")
        status = reader.i32()
        reader.end()
        return status


class Guest:
    """A guest on a machine. `name`: how messages call it; `hello`: what it told about itself; `door`: its kernel's.

    Close it (or leave the `with` block): the machine is killed and nothing of it stays. Any failure that is raised as
    `GuestFailed` but "memory" and a crash of the agent inside has ended it already: see `closed`."""

    __slots__ = ("channel", "door", "hello", "kernel", "machine", "name", "servant_spent")

    def __init__(self, machine: Machine, name: str, *, timeout: float = 60.0, kernel: Kernel | None = None) -> None:
        self.machine = machine
        self.name = name
        self.channel = Channel(machine.channel, name, machine.failure, machine.console)
        self.kernel = kernel
        self.servant_spent = False  # see `workload._servant`
        try:
            self.hello = self.channel.hello(timeout)
            self.door = GuestDoor(self.channel, self.hello)
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, machine: Machine, name: str, *, timeout: float = 60.0, kernel: Kernel | None = None) -> Guest:
        """A guest that was just cloned: greeted, its clock set and its random numbers made its own."""
        guest = cls(machine, name, timeout=timeout, kernel=kernel)
        try:
            guest.refresh()
        except BaseException:
            guest.close()
            raise
        return guest

    def refresh(self) -> None:
        """Sets the clock to this machine's and reseeds the random numbers: clones of one template have the same."""
        self.door.ask(wire.CLOCK, wire.clock(time.time_ns(), os.urandom(64)), "setting the clock")

    # ------------------------------------------------------------ commands

    def start(
        self, argv: Iterable[str], *, env: Mapping[str, str] | None = None, cwd: str = "/",
        terminal: tuple[int, int] | None = None, stdin: bool = False,
    ) -> Running:  # fmt: skip
        """Starts a command and leaves it running.

        stdin: it gets input by `Running.feed`, else none. terminal: (rows, columns) of a terminal of its own, on which
        standard output and error are one and input is expected."""
        if isinstance(argv, (str, bytes)):
            raise InputError(
                f"a command is a list of words, not the text {argv!r}",
                hint=f"{argv.split()!r}; a shell of the image `tools`: `['sh', '-c', ...]`",
            )
        words = list(argv)
        if not words or not all(isinstance(one, str) for one in words):
            raise InputError(f"a command is a list of texts, not {words!r}", hint='such as ["uname", "-r"]')
        told = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TERM": "linux"} if env is None else env
        flags = wire.TERMINAL if terminal else 0 if stdin else wire.NO_INPUT
        rows, columns = terminal or (0, 0)
        variables = [f"{name}={value}" for name, value in told.items()]
        body = wire.execution(words, variables, cwd, flags, rows, columns)
        self.door.flush()
        return Running(self, words, self.channel.begin(wire.EXEC, body, f"`{words[0]}`", output=True))

    def exec(
        self, argv: Iterable[str], *, env: Mapping[str, str] | None = None, cwd: str = "/", stdin: bytes = b"",
        timeout: float | None = None, stdout: Callable[[bytes], object] | None = None,
        stderr: Callable[[bytes], object] | None = None,
    ) -> Completed:  # fmt: skip
        """Runs a command in the guest and waits for it.

        stdout, stderr: called with each piece as it comes, instead of collecting it. timeout: seconds, then its process
        group is killed (`Completed.timed_out`). `InputError`: it or `cwd` is not in the guest; `OSError`: it could not
        be started."""
        running = self.start(argv, env=env, cwd=cwd, stdin=bool(stdin))
        kept: dict[int, list[bytes]] = {1: [], 2: []}
        sinks = {1: stdout or kept[1].append, 2: stderr or kept[2].append}
        until = None if timeout is None else time.monotonic() + timeout
        timed_out = False
        try:
            given = memoryview(stdin)
            while not running.done:
                # A command that does not read is no reason to wait past its time, nor to leave its output.
                if given:
                    given = running.offer(given)
                    if not given:
                        running.end_input()
                left = 3600.0 if until is None else until - time.monotonic()
                for stream, data in running.output(max(left, 0.001), room=bool(given)):
                    sinks[stream](data)
                if until is not None and not running.done and time.monotonic() >= until:
                    if timed_out:
                        break  # not even that ends it: `result` says so
                    timed_out = True
                    running.signal(KILL)
                    until = time.monotonic() + AFTERWARDS
            for stream, data in running.output(0):
                sinks[stream](data)
            try:
                status = running.result()
            except FileNotFoundError:
                raise self._not_there(running.argv[0], cwd) from None
            return Completed(running.argv, status, b"".join(kept[1]), b"".join(kept[2]), timed_out)
        except BaseException:
            if not running.done and not self.channel.closed:
                running.signal(KILL)
            self.channel.forget(running._answer)  # type: ignore[arg-type]
            raise

    def _not_there(self, word: str, cwd: str) -> InputError:
        """What a command that cannot be found is told as."""
        if not self.door.isdir(cwd):
            return InputError(f"the folder `{cwd}` is not in the guest", self.name, "`put` makes folders on the way")
        base = getattr(getattr(self.machine, "spec", None), "label", "") == "base"
        way = '`lab.open(..., image="tools")` and `lab.kernel(..., image="tools")` have a shell, Python and tools'
        return InputError(f"`{word}` is not in the guest", self.name, way if base else "`put` takes a program along")

    # ------------------------------------------------------------ files

    def put(self, path: str | PathLike[str], data: bytes, mode: int = 0o644) -> None:
        """Writes a file; folders on the way are made."""
        self.put_many({os.fspath(path): (mode, data)})

    def put_many(self, files: Mapping[str, tuple[int, bytes]]) -> None:
        """path -> (mode, contents): many files without a round trip each."""
        answers = []
        for path, (mode, data) in files.items():
            for at in range(0, max(len(data), 1), PIECE):
                flags = wire.APPEND if at else wire.CREATE | wire.TRUNCATE | wire.FOLDERS
                body = wire.numbers("BI", flags, mode) + wire.counted(path) + data[at : at + PIECE]
                answers.append((path, self.channel.begin(wire.WRITE_FILE, body, f"writing `{path}`")))
        for at, (path, answer) in enumerate(answers):
            try:
                self.channel.finish(answer)
            except BaseException as error:
                for _, other in answers[at + 1 :]:
                    self.channel.forget(other)
                if isinstance(error, OSError):
                    error.filename = path
                raise

    def get(self, path: str | PathLike[str]) -> bytes:
        """The contents of a file. `OSError` as the guest's kernel says."""
        return self.door.read_bytes(os.fspath(path))

    # ------------------------------------------------------------ its end

    @property
    def closed(self) -> bool:
        return self.channel.closed

    def console(self, lines: int = 40) -> str:
        """The last lines its kernel printed."""
        return self.machine.console(lines)

    def sync(self) -> None:
        self.door.ask(wire.SYNC, b"", "writing back files")

    def poweroff(self, timeout: float = 30.0) -> None:
        """Ends it the slow way: its kernel powers the machine off. `close` is enough for most."""
        try:
            self.channel.ask(wire.POWEROFF, b"", "powering off", timeout)
        except GuestFailed as error:
            if error.what != "lost":
                raise
        self.close()

    def close(self) -> None:
        """Kills the machine; once is enough."""
        self.channel.close()
        self.machine.kill()

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Guest {self.name} {'closed' if self.closed else 'running'}>"
