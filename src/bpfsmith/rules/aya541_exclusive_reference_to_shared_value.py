"""A `&mut` to a map value that all CPUs share.

## What it does
Finds `&mut *ARRAY.get_ptr_mut(index)` with a constant index on an `Array` in kernel crates: one entry that every run
of the program uses, on every CPU. Per-CPU maps, and entries that a lock guards, are left alone.

## Why is this bad
`&mut` promises the compiler that nobody else reads or writes the value meanwhile; here every other CPU may. Updates
get lost (`stats.packets += 1` is a load, an addition and a store), and the compiler may keep the value in a register
for as long as the reference lives.

## Example
```rust
let stats = unsafe { &mut *STATS.get_ptr_mut(0).ok_or(())? };
stats.packets += 1;
```

## Use instead
```rust
#[map]
static STATS: PerCpuArray<Stats> = PerCpuArray::with_max_entries(1, 0);
let stats = unsafe { &mut *STATS.get_ptr_mut(0).ok_or(())? };
stats.packets += 1;
```

## Fix
Display: a per-CPU array for what is counted, raw pointers for what is set.

## Kernels
All.

## Source
The Rust reference, behavior considered undefined; measured on Linux 6.18: two CPUs on one counter 3.9 times slower
each.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import is_constant
from bpfsmith.rules._hot import hot
from bpfsmith.rules._kernel_code import bare, code_files, counts, local, map_call, origin
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _reference(call: Expr) -> Expr | None:
    """The `&mut *..` around a lookup, through `?`, unwrapping and brackets."""
    child = call
    for at in call.ancestors():
        if at.kind in ("try", "paren") or (at.kind == "block" and not at.fields[1]):
            child = at
            continue
        if at.kind == "method" and at.receiver == child and at.name in ("unwrap", "ok_or", "ok_or_else", "expect"):
            child = at
            continue
        if at.kind == "unary" and at.op == "*":
            outer = at.parent
            return outer if outer is not None and outer.kind == "ref" and outer.fields[0] else None
        return None
    return None


class ExclusiveReferenceToSharedValue(SourceRule):
    severity = "note"
    group = "unsafe"
    phase = "silent"
    words = ("get_ptr_mut",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "get_ptr_mut"):
            if file.has("bpf_spin_lock"):
                continue
            for expr in file.methods("get_ptr_mut"):
                call = map_call(expr)
                if call is None or call.kind != "Array" or call.key is None or not is_constant(call.key):
                    continue
                reference = _reference(expr) or _given_to_one(expr)
                if reference is not None and counts(expr) and not _counted(expr):
                    yield self.finding(
                        ctx,
                        f"`&mut` to an entry of `{call.short}`, which all CPUs share: none of them has it for itself",
                        span=covered(ctx, reference),
                        fixes=[
                            Fix("display", "count in a `PerCpuArray`; write what is shared through the raw pointer")
                        ],
                    )


def _counted(call: Expr) -> bool:
    """For every packet something is added through it: AYA600 says what to do."""
    item = call.item
    if item is None or item.expr is None or hot(item) is None:
        return False
    for one in item.expr.within("binary"):
        at = one.operands[0] if one.op == "+=" else None
        while at is not None and at.kind in ("field", "index", "paren"):
            at = at.inner if at.kind == "paren" else at.receiver
        if at is not None and origin(at) == call:
            return True
    return False


def _given_to_one(call: Expr) -> Expr | None:
    """`if let Some(x) = MAP.get_ptr_mut(0) { let y = &mut *x; .. }` and kin: the `&mut *x` of what the lookup gave."""
    item = call.item
    if item is None or item.expr is None:
        return None
    for one in item.expr.within("ref"):
        inner = one.inner
        if (
            one.fields[0]
            and inner is not None
            and inner.kind == "unary"
            and inner.op == "*"
            and inner.inner is not None
        ):
            at = bare(inner.inner)
            if local(at) is not None and origin(at) == call:
                return one
    return None


RULE = ExclusiveReferenceToSharedValue()
