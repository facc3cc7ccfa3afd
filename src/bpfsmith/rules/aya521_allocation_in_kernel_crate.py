"""A kernel crate allocates: `alloc`, `Vec`, `String`, `Box`.

## What it does
Finds `extern crate alloc` and paths into `alloc` in kernel crates, outside of tests and of code gated by a feature or
target.

## Why is this bad
There is no heap in a BPF program, and the targets come with `core` only: "can't find crate for `alloc`". Where
`alloc` is built all the same, "no global memory allocator found" is next.

## Example
```rust
extern crate alloc;
use alloc::vec::Vec;
```

## Use instead
```rust
let mut seen = [0u32; 16];   // a length that is known
#[map]
static SCRATCH: PerCpuArray<[u8; 4096]> = PerCpuArray::with_max_entries(1, 0);
```

## Fix
Display: use an array, or a map as memory.

## Kernels
All.

## Source
Rust, platform support: `bpfel-unknown-none` has `core`; aya-build passes `-Z build-std=core`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files
from bpfsmith.rules._rust import place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item, SourceFile


def _gated(file: SourceFile, item: Item | None, at: int) -> bool:
    if file.in_test(item):
        return True
    words = ("feature", "target_arch", "test", "std")
    return any(word in gate for gate in file.gates(item, at) for word in words)


def _optional(file: SourceFile) -> bool:
    """A module that only some builds have."""
    if not file.module or file.crate is None:
        return False
    return any(
        item.kind == "mod" and item.name in file.module and not item.body_end and other.gates(item)
        for other in file.crate.files
        for item in other.items
    )


class AllocationInKernelCrate(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "compile"
    words = ("alloc",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "alloc"):
            if _optional(file):
                continue
            for item in file.items:
                if item.kind == "extern_crate" and item.name == "alloc" and not _gated(file, item, item.start):
                    yield self.finding(
                        ctx,
                        "a BPF program has no heap: there is no `alloc` for BPF targets",
                        span=place(ctx, file, item.start, item.end),
                        fixes=[Fix("display", "use an array of a known length, or a map as memory")],
                    )
                    break


RULE = AllocationInKernelCrate()
