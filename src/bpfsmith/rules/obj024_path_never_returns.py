"""A path through a program never reaches `exit`: a Rust panic that survived, or code after which nothing comes.

## What it does
Finds reachable calls of functions that never return (Rust's panic functions, however they are called), panic handlers
inlined into a Rust program as an endless loop, `__bpf_trap`, and functions that run off their end because the compiler
took it for unreachable (`unreachable_unchecked`, `__builtin_unreachable`, a missing `return`), down to functions of
which nothing is left but the name. Shown is the line that leads there.

## Why is this bad
Every function must end in `exit` or a jump, so the verifier refuses one that ends in the call of a panic function:
`last insn is not an exit or jmp`. An endless loop it can reach ends in `infinite loop detected`; only where it can
prove by itself that the path is dead does the program load, and that differs between kernels.

## Example
```rust
#[xdp]
pub fn count(ctx: XdpContext) -> u32 {
    let weight = WEIGHTS[index(&ctx)];
    ...
}
```

## Use instead
```rust
#[xdp]
pub fn count(ctx: XdpContext) -> u32 {
    let Some(weight) = WEIGHTS.get(index(&ctx)) else { return xdp_action::XDP_PASS };
    ...
}
```

## Fix
Return a verdict where the operation fails: `get` in place of an index, `let .. else` for `unwrap`, `checked_div` or a
test for zero before a division, `wrapping_add` where overflow checks are on. In C, return on every path.

## Kernels
All; `__bpf_trap` is known to Linux 6.17 and later, which refuses a program that reaches it.

## Source
`check_subprogs` and `is_state_visited` in `kernel/bpf/verifier.c`; reproduced with rustc 1.96 and bpf-linker 0.13.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix, Label
from bpfsmith.model.program import is_panic
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._flow import Flow
from bpfsmith.rules._object import linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding, Span
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

_TRAP = "__bpf_trap"
# Part of the panic function's symbol -> (what happens, what to write instead).
_CAUSES = (
    ("panic_bounds_check", "the panic of an index out of bounds", "use `get`, or test the index before"),
    ("index_fail", "the panic of a slice out of bounds", "use `get`, or test the bounds before"),
    ("index_len_fail", "the panic of a slice out of bounds", "use `get`, or test the bounds before"),
    ("index_order_fail", "the panic of a slice out of bounds", "use `get`, or test the bounds before"),
    ("div_by_zero", "the panic of a division by zero", "use `checked_div`, or test for zero before"),
    ("rem_by_zero", "the panic of a division by zero", "use `checked_rem`, or test for zero before"),
    ("overflow", "the panic of an arithmetic overflow", "use `wrapping_..` or `checked_..` arithmetic"),
    ("unwrap_failed", "the panic of `unwrap()` of nothing", "use `let .. else` or `?`"),
    ("expect_failed", "the panic of `expect()` of nothing", "use `let .. else` or `?`"),
    ("len_mismatch_fail", "the panic of a copy between slices of different length", "copy what `get` returns"),
)
_OTHER = ("a panic", "return a verdict or an error instead")


class PathNeverReturns(ObjectRule):
    severity = "error"
    group = "programs"
    phase = "verify"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        gone = [text for kind, text in obj.notes if kind == "function-without-instructions"]
        yield from (self.finding(ctx, text, obj=obj, fixes=[Fix("display", "return on every path")]) for text in gone)
        for program in linkable(obj):
            yield from self._program(obj, ctx, program)

    def _program(self, obj: Object, ctx: CheckContext, program: Program) -> Iterator[Finding]:
        endless = program.endless()
        # Of helpers the name is not wanted here, and naming them takes time.
        suspects = [call for call in program.native.calls() if call[1] in ("subprog", "kfunc")]
        flow = Flow(program, suspects)
        if not endless and not suspects and flow.ends_well(0):
            return
        said: set[int] = set()
        for slot, kind, _, name in suspects:
            function = flow.function_at(slot)
            if not flow.returns(function) and function != 0:
                continue  # inside a panic function: its caller is shown
            if kind == "kfunc":
                ends = name == _TRAP or is_panic(name)
            else:
                ends = not flow.returns(flow.function_at(flow.callee(slot)))
            if ends:
                said.add(function)
                yield self._panic(obj, ctx, program, flow, slot, name)
        if _is_rust(program):
            for slot in endless:
                function = flow.function_at(slot)
                if (flow.returns(function) or function == 0) and function not in said and not flow.is_exit(slot):
                    said.add(function)
                    yield self._endless(obj, ctx, program, flow, slot)
        for index, (name, first, count, _) in enumerate(program.functions()):
            if not flow.ends_well(index) and index not in said and (flow.returns(index) or index == 0):
                yield self._off_end(obj, ctx, program, name, first + count - 1)

    def _panic(self, obj: Object, ctx: CheckContext, program: Program, flow: Flow, slot: int, name: str) -> Finding:
        if name == _TRAP:
            what, help_ = "code the compiler took for unreachable", "return on every path; initialise every variable"
        elif not _is_rust(program) and not is_panic(name):
            what, help_ = f"`{name}`, which never returns,", _OTHER[1]
        else:
            what, help_ = next(((what, fix) for part, what, fix in _CAUSES if part in name), _OTHER)
        refused = not flow.all_end_well() or name == _TRAP
        why = (
            "the verifier refuses it: the last instruction of a function is neither `exit` nor a jump"
            if refused
            else "the verifier refuses an endless loop it can reach"
        )
        return self.finding(
            ctx,
            f"{what} can still be reached here",
            obj=obj,
            program=program,
            slot=slot,
            severity=None if refused else "warning",
            evidence=[Evidence("object", f"slot {slot} calls `{name}`"), Evidence("fact", why)],
            fixes=[Fix("display", help_)],
        )

    def _endless(self, obj: Object, ctx: CheckContext, program: Program, flow: Flow, slot: int) -> Finding:
        spans = _callers(obj, ctx, program, flow, slot)
        return self.finding(
            ctx,
            "a panic can still be reached here and ends in an endless loop",
            obj=obj,
            program=program,
            span=spans[0] if spans else None,
            severity="warning",
            evidence=[
                Evidence("object", f"no `exit` can be reached from slot {slot}"),
                Evidence("fact", "the verifier refuses an endless loop it can reach"),
            ],
            labels=[Label(span, "and from here") for span in spans[1:4]],
            fixes=[Fix("display", _OTHER[1])],
        )

    def _off_end(self, obj: Object, ctx: CheckContext, program: Program, name: str, last: int) -> Finding:
        return self.finding(
            ctx,
            f"function `{name}` runs off its end here: the compiler took what follows for unreachable",
            obj=obj,
            program=program,
            slot=last,
            evidence=[Evidence("fact", "the verifier refuses it: `last insn is not an exit or jmp`")],
            fixes=[Fix("display", "return on every path")],
        )


def _is_rust(program: Program) -> bool:
    return any(file.endswith(".rs") for file in program.files())


def _callers(obj: Object, ctx: CheckContext, program: Program, flow: Flow, slot: int) -> list[Span]:
    """Lines that lead to an endless loop: who the panic handler was inlined into, else what comes before it."""
    frames = program.inline_frames(slot)
    last = max((at for at, frame in enumerate(frames) if is_panic(frame[0])), default=-1)
    if last >= 0:
        for _, path, line, column in frames[last + 1 :]:
            if not ctx.sources.foreign(path) and (span := ctx.sources.span(path, line, column, obj.path)) is not None:
                return [span]
    spans = [ctx.span(program, jump, obj) for jump in flow.leading_to(slot)]
    return list({(span.path, span.line): span for span in spans if span is not None}.values())


RULE = PathNeverReturns()
