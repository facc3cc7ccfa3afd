"""`BpfLogger` is the old name of `EbpfLogger`.

## What it does
Finds `aya_log::BpfLogger` where aya-log is 0.2.1 or newer.

## Why is this bad
The type was renamed in aya-log 0.2.1; the old name does not compile with current releases.

## Example
```rust
use aya_log::BpfLogger;
```

## Use instead
```rust
use aya_log::EbpfLogger;
```

## Fix
Safe: the new name is the same type.

## Kernels
All.

## Source
aya, `aya-log/CHANGELOG.md` (0.2.1).
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._renamed import renamed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class BpfLoggerRenamed(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        yield from renamed(
            self, project, ctx, {"aya_log::BpfLogger": "EbpfLogger"}, "aya-log", "0.2.1", "renamed in aya-log 0.2.1"
        )


RULE = BpfLoggerRenamed()
