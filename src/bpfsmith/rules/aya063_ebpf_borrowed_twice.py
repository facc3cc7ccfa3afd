"""A map or program of an `Ebpf` is used after another one was borrowed from it.

## What it does
Finds locals that borrow from an `Ebpf` (`map_mut`, `program_mut`, the map or program made from it) and are used after
the same `Ebpf` was used again.

## Why is this bad
`map_mut` and `program_mut` borrow the whole `Ebpf` mutably, as long as what they gave is used. The compiler refuses
the second use: "cannot borrow `ebpf` as mutable more than once at a time" (E0499).

## Example
```rust
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCKED").unwrap())?;
let counts: Array<_, u64> = Array::try_from(ebpf.map_mut("COUNTS").unwrap())?;
blocked.insert(1, 0, 0)?;
```

## Use instead
```rust
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.take_map("BLOCKED").unwrap())?;
let counts: Array<_, u64> = Array::try_from(ebpf.map_mut("COUNTS").unwrap())?;
blocked.insert(1, 0, 0)?;
```

## Fix
Display: `take_map` for a map; `maps_disjoint_mut` for several (aya 0.14); for a program do all with it first.

## Kernels
All.

## Source
`aya/src/bpf.rs`; `aya/CHANGELOG.md`, 0.14.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import let_type, straight
from bpfsmith.rules._rust import EBPF, called_on, covered, user_files
from bpfsmith.source.types import binding, mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let, SourceFile


_BORROWS = frozenset({"map_mut", "program_mut", "map", "program", "maps_mut", "programs_mut", "take_map"})


class EbpfBorrowedTwice(SourceRule):
    severity = "error"
    group = "maps"
    phase = "compile"
    words = ("map_mut", "program_mut")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            uses = _uses(file)
            for lent in file.methods("map_mut", "program_mut"):
                owner = lent.receiver
                if owner is None or owner.kind != "path" or "::" in owner.path:
                    continue
                if lent.name == "map_mut" and (file.crate is None or not file.crate.at_least("aya", "0.12.0")):
                    continue  # up to 0.11 maps were lent from `&self`
                block = next((one for one in lent.ancestors() if one.kind in ("block", "closure")), None)
                if block is None or block.kind != "block":
                    continue
                every = uses.get(owner.path, [])
                first = bisect_right(every, lent.end, key=lambda one: one.start)
                later = every[first : bisect_left(every, block.end, lo=first, key=lambda one: one.start)]
                if not later or not called_on(lent, EBPF):
                    continue
                let = next((one for one in block.lets if one.start <= lent.start < one.end), None)
                if let is None or let.name is None or let.init is None or not _borrowing(let, lent):
                    continue
                source = binding(owner)
                if source is None:
                    continue
                for again in later:
                    if again.start < let.end or not straight(again, block) or binding(again) != source:
                        continue
                    late = next((one for one in mentions(let) if one.kind == "path" and one.start > again.end), None)
                    if late is None:
                        break
                    # The right side of the statement that uses it once more may be evaluated before.
                    yield self.finding(
                        ctx,
                        f"`{owner.path}` is borrowed again while `{let.name}`, which borrows it too, is still in use",
                        span=covered(ctx, again.parent if again.parent is not None else again),
                        labels=[
                            Label(covered(ctx, lent), "borrowed here"),
                            Label(covered(ctx, late), "used again here"),
                        ],
                        fixes=[Fix("display", _advice(lent, file))],
                    )
                    break


def _borrowing(let: Let, lent: Expr) -> bool:
    """Whether the local certainly borrows: a map or program made from what was lent, or that itself."""
    assert let.init is not None
    known = let_type(let)
    if known is not None:
        return known.within("aya::maps", "aya::programs")
    return let.init.stripped() == lent


def _uses(file: SourceFile) -> dict[str, list[Expr]]:
    """By the local's name: where something is borrowed from it, in order of the text."""
    found: dict[str, list[Expr]] = {}
    for call in file.methods(*_BORROWS):
        if call.receiver is not None and call.receiver.path:
            found.setdefault(call.receiver.path, []).append(call.receiver)
    for places in found.values():
        places.sort(key=lambda one: one.start)
    return found


def _advice(lent: Expr, file: SourceFile) -> str:
    if lent.name == "program_mut":
        return "do all with the program first, or look it up again"
    new = file.crate is not None and file.crate.at_least("aya", "0.14.0")
    return "use `take_map` for one of them" + (", or `maps_disjoint_mut` for both" if new else "")


RULE = EbpfBorrowedTwice()
