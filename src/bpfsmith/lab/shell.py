"""A person inside a guest: `bpfsmith lab shell 6.1`.

The guest has a terminal of its own; ours only passes bytes on, raw, and is always put back as it was. Ctrl-D or `exit`
ends the shell and with it the guest; Ctrl-] ends it whatever the guest does.
"""

from __future__ import annotations

import os
import sys

from bpfsmith.model.errors import InputError

from .exec import Forwarded, Input, _Plain, environment, follow, opened, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .guest import Guest

__all__ = ["shell"]

ESCAPE = b"\x1d"  # Ctrl-]


def shell(
    kernel: str, argv: Sequence[str] = (), *, put: Sequence[str] = (), memory: int | None = None,
    timeout: float | None = None, folder: bool = True, report: Callable[[str], None] = lambda _: None,
) -> int:  # fmt: skip
    """A shell (or `argv`) on a terminal of its own in a guest; its exit status. Without a terminal here, the shell
    reads commands from standard input."""
    from . import files as local

    to_put = local.wanted(put)
    with opened(kernel, memory=memory, timeout=timeout, report=report) as guest:
        where, note = settle(guest, to_put, folder=folder)
        if note:
            report(note)
        words = list(argv) or [_shell_of(guest)]
        if not (os.isatty(0) and os.isatty(1)):
            return _piped(guest, words, where)
        report(
            f"kernel {guest.name} ({guest.hello.get('release', '')}): Ctrl-D ends it; the files in `{where}` are copies"
        )
        return _on_terminal(guest, words, where)


def _shell_of(guest: Guest) -> str:
    return "/usr/bin/bash" if guest.door.exists("/usr/bin/bash") else "/bin/sh"


def _piped(guest: Guest, words: list[str], where: str) -> int:
    from .exec import _one

    return _one(guest, words, where, _Plain(1), _Plain(2), None, None)


def _on_terminal(guest: Guest, words: list[str], where: str) -> int:
    import signal
    import termios

    rows, columns = _size()
    env = environment({"ENV": "/etc/profile", "BASH_ENV": ""})
    env.pop("COLUMNS", None)
    if words == ["/usr/bin/bash"]:
        words = [*words, "--rcfile", "/etc/profile", "-i"]
    try:
        before = termios.tcgetattr(0)
    except termios.error:
        raise InputError("standard input is no terminal") from None
    running = guest.start(words, env=env, cwd=where, terminal=(rows, columns))
    keys = None
    with Forwarded(signal.SIGWINCH) as signals:
        try:
            _raw(before)
            keys = _Keys(running, 0)
            held = keys

            def each(came: list[int]) -> bool:
                if signal.SIGWINCH in came:
                    running.resize(*_size())
                return not held.escaped and signal.SIGHUP not in came and signal.SIGTERM not in came

            out = _Plain(1)
            return follow(running, out.write, out.write, signals, each=each)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
            if keys is not None:
                keys.close()
                if keys.escaped:
                    sys.stderr.write("\r\nended\n")


def _raw(before: list[Any]) -> None:
    """As cfmakeraw(3)."""
    import termios as t

    mode = [*before[:6], list(before[6])]
    mode[0] &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    mode[1] &= ~t.OPOST
    mode[2] = mode[2] & ~(t.CSIZE | t.PARENB) | t.CS8
    mode[3] &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    mode[6][t.VMIN], mode[6][t.VTIME] = 1, 0
    t.tcsetattr(0, t.TCSADRAIN, mode)


def _size() -> tuple[int, int]:
    """(rows, columns) of our terminal."""
    try:
        size = os.get_terminal_size(0)
    except OSError:
        return 24, 80
    return size.lines or 24, size.columns or 80


class _Keys(Input):
    """What is typed, until Ctrl-]."""

    def passes(self, data: bytes) -> bool:
        self.escaped = ESCAPE in data
        return not self.escaped
