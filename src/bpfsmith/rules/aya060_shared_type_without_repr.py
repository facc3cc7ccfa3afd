"""A struct that kernel and user side share through a map, without `repr(C)`.

## What it does
Finds structs of the common crates that a map of the kernel side has as key or value, that ring buffers or perf event
arrays carry, or that a `Global` holds, with two fields or more and no `repr`; the structs within these too.

## Why is this bad
Without `repr(C)` the compiler orders fields as it likes, and the two sides are compiled apart, for two targets, often
by two compilers. When the orders differ, values are read from the wrong places, without any error.

## Example
```rust
#[derive(Clone, Copy)]
pub struct Flow { pub port: u16, pub source: u32 }
```

## Use instead
```rust
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Flow { pub source: u32, pub port: u16, pub _pad: u16 }
```

## Fix
Unsafe: adds `#[repr(C)]`; the size may change, which matters to maps that are pinned already.

## Kernels
All.

## Source
The Rust Reference, "Type layout"; aya-template, common crate.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place
from bpfsmith.rules._rust import place, replace
from bpfsmith.source.across import item_across, resolve_across
from bpfsmith.source.aya import model
from bpfsmith.source.layout import split_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import AyaModel
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item, SourceFile

_DEPTH = 6
_PLAIN = frozenset(
    {"u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "bool", "char", "()"}
)


def _carried(made: AyaModel) -> Iterator[tuple[SourceFile, str, Item | None, int, int]]:
    """(file, type's text, item, place to show) for what maps hold, buffers carry and globals are."""
    for one in made.maps:
        for text in (one.key, one.value, one.event):
            if text:
                yield one.file, text, one.item, one.item.name_start, one.item.name_end
        if one.kind != "RingBuf":
            continue
        for call in one.calls() or ():
            generics = call.file.text[call.fields[4] : call.fields[5]].strip(":<> \n")
            if generics and call.name in ("reserve", "reserve_untyped", "output", "output_untyped"):
                yield call.file, generics, call.item, call.fields[2], call.fields[3]
            elif call.name == "output" and call.args:
                value = call.args[0]
                while value.kind in ("ref", "paren") and value.inner is not None:
                    value = value.inner
                if value.kind == "struct":
                    yield call.file, value.path, call.item, call.fields[2], call.fields[3]
    for other in made.globals:
        if other.kind == "Global":
            yield other.file, other.type, other.item, other.item.name_start, other.item.name_end


def _within(file: SourceFile, text: str, item: Item | None, depth: int) -> Iterator[Item]:
    """The structs that a type consists of, itself first."""
    text = text.strip()
    while text.startswith("["):
        text = text[1:].rpartition(";")[0].strip()
    parsed = split_type(text) if text not in _PLAIN else None
    if parsed is None or depth > _DEPTH:
        return
    found = item_across(file, resolve_across(file, parsed[0], item))
    if found is None or found.generic:
        return
    if found.kind == "type":
        yield from _within(found.file, found.type, found, depth + 1)
    elif found.kind == "struct":
        yield found
        for field in found.params:
            yield from _within(found.file, field.type, found, depth + 1)


class SharedTypeWithoutRepr(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        seen = set()
        for file, text, scope, start, end in _carried(model(project)):
            if file.crate not in project.crates:
                continue
            for found in _within(file, text, scope, 0):
                key = (found.file.path, found.id)
                if key in seen or len(found.params) < 2 or found.file.crate is None:
                    continue
                if found.file.crate.role != "common":
                    continue
                seen.add(key)
                if any(
                    attr.path == "repr" or (attr.path == "cfg_attr" and "repr" in attr.args) for attr in found.attrs
                ):
                    continue
                edit = replace(ctx, found.file, found.start, found.start, "#[repr(C)]\n")
                yield self.finding(
                    ctx,
                    f"`{found.name}` is shared without `repr(C)`: kernel and user side may order it differently",
                    span=item_place(ctx, found),
                    labels=[Label(place(ctx, file, start, end), "used here")],
                    fixes=[Fix("unsafe", "write `#[repr(C)]` above it", [edit])],
                )


RULE = SharedTypeWithoutRepr()
