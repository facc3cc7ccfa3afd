"""`PerfEventArray::output` gets `BPF_F_CURRENT_CPU`, which it sets by itself.

## What it does
Finds `output` and `output_at_index` of `PerfEventArray` and `PerfEventByteArray` whose last argument is
`BPF_F_CURRENT_CPU` or its number, through casts, constants and locals.

## Why is this bad
Aya shifts the flags to the upper half of the helper's argument, where networking programs say how much of the packet
to append, and puts the CPU into the lower half itself. `BPF_F_CURRENT_CPU` up there makes the helper return
`-EINVAL`; `output` has no result, so every event is lost without a word.

## Example
```rust
EVENTS.output(&ctx, &event, BPF_F_CURRENT_CPU as u32);
```

## Use instead
```rust
EVENTS.output(&ctx, &event, 0);
```

## Fix
Unsafe: writes 0; events arrive then.

## Kernels
All.

## Source
`aya-ebpf/src/maps/perf`; kernel, `bpf_perf_event_output` checks `flags & ~BPF_F_INDEX_MASK`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import given, kernel_map, named_last, number
from bpfsmith.rules._rust import covered, kernel_files, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class PerfOutputFlags(SourceRule):
    severity = "error"
    group = "maps"
    phase = "silent"
    words = ("PerfEventArray", "PerfEventByteArray")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.methods("output", "output_at_index"):
                if len(call.args) not in (3, 4) or not kernel_map(call, "PerfEventArray", "PerfEventByteArray"):
                    continue
                flags = call.args[-1]
                if not named_last(given(flags), "BPF_F_CURRENT_CPU") and number(flags) != 0xFFFFFFFF:
                    continue
                yield self.finding(
                    ctx,
                    f"`{call.name}` adds the CPU by itself: with this flag the helper fails, and every event is lost",
                    span=covered(ctx, flags),
                    fixes=[Fix("unsafe", "write 0", [replace(ctx, file, flags.start, flags.end, "0")])],
                )


RULE = PerfOutputFlags()
