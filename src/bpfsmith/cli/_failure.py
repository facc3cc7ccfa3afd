"""How a failed command speaks: one sentence for a user's fault, a way to report it for ours."""

from __future__ import annotations

import os
import sys

from bpfsmith.model.errors import BpfsmithError, ToolError

__all__ = ["report", "say"]


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
    """`error: what` and, when there is one, `help: next step`, on stderr."""
    place = f"{error.where}: " if error.where and error.where not in error.message else ""
    sys.stderr.write(f"error: {place}{error.message}\n")
    if error.hint:
        sys.stderr.write(f"  help: {error.hint}\n")
