"""Perf events are read, and nobody looks at how many were lost.

## What it does
Finds `read_events` with aya up to 0.13 in crates that never look at `lost` of its result.

## Why is this bad
When a perf buffer is full the kernel drops events and counts them; the kernel side cannot see it, its `output` has no
result. The count comes with the next events, in `Events::lost`. Whoever does not look at it shows numbers that are
too small, exactly when there is much to see.

## Example
```rust
let events = buffer.read_events(&mut buffers).await?;
for buffer in buffers.iter().take(events.read) { handle(buffer); }
```

## Use instead
```rust
let events = buffer.read_events(&mut buffers).await?;
if events.lost > 0 { warn!("{} events lost", events.lost); }
for buffer in buffers.iter().take(events.read) { handle(buffer); }
```

## Fix
Display: report `lost`; open the buffers with more pages, or use a ring buffer, where `output` says when it is full.

## Kernels
All.

## Source
`aya/src/maps/perf/perf_buffer.rs` of 0.13.1, `Events`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile


_NAMES = ("PerfEventArrayBuffer", "AsyncPerfEventArrayBuffer")
_BUFFERS = frozenset(
    f"aya::maps::{module}{kind}PerfEventArrayBuffer" for module in ("", "perf::") for kind in ("", "Async")
)


class LostEventsNotCounted(SourceRule):
    severity = "note"
    group = "maps"
    phase = "silent"
    words = ("read_events",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        done = set()
        for file in user_files(project, before="0.14.0"):
            crate = file.crate
            if crate is None or crate.folder in done or not file.has("read_events"):
                continue
            if any(field.name == "lost" for one in crate.files for field in one.of_kind("field")):
                continue
            if any("lost" in use for one in crate.files for use in _patterns(one)):
                continue
            for call in file.methods("read_events"):
                if not _of_aya(call) or file.in_test(call.item):
                    continue
                done.add(crate.folder)
                yield self.finding(
                    ctx,
                    "events that were lost are counted in `lost` of this result, which nobody looks at",
                    span=covered(ctx, call),
                    fixes=[Fix("display", "report `lost`, and open the buffers with more pages where it is not 0")],
                )
                break


def _of_aya(call: Expr) -> bool:
    """Whether it reads a perf buffer of Aya: by type, or else in a file that names no other thing with the method."""
    known = owner(call)
    if known is not None:
        return known.path in _BUFFERS
    crate = call.file.crate
    if crate is None or len(call.args) != 1:
        return False
    if any(item.kind == "fn" and item.name == "read_events" for one in crate.files for item in one.items):
        return False
    return any(resolve(call.file, name, call.item) in _BUFFERS for name in _NAMES)


def _patterns(file: SourceFile) -> Iterator[str]:
    """Patterns that take the result apart, and code inside of macros."""
    for block in file.of_kind("block"):
        for let in block.lets:
            if "Events" in let.pattern:
                yield let.pattern
    for tokens in file.of_kind("tokens"):
        yield tokens.text


RULE = LostEventsNotCounted()
