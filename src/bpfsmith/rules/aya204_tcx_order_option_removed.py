"""`TcAttachOptions::TcxOrder` became `TcAttach::Tcx`.

## What it does
Finds `TcAttachOptions::TcxOrder` where aya is 0.15.0 or newer.

## Why is this bad
The type is gone since 0.15.0, and `attach_with_options` with it: the code does not compile.

## Example
```rust
attach_with_options("eth0", TcAttachType::Ingress, TcAttachOptions::TcxOrder(order))
```

## Use instead
```rust
attach(c"eth0", TcAttach::Tcx { attach_type: TcAttachType::Ingress, order })
```

## Fix
Display: call `attach` with `TcAttach::Tcx { attach_type, order }`.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/programs/tc.rs`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, mentions, place, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class TcxOrderOptionRemoved(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for one in mentions(
                file, {"aya::programs::tc::TcAttachOptions::TcxOrder", "aya::programs::TcAttachOptions::TcxOrder"}
            ):
                if compat(file, one.item, one.start):
                    continue
                yield self.finding(
                    ctx,
                    "`TcAttachOptions` does not exist since aya 0.15",
                    span=place(ctx, file, one.start, one.end),
                    fixes=[Fix("display", "call `attach` with `TcAttach::Tcx { attach_type, order }`")],
                )


RULE = TcxOrderOptionRemoved()
