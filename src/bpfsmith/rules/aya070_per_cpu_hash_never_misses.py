"""A per-CPU hash map of this Aya never says that a key is missing.

## What it does
Finds `PerCpuHashMap::get` with aya up to 0.13.1 where the code tells found from missing: `match`, `if let`, `is_ok`,
`is_err`, `ok()`, `unwrap_or`.

## Why is this bad
In those releases the lookup of a missing key is taken for success, and the values are zeros. The branch for a missing
key never runs. aya 0.14 returns `KeyNotFound`.

## Example
```rust
match counts.get(&key, 0) {
    Ok(values) => add(values),
    Err(MapError::KeyNotFound) => create(key), // never
    Err(error) => return Err(error.into()),
}
```

## Use instead
```rust
// aya 0.14, or with what is there:
let known = counts.keys().any(|one| one.is_ok_and(|one| one == key));
```

## Fix
Display: update aya to 0.14.

## Kernels
All.

## Source
`aya/CHANGELOG.md`, commit 9e1bcd0; `aya-0.13.1/src/sys/bpf.rs`, `bpf_map_lookup_elem_per_cpu`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import on
from bpfsmith.rules._rust import covered, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_ASKS = frozenset({"is_ok", "is_err", "ok", "unwrap_or", "unwrap_or_else", "unwrap_or_default", "or_else", "map_or"})


class PerCpuHashNeverMisses(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "silent"
    words = ("PerCpuHashMap",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, before="0.13.2"):
            if not file.has("PerCpuHashMap"):
                continue
            for call in on(file, ("get",), {"aya::maps::PerCpuHashMap"}):
                if len(call.args) == 2 and _asked(call):
                    yield self.finding(
                        ctx,
                        "a missing key gives zeros here, never `KeyNotFound`: the other branch does not run",
                        span=covered(ctx, call),
                        fixes=[Fix("display", "update aya to 0.14, which fixes it")],
                    )


def _asked(call: Expr) -> bool:
    """Whether the code looks at whether the lookup succeeded."""
    parent = call.parent
    if parent is None:
        return False
    if parent.kind == "match":
        return bool(parent.fields[0] == call.id)
    if parent.kind == "let":
        return True
    return parent.kind == "method" and parent.receiver == call and parent.name in _ASKS


RULE = PerCpuHashNeverMisses()
