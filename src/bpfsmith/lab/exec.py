"""Commands in guests: `bpfsmith lab exec 6.1 -- CMD`, and what `lab shell` and `run --kernel` share.

A command gets the words as they are, our standard input, and the current folder's files at the same path; what it
prints comes as it prints it, and its exit status is ours. SIGINT and SIGTERM go to it.
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from bpfsmith.model.errors import BpfsmithError, InputError

from . import files as local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import FrameType
    from typing import Any

    from .guest import Guest, Running

__all__ = ["Forwarded", "execute", "follow", "opened", "settle"]

TURN = 0.2  # seconds after which a signal or the time limit is looked at
TIMED_OUT = 124  # as timeout(1)
UNHEARD = 141  # 128 and SIGPIPE: nobody reads what it prints
KILL_AFTER = 2.0


def opened(
    name: str, *, memory: int | None = None, timeout: float | None = None, report: Callable[[str], None] | None = None
) -> Guest:
    """A guest of the tools image."""
    from .start import start

    # A stream that our caller closed: its number must not become that of a socket to the guest.
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)

    return start(name, image="tools", memory=memory, timeout=timeout, report=report or _quiet)


def _quiet(_: str) -> None:
    """Says nothing."""


def settle(guest: Guest, put: Iterable[tuple[str, str]] = (), *, folder: bool = True) -> tuple[str, str]:
    """Gives a guest the current folder's files and those named. (folder in the guest, a note: why its files are not
    there)."""
    where = local.here()
    wanted: dict[str, tuple[int, bytes]] = {}
    note = ""
    if folder and where != local.HOME:
        found = local.below(where, where)
        if isinstance(found, str):
            note = f"{found}: its files are not in the guest; `--put` takes those that are needed"
        else:
            wanted |= found
    for path, place in put:
        wanted |= local.named(path, os.path.join(where, place) if place else "")
    guest.door.makedirs(where)
    try:
        guest.put_many(wanted)
    except OSError as error:
        raise InputError(
            f"the guest cannot hold `{error.filename}`: {(error.strerror or str(error)).lower()}",
            hint="give it more memory (`--memory 1024`), or fewer files",
        ) from None
    return where, note


class Forwarded:
    """While it is open, SIGINT, SIGTERM and SIGHUP are kept for the command: `taken()` answers those that came. Only
    the main thread can catch signals; elsewhere nothing is kept."""

    def __init__(self, *more: int) -> None:
        self._more = more
        self._former: list[tuple[int, Any]] = []
        self._came: list[int] = []

    def __enter__(self) -> Forwarded:
        import signal

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *self._more):
            try:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former.append((number, signal.signal(number, self._caught)))
            except ValueError:
                break
        return self

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)

    def taken(self) -> list[int]:
        came, self._came = self._came, []
        return came

    def __exit__(self, *_: object) -> None:
        import signal

        for number, handler in self._former:
            signal.signal(number, handler)


class Input:
    """Passes what comes on a descriptor, or bytes, on to a command as it takes them, in a thread of its own, until it
    ends or is closed."""

    def __init__(self, running: Running, source: int | bytes) -> None:
        from threading import Thread

        self._running = running
        self._source = source
        self._closed = False
        self._wake, self._waker = os.pipe()
        self.escaped = False
        self._thread = Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        try:
            if isinstance(self._source, bytes):
                self._feed(self._source)
            else:
                self._read(self._source)
        except (OSError, BpfsmithError):
            return  # the guest is gone, or our input: the other thread says so

    def _read(self, source: int) -> None:
        from select import POLLIN, poll

        ready = poll()
        ready.register(self._wake, POLLIN)
        ready.register(source, POLLIN)
        while True:
            if any(fd == self._wake for fd, _ in ready.poll()):
                return
            try:
                data = os.read(source, 65536)
            except OSError:  # closed, or gone with its terminal: that is an end too
                data = b""
            if not self.passes(data):
                return
            if not data:
                self._running.end_input()
                return
            self._feed(data, last=False)

    def _feed(self, data: bytes, *, last: bool = True) -> None:
        """No faster than the command takes it: what waits would fill the guest's memory."""
        left = memoryview(data)
        while left and not self._closed and not self._running.done:
            left = self._running.offer(left, TURN)
        if last and not left:
            self._running.end_input()

    def passes(self, _data: bytes) -> bool:
        """Whether it goes on."""
        return True

    def close(self) -> None:
        self._closed = True
        os.close(self._waker)
        self._thread.join(1.0)
        os.close(self._wake)


def follow(
    running: Running, out: Callable[[bytes], object], err: Callable[[bytes], object], signals: Forwarded,
    *, timeout: float | None = None, each: Callable[[list[int]], bool] | None = None,
) -> int:  # fmt: skip
    """Passes on what a command prints until it ends: its exit status, 128 and a signal's number, or 124 when it took
    longer than `timeout` seconds. Signals go to it; the third SIGINT is a `KeyboardInterrupt`. `each` is called every
    turn with the signals that came and may end it by answering False."""
    from signal import SIGINT, SIGKILL

    until = None if timeout is None else monotonic() + timeout
    interrupts = 0
    late = False
    while True:
        done = running.done
        for stream, data in running.output(0.0 if done else TURN):
            (out if stream == 1 else err)(data)
        if done:
            break
        came = signals.taken()
        for number in came:
            running.signal(number)
            interrupts += number == SIGINT
        if interrupts > 2 or (each is not None and not each(came)):
            running.signal(SIGKILL)
            if interrupts > 2:
                raise KeyboardInterrupt
        if until is not None and monotonic() > until:
            if late:
                break
            late, until = True, monotonic() + KILL_AFTER
            running.signal(SIGKILL)
    if late:
        return TIMED_OUT
    try:
        status = running.result()
    except OSError as error:
        return _not_started(running.argv[0], error)
    return 128 + (status & 0x7F) if status & 0x7F else status >> 8 & 0xFF


def execute(
    kernels: Sequence[str], argv: Sequence[str], *, put: Sequence[str] = (), get: Sequence[str] = (), memory: int |
    None = None, timeout: float | None = None, folder: bool = True, report: Callable[[str], None] = _quiet,
) -> int:  # fmt: skip
    """Runs a command in a guest of each kernel, one after the other; the exit status of the first that failed.

    put: `FILE` or `FILE:PLACE IN THE GUEST`; get: `PLACE IN THE GUEST` or `PLACE:FILE`, fetched after the command (of
    several kernels into `FILE.KERNEL`). With several kernels each line is prefixed with its kernel, and standard input
    is read whole before (from a terminal: not at all)."""
    to_put, to_get = local.wanted(put), local.fetched(get)
    several = len(kernels) > 1
    given = b""
    if several and not os.isatty(0):
        given = sys.stdin.buffer.read()
    worst = 0
    width = max(map(len, kernels))
    for name in kernels:
        out, err = (_Prefixed(name.ljust(width), fd) if several else _Plain(fd) for fd in (1, 2))
        with opened(name, memory=memory, report=report) as guest:
            where, note = settle(guest, to_put, folder=folder)
            if note:
                report(note)
            try:
                status = _one(guest, argv, where, out, err, timeout, given if several else None)
                out.end()
                err.end()
            except BrokenPipeError:
                return UNHEARD  # the command ends with its guest
            if status == TIMED_OUT and timeout is not None:
                report(f"the command took longer than {timeout:g} s in the guest of kernel {name}")
            _fetch(guest, to_get, where, f".{name}" if several else "")
        worst = worst or status
    return worst


def _one(
    guest: Guest, argv: Sequence[str], where: str, out: _Plain, err: _Plain, timeout: float | None, given: bytes | None
) -> int:
    running = guest.start(argv, env=environment(), cwd=where, stdin=True)
    source = None
    try:
        with Forwarded() as signals:
            if given is None and _in_background():
                given = b""  # reading from the terminal would stop us
            source = Input(running, 0 if given is None else given)
            return follow(running, out.write, err.write, signals, timeout=timeout)
    finally:
        if source is not None:
            source.close()


def _in_background() -> bool:
    """Whether standard input is a terminal that somebody else reads from now."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False


def _not_started(word: str, error: OSError) -> int:
    """As a shell says it: 127 for no such program, 126 for one that cannot be started."""
    sys.stderr.write(f"error: `{word}` cannot be started in the guest: {(error.strerror or str(error)).lower()}\n")
    return 127 if error.errno == 2 else 126


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a command in a guest: none of ours but those about the terminal and the language."""
    from .pyimage import ENVIRONMENT

    found = dict(ENVIRONMENT)
    for name in ("TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TZ"):
        if name in os.environ:
            found[name] = os.environ[name]
    return found | dict(more or {})


def _fetch(guest: Guest, wanted: Sequence[tuple[str, str]], where: str, ending: str) -> None:
    for place, path in wanted:
        target = path + ending
        try:
            data = guest.get(os.path.join(where, place))
        except OSError as error:
            raise InputError(f"`{place}` cannot be fetched: {(error.strerror or str(error)).lower()}", place) from None
        try:
            with open(target, "wb") as file:
                file.write(data)
        except OSError as error:
            told = (error.strerror or str(error)).lower()
            raise InputError(f"`{target}` cannot be written: {told}", target) from None


class _Plain:
    """Writes bytes to a descriptor as they come."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def end(self) -> None:
        """Nothing more comes."""


class _Prefixed(_Plain):
    """The same, whole lines with a kernel's name before them."""

    def __init__(self, name: str, fd: int) -> None:
        super().__init__(fd)
        self._before = f"{name}  ".encode()
        self._rest = b""

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            super().write(b"".join(self._before + line + b"\n" for line in lines))

    def end(self) -> None:
        if self._rest:
            super().write(self._before + self._rest + b"\n")
            self._rest = b""
