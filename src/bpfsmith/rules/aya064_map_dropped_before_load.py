"""A map is taken out of the `Ebpf` and dropped before its programs are loaded.

## What it does
Finds `take_map` whose result is thrown away, or is gone at the end of an inner block or by `drop`, where a program is
loaded afterwards in the same function.

## Why is this bad
The instructions of a program that is not loaded yet name its maps by file descriptor. Dropping the map closes it:
loading a program that uses it fails with `EBADF` ("fd N is not pointing to valid bpf_map").

## Example
```rust
{
    let mut limits: Array<_, u64> = Array::try_from(ebpf.take_map("LIMITS").unwrap())?;
    limits.set(0, 100, 0)?;
}
program.load()?;
```

## Use instead
```rust
{
    let mut limits: Array<_, u64> = Array::try_from(ebpf.map_mut("LIMITS").unwrap())?;
    limits.set(0, 100, 0)?;
}
program.load()?;
```

## Fix
Display: borrow it with `map_mut`, or keep what `take_map` gives until all programs are loaded.

## Kernels
All.

## Source
aya, issue 1324.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner, thrown_away
from bpfsmith.rules._lifetimes import dropped_by_hand, leaves
from bpfsmith.rules._rust import EBPF, called_on, cited, covered, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


class MapDroppedBeforeLoad(SourceRule):
    severity = "error"
    group = "maps"
    phase = "load"
    words = ("take_map",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.12.0"):
            for taken in file.methods("take_map"):
                if not called_on(taken, EBPF) or file.in_test(taken.item):
                    continue
                gone = _gone(taken)
                if gone is None:
                    continue
                load = _loaded_after(taken, gone)
                if load is None:
                    continue
                what = cited(taken.args[0].text) if taken.args else "the map"
                yield self.finding(
                    ctx,
                    f"{what} is dropped before programs are loaded: those that use it fail with `EBADF`",
                    span=covered(ctx, taken),
                    labels=[Label(covered(ctx, load), "loaded here")],
                    fixes=[Fix("display", "use `map_mut`, or keep the map until all programs are loaded")],
                )


def _gone(taken: Expr) -> int | None:  # noqa: PLR0911
    """The offset from which on the map is certainly gone."""
    at = taken
    while at.parent is not None and at.parent.stripped() == taken and at.parent.kind in ("try", "paren", "method"):
        at = at.parent
    if thrown_away(at):
        return at.end
    block = next((one for one in taken.ancestors() if one.kind in ("block", "closure")), None)
    if block is None or block.kind != "block":
        return None
    let = next((one for one in block.lets if one.start <= taken.start < one.end), None)
    if let is None or let.name is None or let.init is None:
        return None
    made = let.init.stripped()
    if made != taken and not (
        made.kind == "call" and made.callee is not None and made.callee.path.endswith("try_from")
    ):
        return None
    dropped = dropped_by_hand(let, let.end)
    if dropped is not None:
        return dropped.end
    item = taken.item
    outer = block.parent
    plain = outer is not None and outer.kind == "block" and outer.tail != block
    if item is None or item.expr == block or not plain or leaves(let):
        return None
    return block.end


def _loaded_after(taken: Expr, gone: int) -> Expr | None:
    item = taken.item
    for call in taken.file.methods("load"):
        if call.start < gone or call.item != item:
            continue
        known = owner(call)
        if known is not None and known.within("aya::programs"):
            return call
    return None


RULE = MapDroppedBeforeLoad()
