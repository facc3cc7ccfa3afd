"""`TcAttachType::Custom` is gone: `TcAttach::Netlink` takes any parent.

## What it does
Finds `TcAttachType::Custom` where aya is 0.15.0 or newer.

## Why is this bad
The variant does not exist any more (E0599).

## Example
```rust
program.attach("eth0", TcAttachType::Custom(handle))?;
```

## Use instead
```rust
program.attach(c"eth0", TcAttach::Netlink { parent: TcHandle::from(handle), options: NlOptions::default() })?;
```

## Fix
Display.

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


class TcCustomAttachType(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            wanted = {"aya::programs::TcAttachType::Custom", "aya::programs::tc::TcAttachType::Custom"}
            for one in mentions(file, wanted):
                if compat(file, one.item, one.start):
                    continue
                help_ = "use `TcAttach::Netlink { parent: TcHandle::from(handle), options: NlOptions::default() }`"
                yield self.finding(
                    ctx,
                    "`TcAttachType::Custom` does not exist since aya 0.15",
                    span=place(ctx, file, one.start, one.end),
                    fixes=[Fix("display", help_)],
                )


RULE = TcCustomAttachType()
