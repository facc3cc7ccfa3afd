"""A map is opened with a key or value type of another size than the kernel side gives it.

## What it does
Compares the key and value types with which the user side opens a map with those of the map's definition in the kernel
crate, where both are written and their layout is known: structs field by field, through aliases, consts and the
crates of the project. Where the kernel side's type cannot be told, the sizes in the built object count.

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
    from bpfsmith.source.aya import KernelMap, Pair
    from bpfsmith.source.layout import Layout
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
                    size, shown = self._kernel_size(pair, made, what, user, kernel)
                    if user is None or size is None or size == user.size:
                        continue
                    where = covered(ctx, use.expr) if use.type_at is None else text_place(ctx, use.type_at)
                    yield self.finding(
                        ctx,
                        f"map `{made.name}` is opened with a {what} of {user.size} byte"
                        f"{'s' * (user.size != 1)}, the kernel side has {size}: "
                        f"`invalid {what} size {user.size}, expected {size}`",
                        span=where,
                        labels=[Label(item_place(ctx, made.item), f"its {what} is {shown}")],
                        evidence=[Evidence("user side", shape(user)), Evidence("kernel side", shown)],
                        fixes=[Fix("display", "give both sides one `#[repr(C)]` type, from a crate that both use")],
                    )

    def _kernel_size(
        self, pair: Pair, made: KernelMap, what: str, user: Layout | None, kernel: Layout | None
    ) -> tuple[int | None, str]:
        """The size on the kernel side and what to show of it: from the sources, else as it was built."""
        if user is None or not user.certain:
            return (kernel.size, shape(kernel)) if user and kernel and comparable(kernel, user) else (None, "")
        if kernel is not None:
            known = not same_item(kernel, user) and comparable(kernel, user)
            return (kernel.size, shape(kernel)) if known else (None, "")
        text = made.key if what == "key" else made.value
        built = pair.built.maps.get(made.name) if text and pair.built is not None else None
        if built is None or built[0] != made.bpf_type:
            return None, ""
        size = built[1] if what == "key" else built[2]
        return size, f"{text}: {size} bytes in the built object"


RULE = MapOpenedWithOtherSizes()
