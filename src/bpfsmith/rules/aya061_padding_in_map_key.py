"""The key of a hash map has padding between its fields.

## What it does
Computes the layout of the key types of hash maps (`HashMap`, `LruHashMap`, per CPU or not, `SockHash`, the data of an
`LpmTrie` key) that the kernel crates define, and finds those with bytes that belong to no field, where a key is
built as a struct literal on either side.

## Why is this bad
The kernel hashes and compares all bytes of a key. A struct literal sets the fields and leaves the bytes between them as
they were on the stack, so two keys with the same fields can differ: lookups miss and entries double, now and then, and
not in every build. Before 6.3, and without CAP_PERFMON, the verifier refuses the program: "invalid indirect read from
stack".

## Example
```rust
#[repr(C)]
pub struct Flow { source: u32, port: u16 } // bytes 6..8 are padding
```

## Use instead
```rust
#[repr(C)]
pub struct Flow { source: u32, port: u16, _pad: u16 } // always 0
```

## Fix
Display: a field of that size, set to zero, or fields in another order.

## Kernels
All. Since 6.3 a privileged program may pass uninitialised stack to a map helper, so nothing refuses it there.

## Source
Kernel, `htab_map_hash` and `lookup_elem_raw` in `kernel/bpf/hashtab.c`; `check_stack_range_initialized` in
`kernel/bpf/verifier.c`; the Rust Reference, "Type layout".
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, shape
from bpfsmith.rules._rust import covered
from bpfsmith.source.across import item_across, resolve_across
from bpfsmith.source.aya import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

KEYED = frozenset({"HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap", "SockHash", "LpmTrie"})


def _built(project: Project, item: Item) -> Expr | None:
    """A struct literal of the type, with all of its fields."""
    for crate in project.all_crates:
        for file in crate.files:
            if item.name not in file.text:
                continue
            for expr in file.of_kind("struct"):
                name = expr.path.rpartition("::")[2]
                if name not in (item.name, "Self") or file.in_test(expr.item):
                    continue
                found = None
                if name == "Self":
                    impl = expr.item
                    while impl is not None and impl.kind != "impl":
                        impl = impl.parent
                    head = impl.type.partition("<")[0].strip() if impl is not None else ""
                    found = item_across(file, resolve_across(file, head, impl)) if head else None
                else:
                    found = item_across(file, resolve_across(file, expr.path, expr.item))
                if (
                    found is not None
                    and found.file is item.file
                    and found.id == item.id
                    and len(expr.struct_fields) > 1
                ):
                    return expr
    return None


class PaddingInMapKey(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = tuple(sorted(KEYED))

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        seen = set()
        for made in model(project).maps:
            key = made.key_layout if made.kind in KEYED else None
            if key is None or not key.certain or key.item is None or made.file.crate not in project.crates:
                continue
            holes = key.padding
            if not holes or (key.item.file.path, key.item.id) in seen:
                continue
            built = _built(project, key.item)
            if built is None:
                continue
            seen.add((key.item.file.path, key.item.id))
            at, size = holes[0]
            where = f"byte {at}" if size == 1 else f"bytes {at}..{at + size}"
            yield self.finding(
                ctx,
                f"{where} of `{key.item.name}` are padding, which is part of the key of `{made.name}` and never set",
                span=item_place(ctx, key.item),
                labels=[
                    Label(item_place(ctx, made.item), f"the key is {shape(key)}"),
                    Label(covered(ctx, built), "sets the fields, not the padding"),
                ],
                fixes=[Fix("display", f"add `_pad: [u8; {size}]` there and set it to zero")],
            )


RULE = PaddingInMapKey()
