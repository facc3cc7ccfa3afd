"""`PerfEventArray::open` is gone: buffers are opened on their own.

## What it does
Finds `open` on a `PerfEventArray` where aya is 0.15.0 or newer.

## Why is this bad
It does not compile (E0599). Since 0.15 a buffer is opened by `PerfEventArrayBuffer::open` and put into the array by
`set`; both must be kept.

## Example
```rust
let buffer = events.open(cpu, None)?;
```

## Use instead
```rust
let buffer = PerfEventArrayBuffer::open(cpu, 2)?;
events.set(cpu, &buffer)?;
```

## Fix
Display: `None` meant two pages; keep array *and* buffers alive.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/maps/perf/`; compiled with 0.14 and 0.16.
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


class PerfEventArrayOpenRemoved(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in file.of_kind("method"):
                if call.name != "open" or not called_on(call, {"aya::maps::PerfEventArray"}):
                    continue
                if compat(file, call.item, call.start):
                    continue
                yield self.finding(
                    ctx,
                    "`PerfEventArray::open` does not exist since aya 0.15",
                    span=place(ctx, file, call.fields[2], call.end),
                    fixes=[
                        Fix("display", "open a `PerfEventArrayBuffer`, put it in with `set`, and keep array and buffer")
                    ],
                )


RULE = PerfEventArrayOpenRemoved()
