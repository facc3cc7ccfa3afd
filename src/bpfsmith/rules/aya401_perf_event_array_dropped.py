"""A `PerfEventArray` is dropped after its buffers were set, so no event arrives.

## What it does
Finds a local `PerfEventArray` made from `take_map`, with a `set`, that goes out of scope in a function which returns,
where aya is 0.15.0 or newer.

## Why is this bad
The kernel clears the slots when the descriptor that set them is closed. aya 0.14 kept the map alive inside each
buffer, 0.15 does not: measured 54 events with 0.14 and none with 0.16.

## Example
```rust
let mut events = PerfEventArray::try_from(ebpf.take_map("EVENTS").unwrap())?;
let buffer = PerfEventArrayBuffer::open(cpu, 2)?;
events.set(cpu, &buffer)?;
Ok(buffer)
```

## Use instead
```rust
Ok(Reader { events, buffer }) // both live as long as events are wanted
```

## Fix
Display: keep the array with its buffers.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/maps/perf/perf_event_array.rs`; kernel, `perf_event_fd_array_release`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._lifetimes import dropped_early, receivers
from bpfsmith.rules._rust import covered, place, user_files
from bpfsmith.source.types import named, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class PerfEventArrayDropped(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for block in file.of_kind("block"):
                for let in block.lets:
                    init = let.init
                    if init is None or let.name is None or "take_map" not in init.text:
                        continue
                    known = named(file, let.type, block.item) if let.type else type_of(init)
                    if known is None or known.path != "aya::maps::PerfEventArray":
                        continue
                    fills = [call for call in receivers(let) if call.name == "set"]
                    if not fills or not dropped_early(let, fills[-1].end):
                        continue
                    yield self.finding(
                        ctx,
                        f"`{let.name}` is dropped when its block ends, which clears its slots: no event arrives",
                        span=place(ctx, file, let.start, let.end),
                        labels=[Label(covered(ctx, fills[-1]), "filled here")],
                        fixes=[Fix("display", f"return `{let.name}` with its buffers, and keep both")],
                    )


RULE = PerfEventArrayDropped()
