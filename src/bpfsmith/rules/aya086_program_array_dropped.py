"""A `ProgramArray` is filled and its handle dropped, which empties it.

## What it does
Finds a local `ProgramArray` made from `take_map` whose last use is `set` and which goes out of scope there: in a
function that returns afterwards, and not moved, returned, stored or pinned.

## Why is this bad
The kernel clears the slots of a program array when the last user-space reference to the map goes. `take_map` took the
only one out of the `Ebpf`: from then on every tail call falls through, silently.

## Example
```rust
fn fill(ebpf: &mut Ebpf) -> Result<()> {
    let mut stages = ProgramArray::try_from(ebpf.take_map("STAGES").unwrap())?;
    stages.set(0, filter_fd, 0)?;
    Ok(())
}
```

## Use instead
```rust
fn fill(ebpf: &mut Ebpf) -> Result<ProgramArray<MapData>> {
    let mut stages = ProgramArray::try_from(ebpf.take_map("STAGES").unwrap())?;
    stages.set(0, filter_fd, 0)?;
    Ok(stages) // the caller keeps it as long as the programs run
}
```

## Fix
Display: return the handle and keep it, or pin the map.

## Kernels
All: program arrays came with 4.2.

## Source
Kernel, `prog_array_map_clear` when `uref` drops to 0 (`kernel/bpf/arraymap.c`, `bpf_fd_array_map_clear`).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._lifetimes import dropped_by_hand, dropped_early, receivers
from bpfsmith.rules._rust import covered, place, user_files
from bpfsmith.source.types import binding, named, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let


def _owned(init: Expr) -> bool:
    """Made from a map that `take_map` took out of the `Ebpf`, here or in the `let` of the argument."""
    if "take_map" in init.text:
        return True
    made = init.stripped()
    if made.kind != "call" or len(made.args) != 1:
        return False
    argument = made.args[0].stripped()
    found = binding(argument) if argument.kind == "path" and "::" not in argument.path else None
    given = found.let.init if found is not None and found.let is not None else None
    return given is not None and given.stripped().name == "take_map"


def _told(let: Let) -> bool:
    """Dropped before programs are loaded, which is worse (AYA064)."""
    from bpfsmith.rules.aya064_map_dropped_before_load import lost

    taken = next((one for one in let.file.methods("take_map") if let.start <= one.start < let.end), None)
    crate = let.file.crate
    return taken is not None and crate is not None and crate.at_least("aya", "0.12.0") and bool(lost(taken, let.file))


class ProgramArrayDropped(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("ProgramArray",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            if not file.has("take_map") or not file.has("ProgramArray"):
                continue
            for block in file.of_kind("block"):
                for let in block.lets:
                    init = let.init
                    if init is None or let.name is None or not _owned(init):
                        continue
                    known = named(file, let.type, block.item) if let.type else type_of(init)
                    if known is None or known.path != "aya::maps::ProgramArray":
                        continue
                    fills = [call for call in receivers(let) if call.name == "set"]
                    if not fills:
                        continue
                    gone = dropped_by_hand(let, fills[-1].end)
                    if gone is None and not dropped_early(let, fills[-1].end):
                        continue
                    if _told(let):
                        continue
                    when = "here" if gone is not None else "when its block ends"
                    yield self.finding(
                        ctx,
                        f"`{let.name}` is dropped {when}, and the kernel then empties the program array",
                        span=covered(ctx, gone) if gone is not None else place(ctx, file, let.start, let.end),
                        labels=[Label(covered(ctx, fills[-1]), "filled here")],
                        fixes=[
                            Fix(
                                "display",
                                f"return `{let.name}` and keep it as long as the programs run, or pin the map",
                            )
                        ],
                    )
            for call in file.methods("set"):
                made = call.receiver.stripped() if call.receiver is not None else None
                if made is None or made.kind != "call" or not _owned(made):
                    continue
                known = type_of(made)
                if known is not None and known.path == "aya::maps::ProgramArray":
                    yield self.finding(
                        ctx,
                        "the program array is dropped at the end of this statement, and the kernel then empties it",
                        span=covered(ctx, made),
                        fixes=[
                            Fix(
                                "display",
                                "bind it to a variable that lives as long as the programs run, or pin the map",
                            )
                        ],
                    )


RULE = ProgramArrayDropped()
