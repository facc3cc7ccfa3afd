"""The licence has no zero byte at its end.

## What it does
Finds statics in section `license` whose bytes are written out and do not end in `\\0`, or have one before their end.

## Why is this bad
The loader wants a C string. aya refuses the object: "invalid license `[71, 80, 76]`: missing NULL terminator"; libbpf
reads on into whatever follows.

## Example
```rust
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 3] = *b"GPL";
```

## Use instead
```rust
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\\0";
```

## Fix
Display: end it in `\\0`, one byte more in the type.

## Kernels
All.

## Source
aya-obj, `parse_license`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _bytes(expr: Expr | None) -> tuple[Expr, str] | None:
    """The byte string a static starts with, as written between its quotes."""
    while expr is not None and expr.kind in ("unary", "paren", "ref") and (expr.kind != "unary" or expr.op == "*"):
        expr = expr.inner
    if expr is None or expr.literal != "bytes" or not expr.text.startswith('b"') or not expr.text.endswith('"'):
        return None
    return expr, expr.text[2:-1]


class LicenseWithoutZero(SourceRule):
    severity = "error"
    group = "build"
    phase = "load"
    words = ("link_section",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for attr in file.attrs_named("link_section"):
                item = file.item_at(attr.owner) if attr.on_item else None
                if attr.args.lstrip("= ").strip() != '"license"':
                    continue
                found = _bytes(item.expr) if item is not None and item.kind == "static" else None
                if found is None or file.gates(item):
                    continue
                expr, text = found
                if text.endswith(("\\0", "\\x00")) and "\\0" not in text[:-2]:
                    continue
                if "\n" in text:
                    continue
                what = "ends in no zero byte" if not text.endswith(("\\0", "\\x00")) else "has a zero byte inside"
                yield self.finding(
                    ctx,
                    f"the licence {what}: aya refuses the object",
                    span=covered(ctx, expr),
                    fixes=[Fix("display", f'write `*b"{text.split(chr(92))[0]}\\0"`, and the length in the type')],
                )


RULE = LicenseWithoutZero()
