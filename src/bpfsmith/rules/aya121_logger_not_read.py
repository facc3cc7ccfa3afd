"""The logger is initialised and never read.

## What it does
Finds `EbpfLogger::init(..)` of aya-log 0.3 or newer whose result is not kept, where no program is loaded after it, or
is kept under a name that nothing uses.

## Why is this bad
Since 0.3 nothing reads the messages by itself: the returned logger must be kept and its `flush` called. Otherwise
there is no output, and no error either.

## Example
```rust
EbpfLogger::init(&mut ebpf)?;
```

## Use instead
```rust
let mut logger = EbpfLogger::init(&mut ebpf)?;
loop { logger.flush(); .. }
```

## Fix
Display: keep the logger and call `flush` in a loop, for example when its file descriptor is readable.

## Kernels
All.

## Source
aya, `aya-log/CHANGELOG.md` (0.3.0); aya-template, `main.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._logger import forgotten, kept_unread
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class LoggerNotRead(SourceRule):
    severity = "warning"
    group = "logging"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        dropped = [init for init, load in forgotten(project) if load is None]
        for init in [*dropped, *kept_unread(project)]:
            yield self.finding(
                ctx,
                "nobody reads the log: since aya-log 0.3 the logger must be kept and `flush` called",
                span=covered(ctx, init),
                fixes=[Fix("display", "keep the logger, and call `flush` when there is something to read")],
            )


RULE = LoggerNotRead()
