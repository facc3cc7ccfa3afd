"""A reference to a field of a packed struct.

## What it does
Finds `&x.field` and `&mut x.field` where `x` is known to be a `repr(packed)` struct of the project and the field
needs an alignment that the struct does not give, in kernel and user code.

## Why is this bad
References must be aligned, and fields of a packed struct need not be: an error of the compiler since Rust 1.69
(E0793).

## Example
```rust
insert(&header.length)   // `length: u32` in a `repr(C, packed)` struct
```

## Use instead
```rust
let length = header.length; // a copy is aligned
insert(&length)
```

## Fix
Unsafe: `&{ x.field }` borrows a copy; what is written through `&mut` to a copy is lost, so nothing is offered there.

## Kernels
All: a matter of the compiler.

## Source
Rust, error E0793.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, replace
from bpfsmith.source.across import item_across
from bpfsmith.source.layout import layout
from bpfsmith.source.types import binding, named, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item
    from bpfsmith.source.types import Type


def _packed(item: Item) -> int:
    """The alignment a packed struct has; 0 for what is not packed."""
    for attr in item.attrs:
        if attr.path == "repr" and "packed" in attr.args:
            digits = "".join(char for char in attr.args.partition("packed")[2] if char.isdigit())
            return int(digits) if digits else 1
    return 0


def _cast(pointer: Expr) -> Type | None:
    """What a local made by a cast points to."""
    found = binding(pointer) if pointer.kind == "path" else None
    init = found.let.init if found is not None and found.let is not None and found.kind == "let" else None
    return named(pointer.file, init.cast_type, pointer.item) if init is not None and init.kind == "cast" else None


def _misaligned(field: Expr) -> Item | None:
    """The packed struct whose field this is, when the field needs more alignment than the struct gives."""
    owner = type_of(field.receiver)
    if owner is None and field.receiver is not None and field.receiver.kind == "paren":
        inner = field.receiver.inner
        if inner is not None and inner.kind == "unary" and inner.op == "*" and inner.inner is not None:
            owner = type_of(inner.inner) or _cast(inner.inner)
    item = item_across(field.file, owner.path) if owner is not None else None
    if item is None or item.kind != "struct" or item.generic:
        return None
    limit = _packed(item)
    if not limit:
        return None
    for one in item.params:
        if one.name == field.name:
            known = layout(item.file, one.type, item)
            return item if known is not None and known.align > limit else None
    return None


class ReferenceToPackedField(SourceRule):
    severity = "error"
    group = "unsafe"
    phase = "compile"
    words = ("packed",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if not any(file.has("packed") for crate in project.crates for file in crate.files):
            return
        for file in project.files("kernel", "user", "common"):
            for reference in file.of_kind("ref"):
                field = reference.inner
                while field is not None and field.kind == "paren":
                    field = field.inner
                if field is None or field.kind != "field" or reference.text.startswith("&raw "):
                    continue
                item = _misaligned(field)
                if item is None:
                    continue
                fixes = [Fix("display", "copy the field to a local first, or take `&raw mut`")]
                if not reference.fields[0]:
                    edits = [
                        replace(ctx, file, field.start, field.start, "{ "),
                        replace(ctx, file, field.end, field.end, " }"),
                    ]
                    fixes = [Fix("unsafe", "borrow a copy", edits)]
                yield self.finding(
                    ctx,
                    f"`{field.name}` is not aligned in the packed `{item.name}`: there can be no reference to it",
                    span=covered(ctx, reference),
                    fixes=fixes,
                )


RULE = ReferenceToPackedField()
