"""The panic handler does not loop: it tells the compiler that it is never reached, aborts or panics again.

## What it does
Finds `unreachable_unchecked`, `abort` and panicking macros in a `#[panic_handler]` that has no loop.

## Why is this bad
`unreachable_unchecked` is undefined behaviour as soon as anything can panic: the compiler may delete the checks that
lead there, and an index out of bounds reads or writes whatever is behind. `abort` becomes a trap or a call that BPF
does not have. With an endless loop the panic path stays, and the verifier says so.

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
    from bpfsmith.source.rust import Expr


def _why(call: Expr) -> str | None:
    name = call.callee.path.rpartition("::")[2] if call.callee is not None else call.path
    if call.kind == "call" and name == "unreachable_unchecked":
        return "undefined behaviour once anything panics, the checks that lead here are deleted"
    if call.kind == "call" and name == "abort":
        return "BPF has no abort"
    if call.kind == "macro" and name.rpartition("::")[2] in ("panic", "unreachable", "todo", "unimplemented"):
        return "it panics again"
    return None


class PanicHandlerDoesNotLoop(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for item in file.items:
                if item.kind != "fn" or item.expr is None or not any(one.path == "panic_handler" for one in item.attrs):
                    continue
                inside = list(item.expr.within())
                if any(one.kind in ("loop", "while") for one in inside):
                    continue
                for call in inside:
                    why = _why(call)
                    if why is None:
                        continue
                    yield self.finding(
                        ctx,
                        f"the panic handler does not loop: {why}",
                        span=covered(ctx, call),
                        fixes=[Fix("unsafe", "loop for ever", [Edit(covered(ctx, item.expr), "{\n    loop {}\n}")])],
                    )


RULE = PanicHandlerDoesNotLoop()
