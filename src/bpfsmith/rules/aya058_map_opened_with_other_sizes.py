"""A map is opened with a key or value type of another size than the kernel side gives it.

## What it does
Compares the key and value types with which the user side opens a map with those of the map's definition in the kernel
crate, where both are written and their layout is known: structs field by field, through aliases, consts and the
crates of the project.

## Why is this bad
The map is created with the sizes of the kernel side. Aya compares sizes when a map is opened (`HashMap::try_from`,
`try_into`) and gives `InvalidKeySize` or `InvalidValueSize`; the message does not say which map it was. Nothing shows
it before the program runs.

## Example
```rust
// kernel side
#[map]
static FLOWS: HashMap<u32, Flow> = HashMap::with_max_entries(1024, 0); // Flow: two u64
// user side
let flows: HashMap<_, u32, u64> = HashMap::try_from(ebpf.map_mut("FLOWS").unwrap())?;
```

## Use instead
```rust
use demo_common::Flow; // one definition for both sides, `#[repr(C)]`
let flows: HashMap<_, u32, Flow> = HashMap::try_from(ebpf.map_mut("FLOWS").unwrap())?;
```

## Fix
Display: use the type of the kernel side, from a crate that both share.

## Kernels
All. `bpftool map show` prints the sizes of a loaded map.

## Source
aya, `check_kv_size` in `aya/src/maps/mod.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import comparable, item_place, opened, pairs, same_item, shape, text_place
from bpfsmith.rules._rust import covered
from bpfsmith.source.aya.tables import OPENS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class MapOpenedWithOtherSizes(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("map", "map_mut", "take_map")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for use, made in opened(pair):
                if use.type not in OPENS or made.kind not in OPENS[use.type][0]:
                    continue  # said by another rule
                sides = (("key", use.key_layout, made.key_layout), ("value", use.value_layout, made.value_layout))
                for what, user, kernel in sides:
                    if user is None or kernel is None or same_item(kernel, user) or user.size == kernel.size:
                        continue
                    if not comparable(kernel, user):
                        continue
                    where = covered(ctx, use.expr) if use.type_at is None else text_place(ctx, use.type_at)
                    yield self.finding(
                        ctx,
                        f"map `{made.name}` is opened with a {what} of {user.size} bytes, the kernel side has "
                        f"{kernel.size}: `invalid {what} size {user.size}, expected {kernel.size}`",
                        span=where,
                        labels=[Label(item_place(ctx, made.item), f"its {what} is {shape(kernel)}")],
                        evidence=[Evidence("user side", shape(user)), Evidence("kernel side", shape(kernel))],
                        fixes=[Fix("display", "give both sides one `#[repr(C)]` type, from a crate that both use")],
                    )


RULE = MapOpenedWithOtherSizes()
