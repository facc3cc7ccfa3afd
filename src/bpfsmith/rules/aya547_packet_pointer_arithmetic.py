"""Arithmetic on a packet pointer that the verifier does not follow.

## What it does
Finds `&`, `|`, `^`, `<<`, `>>`, `*`, `/` and `%` on `ctx.data()` or `ctx.data_end()`, or on a local that holds one of
them, also with an offset added, in kernel crates. Differences of two pointers are numbers and left alone.

## Why is this bad
The verifier knows a packet pointer plus or minus a number, and nothing else: the program is refused ("math between
pkt pointer and .. is not allowed", "pointer arithmetic with &= operator prohibited").

## Example
```rust
let aligned = (ctx.data() + offset) & !3;
```

## Use instead
```rust
let aligned = ctx.data() + (offset & !3);
```

## Fix
Display: compute the offset first, and add it to the pointer.

## Kernels
All.

## Source
Kernel, `adjust_ptr_min_max_vals` in `kernel/bpf/verifier.c`; reproduced on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._packet import pointer
from bpfsmith.rules._rust import cited, covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_OPERATORS = frozenset({"&", "|", "^", "<<", ">>", "*", "/", "%", "&=", "|=", "^=", "<<=", ">>="})


class PacketPointerArithmetic(SourceRule):
    severity = "error"
    group = "unsafe"
    phase = "verify"
    words = ("data", "data_end")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "data", "data_end"):
            if not any(True for _ in file.methods("data", "data_end")):
                continue
            for expr in file.of_kind("binary"):
                if expr.op not in _OPERATORS:
                    continue
                left, right = expr.operands
                if not any(one is not None and pointer(one) is not None for one in (left, right)) or not counts(expr):
                    continue
                yield self.finding(
                    ctx,
                    f"{cited(expr.text)}: the verifier only knows packet pointers plus or minus a number",
                    span=covered(ctx, expr),
                    fixes=[Fix("display", "compute the offset first, and add it to the pointer")],
                )


RULE = PacketPointerArithmetic()
