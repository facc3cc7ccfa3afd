"""A program's descriptor is asked for before the program is loaded.

## What it does
Finds programs whose `fd()` the user side asks for (to fill a program array, a `DevMap` or a `CpuMap`, say) while `load`
is called on them only later in the same lines, or nowhere at all where every use of the program is known.

## Why is this bad
A program has a descriptor once the kernel has it: `fd()` before `load()` gives `ProgramError::NotLoaded`, "the program
is not loaded". Loading the program that makes the tail call does not load those that are called.

## Example
```rust
let filter: &mut Xdp = ebpf.program_mut("filter").unwrap().try_into()?;
stages.set(0, filter.fd()?, 0)?;
filter.load()?;
```

## Use instead
```rust
filter.load()?;
stages.set(0, filter.fd()?, 0)?;
```

## Fix
Display: load it first.

## Kernels
All.

## Source
aya, `ProgramData::fd` in `aya/src/programs/mod.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import pairs
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import Pair, ProgramUse
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _straight(first: Expr, second: Expr) -> bool:
    """Whether both are in one function, the first before the second, and nothing repeats or skips one alone."""
    if first.item is None or first.item != second.item or first.file is not second.file or first.end > second.start:
        return False
    around = {one.id for one in first.ancestors() if one.kind in ("if", "match", "loop", "while", "for", "closure")}
    return around == {
        one.id for one in second.ancestors() if one.kind in ("if", "match", "loop", "while", "for", "closure")
    }


class SlotSetToUnloadedProgram(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("fd",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for use in pair.program_uses:
                asked = next((one for one in use.calls if one.name == "fd"), None)
                if asked is None or use.name is None or not pair.program(use.name):
                    continue
                if use.file.crate not in project.crates:
                    continue
                loads = self._loads(pair, use)
                if loads is None:
                    continue
                later = next((one for one in use.loads if _straight(asked, one)), None)
                if loads and (later is None or len(loads) > 1):
                    continue
                yield self.finding(
                    ctx,
                    f"program `{use.name}` is not loaded here: `the program is not loaded`",
                    span=covered(ctx, asked),
                    labels=[Label(covered(ctx, later), "loaded too late")] if later is not None else [],
                    fixes=[Fix("display", "call `load` on it before this")],
                )

    def _loads(self, pair: Pair, use: ProgramUse) -> list[Expr] | None:
        """Every `load` of the program; None where some may not be seen."""
        if not pair.user_complete:
            return None
        same = [one for one in pair.program_uses if one.names is not None and use.name in one.names]
        texts = sum(file.text.count(f'"{use.name}"') for user in pair.users for file in user.crate.files)
        if any(one.escapes for one in same) or texts > len(same):
            return None
        return [call for one in same for call in one.loads]


RULE = SlotSetToUnloadedProgram()
