"""A value in a hash map is changed by reading it and inserting it again.

## What it does
Finds `insert` into a hash map of a value that was computed from a lookup (`get`, copied out) of the same map and key
in the same function, in kernel crates.

## Why is this bad
`insert` of a key that is there takes a new element, fills it, swaps it in and frees the old one, under a lock of the
bucket: 86 to 97 ns, an LRU map 201, against about 1 ns through the pointer the lookup has already found (Linux 6.18).
And it loses counts: what another CPU inserted since the lookup is overwritten.

## Example
```rust
let count = unsafe { COUNTS.get(&key) }.copied().unwrap_or(0);
COUNTS.insert(&key, &(count + 1), 0)?;
```

## Use instead
```rust
match COUNTS.get_ptr_mut(&key) {
    Some(count) => unsafe { *count += 1 },
    None => COUNTS.insert(&key, &1, 0)?,
}
```

## Fix
Display: change the value in place, and insert only what is not there.

## Kernels
All.

## Source
Kernel, `htab_map_update_elem`; measured on Linux 6.18: take the ratios.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._hot import hot
from bpfsmith.rules._kernel_code import MapCall, code_files, counts, given, local, map_call, same_place
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_KINDS = frozenset({"HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap"})
_STEPS = 4


def _read_from(value: Expr, wanted: MapCall, depth: int = 0) -> Expr | None:
    """The lookup of the same map and key that a value is computed from, through locals."""
    for one in value.within("method", "path"):
        if one.kind == "method":
            call = map_call(one) if one.name in ("get", "get_ptr", "get_ptr_mut") else None
            if call is not None and call.name == wanted.name and same_place(call.key, wanted.key):
                return one
        elif depth < _STEPS:
            found = local(one)
            init = given(found) if found is not None else None
            deeper = _read_from(init, wanted, depth + 1) if init is not None else None
            if deeper is not None:
                return deeper
    return None


class CountByInsert(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = ("insert",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "insert"):
            for expr in file.methods("insert"):
                call = map_call(expr)
                if call is None or call.kind not in _KINDS or len(expr.args) != 3 or not counts(expr):
                    continue
                read = _read_from(expr.args[1], call)
                if read is None or read.start >= expr.start:
                    continue
                busy = None if call.per_cpu else hot(expr.item)
                yield self.finding(
                    ctx,
                    f"`{call.short}` is read and inserted anew: changing the value in place takes a fraction of that",
                    span=covered(ctx, expr),
                    severity="warning" if busy is not None and busy.packet else None,  # all CPUs do so at once
                    labels=[Label(covered(ctx, read), "read here")],
                    fixes=[Fix("display", "change it through `get_ptr_mut`, and insert only what is not there")],
                )


RULE = CountByInsert()
