"""A check that a packet has its first byte is lost on the verifier.

## What it does
Finds comparisons of `ctx.data() + 1` with `ctx.data_end()` that stand before a read of the first byte, in kernel
crates.

## Why is this bad
LLVM turns `start + 1 > end` into `start >= end`, which says the same. The verifier learns how much may be read from
the offset in the comparison, and at offset 0 it learns nothing: "R2 offset is outside of the packet" for a read that
is checked as it should be. At any other offset, and for two bytes or more, the comparison keeps its number.

## Example
```rust
let start = ctx.data();
if start + 1 > ctx.data_end() {
    return Err(());
}
let first = unsafe { *(start as *const u8) };
```

## Use instead
```rust
let start = ctx.data();
if start + size_of::<EthHdr>() > ctx.data_end() {
    return Err(());
}
let first = unsafe { *(start as *const u8) };
```

## Fix
Display: check for the whole header that is going to be read, two bytes at least.

## Kernels
All up to 7.3.

## Source
Kernel, `find_good_pkt_pointers` ("This doesn't give us any range"); reproduced with rustc 1.96 and LLVM 22.1 on Linux
5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._packet import accessor, pointer
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.layout import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_SIDES = {">": (0, 1), "<=": (0, 1), "<": (1, 0), ">=": (1, 0)}


def _one_byte(comparison: Expr) -> bool:
    """`start + 1` on the left or right of a comparison with the end."""
    sides = _SIDES.get(comparison.op)
    if sides is None:
        return False
    start, end = comparison.operands[sides[0]], comparison.operands[sides[1]]
    first = pointer(start) if start is not None else None
    last = pointer(end) if end is not None else None
    if first is None or last is None or first[0] != "data" or last != ("data_end", []):
        return False
    added = [constant(one.file, one.text, one.item) for one in first[1]]
    return None not in added and sum(one or 0 for one in added) == 1


def _first_byte_read(comparison: Expr) -> bool:
    """Whether the function reads one byte at the start of the packet."""
    item = comparison.item
    if item is None or item.expr is None:
        return False
    for one in item.expr.within("unary", "method"):
        target = one.inner if one.kind == "unary" and one.op == "*" else one.receiver if one.name == "read" else None
        found = pointer(target) if target is not None else None
        if found is not None and found[0] == "data" and not found[1] and one.start > comparison.start:
            return True
    return False


class OneByteCheckedAtTheStart(SourceRule):
    severity = "error"
    group = "unsafe"
    phase = "verify"
    words = ("data_end",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "data_end"):
            if not any(accessor(one) for one in file.methods("data_end")):
                continue
            for comparison in file.of_kind("binary"):
                if _one_byte(comparison) and counts(comparison) and _first_byte_read(comparison):
                    yield self.finding(
                        ctx,
                        f"{cited(comparison.text)} becomes `start >= end`, from which the verifier learns nothing",
                        span=covered(ctx, comparison),
                        fixes=[Fix("display", "check for the whole header that is read, two bytes at least")],
                    )


RULE = OneByteCheckedAtTheStart()
