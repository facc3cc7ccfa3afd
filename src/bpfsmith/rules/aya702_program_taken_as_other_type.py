"""A program is taken as a type that its macro does not make.

## What it does
Compares the type to which the user side converts a program (`let p: &mut Xdp = ebpf.program_mut("p")..try_into()?`)
with the macro above the function in the kernel crate.

## Why is this bad
Macro and section decide what a program is. The conversion gives `ProgramError::UnexpectedProgramType`, "unexpected
program type", at run time; the message names neither the program nor its type. `kprobe` and `kretprobe` are both
`KProbe`, `uprobe` and `uretprobe` both `UProbe`; a tc program is a `SchedClassifier`.

## Example
```rust
// kernel side
#[classifier]
pub fn filter(ctx: TcContext) -> i32 { 0 }
// user side
let filter: &mut Xdp = ebpf.program_mut("filter").unwrap().try_into()?;
```

## Use instead
```rust
let filter: &mut SchedClassifier = ebpf.program_mut("filter").unwrap().try_into()?;
```

## Fix
Display: the type that takes it, or the macro that makes what was meant.

## Kernels
All.

## Source
aya, `impl_try_from_program` in `aya/src/programs/mod.rs`; `aya-obj/src/obj.rs`, `ProgramSection`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, pairs, text_place
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import KernelProgram, Pair, ProgramUse
    from bpfsmith.source.project import Project


def _others(pair: Pair, use: ProgramUse, name: str) -> list[KernelProgram]:
    """The programs of a name, where none of them can be taken as this use takes it."""
    found = pair.program(name)
    return [] if any(not one.kinds or use.cast in one.kinds for one in found) else found


class ProgramTakenAsOtherType(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("program", "program_mut")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for use in pair.program_uses:
                # `Extension` takes whatever the loader was told to make one.
                if not use.cast or use.cast == "Extension" or use.several:
                    continue
                wrong = {name: found for name in use.names or () if (found := _others(pair, use, name))}
                if len(wrong) < len(use.names or ()) and any(
                    one.kind in ("if", "match") for one in use.expr.ancestors()
                ):
                    continue  # a helper that tells them apart
                for name, found in sorted(wrong.items()):
                    made = found[0]
                    yield self.finding(
                        ctx,
                        f"program `{name}` is a `{made.macro}` and no `{use.cast}`: `unexpected program type`",
                        span=covered(ctx, use.expr) if use.cast_at is None else text_place(ctx, use.cast_at),
                        labels=[Label(item_place(ctx, made.item), f"`#[{made.macro}]` here")],
                        fixes=[Fix("display", f"take it as `aya::programs::{made.kind}`")],
                    )


RULE = ProgramTakenAsOtherType()
