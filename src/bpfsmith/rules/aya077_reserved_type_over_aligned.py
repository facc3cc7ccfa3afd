"""A ring buffer entry is reserved for a type that wants more than 8 bytes of alignment.

## What it does
Finds `reserve::<T>()` where `T` is a `u128`, an `i128`, has `#[repr(align(16))]` or more, or has such a field.

## Why is this bad
The kernel aligns entries to 8 bytes. `reserve` asserts that this is enough: until aya-ebpf 0.2 the assertion ends up
in the program, which then only panics ("last insn is not an exit or jmp"); from 0.3 on it does not compile.

## Example
```rust
#[repr(C, align(16))]
struct Event { address: u128 }
let entry = EVENTS.reserve::<Event>(0);
```

## Use instead
```rust
#[repr(C)]
struct Event { address: [u8; 16] }
let entry = EVENTS.reserve::<Event>(0);
```

## Fix
Display: use `[u8; 16]` or two `u64`.

## Kernels
All that have ring buffers (5.8).

## Source
`aya_ebpf::maps::RingBuf::reserve`; E0080 of aya-ebpf 0.3 and the verifier's message seen with 0.2.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import kernel_map, owner, turbofish
from bpfsmith.rules._rust import cited, covered, kernel_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of, parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item, SourceFile


_WIDE = frozenset({"u128", "i128"})


def _why(file: SourceFile, text: str, item: Item | None, depth: int = 0) -> str:  # noqa: PLR0911
    """What makes the type need more than 8 bytes of alignment; empty where that is not certain."""
    bare = text.strip()
    while bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1].partition(";")[0].strip()
    if bare in _WIDE:
        return f"`{bare}`"
    parsed = parse_type(bare)
    if parsed is None or parsed[2] or depth > 4:
        return ""
    path = resolve(file, parsed[0], item)
    found = item_of(file, path) if path is not None and path.startswith("crate::") else None
    if found is None or found.kind not in ("struct", "union") or found.generic:
        return ""
    packed = False
    for attr in found.attrs:
        if attr.path != "repr":
            continue
        packed = packed or "packed" in attr.args
        number = attr.args.partition("align(")[2].partition(")")[0].strip()
        if number.isdigit() and int(number) > 8:
            return f"`align({number})` of `{found.name}`"
    if packed:
        return ""
    for field in found.params:
        inner = _why(found.file, field.type, found, depth + 1)
        if inner:
            return inner
    return ""


class ReservedTypeOverAligned(SourceRule):
    severity = "error"
    group = "maps"
    phase = "verify"
    words = ("reserve",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.methods("reserve"):
                if not kernel_map(call, "RingBuf"):
                    continue
                known = owner(call)
                text = turbofish(call) or (known.args[0] if known is not None and known.args else "")
                why = _why(file, text, call.item) if text else ""
                if not why:
                    continue
                old = file.crate is None or not file.crate.at_least("aya-ebpf", "0.3.0")
                end = "the program then only panics, and the verifier refuses it" if old else "this does not compile"
                yield self.finding(
                    ctx,
                    f"{cited(text)} needs more than the 8 bytes a ring buffer aligns to ({why}): {end}",
                    span=covered(ctx, call),
                    fixes=[Fix("display", "use `[u8; 16]` or two `u64` instead")],
                )


RULE = ReservedTypeOverAligned()
