"""A `sock_ops` program returns 0 on every path, so the kernel ignores its `reply`.

## What it does
Follows the value of `sock_ops` programs through helper functions and `match`, where every path that is no error
returns the constant 0. A name or a comment that says so (`deny`, `drop`, `block`, ..) makes it deliberate. A program
that writes no reply gets a note.

## Why is this bad
The kernel uses what the program wrote to `reply` only when it returns 1; 0 counts as failure and gives the default,
also for the replies of other programs of the cgroup.
Aya's template ends in `Ok(0)`.

## Example
```rust
#[sock_ops]
pub fn tune(ctx: SockOpsContext) -> u32 {
    ctx.set_reply(20);
    0
}
```

## Use instead
```rust
#[sock_ops]
pub fn tune(ctx: SockOpsContext) -> u32 {
    ctx.set_reply(20);
    1
}
```

## Fix
Unsafe: writes 1; the reply takes effect then.

## Kernels
All.

## Source
aya-template, `main.rs`; kernel, `tcp_call_bpf` in `include/net/tcp.h`.
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

_MACROS = frozenset({"sock_ops"})


def _writes_no_reply(item: Item) -> bool:
    return not any("reply" in one.file.text[one.body_start : one.body_end] for one in reached(item))


class SockOpsReplyIgnored(SourceRule):
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
            "the kernel ignores the reply of a sock_ops program unless it returns 1",
            "return 1",
            "1",
            harmless=_writes_no_reply,
        )


RULE = SockOpsReplyIgnored()
