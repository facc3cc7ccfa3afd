"""A map that is opened with `map` is written to.

## What it does
Finds locals made from `Ebpf::map` on which a method is called that changes the map (`insert`, `remove`, `set`,
`push`, `pop`).

## Why is this bad
`map` lends the map shared; the methods that write exist only for a map that is owned or lent mutably. The compiler
says that the method exists, but its trait bounds are not satisfied (E0599).

## Example
```rust
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map("BLOCKED").unwrap())?;
blocked.insert(address, 0, 0)?;
```

## Use instead
```rust
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCKED").unwrap())?;
```

## Fix
Unsafe: writes `map_mut`, which needs the `Ebpf` to be mutable; `take_map` gives the map itself.

## Kernels
All.

## Source
`aya/src/maps`, `impl<T: BorrowMut<MapData>, ..>`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import let_type
from bpfsmith.rules._lifetimes import receivers
from bpfsmith.rules._rust import EBPF, called_on, covered, replace, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let


_WRITES = frozenset({"insert", "remove", "set", "push", "pop", "insert_batch"})


class MapOpenedForReading(SourceRule):
    severity = "error"
    group = "maps"
    phase = "compile"
    words = ("try_from", "try_into")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.12.0"):
            for opened in file.methods("map"):
                if len(opened.args) != 1 or opened.args[0].kind == "closure" or not called_on(opened, EBPF):
                    continue
                let = _bound(opened)
                if let is None:
                    continue
                known = let_type(let)
                if known is None or not known.within("aya::maps"):
                    continue
                writes = [call for call in receivers(let) if call.name in _WRITES]
                if not writes:
                    continue
                yield self.finding(
                    ctx,
                    f"`{let.name}` is opened for reading with `map`, so `{writes[0].name}` does not exist on it",
                    span=covered(ctx, writes[0]),
                    labels=[Label(covered(ctx, opened), "opened here")],
                    fixes=[
                        Fix(
                            "unsafe",
                            "write `map_mut`",
                            [replace(ctx, file, opened.fields[2], opened.fields[3], "map_mut")],
                        )
                    ],
                )


def _bound(opened: Expr) -> Let | None:
    """The `let` of the map made from it: `let x = Kind::try_from(ebpf.map(..)..)?`."""
    for one in opened.ancestors():
        if one.kind == "closure":
            return None
        if one.kind == "block":
            return next(
                (
                    let
                    for let in one.lets
                    if let.start <= opened.start < let.end and let.name is not None and _made(let)
                ),
                None,
            )
    return None


def _made(let: Let) -> bool:
    made = let.init.stripped() if let.init is not None else None
    if made is None:
        return False
    if made.kind == "call":
        return made.callee is not None and made.callee.path.endswith("::try_from")
    return made.kind == "method" and made.name == "try_into"


RULE = MapOpenedForReading()
