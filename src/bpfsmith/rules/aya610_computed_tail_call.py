"""A tail call for every packet goes to an index that is computed.

## What it does
Finds `tail_call` of a `ProgramArray` with an index that is not constant in functions that run for every packet or at
every event of a busy tracepoint.

## Why is this bad
When each tail call has a constant index, the kernel makes it a jump: 0.9 ns. A computed one goes through the array
and an indirect jump: 9.2 ns (Linux 6.18, with retpolines; 20 to 30 ns on 5.4). A `match` with a tail call in each arm
keeps the choice, as long as the choices are few.

## Example
```rust
unsafe { STAGES.tail_call(&ctx, u32::from(proto)) };
```

## Use instead
```rust
match proto {
    TCP => unsafe { STAGES.tail_call(&ctx, 0) },
    UDP => unsafe { STAGES.tail_call(&ctx, 1) },
    _ => return xdp_action::XDP_PASS,
}
```

## Fix
Display: one tail call with a constant index for each choice.

## Kernels
5.5 and later make constant ones a jump, on x86-64 first.

## Source
Kernel, commit 428d5df1fa4f; measured on Linux 6.18: take the ratio.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import is_constant
from bpfsmith.rules._hot import hot
from bpfsmith.rules._kernel_code import code_files, counts, local, map_call
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.layout import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _computed(index: Expr) -> bool:
    """Certainly not constant: made of a local or a field that is not."""
    if is_constant(index) or constant(index.file, index.text, index.item) is not None:
        return False
    at = index
    while at.kind in ("paren", "cast", "unary") and at.inner is not None:
        at = at.inner
    held = local(at)
    if at.kind == "path":
        return held is not None and held.kind != "param"
    return any(local(one) is not None for one in at.within("path"))


class ComputedTailCall(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = ("tail_call",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "tail_call"):
            for expr in file.methods("tail_call"):
                call = map_call(expr)
                if call is None or call.kind != "ProgramArray" or len(expr.args) != 2 or not _computed(expr.args[1]):
                    continue
                busy = hot(expr.item)
                if busy is not None and counts(expr):
                    yield self.finding(
                        ctx,
                        f"the index {cited(expr.args[1].text)} is computed {busy.what}: constant ones become a jump",
                        span=covered(ctx, expr.args[1]),
                        fixes=[Fix("display", "`match` on it, with a tail call at a constant index in each arm")],
                    )


RULE = ComputedTailCall()
