"""A copy of a header is written, the packet is not.

## What it does
Finds assignments to a field of a temporary copy, `unsafe { *header }.dst_addr = x`, and locals that are a copy of
what a pointer points to (or of what `load` read), whose fields are only assigned to and which are used for nothing
else.

## Why is this bad
`*header` as a value is a copy on the stack. The assignment compiles, changes the copy, and the copy is dropped: the
packet, or the map's value, stays as it was.

## Example
```rust
let ip: *mut Ipv4Hdr = ptr_at_mut(&ctx, EthHdr::LEN)?;
unsafe { *ip }.dst_addr = backend;
```

## Use instead
```rust
unsafe { (*ip).dst_addr = backend };
```

## Fix
Display: assign through the pointer, inside the block; after `load`, `store` it back.

## Kernels
All.

## Source
Rust reference, "Place expressions and value expressions": a block is a value, its result a copy.
"""

from __future__ import annotations

import re

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import cited, covered, kernel_files
from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let

_ASSIGNS = frozenset({"=", "+=", "-=", "|=", "&=", "^=", "*=", "<<=", ">>="})


# Whether a file is worth a look at all; what it says is decided on the expressions.
_MAY_ASSIGN = re.compile(r"\}\s*(?:\.\s*\w+\s*)+[-+|&^*<>]*=[^=>]")
_MAY_COPY = re.compile(r"let\s+mut\s+\w+\s*(?::[^=;]*)?=\s*(?:unsafe\s*)?[{(\s]*\*")


def _copied(expr: Expr | None) -> Expr | None:
    """`*pointer`, in a block too."""
    depth = 0
    while expr is not None and depth < 8:
        if expr.kind == "block" and not expr.statements[:-1]:
            expr = expr.tail
        elif expr.kind == "paren":
            expr = expr.inner
        else:
            break
        depth += 1
    return expr if expr is not None and expr.kind == "unary" and expr.op == "*" else None


def _loaded(expr: Expr | None) -> bool:
    at = expr.stripped() if expr is not None else None
    return at is not None and at.kind == "method" and at.name == "load" and len(at.args) == 1


class HeaderCopyWritten(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            copies = _MAY_COPY.search(file.text)
            for expr in file.of_kind("binary") if _MAY_ASSIGN.search(file.text) else ():
                if expr.op not in _ASSIGNS:
                    continue
                left = expr.operands[0]
                if left is None or left.kind != "field":
                    continue
                base = left.receiver
                while base is not None and base.kind == "field":
                    base = base.receiver
                copy = _copied(base) if base is not None and base.kind == "block" else None
                if copy is not None and not file.in_test(expr.item):
                    yield self.finding(
                        ctx,
                        f"{cited(left.text)} is a field of a copy: what the pointer points to stays as it was",
                        span=covered(ctx, left),
                        fixes=[Fix("display", f"write `unsafe {{ ({copy.text}).{left.name} = .. }}`")],
                    )
            taken = [*file.methods("load"), *(file.of_kind("unary") if copies is not None else ())]
            yield from self._locals(ctx, [let for one in taken if (let := self._let(one)) is not None])

    @staticmethod
    def _let(taken: Expr) -> Let | None:
        """The `let mut` that takes a copy."""
        if taken.kind == "unary" and taken.op != "*":
            return None
        at, parent = taken, taken.parent
        while parent is not None and (
            parent.kind in ("try", "paren", "await")
            or (parent.kind == "method" and parent.receiver == at)
            or (parent.kind == "block" and parent.tail == at and len(parent.statements) == 1)
        ):
            at, parent = parent, parent.parent
        if parent is None or parent.kind != "block":
            return None
        let = next((one for one in parent.lets if one.init == at), None)
        if let is None or let.name is None or not let.pattern.startswith("mut "):
            return None
        return let if _copied(let.init) is not None or _loaded(let.init) else None

    def _locals(self, ctx: CheckContext, lets: list[Let]) -> Iterator[Finding]:
        for let in lets:
            uses = list(mentions(let))
            written = []
            for use in uses:
                at = use
                while at.parent is not None and at.parent.kind == "field":
                    at = at.parent
                outer = at.parent
                if at == use or outer is None or outer.kind != "binary" or outer.op != "=" or outer.operands[0] != at:
                    break
                written.append(at)
            else:
                if written:
                    yield self.finding(
                        ctx,
                        f"`{let.name}` is a copy: its fields are written and never used, and what it was copied from "
                        "stays as it was",
                        span=covered(ctx, written[0]),
                        fixes=[Fix("display", "assign through the pointer, or write the copy back (`store`)")],
                    )


RULE = HeaderCopyWritten()
