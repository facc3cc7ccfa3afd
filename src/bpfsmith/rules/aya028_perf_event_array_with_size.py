"""`PerfEventArray::with_max_entries`, which aya-ebpf 0.1.1 removed.

## What it does
Finds `PerfEventArray::with_max_entries(n, flags)` and that of `PerfEventByteArray` in kernel crates where aya-ebpf is
0.1.1 or newer.

## Why is this bad
It does not compile. The loader makes the array as long as there are CPUs, whatever was written.

## Example
```rust
#[map]
static EVENTS: PerfEventArray<Event> = PerfEventArray::with_max_entries(1024, 0);
```

## Use instead
```rust
#[map]
static EVENTS: PerfEventArray<Event> = PerfEventArray::new(0);
```

## Fix
Safe: the number had no effect.

## Kernels
All.

## Source
aya-ebpf, `CHANGELOG.md` (0.1.1).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, covered, kernel_files, replace
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_OLD = frozenset(
    {"aya_ebpf::maps::PerfEventArray::with_max_entries", "aya_ebpf::maps::PerfEventByteArray::with_max_entries"}
)


class PerfEventArrayWithSize(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.1.1"):
            for call in file.of_kind("call"):
                callee = call.callee
                if callee is None or not callee.path.endswith("::with_max_entries"):
                    continue
                if resolve(file, callee.path, call.item) not in _OLD or compat(file, call.item, call.start):
                    continue
                fix = Fix("display", "write `new(flags)`")
                if len(call.args) == 2:
                    start = callee.end - len("with_max_entries")
                    edit = replace(ctx, file, start, call.end, f"new({call.args[1].text})")
                    fix = Fix("safe", f"write `new({call.args[1].text})`", [edit])
                yield self.finding(
                    ctx,
                    "a perf event array takes no size since aya-ebpf 0.1.1: the loader gives it a slot for each CPU",
                    span=covered(ctx, call),
                    fixes=[fix],
                )


RULE = PerfEventArrayWithSize()
