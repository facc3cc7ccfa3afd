"""An event with padding is sent from the stack: what was on the stack before goes with it.

## What it does
Finds `output` on a `RingBuf` or `PerfEventArray`, and `write` of a reserved ring buffer entry, with a struct literal
of the project, or a local that one was assigned to, whose layout is certain and has padding, in kernel crates. A
local that starts as `mem::zeroed()` is left alone.

## Why is this bad
A struct literal writes the fields and leaves the gaps as they are. Without CAP_PERFMON, and before 6.3 in general,
the verifier refuses such an event ("invalid indirect read from stack"); otherwise up to that many bytes of kernel
stack reach user space with each event, pointers among them.

## Example
```rust
#[repr(C)]
struct Event { pid: u32, at: u64 }       // 4 bytes of padding after `pid`
EVENTS.output(&ctx, &Event { pid, at }, 0);
```

## Use instead
```rust
#[repr(C)]
struct Event { pid: u32, _pad: u32, at: u64 }
EVENTS.output(&ctx, &Event { pid, _pad: 0, at }, 0);
```

## Fix
Display: add fields for the gaps and set them to 0.

## Kernels
All; "invalid indirect read" before 6.3, and where the loader lacks CAP_PERFMON.

## Source
Kernel, `check_stack_range_initialized`, `env->allow_uninit_stack`, commit 6715df8d5d24.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import bare, code_files, counts, local, map_call
from bpfsmith.rules._padding import fill
from bpfsmith.rules._rust import covered
from bpfsmith.source.layout import layout
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.layout import Layout
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _literal(value: Expr | None) -> Expr | None:
    """The struct literal a value is, or a local was set to; None where anything else may have filled it."""
    value = bare(value) if value is not None else None
    if value is None or value.kind == "struct":
        return value
    found = local(value)
    if found is None or found.kind != "let" or found.let is None or found.let.init is None:
        return None
    init = bare(found.let.init)
    return init if init.kind == "struct" else None


def _gaps(literal: Expr) -> Layout | None:
    """The layout of the literal's type when it is certain and has padding."""
    spread = literal.fields[2] if len(literal.fields) > 2 else -1
    if isinstance(spread, int) and spread >= 0:
        return None
    found = layout(literal.file, literal.path, literal.item)
    return found if found is not None and found.certain and found.padding else None


class PaddingLeavesTheKernel(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "silent"
    words = ("output", "write")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *self.words):
            for expr in file.methods("output", "write"):
                if expr.name == "output":
                    call = map_call(expr)
                    if call is None or call.kind not in ("RingBuf", "PerfEventArray"):
                        continue
                    value = expr.args[1] if call.kind == "PerfEventArray" and len(expr.args) == 3 else None
                    if call.kind == "RingBuf" and expr.args:
                        value = expr.args[0]
                else:
                    if len(expr.args) != 1 or not _entry(expr.receiver):
                        continue
                    value = expr.args[0]
                literal = _literal(value)
                found = _gaps(literal) if literal is not None else None
                if literal is None or found is None or not counts(expr):
                    continue
                count = sum(size for _, size in found.padding)
                rows = ", ".join(f"{size} at offset {at}" for at, size in found.padding)
                yield self.finding(
                    ctx,
                    f"`{literal.path}` has {count} bytes of padding, which leave the kernel with whatever was there",
                    span=covered(ctx, literal),
                    evidence=[Evidence("layout", f"{found.size} bytes; padding: {rows}")],
                    fixes=[Fix("display", fill(found, literal.path))],
                )


def _entry(receiver: Expr | None) -> bool:
    """A reserved entry of a ring buffer."""
    found = local(receiver) if receiver is not None else None
    if found is None:
        return False
    if found.type:
        known = type_of(receiver)
        return known is not None and known.name == "RingBufEntry"
    from bpfsmith.rules._kernel_code import origin

    call = map_call(origin(receiver)) if receiver is not None else None
    return call is not None and call.kind == "RingBuf" and call.expr.name == "reserve"


RULE = PaddingLeavesTheKernel()
