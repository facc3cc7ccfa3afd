"""A verifier's log as a value: instructions, source lines, paths, states, messages and counts, of every kernel from
4.19 to 7.3, in whatever a loader, a terminal or an issue wraps it.

    log = read("rejected.log")
    log.message                                  # R0 invalid mem access 'map_value_or_null'
    [log.step(one).slot for one in log.path]     # the failing path
    log.state(log.path[-1]).frames[-1].regs      # what was known where it ended
    log.print()                                  # the log again, without what it was wrapped in

The reader is native (`bpfsmith._native.VerifierLog`, described in `_native.pyi`): 64 MB take less than a second, states
are worked out when they are asked for. Reading never fails; what a log does not say is None or empty.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike
    from typing import BinaryIO

    from bpfsmith._native import VerifierLog

__all__ = ["KEPT", "read", "walked"]

KEPT = 32 << 20
"""Bytes of a log that are kept: of a longer one what is still on its path (`cut` has "middle")."""
PIECE = 1 << 20


def read(source: bytes | str | PathLike[str] | BinaryIO, keep: int = KEPT) -> VerifierLog:
    """source: the text of a paste as bytes; a path; or a file opened for bytes, which is read in pieces.

    Raises `OSError` for a path that cannot be read."""
    from bpfsmith._native import VerifierLog as Log

    if isinstance(source, bytes):
        if len(source) <= keep:
            return Log(source)
        reader = Log.reader(keep)
        reader.feed(source)
        return reader.finish()
    reader = Log.reader(keep)
    feed = getattr(source, "read", None)
    if feed is not None:
        while piece := feed(PIECE):
            reader.feed(piece)
    else:
        with open(source, "rb") as file:  # type: ignore[arg-type]
            while piece := file.read(PIECE):
                reader.feed(piece)
    return reader.finish()


def walked(log: VerifierLog) -> list[tuple[int, str | None, int | None, str]]:
    """The failing path by source lines: (first step, file, line, text), one entry for steps in a row of one line."""
    out: list[tuple[int, str | None, int | None, str]] = []
    last: tuple[str | None, int | None, str] | None = None
    for number in log.path:
        source = log.step(number).source
        if source is not None and source != last:
            out.append((number, *source))
            last = source
    return out
