"""`map_pin_path` with one argument: since aya 0.14 it pins one map, and the folder is set by another call.

## What it does
Finds `map_pin_path(folder)` on an `EbpfLoader` where aya is 0.14.0 or newer.

## Why is this bad
It does not compile: `map_pin_path` takes the name of a map and its path now.

## Example
```rust
EbpfLoader::new().map_pin_path("/sys/fs/bpf/app")
```

## Use instead
```rust
EbpfLoader::new().default_map_pin_directory("/sys/fs/bpf/app")
```

## Fix
Safe: the new name of the same setting.

## Kernels
All.

## Source
aya 0.13.1 and 0.14.0, `src/bpf.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import LOADER, called_on, compat, place, replace, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class MapPinPathOldForm(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.14.0"):
            for call in file.of_kind("method"):
                if call.name != "map_pin_path" or len(call.args) != 1 or not called_on(call, LOADER):
                    continue
                if compat(file, call.item, call.start):
                    continue
                start, end = call.fields[2:4]
                new = "default_map_pin_directory"
                yield self.finding(
                    ctx,
                    "`map_pin_path` takes a map and its path since aya 0.14, another call sets the folder of all maps",
                    span=place(ctx, file, start, end),
                    fixes=[Fix("safe", f"write `{new}`", [replace(ctx, file, start, end, new)])],
                )


RULE = MapPinPathOldForm()
