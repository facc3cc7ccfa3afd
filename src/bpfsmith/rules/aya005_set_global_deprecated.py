"""`EbpfLoader::set_global` is the old name of `override_global`.

## What it does
Finds `set_global` with three arguments on an `EbpfLoader` where aya is 0.13.2 or newer.

## Why is this bad
It is deprecated since 0.13.2 and will be removed.

## Example
```rust
EbpfLoader::new().set_global("LIMIT", &limit, true)
```

## Use instead
```rust
EbpfLoader::new().override_global("LIMIT", &limit, true)
```

## Fix
Safe: same arguments, same meaning.

## Kernels
All.

## Source
aya, `aya/src/bpf.rs`.
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


class SetGlobalDeprecated(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.13.2"):
            for call in file.of_kind("method"):
                if call.name != "set_global" or len(call.args) != 3 or not called_on(call, LOADER):
                    continue
                if compat(file, call.item, call.start):
                    continue
                start, end = call.fields[2], call.fields[3]
                yield self.finding(
                    ctx,
                    "`set_global` is deprecated since aya 0.13.2, it is called `override_global` now",
                    span=place(ctx, file, start, end),
                    fixes=[Fix("safe", "call `override_global`", [replace(ctx, file, start, end, "override_global")])],
                )


RULE = SetGlobalDeprecated()
