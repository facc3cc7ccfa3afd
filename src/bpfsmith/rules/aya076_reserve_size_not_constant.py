"""`reserve_bytes` gets a size that is only known when the program runs.

## What it does
Finds `reserve_bytes` of ring buffers whose size comes from the context, a helper, a map or a packet, directly or
through locals. Sizes that may be constants (parameters, generics) are left alone.

## Why is this bad
The verifier must know how much memory the entry has: the size has to be one constant, a bounded number is not enough.
The program is refused with "R2 is not a known constant".

## Example
```rust
let mut entry = EVENTS.reserve_bytes(ctx.len() as usize, 0).ok_or(1)?;
```

## Use instead
```rust
let mut entry = EVENTS.reserve::<Packet>(0).ok_or(1)?; // a struct with room for the longest, and a length
```

## Fix
Display: reserve a fixed size, or copy from a per-CPU array with `output`.

## Kernels
From 5.8 on, which brought ring buffers.

## Source
Kernel, `ARG_CONST_ALLOC_SIZE_OR_ZERO` in `kernel/bpf/verifier.c`; `aya_ebpf::maps::RingBuf::reserve_bytes`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import given, kernel_map
from bpfsmith.rules._rust import cited, covered, kernel_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"})


def _runtime(expr: Expr, depth: int = 0) -> bool:  # noqa: PLR0911
    """Whether a number certainly comes from what the program sees when it runs."""
    made = given(expr)
    if depth > 8:
        return False
    if made.kind == "binary" and made.op in _ARITHMETIC:
        return any(one is not None and _runtime(one, depth + 1) for one in made.operands)
    if made.kind == "method":
        known = type_of(made.receiver)
        if known is not None and known.within("aya_ebpf::programs", "aya_bpf::programs"):
            return True
        if made.name in ("min", "max", "clamp", "saturating_sub", "wrapping_sub", "wrapping_add", "saturating_add"):
            return made.receiver is not None and _runtime(made.receiver, depth + 1)
        return kernel_map(made)
    if made.kind == "call" and made.callee is not None and made.callee.kind == "path":
        path = resolve(made.file, made.callee.path, made.item)
        if path is not None and path.startswith(("aya_ebpf::helpers::", "aya_bpf::helpers::")):
            return True
        return made.callee.path.endswith("::from") and len(made.args) == 1 and _runtime(made.args[0], depth + 1)
    return False


class ReserveSizeNotConstant(SourceRule):
    severity = "error"
    group = "maps"
    phase = "verify"
    words = ("reserve_bytes",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.methods("reserve_bytes"):
                if len(call.args) != 2 or not kernel_map(call, "RingBuf") or not _runtime(call.args[0]):
                    continue
                yield self.finding(
                    ctx,
                    f"{cited(call.args[0].text)} is no constant: the verifier refuses a reservation of unknown size",
                    span=covered(ctx, call.args[0]),
                    fixes=[Fix("display", "reserve a fixed size, or hand a slice to `output`")],
                )


RULE = ReserveSizeNotConstant()
