"""`#[tracepoint]` with a name and no category, or the other way round.

## What it does
Finds `#[tracepoint(name = "..")]` without `category` and `#[tracepoint(category = "..")]` without `name`. For releases
of aya-ebpf, not for checkouts of unknown age.

## Why is this bad
It does not compile: "expected `name` and `category` arguments". On pages from before 2024 `name` is what the program is
called, which is its function's name now.

## Example
```rust
#[tracepoint(name = "count_forks")]
pub fn count_forks(ctx: TracePointContext) -> u32 { .. }
```

## Use instead
```rust
#[tracepoint]
pub fn count_forks(ctx: TracePointContext) -> u32 { .. }
```

## Fix
Unsafe: the arguments go; the loader says what to attach to.

## Kernels
All.

## Source
aya-ebpf-macros, `src/tracepoint.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._rust import kernel_files, place, programs, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class TracepointHalfNamed(SourceRule):
    severity = "error"
    group = "programs"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.1.0"):
            for item, macro, attr in programs(file):
                given = arguments(file, attr) if macro == "tracepoint" else []
                if {one.name for one in given} not in ({"name"}, {"category"}):
                    continue
                missing = "category" if given[0].name == "name" else "name"
                start = file.text.find(attr.args, attr.start)
                edit = replace(ctx, file, start, start + len(attr.args), "")
                yield self.finding(
                    ctx,
                    f"`#[tracepoint]` takes name and category, or neither: `{missing}` is missing",
                    span=place(ctx, file, given[0].start, given[0].end),
                    program=item.name,
                    fixes=[Fix("unsafe", "leave both out, the loader says what to attach to", [edit])],
                )


RULE = TracepointHalfNamed()
