"""Kernel code computes with floating point numbers.

## What it does
Finds arithmetic and comparisons with `f32` or `f64` literals or casts, and casts to and from them, in functions of
kernel crates. Constants are left alone: the compiler computes those.

## Why is this bad
BPF has no floating point instructions, and no library to stand in: bpf-linker stops with "A call to built-in function
'__muldf3' is not supported" (or `__floatundidf`, `__gtsf2`, ..).

## Example
```rust
let rate = bytes as f64 * 0.8;
```

## Use instead
```rust
let rate = bytes * 8 / 10;      // or a fixed point: value * 1024
```

## Fix
Display: compute with integers, scaled where needed, and divide in user space.

## Kernels
All.

## Source
Reproduced with rustc 1.96, LLVM 22.1 and bpf-linker 0.13.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import bare, code_files, counts, local
from bpfsmith.rules._rust import cited, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_TYPES = ("f32", "f64")
_OPERATORS = frozenset({"+", "-", "*", "/", "%", "<", "<=", ">", ">=", "+=", "-=", "*=", "/="})


def _floating(expr: Expr | None, depth: int = 0) -> bool:  # noqa: PLR0911 - one return a kind
    """Whether a value certainly is a floating point number."""
    if expr is None or depth > 6:
        return False
    if expr.kind == "cast":
        return expr.cast_type.strip() in _TYPES
    if expr.kind == "lit":
        return expr.literal == "float"
    if expr.kind == "binary":
        return expr.op in "+-*/%" and any(_floating(one, depth + 1) for one in expr.operands)
    if expr.kind in ("paren", "unary"):
        return _floating(expr.inner, depth + 1)
    found = local(expr)
    if found is None:
        return False
    if found.type:
        return found.type.strip() in _TYPES
    init = found.let.init if found.let is not None and found.kind == "let" else None
    return _floating(init, depth + 1)


def _constant(expr: Expr) -> bool:
    """Made of literals only: folded away."""
    return all(one.kind in ("lit", "binary", "paren", "unary", "cast") for one in expr.within())


class FloatingPoint(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "link"
    words = ("f32", "f64")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *_TYPES):
            done: set[int] = set()
            wide = [one for one in file.of_kind("cast") if _floating(one) or _floating(one.inner)]
            wide.extend(
                one for one in file.of_kind("binary") if one.op in _OPERATORS and any(map(_floating, one.operands))
            )
            for expr in sorted(wide, key=lambda one: (one.start, -one.end)):
                item = expr.item
                if item is None or item.id in done or not counts(expr) or _constant(expr):
                    continue
                if bare(expr).literal == "float":
                    continue
                done.add(item.id)  # one finding a function: the first place
                yield self.finding(
                    ctx,
                    f"{cited(expr.text)} needs floating point numbers, which BPF does not have",
                    span=place(ctx, file, expr.start, expr.end),
                    fixes=[Fix("display", "compute with scaled integers, or in user space")],
                )


RULE = FloatingPoint()
