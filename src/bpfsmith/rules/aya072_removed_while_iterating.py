"""Entries of a map are removed in a loop over that map.

## What it does
Finds `for` loops over `iter()`, `keys()` or `values()` of a map whose body calls `remove` or `insert` on the same
map.

## Why is this bad
The iterator borrows the map, so this does not compile (E0502). Where a second handle of the same map is used to get
around it, it goes wrong silently: the kernel finds the next key by the one before, and starts over at the first key
when that one is gone, so entries are seen twice or the loop never ends.

## Example
```rust
for key in connections.keys() {
    let key = key?;
    if is_old(&key) { connections.remove(&key)?; }
}
```

## Use instead
```rust
let old: Vec<_> = connections.keys().filter_map(Result::ok).filter(is_old).collect();
for key in &old {
    connections.remove(key)?;
}
```

## Fix
Display: collect the keys first.

## Kernels
All.

## Source
Kernel, `htab_map_get_next_key`; `aya/src/maps/mod.rs`, `MapIter`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner
from bpfsmith.rules._rust import cited, covered, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_WALKS = frozenset({"iter", "keys", "values"})
_STEPS = frozenset({"filter_map", "filter", "map", "flatten", "take", "skip", "enumerate", "into_iter"})


class RemovedWhileIterating(SourceRule):
    severity = "error"
    group = "maps"
    phase = "compile"
    words = ("remove", "insert")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            for changed in file.methods("remove", "insert"):
                if changed.receiver is None or changed.receiver.kind not in ("path", "field"):
                    continue
                loop = next((one for one in changed.ancestors() if one.kind in ("for", "closure")), None)
                if loop is None or loop.kind != "for" or loop.body is None or loop.body.start > changed.start:
                    continue
                walk = _walk(file.expr(loop.fields[3]))
                if walk is None or walk.receiver is None or walk.receiver.text != changed.receiver.text:
                    continue
                known = owner(walk)
                if known is None or not known.within("aya::maps"):
                    continue
                yield self.finding(
                    ctx,
                    f"{cited(walk.receiver.text)} is changed while `{walk.name}` walks it",
                    span=covered(ctx, changed),
                    labels=[Label(covered(ctx, walk), "walked here")],
                    fixes=[Fix("display", "collect the keys into a vector first")],
                )


def _walk(over: Expr | None) -> Expr | None:
    """The call that makes the iterator, under what only filters it."""
    while over is not None and over.kind == "method":
        if over.name in _WALKS:
            return over
        if over.name not in _STEPS:
            return None
        over = over.receiver
    return None


RULE = RemovedWhileIterating()
