"""Maps have names that are the same in the kernel.

## What it does
Finds maps of one kernel crate whose names agree in the first 15 characters, as long as no
object is built: then the object is looked at (OBJ018).

## Why is this bad
The kernel keeps 15 characters of a map's name. Aya finds maps by their full name in the object, but `bpftool map`, a
search by name and everything else that asks the kernel cannot tell them apart.

## Example
```rust
#[map]
static CONNECTIONS_IPV4: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);
#[map]
static CONNECTIONS_IPV6: HashMap<[u8; 16], u64> = HashMap::with_max_entries(1024, 0);
```

## Use instead
```rust
#[map]
static CONNS_V4: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);
#[map]
static CONNS_V6: HashMap<[u8; 16], u64> = HashMap::with_max_entries(1024, 0);
```

## Fix
Display: let them differ in the first 15 characters.

## Kernels
All that keep names (4.15).

## Source
Kernel, `BPF_OBJ_NAME_LEN`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._rust import kernel_files, maps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item, SourceFile


_KEPT = 15


class MapNamesAlike(SourceRule):
    severity = "note"
    group = "maps"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if project.objects:
            return  # what is built is looked at itself
        alike: dict[tuple[str, str], list[tuple[SourceFile, Item]]] = {}
        for file in kernel_files(project):
            for item, attr in maps(file):
                given = next((one.value for one in arguments(file, attr) if one.name == "name"), None)
                name = given or item.name
                if len(name) >= _KEPT:
                    alike.setdefault((file.root, name[:_KEPT]), []).append((file, item))
        for (_, kept), found in alike.items():
            if len({item.name for _, item in found}) < 2:
                continue
            (file, item), *others = found[::-1]
            yield self.finding(
                ctx,
                f"`{item.name}` is called `{kept}` in the kernel, as another map is",
                span=item.name_span.replace(path=ctx.shown(file.path)),
                labels=[
                    Label(other.name_span.replace(path=ctx.shown(where.path)), "this one") for where, other in others
                ],
                fixes=[Fix("display", "let the names differ in the first 15 characters")],
            )


RULE = MapNamesAlike()
