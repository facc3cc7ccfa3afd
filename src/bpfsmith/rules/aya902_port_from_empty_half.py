"""A port is taken from the half of a 32 bit context field that holds nothing.

## What it does
Finds `as u16`, `>> 16` and `from_be` on `user_port` and `protocol` (the value stands in the lower half) and on the
`remote_port` of sock_ops, sk_msg and socket buffers (it stands in the upper half) that leave 0, or leave the value in
the wrong half when it is compared.

## Why is this bad
A port has 16 bits, the fields have 32. For `bpf_sock_addr` the kernel puts the two bytes first, for `bpf_sock_ops`,
`sk_msg_md` and `__sk_buff` it shifts them up. `ops.remote_port() as u16` is always 0, and so is
`u32::from_be(user_port) as u16`. No port ever matches.

## Example
```rust
let port = u16::from_be(ctx.remote_port() as u16); // sock_ops: always 0
```

## Use instead
```rust
let port = u32::from_be(ctx.remote_port()) as u16;
```

## Fix
Display: how the field is read.

## Kernels
All, on little-endian machines.

## Source
Linux, `net/core/filter.c`, `sock_ops_convert_ctx_access` (`BPF_LSH` by 16) and `sock_addr_convert_ctx_access`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._orders import fact, held, plain_number, shown, skipped
from bpfsmith.rules._rust import cited, covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr
    from bpfsmith.source.values import Order

_FIELDS = ("user_port", "remote_port", "protocol")
_COMPARES = frozenset({"==", "!=", "<", "<=", ">", ">="})


def _right(known: Order) -> str:
    field = known.origin.text
    if known.origin.kind == "method" or field.rpartition(".")[2] == "remote_port":
        return "the port is `u32::from_be(..) as u16`: it stands in the upper half, in network order"
    return "the value is `u16::from_be(.. as u16)`: it stands in the lower half, in network order"


class PortFromEmptyHalf(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = _FIELDS

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for expr in held(project, "cast", "binary", words=_FIELDS):
            if expr.kind == "binary" and expr.op in _COMPARES:
                yield from self._compared(ctx, expr)
                continue
            if expr.kind == "binary" and expr.op not in (">>", "&"):
                continue
            known = fact(expr)
            before = fact(expr.inner if expr.kind == "cast" else expr.operands[0])
            if known is None or before is None or known.kind != "zero" or before.kind == "zero" or skipped(expr):
                continue
            yield self.finding(
                ctx,
                f"{cited(expr.text)} is always 0: {shown(known)} has its value in the other half",
                span=covered(ctx, expr),
                fixes=[Fix("display", _right(known))],
            )

    def _compared(self, ctx: CheckContext, expr: Expr) -> Iterator[Finding]:
        """`u32::from_be(user_port) == 53`: the number is in the upper half."""
        left, right = expr.operands
        for one, other in ((left, right), (right, left)):
            number = plain_number(other)
            if one is None or one.kind == "lit" or number is None or not 0 < number[0] < 1 << 16:
                continue
            known = fact(one)
            if known is not None and known.kind == "host" and known.high and not skipped(expr):
                yield self.finding(
                    ctx,
                    f"{cited(one.text)} leaves the {known.what} in the upper half: it is never {number[0]}",
                    span=covered(ctx, one),
                    fixes=[Fix("display", _right(known))],
                )


RULE = PortFromEmptyHalf()
