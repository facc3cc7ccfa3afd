"""Two mutable references to one map value are alive at once.

## What it does
Finds a local `&mut *MAP.get_ptr_mut(key)` that is used after a second `&mut` to the same entry of the same map was
made, in kernel crates.

## Why is this bad
Rust's compiler takes it as given that nothing else points to what a `&mut` points to: it keeps values in registers
across writes through the other reference, or drops those writes. What comes out changes with the compiler's version.

## Example
```rust
let stats = unsafe { &mut *STATS.get_ptr_mut(0).ok_or(())? };
let again = unsafe { &mut *STATS.get_ptr_mut(0).ok_or(())? };
again.bytes += len;
stats.packets += 1;
```

## Use instead
```rust
let stats = unsafe { &mut *STATS.get_ptr_mut(0).ok_or(())? };
stats.bytes += len;
stats.packets += 1;
```

## Fix
Display: look the entry up once, or keep raw pointers and write through them.

## Kernels
All: a matter of the language.

## Source
The Rust reference, behavior considered undefined: breaking the pointer aliasing rules.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import bare, code_files, counts, lookup, same_place
from bpfsmith.rules._rust import covered
from bpfsmith.source.flow import flow
from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let


def _mutable(let: Let) -> bool:
    """`&mut *pointer`, here or inside `unsafe { }`."""
    init = let.init
    while init is not None and init.kind in ("block", "paren"):
        init = (init.tail if not init.fields[1] else None) if init.kind == "block" else init.inner
    return (
        init is not None
        and init.kind == "ref"
        and bool(init.fields[0])
        and init.inner is not None
        and init.inner.kind == "unary"
        and init.inner.op == "*"
    )


def _borrows(block: Expr) -> list[Let]:
    return [let for let in block.lets if let.name is not None and _mutable(let)]


class ValueBorrowedTwice(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "silent"
    words = ("get_ptr_mut",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "get_ptr_mut"):
            blocks = {one.id: one for call in file.methods("get_ptr_mut") for one in call.ancestors()}
            for block in blocks.values():
                rows = _borrows(block) if block.kind == "block" else []
                if len(rows) < 2 or not counts(block):
                    continue
                yield from self._pairs(ctx, block, rows)

    def _pairs(self, ctx: CheckContext, block: Expr, rows: list[Let]) -> Iterator[Finding]:
        item = block.item
        if item is None:
            return
        paths = flow(item)
        values = [lookup(bare(let.init)) if let.init is not None else None for let in rows]
        for at, first in enumerate(rows):
            for later, second in enumerate(rows[at + 1 :], at + 1):
                one, other = values[at], values[later]
                if one is None or other is None or one.name != other.name or not same_place(one.key, other.key):
                    continue
                use = next((use for use in mentions(first) if use.start > second.end), None)
                if use is None or not paths.may_follow(other.expr, use):
                    continue
                yield self.finding(
                    ctx,
                    f"`{first.name}` and `{second.name}` are both `&mut` to one entry of `{one.short}`",
                    span=covered(ctx, use),
                    labels=[Label(covered(ctx, one.expr), "first"), Label(covered(ctx, other.expr), "second")],
                    fixes=[Fix("display", "look the entry up once, or keep raw pointers")],
                )


RULE = ValueBorrowedTwice()
