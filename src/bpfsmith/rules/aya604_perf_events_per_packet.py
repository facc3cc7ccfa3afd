"""Every packet or busy event goes through a `PerfEventArray`.

## What it does
Finds `output` on a `PerfEventArray` on the main path of a program that runs for every packet or at every event of a
busy tracepoint. Not asked of projects checked for kernels before 5.8, which have no ring buffer.

## Why is this bad
A perf buffer wakes its reader for each record unless told otherwise, which `aya` does not offer: 5,200 to 5,500 ns a
record on Linux 6.18 against 30 to 35 with a `RingBuf`; published for 8-byte records: 0.93 against 12.05 million a
second. There is one buffer for each CPU besides, so that memory must be there for the busiest one on all of them.

## Example
```rust
#[map]
static EVENTS: PerfEventArray<Event> = PerfEventArray::new(0);
EVENTS.output(&ctx, &event, 0);
```

## Use instead
```rust
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
let _ = EVENTS.output(&event, 0); // and count the errors: the buffer was full
```

## Fix
Display: a `RingBuf` on both sides.

## Kernels
Ring buffers: 5.8 and later.

## Source
Kernel, commit c97099b0f227 (figures of both buffers); measured on Linux 6.18: take the ratios.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._hot import always
from bpfsmith.rules._kernel_code import code_files, counts, map_call
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class PerfEventsPerPacket(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = ("PerfEventArray",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if ctx.kernels.specified and ctx.kernels.missing_before("5.8"):
            return
        for file in code_files(project, "output"):
            for expr in file.methods("output"):
                call = map_call(expr)
                if call is None or call.kind not in ("PerfEventArray", "PerfEventByteArray") or not counts(expr):
                    continue
                busy = always(expr)
                if busy is not None:
                    yield self.finding(
                        ctx,
                        f"`{call.short}` wakes user space {busy.what}: a `RingBuf` does so when it waits",
                        span=covered(ctx, expr),
                        fixes=[Fix("display", "make it a `RingBuf` on both sides")],
                    )


RULE = PerfEventsPerPacket()
