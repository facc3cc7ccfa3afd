"""`UProbe::attach` takes a point, a target and a scope since aya 0.14.

## What it does
Finds `attach` with four arguments on a `UProbe` where aya is 0.14.0 or newer.

## Why is this bad
The form (function, offset, target, pid) of 0.13 does not compile any more.

## Example
```rust
program.attach(Some("malloc"), 0, "libc", None)?;
```

## Use instead
```rust
program.attach("malloc", "libc", UProbeScope::AllProcesses)?; // 0.14; ["malloc"] since 0.15
```

## Fix
Display: 0.14 takes one point, 0.15 several in an array.

## Kernels
All.

## Source
aya, `aya/src/programs/uprobe.rs` at the tags 0.13.1 and 0.14.0.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import called_on, compat, place, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class UprobeAttachOldForm(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.14.0"):
            for call in file.of_kind("method"):
                if call.name != "attach" or len(call.args) != 4 or not called_on(call, {"aya::programs::UProbe"}):
                    continue
                if compat(file, call.item, call.start):
                    continue
                yield self.finding(
                    ctx,
                    "`UProbe::attach` takes three arguments since aya 0.14: point, target, scope",
                    span=place(ctx, file, call.fields[2], call.end),
                    fixes=[
                        Fix(
                            "display",
                            "write `attach(point, target, UProbeScope::AllProcesses)`, from 0.15 `attach([point], ..)`",
                        )
                    ],
                )


RULE = UprobeAttachOldForm()
