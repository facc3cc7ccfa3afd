"""A kretprobe or uretprobe that takes a `ProbeContext`.

## What it does
Finds functions with `#[kretprobe]` or `#[uretprobe]` whose parameter is a `ProbeContext` where aya-ebpf is 0.1.1 or
newer.

## Why is this bad
It does not compile: the macro passes a `RetProbeContext`, which knows the return value and no arguments.

## Example
```rust
#[kretprobe]
pub fn connected(ctx: ProbeContext) -> u32 { .. }
```

## Use instead
```rust
#[kretprobe]
pub fn connected(ctx: RetProbeContext) -> u32 { .. }
```

## Fix
Unsafe: other functions that are given the context have to change too; arguments must be kept in a map by a kprobe.

## Kernels
All.

## Source
aya-ebpf, `CHANGELOG.md` (0.1.1).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, kernel_files, place, programs, replace
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class ReturnProbeContext(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.1.1"):
            for item, macro, _ in programs(file):
                if macro not in ("kretprobe", "uretprobe") or len(item.params) != 1 or compat(file, item, item.start):
                    continue
                param = item.params[0]
                if resolve(file, param.type, item) != "aya_ebpf::programs::ProbeContext":
                    continue
                start, end = param.type_start, param.type_start + len(param.type)
                edit = replace(ctx, file, start, end, "aya_ebpf::programs::RetProbeContext")
                yield self.finding(
                    ctx,
                    f"`#[{macro}]` passes a `RetProbeContext` since aya-ebpf 0.1.1",
                    span=place(ctx, file, start, end),
                    program=item.name,
                    fixes=[Fix("unsafe", "take a `RetProbeContext`", [edit])],
                )


RULE = ReturnProbeContext()
