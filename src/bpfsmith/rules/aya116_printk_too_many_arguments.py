"""`bpf_printk!` has more than three arguments though kernels that take only three are asked for.

## What it does
Finds `bpf_printk!` of aya-ebpf with more than three arguments after the format where `--kernels` (or the
configuration) names a kernel before 5.16.

## Why is this bad
With up to three arguments the macro calls `bpf_trace_printk`, with more `bpf_trace_vprintk`, which came with Linux
5.16: before, the verifier refuses the program with "invalid func unknown#177".

## Example
```rust
unsafe { bpf_printk!(c"%d %d %d %d", pid, uid, port, state) };
```

## Use instead
```rust
unsafe {
    bpf_printk!(c"%d %d", pid, uid);
    bpf_printk!(c"%d %d", port, state);
}
```

## Fix
Display: split it in two.

## Kernels
Before 5.16.

## Source
`aya-ebpf/src/helpers.rs`, `bpf_printk_impl`; kernel commit 10aceb629e19 (Linux 5.16).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._object import on as on_kernels
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


_PATHS = frozenset(f"{crate}{middle}::bpf_printk" for crate in ("aya_ebpf", "aya_bpf") for middle in ("", "::helpers"))


class PrintkTooManyArguments(SourceRule):
    severity = "error"
    group = "programs"
    phase = "verify"
    asks = "kernels"
    words = ("bpf_printk",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import helpers

        row = helpers.by_name("bpf_trace_vprintk")
        missing = ctx.kernels.missing_before(row.since if row is not None else "5.16")
        if not ctx.kernels.specified or not missing:
            return
        for file in kernel_files(project):
            for call in file.macros("bpf_printk"):
                if len(call.args) <= 4 or resolve(file, call.path, call.item) not in _PATHS:
                    continue
                yield self.finding(
                    ctx,
                    f"more than three arguments need `bpf_trace_vprintk`, which {on_kernels(missing)} does not have",
                    span=covered(ctx, call),
                    kernels=missing,
                    fixes=[Fix("display", "split it in two")],
                )


RULE = PrintkTooManyArguments()
