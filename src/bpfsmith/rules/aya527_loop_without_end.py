"""A loop that nothing leaves.

## What it does
Finds `loop` and `while true` without `break`, `return` or `?` in kernel-side functions that return. The panic
handler, which must loop, is left alone.

## Why is this bad
The verifier walks every path to its exit; this one has none: "infinite loop detected", and before 5.3, which allowed
no loops at all, "back-edge".

## Example
```rust
loop {
    let Some(event) = QUEUE.pop().ok().flatten() else { continue };
    handle(event);
}
```

## Use instead
```rust
for _ in 0..64 {
    let Some(event) = QUEUE.pop().ok().flatten() else { break };
    handle(event);
}
```

## Fix
Display: count with a constant bound, or leave the loop with `break`.

## Kernels
All.

## Source
Kernel, `is_state_visited` in `kernel/bpf/verifier.c`; reproduced on Linux 5.10 to 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._rust import place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_LOOPS = ("loop", "while", "for")


def _left(loop: Expr) -> bool:
    """Whether anything may leave it: `break` of its own or a labelled one, `return`, `?`, a macro, a call that ends."""
    for one in loop.within():
        if one.kind in ("return", "try", "tokens", "macro"):
            return True
        if one.kind == "break":
            if one.text[5:].lstrip().startswith("'"):
                return True
            inner = next((at for at in one.ancestors() if at.kind in (*_LOOPS, "closure")), None)
            if inner == loop:
                return True
    return False


class LoopWithoutEnd(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "verify"
    words = ("loop", "while")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "loop", "while"):
            for loop in file.of_kind("loop", "while"):
                if loop.kind == "while":
                    condition = loop.expr_of_condition()
                    if condition is None or condition.text != "true":
                        continue
                item = loop.item
                if item is None or item.type.strip() == "!" or not counts(loop) or _left(loop):
                    continue
                yield self.finding(
                    ctx,
                    "nothing leaves this loop, and the verifier refuses a program that does not end",
                    span=place(ctx, file, loop.start, loop.start + len(loop.kind)),
                    fixes=[Fix("display", "count with a constant bound, or leave it with `break`")],
                )


RULE = LoopWithoutEnd()
