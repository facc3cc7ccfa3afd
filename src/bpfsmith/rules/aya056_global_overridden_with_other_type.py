"""A global is overridden with a value of another type.

## What it does
Compares the type of the value in `override_global(name, &value, ..)` (and `set_global`) with the type of the kernel
side's static, where both are written: other sizes, and floating point numbers against integers. A bare number such as
`&1` is an `i32`.

## Why is this bad
Aya copies the bytes of the value over those of the symbol. Another size ends loading: "symbol LIMIT has size `8`, but
provided data is of size `4`", with `must_exist` or without. The same size with another meaning is not noticed by
anyone.

## Example
```rust
// kernel side: static LIMIT: Global<u64>
EbpfLoader::new().override_global("LIMIT", &1000, true).load(bytes)?; // an i32
```

## Use instead
```rust
EbpfLoader::new().override_global("LIMIT", &1000u64, true).load(bytes)?;
```

## Fix
Safe for a bare number that fits: its suffix. Else display.

## Kernels
All.

## Source
aya-obj, `Object::patch_map_data` in `aya-obj/src/obj.rs`; aya, `GlobalData` in `aya/src/bpf.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import comparable, item_place, pairs
from bpfsmith.rules._rust import covered, place
from bpfsmith.source.aya.given import layout_given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.layout import Layout
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _suffix(ctx: CheckContext, value: Expr, wanted: Layout) -> Fix:
    """`&1000` -> `&1000u64` where the number fits."""
    inner = value.inner if value.kind == "ref" else None
    number = inner.integer if inner is not None and inner.literal == "int" else None
    if inner is None or number is None or wanted.kind not in ("uint", "int") or inner.text[-1:] not in "0123456789_":
        return Fix("display", f"give it a `{wanted.name}`")
    bits = wanted.size * 8 - (1 if wanted.kind == "int" else 0)
    if number >> bits or inner.text.startswith("0x"):
        return Fix("display", f"give it a `{wanted.name}`")
    return Fix(
        "safe", f"write `{inner.text}{wanted.name}`", [Edit(place(ctx, inner.file, inner.end, inner.end), wanted.name)]
    )


class GlobalOverriddenWithOtherType(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("override_global", "set_global")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for user in pair.users:
                for call in user.globals:
                    found = [one for one in pair.globals if one.name in (call.names or ())]
                    if len(found) != 1 or call.value is None or call.name is None:
                        continue
                    made = found[0]
                    kernel, given = made.layout, layout_given(call.value)
                    if kernel is None or given is None or not comparable(kernel, given):
                        continue
                    if kernel.size != given.size:
                        message = (
                            f"global `{made.name}` has {kernel.size} bytes ({made.type}), this value has {given.size} "
                            f"({given.name}): `symbol {made.name} has size `{kernel.size}`, but provided data is of "
                            f"size `{given.size}``"
                        )
                    elif kernel.kind != given.kind and "float" in (kernel.kind, given.kind) and kernel.item is None:
                        message = f"global `{made.name}` is a `{kernel.name}`, this value is a `{given.name}`"
                    else:
                        continue
                    yield self.finding(
                        ctx,
                        message,
                        span=covered(ctx, call.value),
                        labels=[Label(item_place(ctx, made.item), f"a `{made.type}` here")],
                        fixes=[_suffix(ctx, call.value, kernel)],
                    )


RULE = GlobalOverriddenWithOtherType()
