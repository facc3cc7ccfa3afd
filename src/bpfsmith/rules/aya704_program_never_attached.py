"""A program is loaded and never attached.

## What it does
Finds programs on which the user side calls `load` and nothing else, anywhere: no `attach`, no `fd` (for a program array
or a redirect map), no `pin`. Every use of the name must be followed to its end, through helper functions too.

## Why is this bad
The verifier accepts the program, it takes memory, and it never runs. Nothing fails.

## Example
```rust
let filter: &mut Xdp = ebpf.program_mut("filter").unwrap().try_into()?;
filter.load()?;
```

## Use instead
```rust
let filter: &mut Xdp = ebpf.program_mut("filter").unwrap().try_into()?;
filter.load()?;
filter.attach("eth0", XdpMode::default())?;
```

## Fix
Display: the call that attaches it.

## Kernels
All. `bpftool prog show` lists what is loaded, `bpftool link` and `bpftool net` what is attached.

## Source
aya, `aya/src/programs/mod.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place
from bpfsmith.rules._rust import place
from bpfsmith.rules._unattached import unattached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class ProgramNeverAttached(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("program_mut",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for made, load in unattached(project):
            if made.attach_hint:
                continue  # said by another rule, with the reason
            yield self.finding(
                ctx,
                f"program `{made.name}` is loaded and never attached: it does not run",
                span=place(ctx, load.file, load.fields[2], load.fields[3]),
                labels=[Label(item_place(ctx, made.item), f"`#[{made.macro}]` here")],
                fixes=[Fix("display", f"call `attach` on it after this, as `aya::programs::{made.kind}` wants it")],
            )


RULE = ProgramNeverAttached()
