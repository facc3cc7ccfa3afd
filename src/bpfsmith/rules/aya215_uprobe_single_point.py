"""`UProbe::attach` takes several points since aya 0.15.

## What it does
Finds `attach` with three arguments on a `UProbe` whose first argument is a literal (a name or an address), where aya
is 0.15.0 or newer.

## Why is this bad
It does not compile: "`&str` is not an iterator".

## Example
```rust
program.attach("malloc", "libc", UProbeScope::AllProcesses)?;
```

## Use instead
```rust
program.attach(["malloc"], "libc", UProbeScope::AllProcesses)?;
```

## Fix
Safe: puts the point into an array.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/programs/uprobe.rs`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import called_on, compat, covered, replace, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class UprobeSinglePoint(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in file.of_kind("method"):
                if call.name != "attach" or len(call.args) != 3 or not called_on(call, {"aya::programs::UProbe"}):
                    continue
                point = call.args[0]
                if point.literal not in ("str", "int") or compat(file, call.item, call.start):
                    continue
                edits = [
                    replace(ctx, file, point.start, point.start, "["),
                    replace(ctx, file, point.end, point.end, "]"),
                ]
                yield self.finding(
                    ctx,
                    "`UProbe::attach` takes several points since aya 0.15",
                    span=covered(ctx, point),
                    fixes=[Fix("safe", f"write `[{point.text}]`", edits)],
                )


RULE = UprobeSinglePoint()
