"""`read_events` on a perf buffer, which aya 0.14 replaced by closures.

## What it does
Finds `read_events(..)` on what `PerfEventArray::open` gave, where aya is 0.14.0 or newer.

## Why is this bad
It does not compile: events are not copied into buffers of yours any more.

## Example
```rust
let events = buffer.read_events(&mut buffers)?;
```

## Use instead
```rust
buffer.for_each(|event| handle(event))?;
```

## Fix
Display: the loop over the buffers becomes the closure.

## Kernels
All.

## Source
aya 0.14.0, `src/maps/perf/perf_event_array.rs`.
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


class ReadEventsRemoved(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.14.0"):
            for call in file.of_kind("method"):
                if call.name != "read_events" or not called_on(call, {"aya::maps::PerfEventArrayBuffer"}):
                    continue
                if compat(file, call.item, call.start):
                    continue
                yield self.finding(
                    ctx,
                    "`read_events` does not exist since aya 0.14",
                    span=place(ctx, file, call.fields[2], call.end),
                    fixes=[Fix("display", "handle the events in a closure: `for_each`, `fold` or `try_fold`")],
                )


RULE = ReadEventsRemoved()
