"""A slice method that panics when lengths do not fit gets lengths the compiler cannot know.

## What it does
Finds `copy_from_slice` and `clone_from_slice` between two slices whose lengths are written differently and are not
constant, and `split_at`, `split_at_mut`, `rotate_left` and `rotate_right` at an index that nothing bounds, in
kernel crates.

## Why is this bad
Where the compiler cannot prove that the lengths agree, it keeps the panic: the verifier refuses the program with
"last insn is not an exit or jmp" or "infinite loop detected".

## Example
```rust
event.name[..copied].copy_from_slice(&buffer[..length]);
let (head, rest) = buffer.split_at(length);
```

## Use instead
```rust
let (Some(to), Some(from)) = (event.name.get_mut(..length), buffer.get(..length)) else { return 0 };
to.copy_from_slice(from);
let Some((head, rest)) = buffer.split_at_checked(length) else { return 0 };
```

## Fix
Display: give both sides one length, and take them with `get` and `get_mut`.

## Kernels
All.

## Source
Reproduced with rustc 1.96 and bpf-linker 0.13 on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import bounded, guarded, is_constant
from bpfsmith.rules._kernel_code import bare, code_files, counts
from bpfsmith.rules._rust import cited, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_COPIES = ("copy_from_slice", "clone_from_slice")
_SPLITS = ("split_at", "split_at_mut", "rotate_left", "rotate_right")


def _end(expr: Expr | None) -> Expr | None:
    """The upper bound `n` of `x[..n]` (or `x[0..n]`); None for anything else."""
    expr = bare(expr) if expr is not None else None
    if expr is None or expr.kind != "index":
        return None
    range_ = expr.operands[1]
    if range_ is None or range_.kind != "range" or range_.fields[2]:
        return None
    start = expr.file.expr(range_.fields[0])
    if start is not None and start.integer != 0:
        return None
    return expr.file.expr(range_.fields[1])


class SlicesOfUnequalLength(SourceRule):
    severity = "warning"
    group = "no-std"
    phase = "verify"
    words = (*_COPIES, *_SPLITS)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *self.words):
            for call in file.methods(*_COPIES):
                to, source = _end(call.receiver), _end(call.args[0]) if len(call.args) == 1 else None
                if to is None or source is None or " ".join(to.text.split()) == " ".join(source.text.split()):
                    continue
                if is_constant(to) or is_constant(source) or guarded(call, to) or guarded(call, source):
                    continue
                if counts(call):
                    yield self.finding(
                        ctx,
                        f"`{call.name}` panics unless {cited(to.text)} and {cited(source.text)} are equal,"
                        " and the verifier refuses a program with a panic path",
                        span=place(ctx, file, call.fields[2], call.end),
                        fixes=[Fix("display", "give both sides one length, with `get_mut(..n)` and `get(..n)`")],
                    )
            for call in file.methods(*_SPLITS):
                if len(call.args) != 1 or is_constant(call.args[0]) or not counts(call):
                    continue
                if bounded(call, call.args[0]) or bare(call.args[0]).kind in ("method", "call", "field"):
                    continue
                yield self.finding(
                    ctx,
                    f"`{call.name}` panics when {cited(call.args[0].text)} is past the end,"
                    " and the verifier refuses a program with a panic path",
                    span=place(ctx, file, call.fields[2], call.end),
                    fixes=[Fix("display", "use `split_at_checked`, or test the index before")],
                )


RULE = SlicesOfUnequalLength()
