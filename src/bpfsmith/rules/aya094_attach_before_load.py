"""A program is attached before it is loaded.

## What it does
Finds, in one block, an `attach..` on a program of a known type before the `load` of the same variable; or an
`attach..` where the whole crate loads no program at all.

## Why is this bad
`attach` fails at run time with "the program is not loaded".

## Example
```rust
let program: &mut KProbe = ebpf.program_mut("probe").unwrap().try_into()?;
program.attach("do_exit", 0)?;
program.load()?;
```

## Use instead
```rust
let program: &mut KProbe = ebpf.program_mut("probe").unwrap().try_into()?;
program.load()?;
program.attach("do_exit", 0)?;
```

## Fix
Display: load first.

## Kernels
All.

## Source
aya, `aya/src/programs/mod.rs` (`ProgramError::NotLoaded`); reproduced with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._lifetimes import leaves, receivers
from bpfsmith.rules._rust import blocks_around, covered, place, user_files
from bpfsmith.source.aya import model
from bpfsmith.source.types import named, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let


def _straight(call: Expr, block: Expr) -> bool:
    """Whether a call is reached whenever its block is: not in a branch, loop or closure of it."""
    for one in call.ancestors():
        if one == block:
            return True
        if one.kind in ("if", "match", "loop", "while", "for", "closure"):
            return False
    return False


def _loads_programs(crate: Crate) -> bool:
    """Whether anything in the crate may load a program: a `load` on something that is no `Ebpf` and no loader."""
    for file in crate.files:
        if not file.has("load"):
            continue
        for call in file.methods("load"):
            known = type_of(call.receiver)
            if known is None or known.within("aya::programs"):
                return True
        if any("load" in one.text for one in file.of_kind("tokens")):
            return True
        if any(one.path.endswith("::load") and "bpf" not in one.path.lower() for one in file.path_exprs("load")):
            return True
    return False


def _taken_once(project: Project, let: Let) -> bool:
    """Whether this is the only place of the user side that has to do with this program, so that nothing else loads
    it."""
    for user in model(project).users:
        use = next(
            (one for one in user.programs if one.file is let.file and let.start <= one.expr.start < let.end), None
        )
        if use is None:
            continue
        if use.name is None or user.every or user.opaque or use.escapes or use.loads:
            return False
        if any(one is not use and (one.names is None or use.name in one.names) for one in user.programs):
            return False
        crates = [one.crate for one in model(project).users]
        return sum(file.text.count(f'"{use.name}"') for crate in crates for file in crate.files) == 1
    return False


class AttachBeforeLoad(SourceRule):
    severity = "error"
    group = "attach"
    phase = "attach"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        loads_somewhere: dict[str, bool] = {}
        for file in user_files(project):
            for block in blocks_around(file, file.methods(*file.native.methods_like("attach"))):
                for let in block.lets:
                    if let.name is None or let.init is None or "from_p" in let.init.text:
                        continue
                    known = named(file, let.type, block.item) if let.type else type_of(let.init)
                    if known is None or not known.within("aya::programs"):
                        continue
                    calls = [call for call in receivers(let) if _straight(call, block)]
                    attached = next((call for call in calls if call.name.startswith("attach")), None)
                    loaded = next((call for call in receivers(let) if call.name == "load"), None)
                    if attached is None:
                        continue
                    if loaded is not None and loaded.fields[2] < attached.fields[2]:
                        continue
                    here = "program_mut(" in let.init.text and not leaves(let)
                    if loaded is None and (not here or file.crate is None):
                        continue
                    if loaded is None and file.crate is not None and not _taken_once(project, let):
                        if file.crate.folder not in loads_somewhere:
                            loads_somewhere[file.crate.folder] = _loads_programs(file.crate)
                        if loads_somewhere[file.crate.folder]:
                            continue
                    labels = [Label(covered(ctx, loaded), "loaded only here")] if loaded is not None else []
                    yield self.finding(
                        ctx,
                        f'`{let.name}` is attached before it is loaded: "the program is not loaded"',
                        span=place(ctx, file, attached.fields[2], attached.end),
                        labels=labels,
                        fixes=[Fix("display", f"call `{let.name}.load()` first")],
                    )


RULE = AttachBeforeLoad()
