"""`unsafe impl Pod` for a type with padding, or with bytes that are no value of it.

## What it does
Finds implementations of `aya::Pod` for structs of the project whose layout is certain and has padding, or that have a
field that does not take every byte pattern: enums, `char`, references, `bool`.

## Why is this bad
`Pod` promises that the type may be read from and written to the kernel as plain bytes: no padding, every pattern a
value. With padding, uninitialised memory goes into system calls, and keys that are equal in Rust differ as bytes. An
enum read from a map holds what the kernel side, or another version of it, wrote there: undefined behaviour where no
variant has that number.

## Example
```rust
#[repr(C)]
pub struct Rule { pub port: u16, pub action: Action }
unsafe impl aya::Pod for Rule {}
```

## Use instead
```rust
#[repr(C)]
pub struct Rule { pub port: u16, pub action: u8, pub _pad: u8 }
unsafe impl aya::Pod for Rule {}
```

## Fix
Display: fields for the gaps, numbers instead of enums, `u8` instead of `bool`.

## Kernels
All: a matter of the two sides.

## Source
aya 0.15 and later state the contract: `aya::Pod`; earlier releases rely on it without saying so.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._padding import fill
from bpfsmith.rules._rust import place
from bpfsmith.source.across import item_across, resolve_across
from bpfsmith.source.aya import model
from bpfsmith.source.layout import layout
from bpfsmith.source.names import resolve
from bpfsmith.source.types import parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item, SourceFile

_DEPTH = 6


def _picky(file: SourceFile, item: Item, depth: int = 0) -> tuple[str, str] | None:
    """The first field that does not take every pattern: (its name, what it is)."""
    for field in item.params:
        text = " ".join(field.type.split())
        while text.startswith("[") and ";" in text:
            text = text[1:].rpartition(";")[0].strip()
        if text in ("bool", "char"):
            return field.name, f"a `{text}`"
        if text.startswith("&"):
            return field.name, "a reference"
        parsed = parse_type(text)
        path = resolve_across(file, parsed[0], item) if parsed is not None and not parsed[1] else None
        inner = item_across(file, path) if path is not None else None
        if inner is None or inner.generic:
            continue
        if inner.kind == "enum" and len(inner.params) < 256:
            return field.name, f"the enum `{inner.name}`"
        if inner.kind == "struct" and depth < _DEPTH:
            found = _picky(inner.file, inner, depth + 1)
            if found is not None:
                return f"{field.name}.{found[0]}", found[1]
    return None


def _key(project: Project, item: Item) -> bool:
    """The key of a hash map: that its padding is part of the key is told there (AYA061)."""
    from bpfsmith.rules.aya061_padding_in_map_key import KEYED

    return any(
        made.kind in KEYED
        and made.key_layout is not None
        and made.key_layout.item is not None
        and (made.key_layout.item.file, made.key_layout.item.id) == (item.file, item.id)
        for made in model(project).maps
    )


class PodThatIsNone(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "silent"
    words = ("Pod",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in project.files():
            if not file.has("Pod"):
                continue
            for block in file.items_of_kind("impl"):
                if not block.extra or resolve(file, block.extra, block) not in ("aya::Pod", "aya::maps::Pod"):
                    continue
                parsed = parse_type(block.type)
                path = resolve_across(file, parsed[0], block) if parsed is not None and not parsed[1] else None
                item = item_across(file, path) if path is not None else None
                if item is None or item.generic or item.kind not in ("struct", "enum"):
                    continue
                span = place(ctx, file, block.type_start, block.type_start + len(block.type))
                if item.kind == "enum":
                    if len(item.params) < 256:
                        yield self.finding(
                            ctx,
                            f"`{item.name}` is an enum, and not every number the kernel side may write is one of it",
                            span=span,
                            fixes=[Fix("display", "hold the number, and match on it with an arm for all others")],
                        )
                    continue
                known = layout(item.file, item.name, item)
                if known is not None and known.certain and known.padding and not _key(project, item):
                    rows = ", ".join(f"{size} bytes at offset {at}" for at, size in known.padding)
                    yield self.finding(
                        ctx,
                        f"`{item.name}` has padding ({rows}), which `Pod` promises not to have",
                        span=span,
                        fixes=[Fix("display", fill(known, item.name))],
                    )
                picky = _picky(item.file, item)
                if picky is not None:
                    yield self.finding(
                        ctx,
                        f"`{item.name}.{picky[0]}` is {picky[1]}, and `Pod` promises that any bytes are a value",
                        span=span,
                        severity="note" if picky[1] == "a `bool`" else None,
                        fixes=[Fix("display", "hold a number, and turn it into the type where it is read")],
                    )


RULE = PodThatIsNone()
