"""A big value is copied out of a map to the stack.

## What it does
Finds `*` and `.copied()` or `.cloned()` of a map lookup that make a local of 64 bytes or more, where the value's
layout is known, in kernel crates.

## Why is this bad
The copy is done in pieces as small as the type's alignment: 239 instructions for `[u8; 64]`, 17 for `[u64; 8]` (rustc
1.97, LLVM 22), 47 against 6.5 ns for 256 bytes (Linux 6.18). And it takes stack, of which there are 512 bytes. The
reference the lookup gave costs nothing.

## Example
```rust
let config = *unsafe { CONFIG.get(&0) }.ok_or(())?; // 128 bytes
```

## Use instead
```rust
let config = unsafe { CONFIG.get(&0) }.ok_or(())?;
```

## Fix
Display: use the reference, and copy single fields; or align the type to 8 bytes.

## Kernels
All.

## Source
Measured with rustc 1.97, LLVM 22.1 and Linux 6.18: take the ratios.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import MapCall, code_files, counts, map_call
from bpfsmith.rules._rust import place
from bpfsmith.source.layout import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_BIG = 64
_LOOKUPS = ("get", "get_ptr", "get_ptr_mut")
_KEEPS = frozenset({"unwrap", "expect", "ok_or", "ok_or_else", "unwrap_or_default"})


def _copied(expr: Expr) -> MapCall | None:
    """The lookup whose value an initialiser copies as a whole."""
    copied = False
    at: Expr | None = expr
    while at is not None:
        if at.kind in ("paren", "try"):
            at = at.inner
        elif at.kind == "block":
            at = at.tail if not at.fields[1] else None
        elif at.kind == "unary" and at.op == "*":
            copied = True
            at = at.inner
        elif at.kind == "method" and at.name in ("copied", "cloned"):
            copied = True
            at = at.receiver
        elif at.kind == "method" and at.name in _KEEPS:
            at = at.receiver
        elif at.kind == "method" and at.name in _LOOKUPS:
            return map_call(at) if copied else None
        else:
            return None
    return None


class BigValueCopied(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = _LOOKUPS

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *_LOOKUPS):
            blocks = {
                one.id: one for call in file.methods(*_LOOKUPS) for one in call.ancestors() if one.kind == "block"
            }
            for block in blocks.values():
                for let in block.lets:
                    call = _copied(let.init) if let.init is not None else None
                    if call is None or not call.args or not counts(block):
                        continue
                    known = layout(file, call.args[-1], block.item)
                    if known is None or known.size < _BIG:
                        continue
                    slow = "" if known.align >= 8 else f", {known.align} byte{'s' * (known.align > 1)} at a time"
                    yield self.finding(
                        ctx,
                        f"{known.size} bytes are copied from `{call.short}` to the stack{slow}",
                        span=place(ctx, file, let.start, let.end),
                        fixes=[Fix("display", "use the reference that the lookup gave")],
                    )


RULE = BigValueCopied()
