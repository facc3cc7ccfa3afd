"""How kernels count the stack of a call chain: what rounds, what is summed, and since when.

Three things changed over time (`check_max_stack_depth_subprog`, kernel/bpf/verifier.c):

* each frame is rounded up to 32 bytes, at least 32; since 6.9 to 16 where the JIT compiles the program ("bpf: Fix test
  verif_scale_strobemeta_subprogs failure due to llvm19");
* since 6.12 the slots that only spill registers around inlined helpers do not count ("bpf: no_caller_saved_registers
  attribute for helper calls");
* since 6.13 frames of 64 bytes or more of tracing programs without tail calls have a stack of their own ("bpf: Find
  eligible subprogs for private stack support"), on x86-64; on arm64 since 6.17.
"""

from __future__ import annotations

from bpfsmith.model.kernels import series_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.program import Program

__all__ = ["ERAS", "LIMIT", "Chains", "Era", "era_of", "may_exceed", "recursion", "tail_calls"]

LIMIT = 512
_PRIVATE_FROM = 64  # BPF_PRIV_STACK_MIN_SIZE
_TAIL_CALL = 12
# Where a private stack is possible; struct_ops asks for it from its kernel side, an unknown type may be any of them.
_PRIVATE = frozenset(("kprobe", "tracepoint", "perf_event", "raw_tracepoint", "tracing", "struct_ops", None))
# r1..r5 are spilled at most.
_SPILLS = 40
_STX_DW, _FRAME_POINTER = 0x7B, 10


class Era:
    """Kernels that count alike, from the series `since` on."""

    __slots__ = ("inlines", "private", "rounding", "since")

    def __init__(self, since: str, rounding: int, inlines: bool, private: bool) -> None:
        self.since = since
        self.rounding = rounding
        self.inlines = inlines
        self.private = private

    def rounded(self, frame: int) -> int:
        """A frame as these kernels count it."""
        if self.rounding == 32:
            return (max(frame, 1) + 31) & ~31
        return (frame + 15) & ~15


ERAS = (
    Era("0.0", 32, inlines=False, private=False),
    Era("6.9", 16, inlines=False, private=False),
    Era("6.12", 16, inlines=True, private=False),
    Era("6.13", 16, inlines=True, private=True),
)


def era_of(series: str) -> Era:
    """The rules of one series."""
    key = series_key(series)
    return next(era for era in reversed(ERAS) if key >= series_key(era.since))


def may_exceed(program: Program, limit: int) -> bool:
    """A cheap bound: False when no chain can reach `limit` bytes however it is rounded."""
    deepest = program.stack
    return deepest > limit or deepest + 32 * (len(program.subprograms) + 1) > limit


def tail_calls(program: Program) -> dict[str, int]:
    """Function -> slot of its first tail call."""
    found: dict[str, int] = {}
    functions = program.functions()
    for slot, kind, number, _ in program.calls():
        if kind == "helper" and number == _TAIL_CALL:
            name = next((name for name, first, count, _ in functions if first <= slot < first + count), None)
            if name is not None:
                found.setdefault(name, slot)
    return found


def recursion(program: Program) -> list[tuple[str, int]]:
    """The first circle of calls: (function, slot of its call of the next one); empty when there is none."""
    functions = program.functions()
    index = {name: at for at, (name, _, _, _) in enumerate(functions)}
    if len(index) < len(functions):
        return []  # static functions of one name: which one is called is not said
    calls: dict[int, dict[int, int]] = {}
    for slot, kind, _, name in program.calls():
        if kind == "subprog" and name in index:
            caller = next((at for at, (_, first, count, _) in enumerate(functions) if first <= slot < first + count), 0)
            calls.setdefault(caller, {}).setdefault(index[name], slot)
    done: set[int] = set()
    for root in calls:
        path: list[int] = []
        todo = [(root, iter(calls.get(root, ())))]
        while todo:
            at, callees = todo[-1]
            if not path or path[-1] != at:
                path.append(at)
            below = next(callees, None)
            if below is None:
                done.add(at)
                path.pop()
                todo.pop()
            elif below in path:
                circle = path[path.index(below) :]
                after = [*circle[1:], below]
                return [(functions[one][0], calls[one][other]) for one, other in zip(circle, after, strict=True)]
            elif below not in done:
                todo.append((below, iter(calls.get(below, ()))))
    return []


class Chains:
    """The call chains of one program with the frames of their functions."""

    __slots__ = ("_detached", "_spilling", "chains", "entry", "frames", "private", "starts")

    def __init__(self, program: Program, told: dict[str, int] | None = None) -> None:
        """`told`: function -> bytes as a kernel counted them, which need no working out."""
        functions = program.functions()
        self.entry = functions[0][0]
        self.frames: dict[str, int] = {}
        self.starts: dict[str, int] = {}
        for name, first, _, own in functions:
            # Two static functions may share a name: the smaller frame is the one that is sure.
            self.frames[name] = min(own, self.frames.get(name, own))
            self.starts.setdefault(name, first)
        self.chains = [names for _, _, names in program.stack_chains()]
        self.private = program.type in _PRIVATE and program.attach_type != "trace_iter"
        self.private = self.private and _TAIL_CALL not in program.helper_numbers
        self._detached = {name for names in self.chains if names[0] != self.entry for name in names}
        self._spilling = _spilling(program) - told.keys() if told else _spilling(program)
        self.frames |= {name: size for name, size in (told or {}).items() if name in self.frames}

    def frame(self, name: str, era: Era) -> int:
        """Bytes of one function that these kernels count, not rounded."""
        own = self.frames[name]
        return max(own - _SPILLS, 0) if era.inlines and name in self._spilling else own

    def summed(self, names: list[str], era: Era) -> int:
        """Bytes of the shared stack in these functions; a single frame over the limit counts alone."""
        private = self.private and era.private and names[0] == self.entry
        total = 0
        for name in names:
            frame = era.rounded(self.frame(name, era))
            if frame > LIMIT:
                return frame
            if not (private and frame >= _PRIVATE_FROM and name not in self._detached):
                total += frame
        return total

    def deepest(self, era: Era) -> tuple[int, list[str]]:
        """(bytes as these kernels count them, functions) of the chain that needs most."""
        return max(((self.summed(names, era), names) for names in self.chains), default=(0, []), key=lambda one: one[0])

    def written(self, names: list[str]) -> str:
        """`main` 200 -> `parse` 320, for evidence."""
        return " -> ".join(f"`{name}` {self.frames[name]}" for name in names)


def _spilling(program: Program) -> set[str]:
    """Functions that spill a register right before calling a helper or kernel function: kernels may drop that slot."""
    code = program.insns()
    big = program.owner.endianness == "big"
    found: set[str] = set()
    functions = program.functions()
    for slot, kind, _, _ in program.calls():
        word = code[(slot - 1) * 8 : slot * 8] if slot else b""
        if kind not in ("helper", "kfunc") or len(word) < 2 or word[0] != _STX_DW:
            continue
        if (word[1] >> 4 if big else word[1] & 15) == _FRAME_POINTER:
            found.update(name for name, first, count, _ in functions if first <= slot < first + count)
    return found
