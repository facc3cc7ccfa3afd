"""`unsafe` around `ctx.arg(..)`, which is safe since aya-ebpf 0.2.

## What it does
Finds `unsafe { ctx.arg(..) }` on the contexts of `lsm`, `fentry`, `fexit` and `btf_tracepoint` programs where aya-ebpf
is 0.2.0 or newer.

## Why is this bad
The compiler warns of an `unsafe` block for nothing, and refuses it under `deny(unused_unsafe)`.

## Example
```rust
let file: *const file = unsafe { ctx.arg(0) };
```

## Use instead
```rust
let file: *const file = ctx.arg(0);
```

## Fix
Safe: the block goes, its value stays.

## Kernels
All.

## Source
aya-ebpf, `CHANGELOG.md`; `src/programs/lsm.rs` of 0.1.1 and 0.2.1.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import called_on, compat, covered, kernel_files, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_CONTEXTS = frozenset(
    f"{crate}::programs::{name}"
    for crate in ("aya_ebpf", "aya_bpf")
    for name in ("BtfTracePointContext", "FEntryContext", "FExitContext", "LsmContext")
)


class ArgumentNeedsNoUnsafe(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.2.0"):
            for block in file.of_kind("block"):
                call = block.tail
                if not block.is_unsafe or call is None or block.statements != [call] or call.kind != "method":
                    continue
                if call.name != "arg" or not called_on(call, _CONTEXTS) or compat(file, block.item, block.start):
                    continue
                if any(one.kind == "block" and one.is_unsafe for one in call.within()):
                    continue
                yield self.finding(
                    ctx,
                    "`arg` is safe since aya-ebpf 0.2, this `unsafe` is for nothing",
                    span=covered(ctx, block),
                    fixes=[
                        Fix(
                            "safe",
                            "take the call out of the block",
                            [replace(ctx, file, block.start, block.end, call.text)],
                        )
                    ],
                )


RULE = ArgumentNeedsNoUnsafe()
