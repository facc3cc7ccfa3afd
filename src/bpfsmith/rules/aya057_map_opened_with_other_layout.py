"""A map is opened with a key or value type of the same size whose fields lie elsewhere.

## What it does
Compares key and value types of both sides field by field, with their bytes, where both have the same size and a layout
that is certain (`repr(C)`, primitives, arrays): fields of one name at different places, fields whose borders do not
meet, a floating point number against an integer. Bytes against a number of as many bytes, and signed against unsigned,
count as meant.

## Why is this bad
Aya compares sizes only, and so does the kernel. Every lookup and every update then goes through with the wrong bytes:
keys are never found, values are read from the wrong fields, without any error.

## Example
```rust
// kernel side
#[repr(C)]
pub struct Flow { source: u32, port: u16, protocol: u16 }
// user side, a copy that was not kept up
#[repr(C)]
pub struct Flow { source: u32, protocol: u16, port: u16 }
```

## Use instead
```rust
// one definition in a crate that both sides use
#[repr(C)]
pub struct Flow { pub source: u32, pub port: u16, pub protocol: u16 }
```

## Fix
Display: one definition for both sides.

## Kernels
All. `bpftool map dump` prints the fields as the kernel side defines them where the object has BTF.

## Source
aya, `check_kv_size` in `aya/src/maps/mod.rs` (sizes alone); the Rust Reference, "Type layout".
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import differences, item_place, opened, pairs, shape, text_place
from bpfsmith.rules._rust import covered
from bpfsmith.source.aya.tables import OPENS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.layout import Field
    from bpfsmith.source.project import Project


def _field(one: Field | None) -> str:
    if one is None:
        return "nothing"
    name = f"`{one.name}` ({one.type})" if one.name else one.type
    return f"{name} in bytes {one.offset}..{one.offset + one.size}"


class MapOpenedWithOtherLayout(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("map", "map_mut", "take_map")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for use, made in opened(pair):
                if use.type not in OPENS or made.kind not in OPENS[use.type][0]:
                    continue
                sides = (("key", use.key_layout, made.key_layout), ("value", use.value_layout, made.value_layout))
                for what, user, kernel in sides:
                    found = differences(kernel, user) if user is not None and kernel is not None else []
                    if not found or user is None or kernel is None:
                        continue
                    ours, theirs = found[0]
                    where = covered(ctx, use.expr) if use.type_at is None else text_place(ctx, use.type_at)
                    labels = [Label(item_place(ctx, made.item), f"opened here as a {what} of another layout")]
                    for one, side in ((kernel, "kernel side"), (user, "user side")):
                        if one.item is not None:
                            labels.append(Label(item_place(ctx, one.item), f"{side}: {shape(one)}"))
                    yield self.finding(
                        ctx,
                        f"the {what} of map `{made.name}` lies differently on the two sides: {_field(ours)} of the "
                        f"kernel side is {_field(theirs)} here",
                        span=where,
                        labels=labels,
                        evidence=[Evidence("user side", shape(user)), Evidence("kernel side", shape(kernel))],
                        fixes=[Fix("display", "give both sides one `#[repr(C)]` type, from a crate that both use")],
                    )


RULE = MapOpenedWithOtherLayout()
