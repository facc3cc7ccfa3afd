"""`FExitContext::ret` is used though kernels without its helper are asked for.

## What it does
Finds `ret()` of an `FExitContext` where `--kernels` (or the configuration) names a kernel before 5.17.

## Why is this bad
aya-ebpf reads the value with the helper `bpf_get_func_ret`, which came with Linux 5.17; before, the verifier refuses
the program with "invalid func unknown#184".

## Example
```rust
let result: i32 = ctx.ret()?;
```

## Use instead
```rust
let result: i32 = ctx.arg(2); // the value follows the last of the function's two arguments
```

## Fix
Display: read it as the argument after the last one.

## Kernels
Before 5.17.

## Source
`aya-ebpf/src/programs/fexit.rs`; kernel commit f92c1e183604 (Linux 5.17).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner
from bpfsmith.rules._object import on as on_kernels
from bpfsmith.rules._rust import covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class FexitReturnValue(SourceRule):
    severity = "error"
    group = "programs"
    phase = "verify"
    asks = "kernels"
    words = ("FExitContext",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import helpers

        row = helpers.by_name("bpf_get_func_ret")
        missing = ctx.kernels.missing_before(row.since if row is not None else "5.17")
        if not ctx.kernels.specified or not missing:
            return
        for file in kernel_files(project):
            for call in file.methods("ret"):
                known = owner(call)
                if call.args or known is None or known.path != "aya_ebpf::programs::FExitContext":
                    continue
                yield self.finding(
                    ctx,
                    f"`ret` calls `bpf_get_func_ret`, which {on_kernels(missing)} does not have",
                    span=covered(ctx, call),
                    kernels=missing,
                    fixes=[Fix("display", "read it with `arg`, as the argument after the function's last")],
                )


RULE = FexitReturnValue()
