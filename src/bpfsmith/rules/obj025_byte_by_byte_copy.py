"""Data is loaded byte by byte because its type has an alignment of 1.

## What it does
Finds runs of 8 and more single-byte loads that copy or put together wider data. Below 16 bytes in a program it is a
note.

## Why is this bad
The compiler may not load more than a type's alignment allows, so it loads bytes and shifts them together: reading a
`u64` of a packed struct takes 23 instructions where 2 would do, copying a Rust `[u8; 64]` 239 where 17 would do. That
costs time in each event and counts towards the verifier's limit of 1 million instructions; `[u8; 128]` by value does
not even fit the stack.

## Example
```rust
#[repr(C, packed)]
struct Flow { kind: u8, bytes: u64 } // `bytes` is loaded in 8 pieces
```

## Use instead
```rust
#[repr(C)]
struct Flow { bytes: u64, kind: u8, pad: [u8; 7] }
```

## Fix
Order members by size instead of packing; declare map values with `u64` members or `#[repr(C, align(8))]`; copy through
`[u64; N]`, or in C through `__u64 *`. Packet headers, whose layout is given: read wider fields with
`bpf_skb_load_bytes` or `bpf_xdp_load_bytes`, or through `u16` pointers. With LLVM 22 there is
`-mattr=+allows-misaligned-mem-access`.

## Kernels
All.

## Source
LLVM's BPF back end (`allowsMisalignedMemoryAccesses`); counted with rustc 1.96 and clang 19 on ISA v3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding, Span
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

_RUN = 8  # bytes: less is a MAC address or two ports
_WORTH = 16  # bytes in a program


class ByteByByteCopy(ObjectRule):
    severity = "warning"
    group = "performance"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in linkable(obj):
            runs = [run for run in program.byte_copies() if run[1] >= _RUN]
            runs = [run for run in runs if _moved(program.insns(), *run)]
            total = sum(count for _, count in runs)
            # Line -> (slot of its first run, bytes): loops unrolled and copies split are one place to edit.
            places: dict[tuple[str, int] | int, tuple[int, int, Span | None]] = {}
            for slot, count in runs:
                span = ctx.span(program, slot, obj)
                key = slot if span is None else (span.path, span.line)
                first, known, _ = places.get(key, (slot, 0, span))
                places[key] = (first, known + count, span)
            for first, count, span in places.values():
                yield self.finding(
                    ctx,
                    f"{count} bytes are loaded one by one, {count} loads where {-(-count // 8)} would do",
                    obj=obj,
                    program=program,
                    slot=first,
                    span=span,
                    severity=None if total >= _WORTH else "note",
                    evidence=[
                        Evidence("fact", "the type's alignment is 1, so the compiler may load single bytes only")
                    ],
                    fixes=[Fix("display", "align the type: members by size, no `packed`, `u64` in place of `[u8; 8]`")],
                )


_STORE_BYTE, _SHIFT_LEFT = 0x73, (0x67, 0x64)


def _moved(code: bytes, slot: int, count: int) -> bool:
    """Whether the bytes are stored or shifted together, not merely added up as a checksum does."""
    window = code[slot * 8 : (slot + 4 * count) * 8 : 8]
    return window.count(_STORE_BYTE) + sum(window.count(shift) for shift in _SHIFT_LEFT) >= count // 2


RULE = ByteByByteCopy()
