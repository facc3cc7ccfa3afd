"""The raw `__sk_buff` behind a context is private since aya-ebpf 0.3.

## What it does
Finds `ctx.skb.skb` on a `TcContext` or `SkBuffContext` where aya-ebpf is 0.3.0 or newer.

## Why is this bad
It does not compile: "field `skb` of struct `SkBuff` is private".

## Example
```rust
let mark = unsafe { (*ctx.skb.skb).mark };
```

## Use instead
```rust
let mark = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).mark };
```

## Fix
Display: use an accessor, or `ctx.as_ptr().cast::<__sk_buff>()` with `EbpfContext` in scope.

## Kernels
All.

## Source
aya-ebpf 0.3.0, `src/programs/sk_buff.rs`; compiled with 0.2.1 and 0.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_CONTEXTS = frozenset({"aya_ebpf::programs::TcContext", "aya_ebpf::programs::SkBuffContext"})


class RawSkbPrivate(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.3.0"):
            for field in file.of_kind("field"):
                outer = field.receiver
                if field.name != "skb" or outer is None or outer.kind != "field" or outer.name != "skb":
                    continue
                owner = type_of(outer.receiver)
                if owner is None or owner.path not in _CONTEXTS:
                    continue
                yield self.finding(
                    ctx,
                    "the raw `__sk_buff` of a context is private since aya-ebpf 0.3",
                    span=covered(ctx, field),
                    fixes=[
                        Fix(
                            "display",
                            "use an accessor, or `ctx.as_ptr().cast::<__sk_buff>()` with `EbpfContext` in scope",
                        )
                    ],
                )


RULE = RawSkbPrivate()
