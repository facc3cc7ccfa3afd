"""`PerfEvent::attach` with a type and a number: since aya 0.14 they are one `PerfEventConfig`.

## What it does
Finds `attach(PerfTypeId::.., config, ..)` on a `PerfEvent` where aya is 0.14.0 or newer.

## Why is this bad
It does not compile: `PerfTypeId` is gone.

## Example
```rust
program.attach(PerfTypeId::Software, PERF_COUNT_SW_CPU_CLOCK as u64, scope, policy, true)?;
```

## Use instead
```rust
program.attach(PerfEventConfig::Software(SoftwareEvent::CpuClock), scope, policy, true)?;
```

## Fix
Display: the number has to be named.

## Kernels
All.

## Source
aya 0.13.1 and 0.14.0, `src/programs/perf_event.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import called_on, compat, place, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class PerfEventAttachOldForm(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.14.0"):
            for call in file.of_kind("method"):
                if call.name != "attach" or len(call.args) < 4 or call.args[0].kind != "path":
                    continue
                first = resolve(file, call.args[0].path, call.item) or ""
                if "::PerfTypeId::" not in first or not called_on(call, {"aya::programs::PerfEvent"}):
                    continue
                if compat(file, call.item, call.start):
                    continue
                yield self.finding(
                    ctx,
                    "`PerfEvent::attach` takes a `PerfEventConfig` since aya 0.14, `PerfTypeId` is gone",
                    span=place(ctx, file, call.args[0].start, call.args[1].end),
                    fixes=[
                        Fix(
                            "display",
                            "name type and number as one: `PerfEventConfig::Software(SoftwareEvent::CpuClock)`",
                        )
                    ],
                )


RULE = PerfEventAttachOldForm()
