"""`RingBuf::output` and `PerfEventArray::output` take a reference since aya-ebpf 0.3.

## What it does
Finds `output` and `output_at_index` on a ring buffer or perf event array of aya-ebpf 0.3.0 or newer whose value is
certainly no reference.

## Why is this bad
It does not compile: "expected `&u64`, found `u64`".

## Example
```rust
EVENTS.output(&ctx, event, 0);
```

## Use instead
```rust
EVENTS.output(&ctx, &event, 0);
```

## Fix
Safe: adds `&`.

## Kernels
All.

## Source
aya-ebpf 0.3.0, `src/maps/ring_buf.rs`, `src/maps/perf/`; compiled with 0.2.1 and 0.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import borrow_edits, by_value, covered, kernel_files
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_VALUE = {("RingBuf", "output"): 0, ("PerfEventArray", "output"): 1, ("PerfEventArray", "output_at_index"): 2}


class KernelOutputByValue(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.3.0"):
            for call in file.of_kind("method"):
                if call.name not in ("output", "output_at_index"):
                    continue
                owner = type_of(call.receiver)
                if owner is None or not owner.within("aya_ebpf::maps", "aya_ebpf::btf_maps"):
                    continue
                at = _VALUE.get((owner.name, call.name), -1)
                if not 0 <= at < len(call.args) or not by_value(call.args[at]):
                    continue
                yield self.finding(
                    ctx,
                    f"`{owner.name}::{call.name}` takes its value by reference since aya-ebpf 0.3",
                    span=covered(ctx, call.args[at]),
                    fixes=[Fix("safe", "pass a reference", borrow_edits(ctx, call.args[at]))],
                )


RULE = KernelOutputByValue()
