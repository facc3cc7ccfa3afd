"""A map is looked up by a name that no map has.

## What it does
Compares the names in `map(..)`, `map_mut(..)` and `take_map(..)` of an `Ebpf` with the maps of the project's kernel
crates: those that are nearly the name of one, and where the project builds the object itself and all of its maps are
known, those that are no map at all. Names that reach the call through consts, loops over literals or helper functions
count. A map is called as `name = ".."` in its attribute says, else as its static. Where `None` is expected
(`if let Some(..)`), only names close to one that exists are reported.

## Why is this bad
The lookup gives `None` (an error before aya 0.12), and the usual `unwrap` after it panics, when the program has been
built, shipped and started.

## Example
```rust
// kernel side: static BLOCKLIST: HashMap<u32, u32>
let blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCK_LIST").unwrap())?;
```

## Use instead
```rust
let blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCKLIST").unwrap())?;
```

## Fix
Unsafe where there is a map of nearly the same name, else display.

## Kernels
All. The kernel keeps 15 characters of a name; Aya's lookup uses the whole one, from the object file.

## Source
aya, `Ebpf::map_mut` in `aya/src/bpf.rs`; aya-ebpf-macros, `map.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import close_name, listed, literal, name_fix, pairs, tolerated
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class MapNameUnknown(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("map", "map_mut", "take_map")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            if not pair.named:
                continue
            known = pair.map_names
            for use in pair.map_uses:
                for name in sorted(use.names or ()):
                    # The log's map and the maps of sections are made by others.
                    if not known or name in known or name.startswith(("AYA_LOG", ".")):
                        continue
                    close = close_name(name, known)
                    if close is None and (not pair.kernel_complete or tolerated(use.expr)):
                        continue
                    if any(one.item.name == name for one in pair.maps):
                        close = next(one.name for one in pair.maps if one.item.name == name)
                    where = literal(pair, use, name)
                    fix = Fix("display", f"name a map of the kernel crate: {listed(known, 'map')}")
                    yield self.finding(
                        ctx,
                        f"no map is called `{name}`: `{use.how}` gives `None`",
                        span=covered(ctx, where),
                        fixes=[fix if close is None else name_fix(ctx, where, close, "map")],
                    )


RULE = MapNameUnknown()
