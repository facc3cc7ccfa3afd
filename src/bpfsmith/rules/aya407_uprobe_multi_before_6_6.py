"""A uprobe for many places is asked of kernels that cannot attach it.

## What it does
Finds `#[uprobe(multi)]` and `#[uretprobe(multi)]` where `--kernels` (or the configuration) names a kernel before 6.6.

## Why is this bad
Links for many uprobes came with Linux 6.6. A program of the section `uprobe.multi` is loaded for such a link and
nothing else: on older kernels it fails. Aya falls back to one link a place only for programs that do not come from an
object.

## Example
```rust
#[uprobe(multi)]
pub fn allocated(ctx: ProbeContext) -> u32 { .. }
```

## Use instead
```rust
#[uprobe(multi)]
pub fn allocated_multi(ctx: ProbeContext) -> u32 { count(ctx) }
#[uprobe]
pub fn allocated(ctx: ProbeContext) -> u32 { count(ctx) }
// user side: load the one that `aya::sys::is_uprobe_multi_supported` allows
```

## Fix
Display: have both and let the loader choose, or leave `multi` out.

## Kernels
Before 6.6.

## Source
Kernel commit 89ae89f53d20 (Linux 6.6); `aya/src/programs/uprobe.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import says
from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._object import on as on_kernels
from bpfsmith.rules._rust import kernel_files, place, programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class UprobeMultiBefore66(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "attach"
    asks = "kernels"
    words = ("multi",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        missing = ctx.kernels.missing_before("6.6")
        if not ctx.kernels.specified or not missing:
            return
        if any(says(crate, "is_uprobe_multi_supported", "KernelVersion") for crate in project.crates):
            return
        for file in kernel_files(project):
            for item, macro, attr in programs(file):
                one = next((one for one in arguments(file, attr) if one.name == "multi"), None)
                if macro not in ("uprobe", "uretprobe") or one is None:
                    continue
                yield self.finding(
                    ctx,
                    f"{on_kernels(missing)} cannot attach a `{macro}.multi` program, and there is no fallback",
                    span=place(ctx, file, one.start, one.end),
                    program=item.name,
                    kernels=missing,
                    fixes=[Fix("display", "have a second program without `multi`, and let the loader choose")],
                )


RULE = UprobeMultiBefore66()
