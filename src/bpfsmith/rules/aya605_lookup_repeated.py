"""The same entry of a map is looked up twice in a row.

## What it does
Finds two lookups (`get`, `get_ptr`, `get_ptr_mut`) of one map with one key in a function, the first on every path to
the second and no update of that map and no call of another function of the crate between them.

## Why is this bad
The second one finds what the first one found: 24.8 ns for a hash map each time (LPM tries up to 119, arrays 0.8;
Linux 6.18). Two of them took 49.1 ns where one with its pointer reused took 25.0.

## Example
```rust
if unsafe { FLOWS.get(&key) }.is_some() {
    let flow = FLOWS.get_ptr_mut(&key).ok_or(())?;
    unsafe { (*flow).packets += 1 };
}
```

## Use instead
```rust
if let Some(flow) = FLOWS.get_ptr_mut(&key) {
    unsafe { (*flow).packets += 1 };
}
```

## Fix
Display: keep the pointer of the first lookup.

## Kernels
All.

## Source
Measured on Linux 6.18: take the ratio.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import MapCall, code_files, counts, enclosing_loop, map_call, same_place
from bpfsmith.rules._rust import covered
from bpfsmith.source.calls import graph
from bpfsmith.source.flow import flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.flow import Flow
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile

_LOOKUPS = ("get", "get_ptr", "get_ptr_mut")
_KINDS = frozenset({"HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap", "LpmTrie"})


def _by_function(file: SourceFile) -> dict[int, list[MapCall]]:
    out: dict[int, list[MapCall]] = {}
    for expr in file.methods(*_LOOKUPS):
        call = map_call(expr)
        item = expr.item
        if call is not None and item is not None and call.kind in _KINDS and counts(expr):
            out.setdefault(item.id, []).append(call)
    return {at: sorted(rows, key=lambda one: one.expr.start) for at, rows in out.items()}


def _nothing_between(paths: Flow, item: Item, one: MapCall, other: MapCall) -> bool:
    """Neither an update of the map nor a call that may make one."""
    if item.file.crate is None:
        return False
    own = {call.expr.start for call in graph(item.file.crate, item.file).calls_of(item)}
    for at in paths.between(one.expr, other.expr):
        if at.kind == "method" and at.name not in _LOOKUPS:
            call = map_call(at)
            if call is not None and call.name == one.name:
                return False
        if at.kind in ("call", "method") and at.start in own:
            return False
        if at.kind in ("closure", "tokens"):
            return False
    return True


class LookupRepeated(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = _LOOKUPS

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *_LOOKUPS):
            for at, rows in _by_function(file).items():
                item = file.item_at(at)
                if item is None or len(rows) < 2:
                    continue
                paths = flow(item)
                if paths.known:
                    yield from self._pairs(ctx, paths, item, rows)

    def _pairs(self, ctx: CheckContext, paths: Flow, item: Item, rows: list[MapCall]) -> Iterator[Finding]:
        for second, other in enumerate(rows):
            for one in reversed(rows[:second]):
                if one.name != other.name or not same_place(one.key, other.key) or _apart(one.expr, other.expr):
                    continue
                if not paths.before(one.expr, other.expr) or not _nothing_between(paths, item, one, other):
                    continue
                yield self.finding(
                    ctx,
                    f"`{other.short}` was just asked for this key: the second lookup finds the same",
                    span=covered(ctx, other.expr),
                    labels=[Label(covered(ctx, one.expr), "first")],
                    fixes=[Fix("display", "keep the pointer of the first lookup")],
                )
                break


def _apart(one: Expr, other: Expr) -> bool:
    """In loops of their own: the key may change from turn to turn."""
    return enclosing_loop(one) != enclosing_loop(other)


RULE = LookupRepeated()
