"""A uprobe for many places is loaded by an Aya that does not know its section.

## What it does
Finds `#[uprobe(multi)]` and `#[uretprobe(multi)]` in workspaces whose user side has aya before 0.15.

## Why is this bad
The macro puts the program into the section `uprobe.multi`, which aya knows from 0.15 on. Older ones refuse the whole
object with "invalid program section `uprobe.multi`", and no program of it loads.

## Example
```rust
#[uprobe(multi)]
pub fn allocated(ctx: ProbeContext) -> u32 { .. }
```

## Use instead
```rust
#[uprobe]
pub fn allocated(ctx: ProbeContext) -> u32 { .. }
```

## Fix
Display: leave `multi` out and attach once for each place, or use aya 0.15.

## Kernels
All; links for many places came with 6.6.

## Source
`aya-obj/src/obj.rs` of 0.3 and 0.5; the message seen with aya 0.14.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments, without
from bpfsmith.rules._rust import kernel_files, place, programs, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class UprobeMultiUnknownToLoader(SourceRule):
    severity = "error"
    group = "attach"
    phase = "load"
    words = ("multi",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        loaders = [crate for crate in project.crates if crate.dependency("aya") is not None]
        if not loaders or not all(crate.below("aya", "0.15.0") for crate in loaders):
            return
        for file in kernel_files(project):
            for item, macro, attr in programs(file):
                one = next((one for one in arguments(file, attr) if one.name == "multi"), None)
                if macro not in ("uprobe", "uretprobe") or one is None or one.value is not None:
                    continue
                start, end = without(file, attr, one)
                yield self.finding(
                    ctx,
                    f"aya before 0.15 refuses an object with the section `{macro}.multi`",
                    span=place(ctx, file, one.start, one.end),
                    program=item.name,
                    fixes=[Fix("unsafe", "leave `multi` out", [replace(ctx, file, start, end, "")])],
                )


RULE = UprobeMultiUnknownToLoader()
