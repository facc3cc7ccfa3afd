"""Where a verifier's effort goes, instructions and states by function, line and loop, and how near the limits it is."""

from __future__ import annotations

from bpfsmith.verify.effort_limits import INSTRUCTIONS, limits, tail_calls
from bpfsmith.verify.effort_walk import Walk
from bpfsmith.verify.places import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.program import Program
    from bpfsmith.verdict import Judged

__all__ = ["Effort", "HotLine", "HotLoop"]

SHOWN = 10
LOOPS = 5


class HotLine:
    """A source line: `count` instructions of it that the verifier followed, on all paths; `states` it kept there to
    compare with (worked out by the kernel's rule, not printed by it); `pruned`: paths that ended there because their
    state was known; `opened`: branches it came back to."""

    __slots__ = ("count", "line", "opened", "path", "pruned", "states", "text")

    def __init__(
        self, path: str, line: int, text: str, count: int, states: int = 0, pruned: int = 0, opened: int = 0
    ) -> None:
        self.path = path
        self.line = line
        self.text = text
        self.count = count
        self.states = states
        self.pruned = pruned
        self.opened = opened

    def to_json(self) -> dict[str, Any]:
        """`{"path","line","text","count","states","pruned","opened"}`."""
        return {
            "path": self.path, "line": self.line, "text": self.text, "count": self.count, "states": self.states,
            "pruned": self.pruned, "opened": self.opened,
        }  # fmt: skip


class HotLoop:
    """A loop: the line of its head (None, 0: not known), `rounds` the verifier went, `entered`: how often it came in
    from outside, `count` instructions followed in it, `pruned`: paths in it that ended because their state was known.
    One that is never pruned is followed to its end, round by round."""

    __slots__ = ("count", "entered", "line", "path", "pruned", "rounds", "slot", "text")

    def __init__(self, slot: int, rounds: int, entered: int, count: int, pruned: int) -> None:
        self.slot = slot
        self.path: str | None = None
        self.line = 0
        self.text = ""
        self.rounds = rounds
        self.entered = entered
        self.count = count
        self.pruned = pruned

    def to_json(self) -> dict[str, Any]:
        """`{"path","line","text","instruction","rounds","entered","count","pruned"}`."""
        return {
            "path": self.path, "line": self.line or None, "text": self.text, "instruction": self.slot,
            "rounds": self.rounds, "entered": self.entered, "count": self.count, "pruned": self.pruned,
        }  # fmt: skip


class Effort:
    """`processed` instructions and the kernel's `limit`; `states` in all, at most at once (`peak`), and at most at one
    instruction (`per_instruction`); `limits`: how near, the nearest first; `functions`: (name, instructions of its own
    or None, bytes of stack), the program first; `lines`, `loops`: those that cost most; `tail_calls` it makes;
    `counted`: how many instructions these were counted from (fewer than `processed` when the log was cut off)."""

    __slots__ = (
        "counted", "functions", "limit", "limits", "lines", "loops", "peak", "per_instruction", "processed", "states",
        "tail_calls",
    )  # fmt: skip

    def __init__(self, program: Program, judged: Judged, trace: str, series: str = "", arch: str = "x86_64") -> None:
        from bpfsmith._native import VerifierLog

        told = judged.told
        log = VerifierLog(trace)
        walk = Walk(log, series)
        self.processed = told.processed
        self.limit = told.limit or INSTRUCTIONS
        self.states = told.states
        self.peak = told.peak
        self.per_instruction = log.counts.get("max_states_per_insn")
        self.functions = _functions(program, judged)
        self.counted = walk.steps
        followed = walk.steps + sum(walk.pruned.values())
        whole = not log.cut and (self.processed is None or followed >= self.processed * _WHOLE)
        self.limits = limits(program, judged, walk, series, arch, whole)
        self.lines = _lines(program, walk)
        self.loops = _loops(program, walk)
        self.tail_calls = tail_calls(program)

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
            "states_per_instruction": self.per_instruction,
            "limits": [one.to_json() for one in self.limits],
            "functions": [{"name": name, "processed": own, "stack": stack} for name, own, stack in self.functions],
            "lines": [one.to_json() for one in self.lines],
            "loops": [one.to_json() for one in self.loops],
            "tail_calls": [one.to_json() for one in self.tail_calls],
            "counted": self.counted,
        }


_WHOLE = 0.98


def _functions(program: Program, judged: Judged) -> list[tuple[str, int | None, int]]:
    told = judged.told
    if told.subprograms:
        return [(name, own, stack) for name, own, _, stack in told.subprograms]
    try:
        names = [name for name, _, _, _ in program.functions()]
    except Exception:
        names = [program.name]
    return [(names[at] if at < len(names) else f"#{at}", None, depth) for at, depth in enumerate(judged.stack or [])]


def _lines(program: Program, walk: Walk) -> list[HotLine]:
    places: dict[tuple[str, int], HotLine] = {}
    for slot, count in walk.visits.items():
        found = _place(program, slot)
        if found is not None:
            path, line, text = found
            place = places.setdefault((path, line), HotLine(path, line, text, 0))
            place.text = place.text or text
            place.count += count
            place.states += walk.kept.get(slot, 0)
            place.pruned += walk.pruned.get(slot, 0)
            place.opened += walk.opened.get(slot, 0)
    lines = sorted(places.values(), key=lambda one: (-one.count, one.path, one.line))
    return lines[:SHOWN]


def _loops(program: Program, walk: Walk) -> list[HotLoop]:
    """A loop is what lies between its head and the last jump back to it."""
    ends: dict[int, int] = {}
    rounds: dict[int, int] = {}
    for (before, head), number in walk.rounds.items():
        ends[head] = max(before, ends.get(head, head))
        rounds[head] = rounds.get(head, 0) + number
    found = []
    for head, end in ends.items():
        count = sum(number for slot, number in walk.visits.items() if head <= slot <= end)
        pruned = sum(number for slot, number in walk.pruned.items() if head <= slot <= end)
        found.append(HotLoop(head, rounds[head], walk.entered.get(head, 1), count, pruned))
    found.sort(key=lambda one: (-one.count, one.slot))
    for one in found[:LOOPS]:
        place = _place(program, one.slot)
        if place is not None:
            one.path, one.line, one.text = place
    return found[:LOOPS]


def _place(program: Program, slot: int) -> tuple[str, int, str] | None:
    source = program.source_line(slot)
    if source is None:
        return None
    path, line = own(program, slot, source.path, source.line)
    text = source.text or "" if (path, line) == (source.path, source.line) else ""
    return path, line, text.strip()
