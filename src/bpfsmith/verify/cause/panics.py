"""Panics whose way has no end, and traps that compilers put where the code says that nothing comes."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace

__all__ = ["NEAR", "meant", "panic_cause", "panicking", "trap", "trapped"]

NEAR = 200  # steps looked back for a panic
# Parts of paths, function names and source lines that only a panic's way has.
_PANIC = (
    "core/src/panicking.rs", "panicking", "unreachable_unchecked", "unwrap_failed", "expect_failed",
    "panic_bounds_check", "slice_index_fail", "slice_start_index", "slice_end_index", "panic_impl", "panic_handler",
    "rust_begin_unwind",
)  # fmt: skip


def panicking(trace: Trace, step: Step, far: int = NEAR) -> Place | None:
    """The user's own line that can panic, when the path came through a panic to `step`; None when it did not."""
    told: Step | None = None
    for former in (step, *trace.steps.back(step.at, far)):
        place = trace.place(former.slot)
        name = parts.function(trace, former.slot) or ""
        where = f"{place.path or ''} {place.text or ''} {place.function or ''}" if place is not None else ""
        if any(part in where or part in name for part in _PANIC):
            told = former
        elif told is not None and place is not None and place.own:
            return place
        elif told is not None and (found := trace.own_place(former)) is not None and found.own:
            return found
    if told is not None:
        return trace.own_place(told)
    return None


def panic_cause(trace: Trace, step: Step, place: Place, what: str) -> Cause:
    """`place` can panic, and `what` became of the panic's way, which ends at `step`."""
    return parts.cause(
        trace,
        "panic-or-unreachable",
        "high",
        f"`{place.text or 'this line'}` can panic, and {what}",
        place=place,
        because=[
            Fact(None, place, "this can panic"),
            trace.fact(step, "the panic's way ends without leaving the program: what follows it is other code"),
        ],
        advice=[
            Advice(
                "avoid-panic",
                "use what cannot panic (`get()`, `checked_div()`, a match instead of `unwrap()`), or make the panic "
                "handler `loop {}` instead of `unreachable_unchecked()`, so that the compiler keeps the ways apart",
            )
        ],
    )


def trapped(trace: Trace) -> Cause:
    """A call of `__bpf_trap`: on a panic's way, where nothing should come, or where a variable was never set."""
    step = trace.last
    if step is None:
        return parts.cause(trace, "uninitialised", "low", "the compiler found a value that is never set", slot=None)
    panic = panicking(trace, step)
    if panic is not None:
        return panic_cause(trace, step, panic, "the compiler was told that it never does")
    if not parts.rust(trace) and meant(trace):
        return trap(trace)
    if parts.rust(trace):
        return parts.cause(
            trace,
            "panic-or-unreachable",
            "medium",
            "the compiler put a trap where the code says that nothing comes (`unreachable_unchecked`, a panic handler)",
            step=step,
            because=[trace.fact(step, "the trap stands here")],
            advice=[
                Advice("avoid-panic", "make the panic handler `loop {}`, and return an error where this can happen")
            ],
        )
    return parts.cause(
        trace,
        "uninitialised",
        "medium",
        "the compiler saw that a variable is used before it is set on this path, and put a trap here",
        step=step,
        because=[trace.fact(step, "the trap stands here: no value would be right")],
        advice=[Advice("initialise", "give every variable used here a value where it is declared")],
    )


def meant(trace: Trace) -> bool:
    """A person wrote that nothing may come here: the line says so, or is the condition's too that leads here alone
    (an assertion of a macro)."""
    step = trace.last
    here = trace.own_place(step) if step is not None else None
    if step is None or here is None:
        return False
    if any(word in (here.text or "").lower() for word in ("unreachable", "trap", "abort", "assert", "bug_on")):
        return True
    former = next(iter(trace.steps.back(step.at, 1)), None)
    return former is not None and code.conditional(former.insn) and here.same_line(trace.own_place(former))


def trap(trace: Trace) -> Cause:
    """`__builtin_unreachable()` on a way the verifier can go: compilers from LLVM 21 on call `__bpf_trap` there, which
    kernels before 6.16 do not have."""
    return parts.cause(
        trace, "panic-or-unreachable", "high",
        "the code says that nothing comes here, and the compiler put a trap (`__bpf_trap`) there: the verifier comes",
        step=trace.last,
        because=[trace.fact(trace.last, "the trap stands here")] if trace.last is not None else [],
        advice=[Advice("avoid-unreachable", "return a value here")],
    )  # fmt: skip
