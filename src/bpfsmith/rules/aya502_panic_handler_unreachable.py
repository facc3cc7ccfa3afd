"""The panic handler tells the compiler that it is never reached.

## What it does
Finds `unreachable_unchecked` in a `#[panic_handler]`.

## Why is this bad
That is undefined behaviour as soon as anything can panic: the compiler may delete the checks that lead there, and an
index out of bounds reads or writes whatever is behind. With an endless loop the panic path stays, and the verifier
says so.

## Example
```rust
#[panic_handler]
fn panic(_info: &PanicInfo) -> ! {
    unsafe { core::hint::unreachable_unchecked() }
}
```

## Use instead
```rust
#[panic_handler]
fn panic(_info: &PanicInfo) -> ! {
    loop {}
}
```

## Fix
Unsafe: programs that load only because their panic paths are assumed away will be refused until those are removed
(AYA045).

## Kernels
All.

## Source
Rust, `core::hint::unreachable_unchecked`; aya, `ebpf-panic/src/lib.rs` loops.
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class PanicHandlerUnreachable(SourceRule):
    severity = "warning"
    group = "security"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for item in file.items:
                if item.kind != "fn" or item.expr is None or not any(one.path == "panic_handler" for one in item.attrs):
                    continue
                for call in item.expr.within():
                    callee = call.callee
                    if callee is None or callee.path.rpartition("::")[2] != "unreachable_unchecked":
                        continue
                    yield self.finding(
                        ctx,
                        "undefined behaviour once anything panics: the checks that lead here are deleted",
                        span=covered(ctx, call),
                        fixes=[Fix("unsafe", "loop for ever", [Edit(covered(ctx, item.expr), "{\n    loop {}\n}")])],
                    )


RULE = PanicHandlerUnreachable()
