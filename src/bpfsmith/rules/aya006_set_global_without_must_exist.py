"""`set_global` with two arguments: the third, whether the global must exist, is missing.

## What it does
Finds `set_global(name, value)` on an `EbpfLoader` where aya is 0.12.0 or newer.

## Why is this bad
Since 0.12 the call takes three arguments: it does not compile. With `true` a misspelt name is an error instead of a
setting that is silently ignored.

## Example
```rust
EbpfLoader::new().set_global("LIMIT", &limit)
```

## Use instead
```rust
EbpfLoader::new().override_global("LIMIT", &limit, true)
```

## Fix
Unsafe: `true` makes loading fail where the object has no such global.

## Kernels
All.

## Source
aya, `aya/BREAKING-CHANGES.md`.
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


class SetGlobalWithoutMustExist(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.12.0"):
            for call in file.of_kind("method"):
                if call.name != "set_global" or len(call.args) != 2 or not called_on(call, LOADER):
                    continue
                if compat(file, call.item, call.start):
                    continue
                last = call.args[-1].end
                edits = [replace(ctx, file, last, last, ", true")]
                if file.crate is not None and file.crate.at_least("aya", "0.13.2"):
                    edits.insert(0, replace(ctx, file, call.fields[2], call.fields[3], "override_global"))
                yield self.finding(
                    ctx,
                    "`set_global` takes a third argument since aya 0.12: whether the global must exist",
                    span=place(ctx, file, call.fields[2], call.fields[3]),
                    fixes=[Fix("unsafe", "pass `true`, so that a misspelt name is an error", edits)],
                )


RULE = SetGlobalWithoutMustExist()
