"""How near a program is to what kernels allow: instructions, branches left open, stack, call frames, tail calls."""

from __future__ import annotations

from bpfsmith.model.kernels import series_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.program import Program
    from bpfsmith.rules._stack import Chains, Era
    from bpfsmith.verdict import Judged
    from bpfsmith.verify.effort_walk import Walk

__all__ = ["BOUNDS", "INSTRUCTIONS", "NAMES", "Limit", "TailCall", "limits", "tail_calls"]

INSTRUCTIONS = 1_000_000
JUMPS = 8192
STACK = 512
BEFORE_TAIL_CALL = 256
TAIL_CALLS = 33
_TAIL_CALL = 12
_SHOWN = 5  # functions of a chain

NAMES = ("instructions", "jumps", "stack", "stack-before-tail-call", "frames", "tail-calls")
BOUNDS = ("exact", "at-least", "run-time")
"""What a value is: the kernel's own figure, or worked out from all it tells; from a part of it (a log that was cut off,
a program that was rejected on the way); known only when the program runs."""


class Limit:
    """`name`: one of `NAMES`; `value`, None where nothing tells; `limit`: what this kernel allows; `bound`: one of
    `BOUNDS`; `where`: what the value is of (a call chain, a line, maps), "" when there is nothing to say."""

    __slots__ = ("bound", "limit", "name", "value", "where")

    def __init__(self, name: str, value: int | None, limit: int, bound: str = "exact", where: str = "") -> None:
        self.name = name
        self.value = value
        self.limit = limit
        self.bound = bound
        self.where = where

    @property
    def share(self) -> float | None:
        """Of the limit; over 1 for what was rejected because of it."""
        return None if self.value is None else self.value / self.limit

    def to_json(self) -> dict[str, Any]:
        """`{"name","value","limit","share","bound","where"}`."""
        share = None if self.share is None else round(self.share, 6)
        return {
            "name": self.name, "value": self.value, "limit": self.limit, "share": share, "bound": self.bound,
            "where": self.where,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<Limit {self.name}: {self.value} of {self.limit}>"


class TailCall:
    """A tail call: its slot, the map it jumps through (None: not known), and its source line."""

    __slots__ = ("line", "map", "path", "slot")

    def __init__(self, slot: int, map_name: str | None, path: str | None, line: int | None) -> None:
        self.slot = slot
        self.map = map_name
        self.path = path
        self.line = line

    def to_json(self) -> dict[str, Any]:
        """`{"slot","map","path","line"}`."""
        return {"slot": self.slot, "map": self.map, "path": self.path, "line": self.line}


def limits(program: Program, judged: Judged, walk: Walk, series: str, arch: str, whole: bool) -> list[Limit]:
    """The nearest first; what has no figure last. `whole`: the log has all that was followed."""
    told = judged.told
    found = [
        Limit("instructions", told.processed, told.limit or INSTRUCTIONS),
        _jumps(program, judged, walk, whole),
        *_stack(program, judged, walk, series, arch),
    ]
    calls = tail_calls(program)
    if calls:
        maps = list(dict.fromkeys(one.map for one in calls if one.map is not None))
        found.append(Limit("tail-calls", None, TAIL_CALLS, "run-time", ", ".join(maps)))
    found.sort(key=lambda one: (one.share is None, -(one.share or 0)))
    return found


def tail_calls(program: Program) -> list[TailCall]:
    """All of the program, in the order of the code."""
    if program.link_error or _TAIL_CALL not in program.helper_numbers:
        return []
    maps = {}
    for slot, number, known in program.call_args():
        if number == _TAIL_CALL and len(known) > 1 and isinstance(known[1], str) and known[1].startswith("map:"):
            maps[slot] = known[1].removeprefix("map:")
    found = []
    for slot, kind, number, _ in program.calls():
        if kind == "helper" and number == _TAIL_CALL:
            source = program.source_line(slot)
            place = (source.path, source.line) if source is not None else (None, None)
            found.append(TailCall(slot, maps.get(slot), *place))
    return found


def frames_allowed(series: str) -> int:
    """8, since Linux 7.3 16."""
    return 16 if series and series_key(series) >= (7, 3) else 8


def _jumps(program: Program, judged: Judged, walk: Walk, whole: bool) -> Limit:
    """Branches left open are counted where the log comes back to them: of a program that is rejected it does not come
    back to all."""
    said = _behind(judged.told.message, "The sequence", " of ")
    if said is not None:
        return Limit("jumps", said, JUMPS)
    where = ""
    if walk.pending_at is not None:
        source = program.source_line(walk.pending_at)
        if source is not None:
            from bpfsmith.verify.places import own

            path, line = own(program, walk.pending_at, source.path, source.line)
            where = f"{path.rpartition('/')[2]}:{line}"
    if not walk.steps:
        return Limit("jumps", None, JUMPS)
    exact = whole and judged.verdict == "accepted"
    return Limit("jumps", walk.pending, JUMPS, "exact" if exact else "at-least", where)


def _stack(program: Program, judged: Judged, walk: Walk, series: str, arch: str) -> list[Limit]:
    """What the frames of the deepest chain hold together, as that kernel rounds and adds them; the calls on it."""
    from bpfsmith.rules._stack import Chains, era_of

    allowed = frames_allowed(series)
    message = judged.told.message
    if program.link_error:
        alone = max(judged.stack or (), default=None)
        return [Limit("stack", alone, STACK, "at-least"), Limit("frames", walk.frames, allowed, "at-least")]
    told = _frames(program, judged)
    done = judged.verdict == "accepted"
    chains = Chains(program, told)
    era = era_of(series or "0.0")
    if arch not in ("x86_64", "") and not (arch == "aarch64" and series and series_key(series) >= (6, 17)):
        chains.private = False
    size, names = chains.deepest(era)
    widest = max(chains.frames, key=lambda name: chains.frame(name, era))
    if era.rounded(chains.frame(widest, era)) > size:  # a stack of its own
        size, names = era.rounded(chains.frame(widest, era)), [widest]
    said = _behind(message, "combined stack size of ", " is ") or _behind(message, "stack size of subprog ", " is ")
    bound = "exact" if said or (done and told) else "at-least"
    found = [Limit("stack", said or size, STACK, bound, _chain(names))]
    before = _before(program, chains, era)
    said = _behind(message, "tail_calls are not allowed when call stack of previous frames", " is ")
    if before is not None:
        bound = "exact" if said or (done and told) else "at-least"
        found.append(Limit("stack-before-tail-call", said or before[0], BEFORE_TAIL_CALL, bound, _chain(before[1])))
    longest = max(chains.chains, key=len, default=[])
    deepest = max(len(longest), walk.frames, _behind(message, "the call stack", " of ") or 0)
    found.append(Limit("frames", deepest, allowed, "exact", _chain(longest) if len(longest) == deepest else ""))
    return found


def _frames(program: Program, judged: Judged) -> dict[str, int]:
    """Function -> bytes, as the kernel counted them; of two with one name the larger."""
    names = [name for name, _, _, _ in program.functions()]
    sizes = [stack for _, _, _, stack in judged.told.subprograms] or judged.stack or []
    found: dict[str, int] = {}
    if len(sizes) == len(names):
        for name, size in zip(names, sizes, strict=True):
            found[name] = max(size, found.get(name, 0))
    return found


def _before(program: Program, chains: Chains, era: Era) -> tuple[int, list[str]] | None:
    """(bytes, functions) of the callers of a subprogram that makes a tail call; None where only the program does."""
    from bpfsmith.rules._stack import tail_calls as callers_of

    if _TAIL_CALL not in program.helper_numbers:
        return None
    above = [
        names[: names.index(name, 1)] for name in callers_of(program) for names in chains.chains if name in names[1:]
    ]
    sums = [(sum(era.rounded(chains.frame(one, era)) for one in names), names) for names in above]
    return max(sums, key=lambda one: one[0], default=None)


def _chain(names: list[str]) -> str:
    shown = names if len(names) <= _SHOWN else [*names[: _SHOWN - 2], "..", names[-1]]
    return " -> ".join(shown)


def _behind(message: str, start: str, word: str) -> int | None:
    """The number behind `word` in a message that begins so."""
    if not message.startswith(start):
        return None
    digits = ""
    for letter in message[len(start) :].partition(word)[2]:
        if letter not in "0123456789":
            break
        digits += letter
    return int(digits) if digits else None
