"""Where a verifier's effort goes: instructions by subprogram and by source line, the stack, the share of the limit."""

from __future__ import annotations

from bpfsmith.run.verifier_log import slot_of
from bpfsmith.verify.places import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.program import Program
    from bpfsmith.verdict import Judged

__all__ = ["Effort", "HotLine"]

LIMIT = 1_000_000
SHOWN = 10


class HotLine:
    """A source line and how many instructions of it the verifier followed, on all paths."""

    __slots__ = ("count", "line", "path", "text")

    def __init__(self, path: str, line: int, text: str, count: int) -> None:
        self.path = path
        self.line = line
        self.text = text
        self.count = count

    def to_json(self) -> dict[str, Any]:
        """`{"path","line","text","count"}`."""
        return {"path": self.path, "line": self.line, "text": self.text, "count": self.count}


class Effort:
    """`processed` instructions and the kernel's `limit`; `states` in all and at most at once (`peak`); `functions`:
    (name, instructions of its own or None, bytes of stack), the program first; `lines`: the hottest source lines;
    `counted`: how many instructions these were counted from (fewer than `processed` when the log was cut off)."""

    __slots__ = ("counted", "functions", "limit", "lines", "peak", "processed", "states")

    def __init__(self, program: Program, judged: Judged, trace: str) -> None:
        told = judged.told
        self.processed = told.processed
        self.limit = told.limit or LIMIT
        self.states = told.states
        self.peak = told.peak
        self.functions = _functions(program, judged)
        self.counted, self.lines = _lines(program, trace)

    @property
    def share(self) -> float | None:
        """Of the limit, 0 to 1."""
        return None if self.processed is None else self.processed / self.limit

    def to_json(self) -> dict[str, Any]:
        """An entry of `effort`, beside its object, program and kernel."""
        return {
            "processed": self.processed,
            "limit": self.limit,
            "states": self.states,
            "peak": self.peak,
            "functions": [{"name": name, "processed": own, "stack": stack} for name, own, stack in self.functions],
            "lines": [one.to_json() for one in self.lines],
            "counted": self.counted,
        }


def _functions(program: Program, judged: Judged) -> list[tuple[str, int | None, int]]:
    told = judged.told
    if told.subprograms:
        return [(name, own, stack) for name, own, _, stack in told.subprograms]
    try:
        names = [name for name, _, _, _ in program.functions()]
    except Exception:
        names = [program.name]
    return [(names[at] if at < len(names) else f"#{at}", None, depth) for at, depth in enumerate(judged.stack or [])]


def _lines(program: Program, trace: str) -> tuple[int, list[HotLine]]:
    """Every instruction the verifier followed is a line of a trace (log level 2)."""
    counts: dict[int, int] = {}
    for text in trace.splitlines():
        slot = slot_of(text)
        if slot is not None:
            counts[slot] = counts.get(slot, 0) + 1
    places: dict[tuple[str, int], list[Any]] = {}
    for slot, count in counts.items():
        source = program.source_line(slot)
        if source is not None:
            where = own(program, slot, source.path, source.line)
            text = source.text or "" if where == (source.path, source.line) else ""
            place = places.setdefault(where, [text, 0])
            place[0] = place[0] or text
            place[1] += count
    lines = [HotLine(path, line, text.strip(), count) for (path, line), (text, count) in places.items()]
    lines.sort(key=lambda one: (-one.count, one.path, one.line))
    return sum(counts.values()), lines[:SHOWN]
