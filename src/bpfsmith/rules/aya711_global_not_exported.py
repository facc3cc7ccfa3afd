"""A global that user space overrides has no symbol of its name.

## What it does
Finds `override_global("NAME", ..)` (and `set_global`) where the kernel side has a `static NAME` without
`#[no_mangle]` or `#[export_name]`.

## Why is this bad
Rust mangles the names of statics: the object has a symbol such as `_ZN4demo6TARGET17h0123456789abcdefE`, or none.
Loading fails with "symbol with name TARGET not found in the symbols table"; with `must_exist` set to `false` the value
is ignored without a word.

## Example
```rust
static TARGET: Global<u32> = Global::new(0);
```

## Use instead
```rust
#[unsafe(no_mangle)]
static TARGET: Global<u32> = Global::new(0);
```

## Fix
Safe: writes the attribute.

## Kernels
All. `llvm-nm OBJECT` lists the symbols.

## Source
aya-obj, `Object::patch_map_data` in `aya-obj/src/obj.rs`; the Rust Reference, "The no_mangle attribute".
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, pairs
from bpfsmith.rules._rust import covered, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class GlobalNotExported(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("override_global", "set_global")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for user in pair.users:
                for call in user.globals:
                    found = [one for one in pair.globals if one.name in (call.names or ())]
                    if len(found) != 1 or found[0].exported:
                        continue
                    made = found[0]
                    if any(attr.path == "cfg_attr" for attr in made.item.attrs):
                        continue
                    old = made.crate.edition < 2024
                    attribute = "#[no_mangle]" if old else "#[unsafe(no_mangle)]"
                    result = (
                        "its value is ignored" if call.must_exist is False else "it is not found in the symbols table"
                    )
                    start = made.item.start
                    yield self.finding(
                        ctx,
                        f"static `{made.name}` has no symbol of its name, so {result}",
                        span=item_place(ctx, made.item),
                        labels=[Label(covered(ctx, call.expr), "overridden here")],
                        fixes=[
                            Fix(
                                "safe",
                                f"write `{attribute}` above it",
                                [replace(ctx, made.file, start, start, f"{attribute}\n")],
                            )
                        ],
                    )


RULE = GlobalNotExported()
