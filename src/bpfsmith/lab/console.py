"""What a guest's kernel said on its serial console: kept in memory, and read for what went wrong."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Console", "excerpt", "recognised"]

# (what the kernel prints, our word). Order matters: a panic that follows an out-of-memory is a matter of memory.
_SIGNS: Final = (
    ("Out of memory: Killed process", "memory"),
    ("Memory cgroup out of memory", "memory"),
    ("System is deadlocked on memory", "memory"),
    ("Out of memory and no killable processes", "memory"),
    ("Kernel panic - not syncing: Out of memory", "memory"),
    ("page allocation failure", "memory"),
    ("Kernel panic - not syncing: Attempted to kill init", "crash"),
    ("BUG: unable to handle", "crash"),
    ("BUG: kernel NULL pointer dereference", "crash"),
    ("kernel BUG at", "crash"),
    ("Unable to handle kernel", "crash"),
    ("Internal error: Oops", "crash"),
    ("general protection fault", "crash"),
    ("Oops: ", "crash"),
    ("stack guard page was hit", "crash"),
    ("soft lockup - CPU#", "lockup"),
    ("hard LOCKUP on cpu", "lockup"),
    ("self-detected stall on CPU", "lockup"),
    ("detected stalls on CPUs", "lockup"),
    ("blocked for more than", "lockup"),
    ("Kernel panic - not syncing", "crash"),
    ("BUG: ", "crash"),
)
LIMIT, KEPT = 8 << 20, 64 << 10
"""Bytes of a console that are looked at, and characters that are kept of it: its end."""


def recognised(text: str) -> tuple[str, str] | None:
    """(`crash`, `lockup` or `memory`; the line that says so) for the first sign of trouble in a console's text.

    >>> recognised("[    1.0] Oops: 0000 [#1] SMP\\n[    1.0] Kernel panic - not syncing: Fatal exception")
    ('crash', 'Oops: 0000 [#1] SMP')
    """
    places = [(text.find(sign), order, what) for order, (sign, what) in enumerate(_SIGNS)]
    found = [place for place in places if place[0] >= 0]
    if not found:
        return None
    memory = [place for place in found if place[2] == "memory"]
    at = min(memory or found)[0]
    line = text.find("\n", at)
    # On the first such line, by the order of the signs: "BUG: soft lockup" is a lockup.
    same = [place for place in memory or found if place[0] < (line if line >= 0 else len(text))]
    what = min(same, key=lambda place: place[1])[2]
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    said = text[start : end if end >= 0 else len(text)].strip()
    # Without the time the kernel puts before each line.
    if said.startswith("[") and "] " in said:
        said = said.partition("] ")[2]
    return what, said


def excerpt(text: str, line: str, before: int = 10, after: int = 70) -> str:
    """What a console said around a line that `recognised` gave: what led to it, the report, and its last lines."""
    lines = [told for told in text.split("\n") if told.strip()]
    at = next((number for number, told in enumerate(lines) if told.rstrip().endswith(line)), len(lines))
    first = lines[max(at - before, 0) : at + after]
    return "\n".join([*first, "...", *lines[-10:]] if at + after + 10 < len(lines) else lines[max(at - before, 0) :])


class Console:
    """The serial console of one machine: QEMU writes into a file that has no name, so nothing has to be drained and
    nothing is left behind."""

    __slots__ = ("_kept", "fd")

    def __init__(self) -> None:
        self.fd = os.memfd_create("bpfsmith-console", os.MFD_CLOEXEC)
        self._kept = ""

    def text(self) -> str:
        """All of it (the last 8 MiB), lines ended by `\\n`."""
        if self.fd < 0:
            return self._kept
        size = os.fstat(self.fd).st_size
        data = os.pread(self.fd, min(size, LIMIT), max(size - LIMIT, 0))
        return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")

    def tail(self, lines: int = 40) -> str:
        """Its last lines that are not empty."""
        kept = [text for text in self.text().split("\n") if text.strip()]
        return "\n".join(kept[-lines:])

    def keep(self) -> None:
        """Its machine is gone: the descriptor is closed, the text stays."""
        if self.fd >= 0:
            self._kept = self.text()[-KEPT:]
            os.close(self.fd)
            self.fd = -1
