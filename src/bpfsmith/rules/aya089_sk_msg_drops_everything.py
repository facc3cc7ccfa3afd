"""An `sk_msg` program returns 0 on every path, which drops every message.

## What it does
Follows the value of `sk_msg` programs through helper functions and `match`, where every path that is no error returns
the constant 0. A name or a comment that says so (`deny`, `drop`, `block`, ..) makes it deliberate.

## Why is this bad
0 is `SK_DROP`, 1 is `SK_PASS`: every message sent on the sockets of the map is dropped, and the sender gets `EACCES`.
Aya's template ends in `Ok(0)`.

## Example
```rust
fn try_redirect(ctx: SkMsgContext) -> Result<u32, u32> { Ok(0) }
```

## Use instead
```rust
fn try_redirect(ctx: SkMsgContext) -> Result<u32, u32> { Ok(sk_action::SK_PASS) }
```

## Fix
Unsafe: writes 1 (`SK_PASS`).

## Kernels
All.

## Source
aya-template, `main.rs`; kernel commit bfa640757e93 ("bpf: rename sk_actions to align with bpf infrastructure").
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._verdicts import always_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_MACROS = frozenset({"sk_msg"})


class SkMsgDropsEverything(SourceRule):
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
            "0 is `SK_DROP`, every message is dropped",
            "return 1 (`SK_PASS`) to let messages through",
            "1",
        )


RULE = SkMsgDropsEverything()
