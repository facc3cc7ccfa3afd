"""A program is loaded a second time.

## What it does
Finds a second `load` of the same program in a straight line, and `load` in a loop for a program that is looked up by
a constant name or was taken before the loop, where the error ends the function.

## Why is this bad
A program can be loaded once. The second call fails with "the program is already loaded": the loop works for the first
interface and ends the program at the second.

## Example
```rust
for interface in &interfaces {
    let program: &mut Xdp = ebpf.program_mut("firewall").unwrap().try_into()?;
    program.load()?;
    program.attach(interface, XdpMode::default())?;
}
```

## Use instead
```rust
let program: &mut Xdp = ebpf.program_mut("firewall").unwrap().try_into()?;
program.load()?;
for interface in &interfaces {
    program.attach(interface, XdpMode::default())?;
}
```

## Fix
Display: load once, then attach as often as needed.

## Kernels
All.

## Source
`aya/src/programs/mod.rs`, `ProgramError::AlreadyLoaded`; seen with aya 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import fatal, let_of, let_type, straight
from bpfsmith.rules._lifetimes import receivers
from bpfsmith.rules._rust import EBPF, covered, user_files
from bpfsmith.source.types import binding, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let


_LOOPS = ("for", "while", "loop")
_LOOKUPS = frozenset({"program_mut", "take_program"})


class ProgramLoadedTwice(SourceRule):
    severity = "error"
    group = "attach"
    phase = "load"
    words = ("program_mut",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            for load in file.methods("load"):
                base = load.receiver
                if base is None or base.kind != "path" or load.parent is None or not fatal(load):
                    continue
                let = let_of(base)
                if let is None or let.init is None or file.in_test(load.item):
                    continue
                known = let_type(let)
                if known is None or not known.within("aya::programs"):
                    continue
                found = self._again(ctx, load, let) or self._loop(ctx, load, let)
                if found is not None:
                    yield found

    def _again(self, ctx: CheckContext, load: Expr, let: Let) -> Finding | None:
        calls = [call for call in receivers(let) if call.name in ("load", "unload") and straight(call, let.block)]
        at = next((number for number, call in enumerate(calls) if call == load), 0)
        if at == 0 or calls[at - 1].name != "load":
            return None
        return self.finding(
            ctx,
            f"`{let.name}` is loaded already: this fails",
            span=covered(ctx, load),
            labels=[Label(covered(ctx, calls[at - 1]), "loaded here")],
            fixes=[Fix("display", "load it once")],
        )

    def _loop(self, ctx: CheckContext, load: Expr, let: Let) -> Finding | None:
        loop = next((one for one in load.ancestors() if one.kind in (*_LOOPS, "closure")), None)
        if loop is None or loop.kind == "closure" or loop.body is None or not straight(load, loop.body):
            return None
        if any(True for _ in loop.body.within("break", "return")):
            return None
        inside = loop.body.start <= let.start
        if any(call.name in ("unload", "fd", "info") for call in receivers(let)) or (inside and not _same(let, loop)):
            return None
        return self.finding(
            ctx,
            f"`{let.name}` is the same program in every round: loading it fails in the second one",
            span=covered(ctx, load),
            labels=[Label(covered(ctx, let.init), "the same each time")] if let.init is not None else [],
            fixes=[Fix("display", "load it once before the loop")],
        )


def _same(let: Let, loop: Expr) -> bool:
    """Whether each round looks up the same program of the same `Ebpf`."""
    if let.init is None:
        return False
    for call in let.file.methods(*_LOOKUPS):
        if not let.init.start <= call.start < let.init.end or len(call.args) != 1 or call.args[0].string is None:
            continue
        owner = call.receiver
        if owner is None or owner.kind != "path" or "::" in owner.path:
            return False
        known = type_of(owner)
        found = binding(owner)
        if known is None or known.path not in EBPF or found is None:
            return False
        return found.kind == "param" or (found.let is not None and found.let.end <= loop.start)
    return False


RULE = ProgramLoadedTwice()
