"""A reference into a hash map is used after its entry was replaced or removed.

## What it does
Finds, in kernel crates, a local that points into a map (`get`, `get_ptr`, `get_ptr_mut` of a hash, LRU hash or LPM
map) and is read or written after `insert` or `remove` of the same map with the same key, on some path through the
function. A value that was copied out is left alone.

## Why is this bad
`insert` puts a new element in the place of the old one, `remove` gives the element back; either way it is the next
free one, and the next `insert` on any CPU takes it, for another key. The verifier does not follow that: the read
gives another entry's data and the write changes it.

## Example
```rust
let flow = unsafe { &mut *FLOWS.get_ptr_mut(&key).ok_or(())? };
FLOWS.remove(&key)?;
report(flow.bytes);
```

## Use instead
```rust
let bytes = unsafe { (*FLOWS.get_ptr_mut(&key).ok_or(())?).bytes };
FLOWS.remove(&key)?;
report(bytes);
```

## Fix
Display: copy what is needed before the update.

## Kernels
All; preallocated maps (the default) hand the element out again at once.

## Source
Kernel, `htab_map_update_elem` and `pcpu_freelist` in `kernel/bpf/hashtab.c`; aya-ebpf's documentation of
`HashMap::get`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import MapCall, code_files, counts, local, lookup, map_call, points, same_place
from bpfsmith.rules._rust import covered
from bpfsmith.source.flow import flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_KINDS = frozenset({"HashMap", "LruHashMap", "LpmTrie"})
_UPDATES = ("insert", "remove")


def _later_use(call: MapCall) -> tuple[Expr, MapCall] | None:
    """The first use, after an update, of a local that points to the entry."""
    item = call.expr.item
    if item is None or item.expr is None:
        return None
    paths = flow(item)
    if not paths.known:
        return None
    for use in item.expr.within("path"):
        if use.start < call.expr.end:
            continue
        found = local(use)
        if found is None or not points(found):
            continue
        value = lookup(use)
        if value is None or value.name != call.name or value.expr.start > call.expr.start:
            continue
        if not same_place(value.key, call.key) or not paths.may_follow(call.expr, use):
            continue
        if paths.before(value.expr, call.expr):
            return use, value
    return None


class MapValueUsedAfterUpdate(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "silent"
    words = _UPDATES

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *_UPDATES):
            for expr in file.methods(*_UPDATES):
                call = map_call(expr)
                if call is None or call.kind not in _KINDS or not counts(expr):
                    continue
                found = _later_use(call)
                if found is None:
                    continue
                use, value = found
                done = "replaced" if expr.name == "insert" else "removed"
                yield self.finding(
                    ctx,
                    f"`{use.path}` points to an entry of `{call.short}` that was {done}: another key may have it now",
                    span=covered(ctx, use),
                    labels=[
                        Label(covered(ctx, value.expr), "taken here"),
                        Label(covered(ctx, expr), f"{done} here"),
                    ],
                    fixes=[Fix("display", "copy what is needed before the update")],
                )


RULE = MapValueUsedAfterUpdate()
