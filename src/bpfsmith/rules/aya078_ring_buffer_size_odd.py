"""A ring buffer has a size that the kernel does not take as it stands.

## What it does
Finds ring buffers in kernel code whose size is 0 or no power of two of at least one page (4096 bytes), and
`RingBuf::create` in user-space code with such a size. Constants and arithmetic on them are followed.

## Why is this bad
The kernel takes only powers of two that are whole pages. Aya's loader rounds the size of a map in an object up
without a word, so you get another size than you wrote; `RingBuf::create` (aya 0.15) does not round, and fails with
`EINVAL`. A size of 0 is refused in every case.

## Example
```rust
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(100 * 1024, 0); // 128 KiB
```

## Use instead
```rust
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(128 * 1024, 0);
```

## Fix
Unsafe: writes the size that the loader would choose.

## Kernels
From 5.8 on, which brought ring buffers.

## Source
Kernel, `ringbuf_map_alloc`; `aya/src/bpf.rs`, `max_entries` of ring buffers; seen with aya 0.16 on Linux 6.18.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import number
from bpfsmith.rules._rust import covered, replace
from bpfsmith.source.names import resolve
from bpfsmith.source.types import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile


_PAGE = 4096
_MAKERS = frozenset(
    f"{crate}::maps::RingBuf::{name}" for crate in ("aya_ebpf", "aya_bpf") for name in ("with_byte_size", "pinned")
)


def _rounded(size: int) -> int:
    at = _PAGE
    while at < size:
        at *= 2
    return at


class RingBufferSizeOdd(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "silent"
    words = ("RingBuf",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.crates:
            for file in crate.files:
                yield from self._calls(ctx, file)
                if crate.role == "kernel" and file.has("btf_maps"):
                    yield from self._generic(ctx, file)

    def _calls(self, ctx: CheckContext, file: SourceFile) -> Iterator[Finding]:
        for call in file.calls("with_byte_size", "pinned", "create"):
            if call.callee is None or not call.args or file.in_test(call.item):
                continue
            path = resolve(file, call.callee.path, call.item)
            created = path == "aya::maps::RingBuf::create"
            if path not in _MAKERS and not created:
                continue
            size = number(call.args[0])
            if size is None or size == _rounded(size):
                continue
            fixes = [
                Fix(
                    "unsafe",
                    f"write {_rounded(size)}",
                    [replace(ctx, file, call.args[0].start, call.args[0].end, str(_rounded(size)))],
                )
            ]
            if size <= 0 or created:
                yield self.finding(
                    ctx,
                    f"the kernel refuses a ring buffer of {size} bytes: `EINVAL`",
                    span=covered(ctx, call.args[0]),
                    severity="error",
                    fixes=fixes,
                )
            else:
                yield self.finding(
                    ctx,
                    f"a ring buffer of {size} bytes becomes one of {_rounded(size)}: only powers of two are taken",
                    span=covered(ctx, call.args[0]),
                    severity="note",
                    fixes=fixes,
                )

    def _generic(self, ctx: CheckContext, file: SourceFile) -> Iterator[Finding]:
        for item in file.items:
            if item.kind != "static" or "RingBuf" not in item.type:
                continue
            known = named(file, item.type, item)
            if known is None or known.path != "aya_ebpf::btf_maps::RingBuf" or len(known.args) < 2:
                continue
            text = known.args[1].strip("{} ").replace("_", "")
            if text.isdigit() and int(text) != _rounded(int(text)):
                size = int(text)
                refused = size == 0
                yield self.finding(
                    ctx,
                    f"the kernel refuses a ring buffer of {size} bytes: `EINVAL`"
                    if refused
                    else f"a ring buffer of {size} bytes becomes one of {_rounded(size)}: only powers of two are taken",
                    span=item.name_span.replace(path=ctx.shown(file.path)),
                    severity="error" if refused else "note",
                    fixes=[Fix("display", f"write {_rounded(size)}")],
                )


RULE = RingBufferSizeOdd()
