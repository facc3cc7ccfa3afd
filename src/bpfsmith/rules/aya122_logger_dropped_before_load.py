"""The logger is dropped before a program is loaded.

## What it does
Finds `EbpfLogger::init(..)` of aya-log 0.3 or newer whose result is not kept (`let _ =`, a statement with `?` or
`unwrap`, `if let Err`), with a program loaded after it in the same function.

## Why is this bad
Since 0.3 the returned logger owns the ring buffer `AYA_LOGS`. Dropping it closes the map: the next program that logs
fails to load with `EBADF`, and nothing would read its messages.

## Example
```rust
let _ = EbpfLogger::init(&mut ebpf);
program.load()?;
```

## Use instead
```rust
let mut logger = EbpfLogger::init(&mut ebpf)?;
program.load()?;
loop { logger.flush(); .. }
```

## Fix
Display: keep the logger and call `flush` in a loop, for example when its file descriptor is readable.

## Kernels
All.

## Source
aya#1324; `aya-log/CHANGELOG.md` (0.3.0).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._logger import forgotten
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class LoggerDroppedBeforeLoad(SourceRule):
    severity = "warning"
    group = "logging"
    phase = "load"
    supersedes = ("AYA121",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for init, load in forgotten(project):
            if load is not None:
                yield self.finding(
                    ctx,
                    "the logger is dropped here and its ring buffer closed: programs that log fail to load (`EBADF`)",
                    span=covered(ctx, init),
                    labels=[Label(covered(ctx, load), "loaded here")],
                    fixes=[Fix("display", "keep the logger, and call `flush` when there is something to read")],
                )


RULE = LoggerDroppedBeforeLoad()
