"""The size of a map is set under a name that no map has.

## What it does
Compares the names given to `map_max_entries(..)` (`set_max_entries` before 0.13.2) and `map_pin_path(name, ..)` with
the maps of the project's kernel crates, where all of these are known.

## Why is this bad
A loader looks the name up when it creates a map; a name that no map has is never looked up. The map is created with
the size it was compiled with (or is not pinned), without any error.

## Example
```rust
// kernel side: static CONNECTIONS: HashMap<u64, Connection>, 1024 entries
EbpfLoader::new().map_max_entries("CONNECTION", 1 << 20).load(bytes)?;
```

## Use instead
```rust
EbpfLoader::new().map_max_entries("CONNECTIONS", 1 << 20).load(bytes)?;
```

## Fix
Unsafe where there is a map of nearly the same name, else display.

## Kernels
All. `bpftool map show` prints the size of a loaded map.

## Source
aya, `EbpfLoader::load` in `aya/src/bpf.rs`: `max_entries.get(name)`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import close_name, listed, literal, name_fix, pairs
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class MaxEntriesOfMissingMap(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("map_max_entries", "set_max_entries", "map_pin_path")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            known = pair.map_names
            if not known or not pair.named:
                continue
            for user in pair.users:
                for call in user.loader_calls:
                    if call.what not in ("max_entries", "pin"):
                        continue
                    for name in sorted(call.names or ()):
                        if name in known or name.startswith(("AYA_LOG", ".")):
                            continue
                        close = close_name(name, known)
                        if close is None and not pair.kernel_complete:
                            continue
                        where = literal(pair, call, name)
                        what = "size" if call.what == "max_entries" else "path"
                        fix = Fix("display", f"name a map of the kernel crate: {listed(known, 'map')}")
                        yield self.finding(
                            ctx,
                            f"no map is called `{name}`: this {what} is ignored without a word",
                            span=covered(ctx, where),
                            fixes=[fix if close is None else name_fix(ctx, where, close, "map")],
                        )


RULE = MaxEntriesOfMissingMap()
