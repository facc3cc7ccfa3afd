"""A map is declared with the macro of the other kind of map.

## What it does
Finds `#[map]` on a type of `aya_ebpf::btf_maps`, and `#[btf_map]` on one of `aya_ebpf::maps`.

## Why is this bad
It compiles. `#[map]` puts the static into section `maps`, where aya expects a `bpf_map_def`; a BTF map has pointers to
types there, all zero in the file: a map of type 0, which the kernel refuses. `#[btf_map]` puts it into `.maps`, where
the type's fields are read from BTF, and a legacy map has none of them. Maps in maps and local storage (`SkStorage`,
`InodeStorage`, `CgrpStorage`) exist as BTF maps only.

## Example
```rust
#[map]
static SOCKETS: btf_maps::SkStorage<u64> = btf_maps::SkStorage::new();
```

## Use instead
```rust
#[btf_map]
static SOCKETS: btf_maps::SkStorage<u64> = btf_maps::SkStorage::new();
```

## Fix
Safe where the macro is named by its path, else display: the import changes as well.

## Kernels
All.

## Source
`aya-ebpf-macros/src/map.rs` and `btf_map.rs`, 0.2 and 0.4; `aya-obj/src/obj.rs`, `parse_maps_section` and
`parse_btf_maps`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import kernel_files, maps, place, replace
from bpfsmith.source.names import resolve
from bpfsmith.source.types import parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_MODULES = {"map": "aya_ebpf::btf_maps", "btf_map": "aya_ebpf::maps"}  # what must not stand below the macro


class MapMacroOfOtherKind(SourceRule):
    severity = "error"
    group = "maps"
    phase = "load"
    words = ("btf_map", "btf_maps")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has("btf_map"):
                continue
            for item, attr in maps(file):
                macro = attr.path.rpartition("::")[2]
                parsed = parse_type(item.type)
                path = resolve(file, parsed[0], item.parent) if parsed is not None else None
                if path is None or macro not in _MODULES or path.rpartition("::")[0] != _MODULES[macro]:
                    continue
                other = "btf_map" if macro == "map" else "map"
                kind = "a BTF map" if macro == "map" else "no BTF map"
                at = file.text.find(macro, attr.start, attr.end)
                fix = Fix("display", f"write `#[{other}]`, and import it")
                if "::" in attr.path and at >= 0:
                    fix = Fix("safe", f"write `{other}`", [replace(ctx, file, at, at + len(macro), other)])
                yield self.finding(
                    ctx,
                    f"`{item.name}` is {kind}, so `#[{macro}]` describes it wrongly: the object does not load",
                    span=place(ctx, file, attr.start, attr.end),
                    fixes=[fix],
                )


RULE = MapMacroOfOtherKind()
