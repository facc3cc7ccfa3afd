"""A map is taken out of the `Ebpf` and dropped before its programs are loaded.

## What it does
Finds `take_map` whose result is thrown away, or is gone by `drop` or at the end of an inner block or of a function,
where a program is loaded afterwards, in the same function or by the caller.

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
aya-rs/aya#1324.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner, thrown_away
from bpfsmith.rules._lifetimes import dropped_by_hand, leaves
from bpfsmith.rules._rust import EBPF, called_on, cited, covered, user_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, Let, SourceFile


def lost(taken: Expr, file: SourceFile) -> Expr | None:
    """The program that is loaded after what `take_map` gave is gone."""
    if not called_on(taken, EBPF):
        return None
    gone = _gone(taken)
    return _loaded_after(taken.item, gone, file) if gone is not None else _loaded_by_caller(taken)


class MapDroppedBeforeLoad(SourceRule):
    severity = "error"
    group = "maps"
    phase = "load"
    words = ("take_map",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.12.0"):
            for taken in file.methods("take_map"):
                load = lost(taken, file) if not file.in_test(taken.item) else None
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


def _bound(taken: Expr) -> Let | None:  # noqa: PLR0911
    """The `let` that holds the map in the end: that of `take_map`, or of the typed map made from it."""
    block = next((one for one in taken.ancestors() if one.kind in ("block", "closure")), None)
    if block is None or block.kind != "block":
        return None
    let = next((one for one in block.lets if one.start <= taken.start < one.end), None)
    made = let.init.stripped() if let is not None and let.init is not None else None
    if let is None or made is None:
        return None
    if made.kind == "call" and made.callee is not None and made.callee.path.endswith("try_from"):
        return let if let.name is not None else None
    if made != taken and not (made.kind == "method" and made.name == "try_into"):
        return None
    if len(let.names) != 1:
        return None
    uses = [one for one in block.within("path") if one.path == let.names[0] and one.start > let.end]
    call = uses[0].parent if len(uses) == 1 else None
    if call is not None and call.kind == "call" and call.callee is not None and call.callee.path.endswith("::try_from"):
        typed = next((one for one in block.lets if one.start <= call.start < one.end), None)
        whole = typed.init.stripped() if typed is not None and typed.init is not None else None
        return typed if typed is not None and typed.name is not None and whole == call else None
    return let if let.name is not None else None


def _gone(taken: Expr) -> int | None:
    """The offset in its function from which on the map is certainly gone."""
    at = taken
    while at.parent is not None and at.parent.kind in ("try", "paren", "method") and at.parent.stripped() == taken:
        at = at.parent
    if thrown_away(at):
        return at.end
    let = _bound(taken)
    if let is None:
        return None
    dropped = dropped_by_hand(let, let.end)
    if dropped is not None:
        return dropped.end
    item, outer = taken.item, let.block.parent
    plain = outer is not None and outer.kind == "block" and outer.tail != let.block
    if item is None or item.expr == let.block or not plain or leaves(let):
        return None
    return let.block.end


def _loaded_after(item: Item | None, gone: int, file: SourceFile) -> Expr | None:
    for call in file.methods("load"):
        if call.start < gone or call.item != item:
            continue
        known = owner(call)
        if known is not None and known.within("aya::programs"):
            return call
    return None


def _loaded_by_caller(taken: Expr) -> Expr | None:
    """A program that a caller loads after the function in which the map is taken and dropped."""
    item, let = taken.item, _bound(taken)
    if item is None or let is None or item.expr != let.block or item.name == "main" or item.parent is not None:
        return None
    if leaves(let) or any(True for _ in let.block.within("closure", "await", "loop")):
        return None
    crate = item.file.crate
    for file in crate.files if crate is not None else [item.file]:
        for call in file.calls(item.name):
            path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
            found = item_of(file, path) if path is not None and path.startswith("crate::") else None
            if found is None or found.id != item.id or found.file is not item.file:
                continue
            load = _loaded_after(call.item, call.end, file)
            if load is not None:
                return load
    return None


RULE = MapDroppedBeforeLoad()
