"""A stack trace map asks for build ids, which Aya's map has no room for.

## What it does
Finds `StackTrace` maps in kernel code that are made with the flag `BPF_F_STACK_BUILD_ID`.

## Why is this bad
With the flag a frame takes 32 bytes, and the size of a value must be a multiple of it. Aya's `StackTrace` holds 127
addresses of 8 bytes: 1016 is no multiple of 32, the kernel refuses the map with `EINVAL`, and nothing loads.

## Example
```rust
#[map]
static STACKS: StackTrace = StackTrace::with_max_entries(1024, BPF_F_STACK_BUILD_ID);
```

## Use instead
```rust
#[map]
static STACKS: StackTrace = StackTrace::with_max_entries(1024, 0);
```

## Fix
Display: leave the flag off and resolve addresses in user space.

## Kernels
All that have the flag (4.17).

## Source
Kernel, `stack_map_alloc` in `kernel/bpf/stackmap.c`; `aya-ebpf/src/maps/stack_trace.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import given, named_last
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


_MAKERS = frozenset(
    f"{crate}::maps::StackTrace::{name}" for crate in ("aya_ebpf", "aya_bpf") for name in ("with_max_entries", "pinned")
)


class StackTraceBuildId(SourceRule):
    severity = "error"
    group = "maps"
    phase = "load"
    words = ("BPF_F_STACK_BUILD_ID",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.calls("with_max_entries", "pinned"):
                if call.callee is None or len(call.args) != 2:
                    continue
                if resolve(file, call.callee.path, call.item) not in _MAKERS:
                    continue
                flags = given(call.args[1])
                parts = [one for one in flags.within() if one.kind == "path"]
                if not any(named_last(one, "BPF_F_STACK_BUILD_ID") for one in parts):
                    continue
                yield self.finding(
                    ctx,
                    "values of 1016 bytes hold no whole number of build ids: the kernel refuses the map (`EINVAL`)",
                    span=covered(ctx, call.args[1]),
                    fixes=[Fix("display", "leave the flag off, and resolve addresses in user space")],
                )


RULE = StackTraceBuildId()
