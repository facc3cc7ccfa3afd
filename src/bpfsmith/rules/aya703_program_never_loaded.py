"""A program of the kernel side that the user side never loads.

## What it does
Finds programs of the kernel crates that no `program(..)` or `program_mut(..)` names, where all of the user side is
known: it loads this object itself, computes no names, goes through no `programs_mut()`, and has no text that is the
program's name. Programs under a `cfg` are left out.

## Why is this bad
`Ebpf::load` creates the maps; each program must be loaded and attached by its name. A program that nobody names is not
even checked by the verifier: it never runs, and what it should have filled stays empty.

## Example
```rust
// kernel side: #[tracepoint] fn exec(..) and #[tracepoint] fn exit(..)
let exec: &mut TracePoint = ebpf.program_mut("exec").unwrap().try_into()?;
exec.load()?;
exec.attach("sched", "sched_process_exec")?; // and `exit`?
```

## Use instead
```rust
let exit: &mut TracePoint = ebpf.program_mut("exit").unwrap().try_into()?;
exit.load()?;
exit.attach("sched", "sched_process_exit")?;
```

## Fix
Display: load it, or delete it.

## Kernels
All. `bpftool prog show` lists what is loaded.

## Source
aya, `EbpfLoader::load` in `aya/src/bpf.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, owner_crate, pairs, unmentioned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class ProgramNeverLoaded(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("load", "load_file")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for made in pair.programs:
                if not made.kinds or not owner_crate(project, made) or not unmentioned(pair, made):
                    continue
                if made.old and pair.says(made.macro):
                    continue  # before aya 0.12 a program without a name was called as its section is
                yield self.finding(
                    ctx,
                    f"program `{made.name}` is never loaded: the user side names it nowhere",
                    span=item_place(ctx, made.item),
                    fixes=[
                        Fix(
                            "display",
                            f'take it with `program_mut("{made.name}")`, load and attach it as `{made.kind}`, or '
                            "delete it",
                        )
                    ],
                )


RULE = ProgramNeverLoaded()
