"""A loop runs as often as the packet is long, or as a map says.

## What it does
Finds `for i in 0..n` that nothing leaves early, where `n` is the packet's length (`ctx.len()`, `data_end - data`) or
a number of 32 or 64 bits out of a map, and nothing in the function bounds it, in kernel crates. The loop must call
something: sums alone the compiler turns into a formula.

## Why is this bad
The verifier walks a loop turn by turn until its bound is reached, and here there is none: "The sequence of 8193 jumps
is too complex", "BPF program is too large. Processed 1000001 insn". Before 5.3 it allowed no loops at all.

## Example
```rust
for at in 0..ctx.len() {
    sum ^= ctx.load::<u8>(at as usize).unwrap_or(0);
}
```

## Use instead
```rust
for at in 0..64 {
    if at >= ctx.len() {
        break;
    }
    sum ^= ctx.load::<u8>(at as usize).unwrap_or(0);
}
```

## Fix
Display: a constant bound, and `break` at the real one; `bpf_loop` (5.17) for many turns.

## Kernels
All.

## Source
Reproduced with rustc 1.96 and bpf-linker 0.13 on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import bounded
from bpfsmith.rules._kernel_code import code_files, counts, lookup, origin
from bpfsmith.rules._packet import pointer
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_LEAVES = ("break", "return", "try", "tokens")


def _any_number(end: Expr) -> str | None:
    """What the bound is, when it certainly can be any number."""
    at = origin(end)
    if at.kind == "method" and at.name in ("unwrap_or", "unwrap_or_default") and at.receiver is not None:
        at = origin(at.receiver)
    if at.kind == "binary" and at.op == "-":
        left, right = (pointer(one) if one is not None else None for one in at.operands)
        if left is not None and right is not None and left[0] == "data_end" and right[0] == "data":
            return "the packet's length"
    if at.kind == "method" and at.name == "len" and not at.args:
        owner = type_of(at.receiver)
        if owner is not None and owner.name in ("TcContext", "SkBuffContext") and "::programs::" in owner.path:
            return "the packet's length"
    found = lookup(at)
    if found is not None and found.args and found.args[-1].strip() in ("u32", "u64", "usize"):
        return f"a number from `{found.short}`"
    return None


class LoopBoundUnknown(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "verify"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project):
            for loop in file.of_kind("for"):
                turns = file.expr(loop.fields[3])
                while turns is not None and turns.kind == "paren":
                    turns = turns.inner
                if turns is None or turns.kind != "range" or loop.body is None:
                    continue
                end = file.expr(turns.fields[1])
                what = _any_number(end) if end is not None else None
                if end is None or what is None or bounded(loop, end) or not counts(loop):
                    continue
                if any(True for _ in loop.body.within(*_LEAVES)):
                    continue
                if any(True for _ in loop.body.within("call", "method")):
                    yield self.finding(
                        ctx,
                        f"{cited(end.text)} is {what}: the verifier gives up on a loop without a bound",
                        span=covered(ctx, turns),
                        fixes=[Fix("display", "loop to a constant, and `break` at the real end")],
                    )


RULE = LoopBoundUnknown()
