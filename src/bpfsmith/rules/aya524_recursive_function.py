"""Kernel-side functions call each other in a circle.

## What it does
Follows the calls inside a kernel crate (paths, methods of the crate's own types, functions handed to `map`,
`bpf_loop` and the like) and finds functions that reach themselves. A function whose only way back is its last act is
left alone: the compiler makes a loop of that.

## Why is this bad
BPF has no stack to recurse on. The verifier follows calls at most 8 deep, and refuses the circle before it looks at
any bound: "back-edge from insn .. to .." up to 6.1, "the call stack of 9 frames is too deep" later.

## Example
```rust
fn depth(node: u64, left: u32) -> u32 {
    if left == 0 { 0 } else { 1 + depth(parent(node), left - 1) }
}
```

## Use instead
```rust
let mut depth = 0;
for _ in 0..16 {
    let Some(next) = parent(node) else { break };
    node = next;
    depth += 1;
}
```

## Fix
Display: write a loop with a constant bound.

## Kernels
All.

## Source
Reproduced with rustc 1.96 and bpf-linker 0.13 on Linux 5.10, 6.1, 6.12, 6.18 and 7.3; kernel, `MAX_CALL_FRAMES`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files
from bpfsmith.rules._rust import covered
from bpfsmith.source.calls import graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.calls import Call
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _last_act(expr: Expr) -> bool:
    """Whether the function returns what the call returns: its tail, or a `return`, as it is."""
    child = expr
    for at in expr.ancestors():
        if at.kind == "return":
            return True
        if at.kind == "block":
            if at.tail != child:
                return False
        elif at.kind == "if":
            if at.expr_of_condition() == child:
                return False
        elif at.kind == "match":
            if at.file.expr(at.fields[0]) == child:
                return False
        elif at.kind != "paren":
            return False
        child = at
    return True


class Recursion(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "verify"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        seen: set[str] = set()
        for file in code_files(project):
            if file.crate is None or file.root in seen:
                continue
            seen.add(file.root)
            calls = graph(file.crate, file)
            for ring in calls.cycles():
                if not _certain(ring) or not calls.programs_of(ring[0].caller):
                    continue
                names = [f"`{call.caller.name}`" for call in ring]
                message = (
                    f"{names[0]} calls itself"
                    if len(ring) == 1
                    else f"{names[0]} calls itself through {' and '.join(names[1:])}"
                )
                yield self.finding(
                    ctx,
                    f"{message}: the verifier refuses recursion",
                    span=covered(ctx, ring[0].expr),
                    labels=[Label(covered(ctx, call.expr), "and this call leads back") for call in ring[1:]],
                    fixes=[Fix("display", "write a loop with a constant bound")],
                )


def _certain(ring: list[Call]) -> bool:
    return not all(_last_act(call.expr) for call in ring)


RULE = Recursion()
