"""Events are written that nobody reads.

## What it does
Finds ring buffers and perf event arrays that the kernel side writes to and that nothing of the user side names, where
all of the user side is known: it loads this object itself, computes no map names, and has no text that is the map's
name. Pinned maps are left out: another process may read them.

## Why is this bad
A ring buffer that nobody reads is full after its first records; from then on `reserve` gives `None` and `output` an
error, and each event still costs its time. A perf event array without open buffers drops every event (`ENOENT`, which
`output` does not report).

## Example
```rust
// kernel side: EVENTS.output(&event, 0)
let mut ebpf = Ebpf::load(bytes)?; // and no `take_map("EVENTS")`
```

## Use instead
```rust
let mut events = RingBuf::try_from(ebpf.take_map("EVENTS").unwrap())?;
while let Some(record) = events.next() { handle(&record); }
```

## Fix
Display: read it, or delete what writes to it.

## Kernels
Ring buffers since 5.8, perf event arrays since 4.3.

## Source
Kernel, `kernel/bpf/ringbuf.c` (`__bpf_ringbuf_reserve`), `bpf_perf_event_output` in `kernel/trace/bpf_trace.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, owner_crate, pairs, unmentioned
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_KINDS = frozenset({"RingBuf", "PerfEventArray", "PerfEventByteArray"})
_WRITES = ("output", "reserve", "reserve_bytes", "output_at_index", "reserve_untyped", "output_untyped")


class EventsNeverRead(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("RingBuf", "PerfEventArray", "PerfEventByteArray")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for made in pair.maps:
                if made.kind not in _KINDS or made.pinned or not owner_crate(project, made):
                    continue
                writes = [one for one in made.calls() or () if one.name in _WRITES]
                if not writes or not unmentioned(pair, made):
                    continue
                yield self.finding(
                    ctx,
                    f"nobody reads `{made.name}`: the user side names it nowhere",
                    span=item_place(ctx, made.item),
                    labels=[Label(covered(ctx, writes[0]), "written here")],
                    fixes=[Fix("display", f'take it with `take_map("{made.name}")` and read it, or write no events')],
                )


RULE = EventsNeverRead()
