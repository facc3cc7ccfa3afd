"""What the verifier followed up to where it stopped, with instructions, states, source lines and who defined what.

A log alone is enough for all it contains; an object adds instructions that were never logged, columns, inlined frames
and names. Everything is looked up when it is asked for: making a `Trace` costs nothing.

Values are followed by instructions, not by states, so that logs of old kernels (which print a state only here and
there) can be walked too; where states are printed, they decide.
"""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.result import Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from bpfsmith.model.program import Program

    Log = Any
    State = Any
    Value = Any

__all__ = ["Link", "Step", "Steps", "Test", "Trace"]

FAR = 20_000  # steps walked back for one question
MOST = 400_000  # and for all of them


class Step:
    """One instruction on the failing path: `at` is its place in `Trace.steps`, `id` the log's number for it, `frame`
    the depth of calls. `before` and `after` are the verifier's states (None where the log has none)."""

    __slots__ = ("_trace", "at", "frame", "id", "slot")

    def __init__(self, trace: Trace, at: int, identity: int) -> None:
        native = trace.log.step(identity)
        self._trace = trace
        self.at = at
        self.id = identity
        self.slot: int = native.slot
        self.frame: int = native.frame

    @property
    def trace(self) -> Trace:
        return self._trace

    @property
    def insn(self) -> code.Insn:
        found = self._trace.insn(self.slot)
        return found if found is not None else code.NOTHING

    @property
    def before(self) -> State | None:
        return self._trace.log.state(self.id)

    @property
    def after(self) -> State | None:
        return self._trace.log.after(self.id)

    @property
    def place(self) -> Place | None:
        return self._trace.place(self.slot)

    @property
    def next(self) -> Step | None:
        steps = self._trace.steps
        return steps[self.at + 1] if self.at + 1 < len(steps) else None

    @property
    def taken(self) -> bool | None:
        """Whether a conditional jump was taken on this path; None where the path ends here or it is not a jump."""
        insn, after = self.insn, self.next
        if not code.conditional(insn) or after is None:
            return None
        if insn.target == self.slot + 1:  # both ways lead there: the one that is come back to is the jump
            return bool(self._trace.log.step(after.id).how != "next")
        return after.slot == insn.target

    def value(self, reg: str) -> Value | None:
        """What the verifier knows of a register (`r1`) or slot of the stack (`fp-8`) before this step."""
        return _value(self.before, reg)

    def result(self, reg: str) -> Value | None:
        """The same after it."""
        return _value(self.after, reg)

    def __repr__(self) -> str:
        return f"<Step {self.at}: {self.slot} {self.insn.text}>"


class Steps:
    """`Trace.steps`: a sequence that makes a `Step` when it is asked for."""

    __slots__ = ("_ids", "_made", "_trace", "walked")

    def __init__(self, trace: Trace, ids: Sequence[int]) -> None:
        self.walked = 0
        self._trace = trace
        self._ids = ids
        self._made: dict[int, Step] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, at: int) -> Step:
        if at < 0:
            at += len(self._ids)
        found = self._made.get(at)
        if found is None:
            found = self._made[at] = Step(self._trace, at, self._ids[at])
        return found

    def __iter__(self) -> Iterator[Step]:
        for at in range(len(self._ids)):
            yield self[at]

    def back(self, before: int, far: int = FAR) -> Iterator[Step]:
        """The steps before number `before`, the nearest first. Of very long paths only so much is walked in all, that
        an explanation never takes long: then questions stay without an answer."""
        for at in range(before - 1, max(-1, before - 1 - far), -1):
            self.walked += 1
            if self.walked > MOST:
                return
            yield self[at]


class Link:
    """A station of a value on its way: at `step`, `where` (a register or `fp-8`) got it by `how`: `mov`, `narrow` (a
    copy of 32 bits or fewer), `add`, `sub`, `and-mask`, `shift`, `math`, `spill`, `fill`, `load`, `call`, `return`,
    `arg`, `ctx`, `const`. `source` is what it came from, None where the walk ends; `wide`: all 64 bits count, False
    for instructions of 32 bits and for copies that cut."""

    __slots__ = ("how", "source", "step", "where", "wide")

    def __init__(self, step: Step, where: str, how: str, source: str | None = None, wide: bool = True) -> None:
        self.step = step
        self.where = where
        self.how = how
        self.source = source
        self.wide = wide

    def __repr__(self) -> str:
        return f"<Link {self.step.slot}: {self.where} {self.how} {self.source or ''}>"


class Test:
    """A conditional jump about a value. `on` is the register it names; `copy`: not the one that was asked about, but
    another that held the same value; `narrow`: only the low half was compared; `taken`: which way the path went (None:
    it lies after the use, not on the path); `other` is what it is compared with, a register or a number."""

    __slots__ = ("copy", "insn", "narrow", "on", "other", "step", "taken")

    def __init__(
        self,
        step: Step | None,
        insn: code.Insn,
        on: str,
        other: str | int,
        copy: bool,
        narrow: bool,
        taken: bool | None,
    ) -> None:
        self.step = step
        self.insn = insn
        self.on = on
        self.other = other
        self.copy = copy
        self.narrow = narrow
        self.taken = taken

    def __repr__(self) -> str:
        return f"<Test {self.insn.slot}: {self.insn.text}{' (copy)' if self.copy else ''}>"


class Trace:
    """`log`: one load's `_native.VerifierLog`; `program`: the program it is the log of, when there is an object."""

    __slots__ = ("_code", "_places", "_steps", "_symptom", "kept", "kernel", "log", "program", "sources")

    def __init__(self, log: Log, program: Program | None = None, kernel: Any = None, sources: Any = None) -> None:
        self.log = log
        self.program = program
        self.kernel = kernel
        self.sources = sources
        self._steps: Steps | None = None
        self._code: dict[int, code.Insn] | None = None
        self._places: dict[int, Place | None] = {}
        self._symptom: Fact | None = None
        self.kept: dict[str, Any] = {}  # what modules found out once

    # ------------------------------------------------------------ the path

    @property
    def steps(self) -> Steps:
        """The failing path, first instruction first; empty when the log has none."""
        if self._steps is None:
            self._steps = Steps(self, self.log.path)
        return self._steps

    @property
    def last(self) -> Step | None:
        """The step the verifier stopped at."""
        steps = self.steps
        return steps[len(steps) - 1] if len(steps) else None

    @property
    def symptom(self) -> Fact:
        """Where the verifier stopped, and what it said there."""
        if self._symptom is None:
            last = self.last
            message = self.log.message
            if last is None:
                self._symptom = Fact(None, None, message)
            else:
                self._symptom = Fact(last.slot, self.own_place(last), message, last.id)
        return self._symptom

    # ------------------------------------------------------------ instructions and places

    def insn(self, slot: int) -> code.Insn | None:
        """From the log, else from the object."""
        found: code.Insn | None = self.log.insn(slot)
        return found if found is not None else self.cfg.get(slot)

    @property
    def cfg(self) -> dict[int, code.Insn]:
        """All instructions known, by slot: the object's, when it is the program of this log, and the log's."""
        if self._code is None:
            found: dict[int, code.Insn] = {}
            if self.program is not None:
                found = code.decoded(self.program)
            for slot in self.log.insns:
                insn = self.log.insn(slot)
                if insn is not None:
                    found[slot] = insn
            self._code = found
        return self._code

    def successors(self, slot: int) -> list[int]:
        """Slots that may follow, as far as the instructions are known."""
        insn = self.insn(slot)
        return [] if insn is None else code.successors(insn)

    def place(self, slot: int) -> Place | None:
        """The source line an instruction comes from, the innermost one."""
        if slot not in self._places:
            from bpfsmith.verify.cause.places import of

            self._places[slot] = of(self, slot)
        return self._places[slot]

    def own_place(self, step: Step | int) -> Place | None:
        """The user's own source line for a step: where it was inlined into, or, with a log alone, the nearest line
        before it on the path that is not a library's. Given a slot, what is known of that slot."""
        from bpfsmith.verify.cause.places import own

        return own(self, step)

    def fact(self, step: Step, text: str) -> Fact:
        """A step of the chain."""
        return Fact(step.slot, self.own_place(step), text, step.id)

    # ------------------------------------------------------------ values

    def defined(self, step: Step, where: str) -> Step | None:
        """The last step before `step` that wrote a register or slot of the stack, in the same frame; for what a
        function was called with, the call. None: not on this path."""
        from bpfsmith.verify.cause.flow import defined

        return defined(self, step, where)

    def origin(self, step: Step, where: str) -> list[Link]:
        """Where the value in `where` before `step` came from, the nearest link first."""
        from bpfsmith.verify.cause.flow import origin

        return origin(self, step, where)

    def copies(self, step: Step, where: str) -> list[str]:
        """Other registers and slots of the stack that hold the same value before `step`, whole."""
        from bpfsmith.verify.cause.flow import copies

        return copies(self, step, where)

    def tests(self, step: Step, where: str) -> list[Test]:
        """Conditional jumps about the value that `where` holds before `step`, on the path and in its order; after them
        those that come after `step`, as far as the instructions are known (`taken` is None, `step` too)."""
        from bpfsmith.verify.cause.flow import tests

        return tests(self, step, where)

    def name(self, step: Step, where: str) -> str | None:
        """The variable or field a register holds before `step`, as the source names it; None when not certain."""
        from bpfsmith.verify.cause.names import name

        return name(self, step, where)


def _value(state: State | None, where: str) -> Value | None:
    if state is None or not state.frames:
        return None
    frame = state.frames[-1]
    if where.startswith("fp"):
        slot = frame.stack.get(int(where[2:])) if ":" not in where and "[" not in where else None
        return None if slot is None else slot.value
    return frame.regs.get(where)
