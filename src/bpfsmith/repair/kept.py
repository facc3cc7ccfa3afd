"""Is what the program did still there? A change that mends a rejection by taking the user's work away is no fix.

Both objects are compared: every helper and kernel function called, every write to memory other than the stack, and the
statement the verifier refused must still be reachable, at the line it has now. Lines that the edit replaced stand for
the lines it put there.
"""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from bpfsmith.model.program import Program

    Line = tuple[str, int]

__all__ = ["Moved", "gone"]

_STACK = 10
_STORES = (2, 3)  # BPF_ST, BPF_STX
_COMPUTES = (4, 7)  # BPF_ALU, BPF_ALU64


class Moved:
    """Where the lines of texts went: `texts` is path -> (text before, text after)."""

    __slots__ = ("_again", "_lines")

    def __init__(self, texts: Mapping[str, tuple[str, str]]) -> None:
        self._lines: dict[str, dict[int, range]] = {}
        self._again: dict[Line, list[Line]] = {}
        for path, (old, new) in texts.items():
            lines: dict[int, range] = {}
            before, after = old.split("\n"), new.split("\n")
            rows = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
            put = {after[at].strip(): at + 1 for tag, _, _, j1, j2 in rows if tag != "equal" for at in range(j1, j2)}
            for tag, i1, i2, j1, j2 in rows:
                for at in range(i1, i2):
                    text = before[at].strip()
                    if tag == "equal":
                        lines[at + 1] = range(j1 + at - i1 + 1, j1 + at - i1 + 2)
                    elif j1 == j2 and text and text in put:  # the same statement stands in another place now
                        lines[at + 1] = range(put[text], put[text] + 1)
                    else:
                        lines[at + 1] = range(j1 + 1, j2 + 1)
            self._lines[path] = lines
            fresh = [at for tag, _, _, j1, j2 in rows if tag == "insert" for at in range(j1, j2)]
            for at, text in enumerate(before):
                twins = [(path, one + 1) for one in fresh if text.strip() and after[one].strip() == text.strip()]
                if twins:
                    self._again[path, at + 1] = twins

    def again(self, line: Line) -> list[Line]:
        """Lines put in that say what a line says: of two such calls the compiler may make one."""
        return self._again.get(line, [])

    def now(self, line: Line) -> list[Line]:
        """The lines it became; empty when it was taken out."""
        path, at = line
        if path not in self._lines:
            return [line]
        return [(path, one) for one in self._lines[path].get(at, range(0))]


class _Sites:
    """What a program does, by line of the user's sources."""

    __slots__ = ("acts", "calls", "lines", "stores")

    def __init__(self, program: Program, shown: Callable[[str], str]) -> None:
        from bpfsmith.verify.places import own

        places: dict[int, Line | None] = {}

        def place(slot: int) -> Line | None:
            source = program.source_line(slot)
            if source is None or not source.path or not source.line:
                return None
            key = slot
            if key not in places:
                path, line = own(program, slot, source.path, source.line)
                places[key] = (shown(path), line)
            return places[key]

        dead = set(program.unreachable())
        self.calls: dict[str, Counter[Line | None]] = {}
        for slot, kind, number, name in program.calls():
            if kind in ("helper", "kfunc") and slot not in dead:
                self.calls.setdefault(name or f"helper {number}", Counter())[place(slot)] += 1
        self.stores: Counter[Line | None] = Counter()
        self.lines: set[Line] = set()
        self.acts: set[Line] = set()  # lines that do more than compute
        for insn in program.instruction_view():
            if insn.slot in dead:
                continue
            here = place(insn.slot)
            if here is not None:
                self.lines.add(here)
                if insn.code & 7 not in _COMPUTES:
                    self.acts.add(here)
            if insn.code & 7 in _STORES and insn.dst != _STACK:
                self.stores[here] += 1


_NEAR = 3  # lines: the parts of one statement may be counted to any line of it


def _missed(old: Counter[Line | None], new: Counter[Line | None], moved: Moved) -> Line | None:
    """A line whose call stands nowhere now: neither where the line went nor, as a call that no other line had, beside
    that. Another line's call of the same function stands for itself only."""
    left = Counter({line: count for line, count in new.items() if line is not None})
    merged = new[None] - old[None]  # by the compiler: of no line any more
    places: dict[tuple[Line, ...], list[Line]] = {}
    for line in old:
        if line is not None:
            places.setdefault(tuple(moved.now(line)), []).append(line)
    lacking: list[tuple[Line, tuple[Line, ...]]] = []
    # Lines that are as they were come first: what was put in place of several lines is shared by those.
    for became, lines in sorted(places.items(), key=lambda row: (len(row[0]), row[0])):
        there = sum(left[one] for one in became)
        lacking += [(line, became) for line in sorted(lines)[there:]]
        for one in became:
            left[one] = 0
    for line, became in lacking:
        beside = [one for one in left if left[one] > 0 and any(_near(one, other) for other in became)]
        if not beside and moved.again(line):  # two calls that say the same are one now, of whatever line
            beside = [one for one in left if left[one] > 0]
        if beside:
            left[min(beside)] -= 1
        elif merged > 0:
            merged -= 1
        else:
            return line
    return None


def _near(one: Line, other: Line) -> bool:
    return one[0] == other[0] and abs(one[1] - other[1]) <= _NEAR


def gone(
    before: Program, after: Program, moved: Moved, shown: Callable[[str], str], symptom: Sequence[Line] = (),
    instead: Mapping[str, str] | None = None, *, stores: bool = True, twice: str = "",
    released: Collection[str] = (),
) -> str | None:  # fmt: skip
    """What of the original cannot be reached any more, as a sentence; None when all is there. `shown`: the user's path
    of an object's. `symptom`: the line the verifier
    refused; of several one must be reached. `instead`: a helper -> the one that stands for it now.
    `released`: helpers that give back, where the edit gives back on more ways: the compiler makes one of several.
    `stores`: whether writes count: to the stack of a caller, into which a function was put, they are none.
    `twice`: what was called once too often."""
    old, new = _Sites(before, shown), _Sites(after, shown)
    for name, sites in sorted(old.calls.items()):
        if name == "__bpf_trap":
            continue  # the compiler's, where it takes the code for unreachable
        there = new.calls.get(name, Counter()) + new.calls.get((instead or {}).get(name, ""), Counter())
        missed = _missed(sites, there, moved)
        if missed is not None and name != twice and not (name in released and there):
            return f"the call of {name} at line {missed[1]} is gone"
        if not there:
            return f"no call of {name} is left"
    for line in old.stores if stores else ():
        if line is None:
            continue
        became = moved.now(line)
        if any(one in new.lines for one in became):
            continue
        if new.stores.total() < old.stores.total() or not became:
            return f"what line {line[1]} writes is not written any more"
    refused = [line for line in symptom if line in old.lines]
    if refused and not any(one in new.lines for line in refused for one in moved.now(line)):
        # What is only computed there may be part of another line's instructions now: then all behind it must be there.
        path, at = refused[0]
        behind = [line for line in old.lines if line[0] == path and line[1] > at]
        if (
            not old.acts.intersection(refused)
            and behind
            and all(any(one in new.lines for one in moved.now(line)) for line in behind)
        ):
            return None
        return f"line {refused[0][1]}, which the verifier refused, is not reached any more"
    return None
