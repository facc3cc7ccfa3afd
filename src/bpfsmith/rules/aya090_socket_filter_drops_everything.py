"""A socket filter returns 0 on every path, which drops every packet.

## What it does
Follows the value of `socket_filter` programs through helper functions and `match`, where every path that is no error
returns the constant 0. A name or a comment that says so (`deny`, `drop`, `block`, ..) makes it deliberate. A program
that sends what it saw through a ring buffer or perf events gets a note: nobody may read its socket.

## Why is this bad
The value is how many bytes of the packet to keep: 0 keeps none, so the socket never receives anything. Aya's template
ends in `Ok(0)`.

## Example
```rust
#[socket_filter]
pub fn tap(_ctx: SkBuffContext) -> i64 {
    0
}
```

## Use instead
```rust
#[socket_filter]
pub fn tap(ctx: SkBuffContext) -> i64 {
    i64::from(ctx.len())
}
```

## Fix
Display: return the length of the packet, or -1 for all of it.

## Kernels
All.

## Source
aya-template, `main.rs`; `aya/src/programs/socket_filter.rs`.
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._verdicts import always_zero, reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item

_MACROS = frozenset({"socket_filter"})


def _observes(item: Item) -> bool:
    """Whether it hands on what it saw by itself: the socket is only there to attach to."""
    return any(
        expr.kind == "method" and expr.name in ("submit", "output")
        for one in reached(item)
        if one.expr is not None
        for expr in one.expr.within()
    )


class SocketFilterDropsEverything(SourceRule):
    severity = "warning"
    group = "programs"
    phase = "silent"
    supersedes_in_program = ("OBJ013",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        yield from always_zero(
            self,
            project,
            ctx,
            _MACROS,
            "a socket filter keeps as many bytes as it returns, so every packet is dropped",
            "return the packet's length, or -1 to keep all of it",
            "",
            harmless=_observes,
        )


RULE = SocketFilterDropsEverything()
