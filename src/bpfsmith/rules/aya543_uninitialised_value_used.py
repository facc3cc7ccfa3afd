"""A value is taken as initialised before anything was written to it.

## What it does
Finds `MaybeUninit::<T>::uninit().assume_init()` in one go, `assume_init` (`_ref`, `_mut`, `_read`) of a local made by
`MaybeUninit::uninit()` that nothing was written to or lent from before, or of which some fields were written through
its pointer and others were not, and `mem::uninitialized`.

## Why is this bad
Reading memory nobody wrote is undefined behaviour: the compiler may take any value, another one at each use. What is
handed to a helper is stale stack; without CAP_PERFMON the verifier refuses it ("invalid indirect read from stack"),
with it kernel memory goes to user space.

## Example
```rust
let mut event: Event = unsafe { MaybeUninit::uninit().assume_init() };
event.pid = ctx.pid();
```

## Use instead
```rust
let mut event: Event = unsafe { core::mem::zeroed() };
event.pid = ctx.pid();
```

## Fix
Display: start from zeros, or write every field through `as_mut_ptr` first.

## Kernels
All: a matter of the language; the verifier looks the other way for privileged programs since 6.3.

## Source
The Rust reference, behavior considered undefined; kernel, `check_stack_range_initialized`.
"""

from __future__ import annotations

import re

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import enclosing
from bpfsmith.rules._kernel_code import code_files, counts, local
from bpfsmith.rules._rust import place
from bpfsmith.source.across import item_across, resolve_across
from bpfsmith.source.names import resolve
from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let

_TURBOFISH = re.compile(r"MaybeUninit::<([\w:]+)>")
_ANNOTATED = re.compile(r"MaybeUninit<([\w:]+)>$")
_METHODS = ("assume_init", "assume_init_ref", "assume_init_mut", "assume_init_read")


def _fresh(expr: Expr | None) -> bool:
    """`MaybeUninit::uninit()`, of anything but an array of `MaybeUninit`."""
    if expr is None or expr.kind != "call" or expr.callee is None or expr.args:
        return False
    path = resolve(expr.file, expr.callee.path, expr.item)
    return path == "core::mem::MaybeUninit::uninit" and expr.callee.text.count("MaybeUninit") == 1


def _untouched(call: Expr, receiver: Expr) -> bool:
    """A local made by `uninit()` whose first use this is."""
    found = local(receiver)
    if found is None or found.kind != "let" or found.let is None or not _fresh(found.let.init):
        return False
    if found.let.type.count("MaybeUninit") > 1:
        return False
    return all(use.start >= receiver.start for use in mentions(found.let)) and not any(
        one.kind in ("loop", "while", "for", "closure") for one in call.ancestors()
    )


def _array_of_uninit(call: Expr) -> bool:
    """`let x: [MaybeUninit<u8>; N] = MaybeUninit::uninit().assume_init()`: each element may be uninitialised."""
    for at in call.ancestors():
        for let in at.lets:
            if let.start <= call.start < let.end:
                return "MaybeUninit" in let.type or not let.type
    return False


def _unwritten(receiver: Expr) -> list[str]:
    """Fields that nothing was written to, of a local that was filled field by field through its pointer."""
    found = local(receiver)
    if found is None or found.kind != "let" or found.let is None or not _fresh(found.let.init):
        return []
    written: set[str] = set()
    for use in mentions(found.let):
        pointer = use.parent
        if use.start >= receiver.start:
            continue
        if pointer is None or pointer.kind != "method" or pointer.name != "as_mut_ptr":
            return []  # lent, written as a whole, ..
        given = enclosing(pointer)
        uses = list(mentions(given)) if given is not None else [pointer]
        for one in uses:
            name = _field_behind(one)
            if name is None:
                return []
            written.add(name)
    fields = _fields(found.let)
    return [name for name in fields if name not in written] if written else []


def _field_behind(pointer: Expr) -> str | None:
    """`field` of `(*pointer).field`."""
    at = pointer.parent
    while at is not None and at.kind in ("unary", "paren") and (at.kind == "paren" or at.op == "*"):
        at = at.parent
    plain = at is not None and at.kind == "field" and pointer.parent is not None and pointer.parent.kind == "unary"
    return at.name if plain and at is not None else None


def _fields(let: Let) -> list[str]:
    """The fields of the struct that `MaybeUninit<T>` is about."""
    init = let.init
    callee = init.callee if init is not None else None
    parts = _TURBOFISH.search("".join(callee.text.split())) if callee is not None else None
    annotated = _ANNOTATED.search("".join(let.type.split()))
    text = (parts or annotated)[1] if parts or annotated else ""  # type: ignore[index]
    path = resolve_across(let.file, text, let.block.item) if text else None
    item = item_across(let.file, path)
    return [one.name for one in item.params] if item is not None and item.kind == "struct" else []


class UninitialisedValueUsed(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "silent"
    words = ("assume_init", "assume_init_ref", "assume_init_mut", "assume_init_read", "uninitialized")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *self.words):
            for call in file.methods(*_METHODS):
                receiver = call.receiver
                if receiver is None or not counts(call):
                    continue
                if _untouched(call, receiver) or (_fresh(receiver) and not _array_of_uninit(call)):
                    yield self._found(ctx, call, call.fields[2])
                elif left := _unwritten(receiver):
                    yield self._partly(ctx, call, left)
            for call in file.calls("uninitialized"):
                path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
                if path == "core::mem::uninitialized" and counts(call):
                    yield self._found(ctx, call, call.start)

    def _partly(self, ctx: CheckContext, call: Expr, left: list[str]) -> Finding:
        one = len(left) == 1
        what = f"`{left[0]}` was" if one else f"`{left[0]}` and {len(left) - 1} more of its fields were"
        return self.finding(
            ctx,
            f"{what} not written: undefined behaviour, and {'it holds' if one else 'they hold'} stale kernel stack",
            span=place(ctx, call.file, call.fields[2], call.end),
            fixes=[Fix("display", "start from `core::mem::zeroed()`, or write every field first")],
        )

    def _found(self, ctx: CheckContext, call: Expr, start: int) -> Finding:
        return self.finding(
            ctx,
            "the value was never written: using it is undefined behaviour, and what it holds is stale kernel stack",
            span=place(ctx, call.file, start, call.end),
            fixes=[Fix("display", "start from `core::mem::zeroed()`, or write every field first")],
        )


RULE = UninitialisedValueUsed()
