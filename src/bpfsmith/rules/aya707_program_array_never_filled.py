"""Tail calls go through a program array that nobody fills.

## What it does
Finds `ProgramArray` maps with a `tail_call` on the kernel side that nothing of the user side names, where all of the
user side is known. Pinned maps are left out: another process may fill them.

## Why is this bad
An empty slot is no error: `tail_call` returns, and the program goes on after it. What the next stage should have done
never happens.

## Example
```rust
// kernel side: unsafe { STAGES.tail_call(&ctx, 0) };
let mut ebpf = Ebpf::load(bytes)?; // and no `take_map("STAGES")`
```

## Use instead
```rust
let mut stages = ProgramArray::try_from(ebpf.take_map("STAGES").unwrap())?;
stages.set(0, filter.fd()?, 0)?; // and `stages` lives as long as the programs run
```

## Fix
Display: fill it.

## Kernels
All: program arrays came with 4.2.

## Source
Kernel, `bpf_tail_call` in `include/uapi/linux/bpf.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, owner_crate, pairs, unmentioned
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class ProgramArrayNeverFilled(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("ProgramArray",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for made in pair.maps:
                if made.kind != "ProgramArray" or made.pinned or not owner_crate(project, made):
                    continue
                calls = [one for one in made.calls() or () if one.name == "tail_call"]
                if not calls or not unmentioned(pair, made):
                    continue
                yield self.finding(
                    ctx,
                    f"nobody fills `{made.name}`, so every tail call through it falls through",
                    span=item_place(ctx, made.item),
                    labels=[Label(covered(ctx, calls[0]), "always returns")],
                    fixes=[
                        Fix(
                            "display",
                            f'load the programs, take the map with `take_map("{made.name}")`, `set` their slots and '
                            "keep the map",
                        )
                    ],
                )


RULE = ProgramArrayNeverFilled()
