"""A struct that kernel and user side share through a map, without `repr(C)`.

## What it does
Finds structs of the common crate that a map of the kernel crate has as key or value, or that a ring buffer entry is
reserved for, with two fields or more and no `repr`.

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
from bpfsmith.rules._rust import maps, place, replace
from bpfsmith.source.names import resolve
from bpfsmith.source.types import parse_type, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item, SourceFile

_RINGS = frozenset({"aya_ebpf::maps::RingBuf", "aya_ebpf::btf_maps::RingBuf", "aya_bpf::maps::RingBuf"})


def _carried(file: SourceFile) -> Iterator[tuple[str, Item | None, int, int]]:
    """(name of a type, where it is written, span to show) for what maps hold and ring buffers carry."""
    for item, _ in maps(file):
        parsed = parse_type(item.type)
        for argument in parsed[1] if parsed is not None else ():
            inner = parse_type(argument)
            if inner is not None and not inner[2]:
                yield inner[0], item, item.name_start, item.name_end
    for call in file.of_kind("method"):
        if call.name not in ("reserve", "output"):
            continue
        generics = file.text[call.fields[4] : call.fields[5]].strip(":<> \n")
        inner = parse_type(generics) if generics else None
        known = type_of(call.receiver) if inner is not None else None
        if inner is not None and known is not None and known.path in _RINGS:
            yield inner[0], call.item, call.fields[2], call.fields[3]


def _shared(project: Project, crate: Crate, path: str | None) -> Item | None:
    """The item of a common crate that an absolute path names, through its root's re-exports by name."""
    if path is None or "::" not in path:
        return None
    first, _, rest = path.partition("::")
    package = crate.dependency(first.replace("_", "-")) or crate.dependency(first)
    for other in project.all_crates:
        if other.role != "common" or package is None or other.folder != package.path or not other.files:
            continue
        root = next((file for file in other.files if file.path.endswith("lib.rs")), other.files[0])
        found = resolve(root, f"crate::{rest}")
        if found is None:
            return None
        parts = found.split("::")
        for file in other.files:
            for item in file.items:
                if item.name == parts[-1] and item.parent is None and [*file.module] == parts[1:-1]:
                    return item
    return None


class SharedTypeWithoutRepr(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        seen = set()
        for crate in project.crates:
            if crate.role != "kernel":
                continue
            for file in crate.files:
                for text, scope, start, end in _carried(file):
                    found = _shared(project, crate, resolve(file, text, scope))
                    if found is None or (found.file.path, found.id) in seen:
                        continue
                    if any(
                        attr.path == "repr" or (attr.path == "cfg_attr" and "repr" in attr.args) for attr in found.attrs
                    ):
                        continue
                    if found.kind != "struct" or found.generic or len(found.params) < 2:
                        continue
                    seen.add((found.file.path, found.id))
                    edit = replace(ctx, found.file, found.start, found.start, "#[repr(C)]\n")
                    yield self.finding(
                        ctx,
                        f"`{found.name}` is in a map without `repr(C)`: kernel and user side may order it differently",
                        span=place(ctx, found.file, found.name_start, found.name_end),
                        labels=[Label(place(ctx, file, start, end), "used here")],
                        fixes=[Fix("unsafe", "write `#[repr(C)]` above it", [edit])],
                    )


RULE = SharedTypeWithoutRepr()
