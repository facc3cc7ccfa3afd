"""How a failed command speaks: one sentence for a user's fault, a way to report it for ours."""

from __future__ import annotations

import os
import sys

from bpfsmith.model.errors import BpfsmithError, ToolError

__all__ = ["report", "say"]

CONSOLE = 12  # lines of a guest's console: an oops begins with what it is about


def report(error: Exception) -> int:
    """Prints the error on stderr and returns the exit code that belongs to it."""
    if isinstance(error, RecursionError | MemoryError) or not isinstance(error, BpfsmithError):
        known: BpfsmithError = ToolError(f"unexpected {type(error).__name__}: {error}")
    else:
        known = error
    say(known)
    if known.exit_code == 4 and os.environ.get("BPFSMITH_DEBUG") == "1":
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    return known.exit_code


def say(error: BpfsmithError) -> None:
    """`error: what`, the last lines of a guest's console, and, when there is one, `help: next step`, on stderr."""
    place = f"{error.where}: " if error.where and error.where not in error.message else ""
    said, *more = error.message.split("\n") if error.block else [error.message]
    text = f"error: {_visible(place + said)}\n"
    for line in more:
        text += f"  | {_visible(line.expandtabs())}\n"
    for line in getattr(error, "console", "").splitlines()[-CONSOLE:]:
        text += f"  console: {_visible(line)}\n"
    if error.hint:
        text += f"  help: {_visible(error.hint)}\n"
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:  # closed, or on a full disk: the exit code still tells
        pass


def _visible(text: str) -> str:
    """On one line, and without what drives terminals: file names and names in objects may hold any byte."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
