"""Do both objects do the same work? For edits that say the same in other words, beside the reason for that.

What a maker of such an edit vouches for stands in its candidate; here the two objects are held against it.
"""

from __future__ import annotations

from collections import Counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfsmith.model.program import Program
    from bpfsmith.repair.report import Candidate

__all__ = ["INSTEAD", "argued", "changed"]

_LOAD_WIDE = 0x18
# Kinds of edits that leave every instruction as it was: only what they refer to is declared in another way.
_DECLARED = frozenset({"declaration"})
# Kinds that put a call where another one of the same value was: old name -> new name.
INSTEAD = {"bpf_get_current_task": "bpf_get_current_task_btf"}


def argued(
    before: Program, after: Program, texts: Mapping[str, tuple[str, str]], done: Sequence[Candidate]
) -> tuple[str | None, str]:
    """Where no kernel runs both: (what is shown, or None, and a sentence of why). `texts`: path -> (old, new)."""
    from bpfsmith.repair.report import FAILING_BRANCH, SAME_WORK, UNSURE_BRANCH
    from bpfsmith.repair.shape import shape

    if all(one.shape == SAME_WORK for one in done):
        wrong = changed(before, after, done)
        if wrong is not None:
            return None, f"not shown to do the same: {wrong}"
        said = "; ".join(dict.fromkeys(one.why for one in done))
        return "same-work", f"{said}; the same helpers are called and the same is written"
    wrong = shape(texts, done, after.type, after.name)
    if wrong is not None:
        return None, f"not shown to do the same: {wrong}"
    returns = next((one for one in done if one.returns), None)
    said = "the only new path is the failing branch of the check that was added"
    if returns is not None:
        why = f"by convention: {returns.why}" if returns.shape == UNSURE_BRANCH else returns.why
        said += f", which returns `{returns.returns}` ({why})"
    elif not any(one.shape in (FAILING_BRANCH, UNSURE_BRANCH) for one in done):
        said = "no path was added"
    return "only-failing-branch", f"{said}; every helper call and map write is still reached"


def changed(before: Program, after: Program, done: Sequence[Candidate]) -> str | None:
    """What differs in the work of two programs, as a sentence; None when nothing does."""
    kinds = {one.kind for one in done}
    if kinds <= _DECLARED:
        return _instructions(before, after)
    old, new = _calls(before), _calls(after)
    if "typed-task" in kinds:
        for name, other in INSTEAD.items():
            count = min(old[name], new[other])
            old[name] -= count
            old[other] += count
    if "this-cpu" in kinds:
        new["bpf_this_cpu_ptr"] = old["bpf_this_cpu_ptr"]
    if "inline" in kinds:
        # A body that is put in several places has its calls as often.
        lost, fresh = set(+old) - set(+new), set(+new) - set(+old)
    else:
        lost, fresh = set(old - new), set(new - old)
    if lost:
        return f"a call of {min(lost)} is gone"
    if fresh:
        return f"a call of {min(fresh)} is new"
    stored, stores = _stores(before), _stores(after)
    if stored and not stores:
        return "nothing is written to memory any more"
    return None


def _calls(program: Program) -> Counter[str]:
    """Helper and kernel functions that are called, how often in the code that can be reached."""
    dead = set(program.unreachable())
    out: Counter[str] = Counter()
    for slot, kind, number, name in program.calls():
        if kind in ("helper", "kfunc") and slot not in dead:
            out[name or f"helper {number}"] += 1
    return out


def _stores(program: Program) -> int:
    """Writes to memory other than the stack."""
    dead = set(program.unreachable())
    return sum(
        insn.code & 7 in (2, 3) and insn.dst != 10 for insn in program.instruction_view() if insn.slot not in dead
    )


def _instructions(before: Program, after: Program) -> str | None:
    """Whether all instructions are the same, what wide loads refer to apart."""
    old, new = list(before.instruction_view()), list(after.instruction_view())
    if len(old) != len(new):
        return "the instructions are others"
    for one, other in zip(old, new, strict=True):
        if (one.slot, one.code, one.dst, one.off) != (other.slot, other.code, other.dst, other.off):
            return "the instructions are others"
        if one.code != _LOAD_WIDE and (one.src, one.imm) != (other.src, other.imm):
            return "the instructions are others"
    return None
