"""`remove(..)?` ends the function when there was nothing to remove.

## What it does
Finds `?` on the result of a map's `remove` where no lookup of the same key came before, and where more would be done
after it: an event, an insert, another map.

## Why is this bad
`remove` of a key that is not there fails with ENOENT, and that is no fault: the thread was started before the program,
the entry was evicted, another processor was faster. With `?` all that follows is skipped for those, silently.

## Example
```rust
STARTS.remove(&tid)?;
EVENTS.output(&event, 0)?;
```

## Use instead
```rust
let _ = STARTS.remove(&tid); // not there: fine
EVENTS.output(&event, 0)?;
```

## Fix
Display: take the error as an answer, not as a failure.

## Kernels
All.

## Source
Linux, `bpf_map_delete_elem(2)` in `include/uapi/linux/bpf.h`; `kernel/bpf/hashtab.c`, `htab_map_delete_elem`:
`-ENOENT`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._meaning import HASHES, kernel_map, same_key
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.flow import flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

# What a program does for others to see.
_EFFECTS = frozenset(
    {"output", "output_at_index", "submit", "insert", "remove", "store", "push", "redirect", "tail_call"}
)


def _tried(call: Expr) -> Expr | None:
    """The `?` on the call, also after `map_err`."""
    at = call.parent
    while at is not None and (at.kind == "paren" or (at.kind == "method" and at.name in ("map_err", "or"))):
        if at.kind == "method" and at.name == "or":
            return None
        at = at.parent
    return at if at is not None and at.kind == "try" else None


class RemoveAborts(SourceRule):
    severity = "warning"
    group = "meaning"
    phase = "silent"
    words = ("remove",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.methods("remove"):
                tried = _tried(call)
                item = call.item
                found = kernel_map(call) if tried is not None else None
                if tried is None or found is None or item is None or found[1] not in HASHES or not call.args:
                    continue
                ways = flow(item)
                if not ways.known or item.expr is None or file.in_test(item):
                    continue
                looked = False
                lost: Expr | None = None
                for other in item.expr.within():
                    if other.kind != "method" or other == call:
                        continue
                    if other.name in ("get", "get_ptr", "get_ptr_mut", "insert") and other.args:
                        same = kernel_map(other)
                        if same is not None and same[0] == found[0] and same_key(other.args[0], call.args[0]):
                            looked = looked or ways.may_follow(other, call)
                    if lost is None and other.name in _EFFECTS and ways.before(tried, other):
                        lost = other
                if looked or lost is None:
                    continue
                yield self.finding(
                    ctx,
                    f"when `{found[0]}` has no such key, `?` ends the function: what follows is skipped",
                    span=covered(ctx, tried),
                    labels=[Label(covered(ctx, lost), "this, for one")],
                    fixes=[Fix("display", f"write `let _ = {call.text};`, or handle the missing key")],
                )


RULE = RemoveAborts()
