"""A reserved ring buffer entry that an early return neither submits nor discards.

## What it does
Finds `?` and `return` between `reserve` of a ring buffer and the `submit` or `discard` of the entry, in kernel crates.
A lookup of an array at a constant index is left out: newer kernels know that it finds something.

## Why is this bad
The verifier follows every path, and refuses a program in which one keeps the entry: "Unreleased reference".

## Example
```rust
let mut entry = EVENTS.reserve::<Event>(0).ok_or(1u32)?;
let name: *const u8 = ctx.arg(1).ok_or(1u32)?; // the entry is lost here
entry.submit(0);
```

## Use instead
```rust
let name: *const u8 = ctx.arg(1).ok_or(1u32)?;
let mut entry = EVENTS.reserve::<Event>(0).ok_or(1u32)?;
entry.submit(0);
```

## Fix
Display: do what can fail before `reserve`, or `discard` the entry before returning.

## Kernels
All that have ring buffers (5.8).

## Source
Linux, `check_reference_leak` (`kernel/bpf/verifier.c`); reproduced on 6.18; aya-ebpf, `src/maps/ring_buf.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, kernel_files, place
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_RINGS = frozenset({"aya_ebpf::maps::RingBuf", "aya_ebpf::btf_maps::RingBuf", "aya_bpf::maps::RingBuf"})
_ARRAYS = ("Array", "PerCpuArray")


def _ring(call: Expr) -> bool:
    known = type_of(call.receiver)
    return known is not None and known.path in _RINGS


def _held(call: Expr) -> tuple[str, Expr, int] | None:
    """(name of the entry, block in which it lives, offset from which it does) for `let`, `if let` and `match`."""
    at: Expr = call
    parent = at.parent
    while parent is not None and (
        parent.stripped() == call or (parent.kind == "block" and parent.tail == at and not parent.lets)
    ):
        at, parent = parent, parent.parent
    if parent is None:
        return None
    if parent.kind == "block":
        let = next((one for one in parent.lets if one.init == at), None)
        if let is None or len(let.names) != 1 or (let.name is None and not let.pattern.startswith("Some(")):
            return None
        # Without `Some(..)` or an unwrapping of it, it is the `Option` that is bound.
        return (let.names[0], parent, let.end) if let.name is None or at != call else None
    if parent.kind == "let" and len(parent.fields[2]) == 1:
        whole = parent.parent
        then = whole.branches[1] if whole is not None and whole.kind == "if" else None
        return (parent.fields[2][0], then, then.start) if then is not None else None
    if parent.kind == "match" and parent.fields[0] == at.id:
        return _held_by_match(parent)
    return None


def _held_by_match(whole: Expr) -> tuple[str, Expr, int] | None:
    for pattern, names, result in whole.arms:
        if not pattern.startswith("Some") or len(names) != 1 or result is None:
            continue
        if result.kind == "block":
            return names[0], result, result.start
        block = whole.parent
        if result.kind == "path" and result.path == names[0] and block is not None and block.kind == "block":
            let = next((one for one in block.lets if one.init == whole), None)
            return (let.name, block, let.end) if let is not None and let.name is not None else None
    return None


def _leak(name: str, scope: Expr, after: int) -> Expr | None:
    """The first `?` or `return` in the block at which the entry is still held; None when that is not certain."""
    ends = [
        one for one in scope.within() if one.start >= after and one.kind == "path" and one.path == name and _ends(one)
    ]
    for expr in scope.within():
        if expr.start < after:
            continue
        if expr.kind == "tokens" and name in expr.text:
            return None  # what a macro does with it cannot be seen
        if expr.kind not in ("try", "return") or any(
            one.kind == "closure" and one.start >= after for one in expr.ancestors()
        ):
            continue
        if any(one.kind == "path" and one.path == name for one in expr.within()) or _never_fails(expr):
            continue
        if not any(_before(end, expr, scope) for end in ends):
            return expr
    return None


def _ends(use: Expr) -> bool:
    """Whether the entry is submitted, discarded, or moved to where we do not look."""
    parent = use.parent
    if parent is None:
        return True
    if parent.kind == "method" and parent.receiver == use:
        return parent.name in ("submit", "discard", "into_inner", "forget") or parent.name not in _BORROWS
    return parent.kind not in ("field", "ref", "unary", "index", "macro")


_BORROWS = frozenset(
    {"as_mut_ptr", "as_ptr", "write", "deref", "deref_mut", "assume_init_mut", "as_mut", "as_ref", "len"}
)


def _before(end: Expr, leak: Expr, scope: Expr) -> bool:
    """Whether the entry is, or may be, gone at `leak` because of `end`; not so where `end` is on a returning branch."""
    if end.start > leak.start:
        return False
    inside = [leak, *leak.ancestors()]
    branch = end
    for one in end.ancestors():
        if one in inside or one == scope:
            break
        branch = one
    if branch == end:
        return True
    # `branch` is the part beside `leak`: when it leaves the function, `leak` is reached without it.
    around = [end, *end.ancestors()]
    for one in around[: around.index(branch) + 1]:
        if one.kind == "block" and any(
            other.kind in ("return", "break", "continue") and other.start >= end.end for other in one.within()
        ):
            return False
    return True


def _never_fails(expr: Expr) -> bool:
    """A lookup of an array at a constant index, which newer kernels know to succeed."""
    call = expr.inner.stripped() if expr.kind == "try" and expr.inner is not None else None
    if call is None or call.kind != "method" or call.name not in ("get", "get_ptr", "get_ptr_mut"):
        return False
    known = type_of(call.receiver)
    return known is not None and known.name in _ARRAYS and len(call.args) == 1 and call.args[0].integer is not None


class RingBufferEntryLeaked(SourceRule):
    severity = "error"
    group = "maps"
    phase = "verify"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.of_kind("method"):
                if call.name not in ("reserve", "reserve_bytes") or not _ring(call):
                    continue
                held = _held(call)
                if held is None:
                    continue
                name, scope, after = held
                leak = _leak(name, scope, after)
                if leak is None:
                    continue
                yield self.finding(
                    ctx,
                    f"`{name}` is neither submitted nor discarded when this returns: the verifier refuses the program",
                    span=covered(ctx, leak),
                    labels=[Label(place(ctx, file, call.start, call.end), "reserved here")],
                    fixes=[
                        Fix(
                            "display",
                            f"do this before the entry is reserved, or call `{name}.discard(0)` before returning",
                        )
                    ],
                )


RULE = RingBufferEntryLeaked()
