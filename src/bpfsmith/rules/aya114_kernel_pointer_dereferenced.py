"""A tracing program reads through a kernel pointer by itself.

## What it does
Finds reads through a pointer that `arg` or `ret` of a kprobe, uprobe, kretprobe, uretprobe or raw tracepoint gave, or
that was read from a tracepoint's record: `*pointer`, `(*pointer).field`, `pointer.read()`.

## Why is this bad
There such a value is a plain number to the verifier: reading through it is refused with "R1 invalid mem access
'scalar'" ('inv' on old kernels). Only fentry, fexit, LSM and BTF tracepoints get pointers with a type they may
follow.

## Example
```rust
let task: *const task_struct = ctx.arg(0).ok_or(1)?;
let pid = unsafe { (*task).pid };
```

## Use instead
```rust
let task: *const task_struct = ctx.arg(0).ok_or(1)?;
let pid = unsafe { bpf_probe_read_kernel(&raw const (*task).pid)? };
```

## Fix
Display: read with `bpf_probe_read_kernel`, or `bpf_probe_read_user` for memory of the process.

## Kernels
All.

## Source
Aya book, probes; kernel, `check_mem_access` in `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner
from bpfsmith.rules._loads import loads, origins
from bpfsmith.rules._rust import cited, covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item


_CONTEXTS = {
    "ProbeContext": ("arg",),
    "RetProbeContext": ("ret",),
    "RawTracePointContext": ("arg",),
    "TracePointContext": ("read_at",),
}
_SOURCES = ("arg", "ret", "read_at")


class KernelPointerDereferenced(SourceRule):
    severity = "error"
    group = "programs"
    phase = "verify"
    words = tuple(_CONTEXTS)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has(*_CONTEXTS):
                continue
            readers: dict[int, Item] = {}
            for call in file.methods(*_SOURCES):
                item = call.item
                if item is not None and item.id not in readers and _number(call):
                    readers[item.id] = item
            for item in readers.values():
                yield from self._function(ctx, item)

    def _function(self, ctx: CheckContext, item: Item) -> Iterator[Finding]:
        seen = set()
        for expr, pointer in loads(item):
            made = next((one for one in origins(pointer) if _number(one)), None)
            if made is None or expr in seen:
                continue
            seen.add(expr)
            yield self.finding(
                ctx,
                f"{cited(expr.text)} reads through a kernel pointer, which the verifier takes for a number",
                span=covered(ctx, expr),
                labels=[Label(covered(ctx, made), "comes from here")],
                fixes=[Fix("display", "read it with `bpf_probe_read_kernel` (`_user` for memory of the process)")],
            )


def _number(call: Expr) -> bool:
    """Whether a call gives what is only a number to the verifier."""
    known = owner(call)
    if known is None or not known.within("aya_ebpf::programs", "aya_bpf::programs"):
        return False
    return call.name in _CONTEXTS.get(known.name, ())


RULE = KernelPointerDereferenced()
