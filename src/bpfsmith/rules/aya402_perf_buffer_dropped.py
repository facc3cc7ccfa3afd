"""A perf buffer is dropped right after it was put into its array.

## What it does
Finds `array.set(cpu, &buffer)` of a `PerfEventArray` (aya 0.15 and later) where the buffer is made in the same block
and not used afterwards.

## Why is this bad
The array only refers to the buffer's perf event. Dropping the buffer, at the latest at the end of the block, disables
and closes the event: nothing arrives, and nothing complains.

## Example
```rust
for cpu in cpus {
    let buffer = PerfEventArrayBuffer::open(cpu, 8)?;
    events.set(cpu, &buffer)?;
}
```

## Use instead
```rust
let mut buffers = Vec::new();
for cpu in cpus {
    let buffer = PerfEventArrayBuffer::open(cpu, 8)?;
    events.set(cpu, &buffer)?;
    buffers.push(buffer);
}
```

## Fix
Display: keep the buffers as long as events are read.

## Kernels
All.

## Source
`aya/src/maps/perf/perf_buffer.rs` of 0.15, `impl Drop for PerfBuffer`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import bare, let_of, on
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let


class PerfBufferDropped(SourceRule):
    severity = "error"
    group = "maps"
    phase = "silent"
    words = ("PerfEventArrayBuffer",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in on(file, ("set",), {"aya::maps::PerfEventArray"}):
                if len(call.args) != 2:
                    continue
                buffer = bare(call.args[1])
                if _opened(buffer):
                    where = buffer
                else:
                    let = let_of(buffer) if buffer.kind == "path" else None
                    if let is None or let.init is None or not _opened(let.init.stripped()):
                        continue
                    if let.block != next((one for one in call.ancestors() if one.kind == "block"), None):
                        continue
                    item = call.item
                    if item is not None and item.name == "main" and item.expr == let.block:
                        continue  # all ends here
                    if any(one.start > call.end for one in mentions(let)) or _waits_after(let.block, call):
                        continue
                    where = let.init
                yield self.finding(
                    ctx,
                    "the buffer is dropped after this, which closes its perf event: no event arrives",
                    span=covered(ctx, call.args[1]),
                    labels=[Label(covered(ctx, where), "opened here")] if where != buffer else [],
                    fixes=[Fix("display", "push it to a vector that lives as long as events are read")],
                )


def _opened(made: Expr) -> bool:
    made = made.stripped()
    if made.kind != "call" or made.callee is None or made.callee.kind != "path":
        return False
    path = resolve(made.file, made.callee.path, made.item)
    return path in ("aya::maps::PerfEventArrayBuffer::open", "aya::maps::perf::PerfEventArrayBuffer::open")


def _waits_after(block: Expr, call: Expr) -> bool:
    """Whether the block goes on after the call, so that the buffer still lives for a while."""
    return any(statement.start > call.end for statement in block.statements if not _result(statement))


def _result(statement: Let | Expr) -> bool:
    """`Ok(())` and the like at the end."""
    return not hasattr(statement, "pattern") and statement.text.startswith(("Ok(", "()"))


RULE = PerfBufferDropped()
