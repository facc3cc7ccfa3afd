"""`Xdp::attach_to_if_index` is gone: `attach` takes an index too.

## What it does
Finds `attach_to_if_index` on an `Xdp` where aya is 0.15.0 or newer.

## Why is this bad
It does not compile (E0599).

## Example
```rust
program.attach_to_if_index(2, XdpMode::default())?;
```

## Use instead
```rust
program.attach(2, XdpMode::default())?;
```

## Fix
Safe.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/programs/xdp.rs`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import called_on, compat, place, replace, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class AttachToIfIndexRemoved(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in file.of_kind("method"):
                if call.name != "attach_to_if_index" or not called_on(call, {"aya::programs::Xdp"}):
                    continue
                if compat(file, call.item, call.start):
                    continue
                start, end = call.fields[2], call.fields[3]
                yield self.finding(
                    ctx,
                    "`attach_to_if_index` does not exist since aya 0.15, `attach` takes an index too",
                    span=place(ctx, file, start, end),
                    fixes=[Fix("safe", "call `attach`", [replace(ctx, file, start, end, "attach")])],
                )


RULE = AttachToIfIndexRemoved()
