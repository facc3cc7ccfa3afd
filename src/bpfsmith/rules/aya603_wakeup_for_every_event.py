"""Every event of a busy program wakes user space.

## What it does
Finds `BPF_RB_FORCE_WAKEUP` as flag of `submit`, `discard` and `output` of a `RingBuf` in functions that run for every
packet or at every event of a busy tracepoint.

## Why is this bad
With flags 0 the kernel wakes the reader only when it has caught up, which costs 30 ns an event under load; forced, it
sends an interrupt each time: 5,000 to 5,900 ns measured on Linux 6.18, and 0.12 against 0.9 million events a second
with both sides running. Nothing arrives earlier: a reader that waits is woken with flags 0 too.

## Example
```rust
entry.submit(BPF_RB_FORCE_WAKEUP.into());
```

## Use instead
```rust
entry.submit(0);
```

## Fix
Unsafe: writes 0, which wakes readers that wait; force only what ends a batch sent with `BPF_RB_NO_WAKEUP`.

## Kernels
5.8 and later (ring buffers).

## Source
Kernel, `Documentation/bpf/ringbuf.rst`; measured on Linux 6.18 in a virtual machine, where interrupts are dear: on
bare metal the ratio published for wakeups is about 10.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._hot import hot
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._rust import covered, replace
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_NAME = "BPF_RB_FORCE_WAKEUP"


def _flags(path: Expr) -> tuple[Expr, Expr] | None:
    """(call, its flags argument) when that argument is this constant, cast or converted."""
    child = path
    for at in path.ancestors():
        if at.kind in ("paren", "cast") or (at.kind == "method" and at.receiver == child and at.name == "into"):
            child = at
            continue
        if at.kind == "call" and at.callee is not None and at.callee.path.endswith("::from"):
            child = at
            continue
        if at.kind == "method" and at.name in ("submit", "discard", "output") and at.args and at.args[-1] == child:
            return at, child
        return None
    return None


class WakeupForEveryEvent(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = (_NAME,)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, _NAME):
            for path in file.path_exprs(_NAME):
                found = _flags(path)
                if found is None or not counts(path):
                    continue
                name = resolve(file, path.path, path.item)
                if name is not None and not name.startswith(("aya_ebpf", "aya_bpf")):
                    continue
                busy = hot(path.item)
                if busy is None or any(one.kind in ("if", "match") for one in found[0].ancestors()):
                    continue
                call, flags = found
                yield self.finding(
                    ctx,
                    f"`{call.name}` wakes user space {busy.what}: flags 0 do so when it waits, and cost far less",
                    span=covered(ctx, call),
                    fixes=[Fix("unsafe", "write 0", [replace(ctx, file, flags.start, flags.end, "0")])],
                )


RULE = WakeupForEveryEvent()
