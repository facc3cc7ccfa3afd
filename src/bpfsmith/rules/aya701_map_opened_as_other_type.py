"""A map is opened as a type that Aya does not make of it.

## What it does
Compares the type with which the user side opens a map (`HashMap`, `Array`, `RingBuf`, ...) with the type that the
kernel side gives it.

## Why is this bad
`try_from` and `try_into` give `MapError::InvalidMapType`: "invalid map type 2", with the number of what the map really
is and without its name. Nothing shows it before the program runs. `HashMap` opens `HashMap` and `LruHashMap`,
`PerCpuHashMap` opens both per-CPU hash maps; every other type opens only its own.

## Example
```rust
// kernel side
#[map]
static CONFIG: Array<u32> = Array::with_max_entries(1, 0);
// user side
let config: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("CONFIG").unwrap())?;
```

## Use instead
```rust
let mut config: Array<_, u32> = Array::try_from(ebpf.map_mut("CONFIG").unwrap())?;
```

## Fix
Display: the type that opens it.

## Kernels
All. `bpftool map show` prints the type of a loaded map.

## Source
aya, `impl_try_from_map` in `aya/src/maps/mod.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, opened, pairs, text_place
from bpfsmith.rules._rust import covered
from bpfsmith.source.aya.tables import OPENS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class MapOpenedAsOtherType(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("map", "map_mut", "take_map")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for use, made in opened(pair):
                if use.type not in OPENS or not made.kind or made.kind in OPENS[use.type][0]:
                    continue
                right = next(
                    (one for one, (kinds, _) in OPENS.items() if made.kind in kinds and not one.startswith("Async")), ""
                )
                advice = f"open it as `aya::maps::{right}`" if right else "no type of `aya::maps` opens it"
                yield self.finding(
                    ctx,
                    f"map `{made.name}` is a `{made.kind}`, and `{use.type}` does not open that: "
                    f"`invalid map type {made.bpf_type}`",
                    span=covered(ctx, use.expr) if use.type_at is None else text_place(ctx, use.type_at),
                    labels=[Label(item_place(ctx, made.item), f"a `{made.kind}` here")],
                    fixes=[Fix("display", advice)],
                )


RULE = MapOpenedAsOtherType()
