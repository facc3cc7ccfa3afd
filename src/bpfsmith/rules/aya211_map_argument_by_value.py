"""Maps take keys and values by reference since aya 0.15.

## What it does
Finds `insert`, `set`, `push` and `contains` on a typed map of aya 0.15.0 or newer whose key or value is certainly no
reference.

## Why is this bad
It does not compile (E0308). aya 0.14 took anything that borrows, earlier and later ones take references.

## Example
```rust
flows.insert(key, 1, 0)?;
```

## Use instead
```rust
flows.insert(&key, &1, 0)?;
```

## Fix
Safe: adds `&`; the form with references compiles with older releases too.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/maps/`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import borrow_edits, by_value, compat, covered, user_files
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

# Map type -> method -> which arguments are references now.
_ARGUMENTS: dict[str, dict[str, tuple[int, ...]]] = {
    "HashMap": {"insert": (0, 1)},
    "PerCpuHashMap": {"insert": (0,)},
    "LpmTrie": {"insert": (0, 1)},
    "Array": {"set": (1,)},
    "Queue": {"push": (0,)},
    "Stack": {"push": (0,)},
    "BloomFilter": {"insert": (0,), "contains": (0,)},
    "SockHash": {"insert": (0,)},
}


class MapArgumentByValue(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in file.of_kind("method"):
                if not any(call.name in methods for methods in _ARGUMENTS.values()):
                    continue
                owner = type_of(call.receiver)
                if owner is None or not owner.within("aya::maps") or compat(file, call.item, call.start):
                    continue
                wanted = _ARGUMENTS.get(owner.name, {}).get(call.name, ())
                wrong = [call.args[at] for at in wanted if at < len(call.args) and by_value(call.args[at])]
                if not wrong:
                    continue
                yield self.finding(
                    ctx,
                    f"`{owner.name}::{call.name}` takes its key and value by reference since aya 0.15",
                    span=covered(ctx, wrong[0]),
                    fixes=[Fix("safe", "pass references", [edit for one in wrong for edit in borrow_edits(ctx, one)])],
                )


RULE = MapArgumentByValue()
