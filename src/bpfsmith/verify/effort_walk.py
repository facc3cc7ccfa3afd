"""How a verifier went through a program, from a log of level 2: what it left open, what it kept, where it went round.

A kernel prints every instruction it follows, and where it comes back to a branch it had left open. Each such return is
one state that lay waiting since that branch was met, so how many waited at once can be counted afterwards. Which states
it keeps to compare with later is not printed, but follows from rules (`is_state_visited()`): at certain instructions,
after at least 2 jumps and 8 instructions, less often within loops.
"""

from __future__ import annotations

from bpfsmith.model.kernels import series_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import LogInsn, VerifierLog

__all__ = ["Walk"]

_JUMPS = ("jump", "branch", "call", "exit")
_FEW = (2, 8)  # jumps and instructions since the last state that was kept
_LOOPED = (20, 100)  # the same where a state of this instruction is still open
_HISTORY = 40  # entries of a path's own history, since the last state that was kept on it
_NO_STEP = -1


class Walk:
    """`pending`: branches that waited at most, `pending_at`: the slot of the last of them; `frames`: deepest call
    chain, 1 without calls; by slot: `kept` states (worked out, not printed), `pruned`: how often a path ended since its
    state was known, `opened`: branches left open; `rounds`: (slot jumped from, slot jumped to) -> how often, for jumps
    back; `entered`: times the head of a loop was come to otherwise; `steps`: instructions in the log."""

    __slots__ = ("entered", "frames", "kept", "opened", "pending", "pending_at", "pruned", "rounds", "steps", "visits")

    def __init__(self, log: VerifierLog, series: str = "") -> None:
        self.frames = 1
        self.pending = 0
        self.pending_at: int | None = None
        self.kept: dict[int, int] = {}
        self.pruned: dict[int, int] = {}
        self.opened: dict[int, int] = {}
        self.visits: dict[int, int] = {}
        self.rounds: dict[tuple[int, int], int] = {}
        self.entered: dict[int, int] = {}
        count = self.steps = log.steps
        if not count:
            return
        slots, parents, jumps, lines = [0] * count, [_NO_STEP] * count, bytearray(count), [0] * count
        waited: list[tuple[int, int]] = []
        headless = "head" in log.cut
        back: list[tuple[int, int]] = []
        for at in range(count):
            step = log.step(at)
            slot = slots[at] = step.slot
            lines[at] = step.line_no
            jumps[at] = step.kind in _JUMPS
            self.visits[slot] = self.visits.get(slot, 0) + 1
            self.frames = max(self.frames, step.frame + 1)
            parent = step.parent
            if parent is None:
                if at and headless:
                    waited.append((0, at))
                continue
            parents[at] = parent
            how = step.how
            before = slots[parent]
            if how == "switch" or parent != at - 1:
                waited.append((parent, at))
            if slot <= before and how in ("jump", "switch", "next"):
                self.rounds[before, slot] = self.rounds.get((before, slot), 0) + 1
                back.append((before, slot))
        heads = {slot for _, slot in back}
        for head in heads:
            rounds = sum(number for (_, to), number in self.rounds.items() if to == head)
            self.entered[head] = max(self.visits.get(head, 0) - rounds, 1)
        known = self._known(log, slots, parents, lines, waited, headless)
        self._wait(waited, slots)
        self._keep(log, slots, parents, jumps, known, series)

    def _known(
        self, log: VerifierLog, slots: list[int], parents: list[int], lines: list[int],
        waited: list[tuple[int, int]], headless: bool,
    ) -> dict[int, int]:  # fmt: skip
        """Paths that ended since their state was known: counts them by slot, and what waited for them. The answer:
        how many came behind which step."""
        behind: dict[int, int] = {}
        first = log.first_line
        at, count = 0, len(slots)
        last = -1  # the step `tip` was worked out for
        tip = _NO_STEP
        done = {parent for parent, _ in waited}
        for number, text in enumerate(log.text.splitlines(), first):
            if not text.endswith("safe") or ": " not in text:
                continue
            head = text.partition(": ")[0].split()
            came = len(head) >= 4 and head[0] == "from" and head[2] == "to"
            slot = _number(head[3] if came else head[0] if len(head) == 1 else "")
            if slot is None:
                continue
            while at + 1 < count and lines[at + 1] < number:
                at += 1
            behind[at] = behind.get(at, 0) + 1
            self.pruned[slot] = self.pruned.get(slot, 0) + 1
            origin = _number(head[1]) if came else None
            if origin is None:
                continue
            if last != at:
                last, tip = at, at
            found = tip
            while found != _NO_STEP and (slots[found] != origin or found in done):
                found = parents[found]
            if found != _NO_STEP:
                done.add(found)
                waited.append((found, at + 1))
                tip = found
            elif headless:
                waited.append((0, at + 1))
        return behind

    def _wait(self, waited: list[tuple[int, int]], slots: list[int]) -> None:
        """The most that waited at once."""
        change: dict[int, int] = {}
        for start, end in waited:
            # What is come back to before a step is taken off first; what the step leaves open comes after.
            change[start * 2 + 1] = change.get(start * 2 + 1, 0) + 1
            change[end * 2] = change.get(end * 2, 0) - 1
            self.opened[slots[start]] = self.opened.get(slots[start], 0) + 1
        now = 0
        for key in sorted(change):
            now += change[key]
            if now > self.pending:
                self.pending, self.pending_at = now, slots[key // 2]

    def _keep(
        self, log: VerifierLog, slots: list[int], parents: list[int], jumps: bytearray, known: dict[int, int],
        series: str,
    ) -> None:  # fmt: skip
        """The states that were kept, by the kernel's rule."""
        insns = {slot: insn for slot in log.insns if (insn := log.insn(slot)) is not None}
        points, forced = _points(insns, series)
        noted = _noted(insns) if not series or series_key(series) >= (6, 9) else set()
        path: list[_Kept] = []
        here: dict[int, list[_Kept]] = {}  # those of this path that are compared with, by slot
        processed = jumped = last_processed = last_jumped = 0
        history: list[int] = [0] * len(slots)
        for at, slot in enumerate(slots):
            parent = parents[at]
            if parent != at - 1:
                while path and path[-1].step > parent:
                    gone = path.pop()
                    if not gone.dropped:
                        here[gone.slot].remove(gone)
            processed += 1
            past = history[parent] if parent != _NO_STEP else 0
            if slot in points:
                force = slot in forced or past > _HISTORY
                made, since = jumped - last_jumped, processed - last_processed
                add = force or (made >= _FEW[0] and since >= _FEW[1])
                if add and here.get(slot):
                    add = force or made >= _LOOPED[0] or since >= _LOOPED[1]
                if add:
                    others = here.setdefault(slot, [])
                    _missed(others, 64 if slot in forced else 3)
                    self.kept[slot] = self.kept.get(slot, 0) + 1
                    path.append(_Kept(at, slot))
                    others.append(path[-1])
                    last_processed, last_jumped, past = processed, jumped, 0
            history[at] = past + (slot in noted)
            jumped += jumps[at]
            processed += known.get(at, 0)  # counted, though nothing was followed


class _Kept:
    """A state of the path that is followed."""

    __slots__ = ("dropped", "missed", "slot", "step")

    def __init__(self, step: int, slot: int) -> None:
        self.step = step
        self.slot = slot
        self.missed = 0
        self.dropped = False


def _missed(states: list[_Kept], few: int) -> None:
    """A kernel no longer compares with a state that was of no use several times."""
    for one in tuple(states):
        one.missed += 1
        if one.missed > few:
            one.dropped = True
            states.remove(one)


def _points(insns: dict[int, LogInsn], series: str) -> tuple[set[int], set[int]]:
    """Slots where states are compared, and those where each is kept."""
    points: set[int] = set()
    forced: set[int] = set()
    old = bool(series) and series_key(series) < (5, 16)
    for slot, insn in insns.items():
        kind = insn.kind
        if kind == "branch":
            points.add(slot)
            if insn.target is not None:
                points.add(insn.target)
            if insn.op == "may_goto" or "may_goto" in insn.text:
                forced.add(slot)
        elif kind == "jump":
            if insn.target is not None:
                points.add(insn.target)
            if old:
                points.add(insn.next)
        elif kind == "call":
            points.add(insn.next)
            if insn.call_kind == "subprogram":
                points.add(slot)
                if insn.target is not None:
                    points.add(insn.target)
            elif insn.call in _CALLBACKS or (insn.call_kind == "kfunc" and (insn.call or "").endswith("_next")):
                points.add(slot)
                forced.add(slot)
    return points, forced


def _noted(insns: dict[int, LogInsn]) -> set[int]:
    """Slots that a path's history has an entry of: where paths meet, behind calls, and the stack's own."""
    found: set[int] = set()
    for slot, insn in insns.items():
        if insn.kind in ("branch", "jump") and insn.target is not None:
            found.add(insn.target)
        elif insn.kind == "call":
            found.add(insn.next)
        elif (insn.kind == "load" and insn.src == 10) or (insn.kind == "store" and insn.dst == 10):
            found.add(slot)
    return found


_CALLBACKS = ("bpf_loop", "bpf_for_each_map_elem", "bpf_find_vma", "bpf_user_ringbuf_drain")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
