"""A field in network byte order is compared with a number.

## What it does
Follows header fields (of `network_types` and of generated `__be16`, `__be32` bindings) and context fields (`user_port`,
`user_ip4`, `remote_port`, `protocol`) from where they are read to where they are compared: with a number, in `match`,
with a mask, or with a value that was converted; and lengths from which another length is subtracted; and branches of
which one gives the field and another a number. Conversions on the way (`from_be`, `to_be`, `swap_bytes`,
`from_be_bytes`, own functions that only do that) are followed. Numbers that read the same both ways, and hexadecimal
ones that may be written swapped on purpose, are left out.

## Why is this bad
The network sends the highest byte first, and the machine reads the lowest first: port 80 arrives as 20480. The
comparison compiles and loads, and is just never true (or true for another port), so that the rule it stands for does
nothing.

## Example
```rust
let tcp: *const TcpHdr = ptr_at(&ctx, offset)?;
if unsafe { (*tcp).dest } == 443 {
    return Ok(xdp_action::XDP_DROP);
}
```

## Use instead
```rust
if u16::from_be(unsafe { (*tcp).dest }) == 443 {
    return Ok(xdp_action::XDP_DROP);
}
```

## Fix
Unsafe: convert the field with `from_be`. What the program does changes, since it does now what is written.

## Kernels
All. To see it, log the field as it is and converted: `info!(&ctx, "{} {}", port, u16::from_be(port))`.

## Source
RFC 1700 (network byte order); Linux, `include/uapi/linux/bpf.h`, comments at the fields; network-types, `src/tcp.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._meaning import leaves
from bpfsmith.rules._orders import convert_fix, fact, held, number_meant, plain_number, shown, skipped, swapped
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile
    from bpfsmith.source.values import Order

_COMPARES = frozenset({"==", "!=", "<", "<=", ">", ">="})


def _number(number: int, known: Order) -> str:
    if known.what == "ethertype":
        return f"{number:#06x}"
    return str(number)


class NetworkOrderComparedAsNumber(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = (
        "network_types",
        "bindings",
        "user_port",
        "user_ip4",
        "remote_port",
        "protocol",
        "__be16",
        "__be32",
        "load",
    )

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        told: set[tuple[str, int]] = set()
        for expr in held(project, "binary", "match", "if"):
            if expr.kind in ("match", "if"):
                yield from self._mixed(ctx, expr, told)
                if expr.kind == "match":
                    yield from self._matched(ctx, expr.file, expr)
            elif expr.op in _COMPARES:
                yield from self._compared(ctx, expr)
            elif expr.op == "&":
                yield from self._masked(ctx, expr)
            elif expr.op == "-":
                yield from self._subtracted(ctx, expr)

    def _compared(self, ctx: CheckContext, expr: Expr) -> Iterator[Finding]:
        left, right = expr.operands
        for one, other in ((left, right), (right, left)):
            if one is None or other is None or one.kind == "lit":
                continue
            number = plain_number(other)
            if number is not None:
                known = fact(one)
                if known is None or known.kind != "big" or not known.width or skipped(expr):
                    continue
                ordered = expr.op in ("<", "<=", ">", ">=") and number[0] != swapped(number[0], known.bits)
                if number[0] == 0 or not (ordered or number_meant(*number, known)):
                    continue
                yield self._told(ctx, one, known, number[0], other)
                return
            if one is right:
                return  # both sides were looked at
            known, against = fact(one), fact(other)
            if known is None or against is None or skipped(expr):
                continue
            if {known.kind, against.kind} != {"big", "host"} or known.bits != against.bits:
                continue
            if not known.width or not against.width or known.high or against.high:
                continue
            wire, place, host = (known, one, other) if known.kind == "big" else (against, other, one)
            yield self.finding(
                ctx,
                f"{shown(wire)} is in network byte order, what it is compared with is not",
                span=covered(ctx, place),
                labels=[Label(covered(ctx, host), "a number in the machine's order")],
                fixes=[convert_fix(ctx, place, wire)],
            )
            return

    def _mixed(self, ctx: CheckContext, expr: Expr, told: set[tuple[str, int]]) -> Iterator[Finding]:
        """One branch gives the field as it is, another a number: whatever becomes of it, one of them is wrong."""
        known = [(one, found) for one in leaves(expr) if (found := fact(one)) is not None and not found.high]
        wire = next(((one, found) for one, found in known if found.kind == "big" and found.width), None)
        host = next(((one, found) for one, found in known if found.kind == "host" and found.width), None)
        if wire is None or host is None or wire[1].bits != host[1].bits or skipped(expr):
            return
        if (expr.file.path, wire[0].id) in told:
            return
        told.add((expr.file.path, wire[0].id))
        yield self.finding(
            ctx,
            f"{shown(wire[1])} is in network byte order here, and what the other branch gives is not",
            span=covered(ctx, wire[0]),
            labels=[Label(covered(ctx, host[0]), "a number in the machine's order")],
            fixes=[convert_fix(ctx, wire[0], wire[1])],
        )

    def _told(self, ctx: CheckContext, expr: Expr, known: Order, number: int, other: Expr) -> Finding:
        what = known.what if known.what in ("port", "ethertype", "length") else "value"
        if known.high:
            means = "the port stands in the upper half of it"
        else:
            means = f"it reads {what} {_number(number, known)} as {_number(swapped(number, known.bits), known)}"
        return self.finding(
            ctx,
            f"{shown(known)} is in network byte order and is compared with {_number(number, known)}: {means}",
            span=covered(ctx, expr),
            labels=[Label(covered(ctx, other), "a number in the machine's order")],
            fixes=[convert_fix(ctx, expr, known)],
        )

    def _subtracted(self, ctx: CheckContext, expr: Expr) -> Iterator[Finding]:
        """A header's length taken from the total length as it stands in the packet."""
        left, right = expr.operands
        known = fact(left)
        if left is None or right is None or known is None or known.kind != "big" or known.what != "length":
            return
        against = fact(right)
        if not known.width or skipped(expr) or (against is not None and against.kind == "big"):
            return
        yield self.finding(
            ctx,
            f"{shown(known)} is in network byte order, what is subtracted from it is not",
            span=covered(ctx, left),
            labels=[Label(covered(ctx, right), "in the machine's order")],
            fixes=[convert_fix(ctx, left, known)],
        )

    def _masked(self, ctx: CheckContext, expr: Expr) -> Iterator[Finding]:
        """The bits of `frag_off`: flags above, offset below."""
        left, right = expr.operands
        number = plain_number(right)
        if left is None or number is None or number[0] not in (0x1FFF, 0x2000, 0x3FFF, 0x4000, 0xE000):
            return
        known = fact(left)
        if known is None or known.kind != "big" or known.what != "fragment" or not known.width or skipped(expr):
            return
        yield self.finding(
            ctx,
            f"{shown(known)} is in network byte order: {number[0]:#06x} picks other bits of it",
            span=covered(ctx, left),
            fixes=[convert_fix(ctx, left, known)],
        )

    def _matched(self, ctx: CheckContext, file: SourceFile, expr: Expr) -> Iterator[Finding]:
        patterns = [pattern for pattern, _, _ in expr.arms]
        numbers = [int(one) for text in patterns for one in text.replace("|", " ").split() if one.isdigit()]
        if not numbers:
            return
        scrutinee = file.expr(expr.fields[0])
        known = fact(scrutinee)
        if scrutinee is None or known is None or known.kind != "big" or not known.width or skipped(expr):
            return
        meant = [one for one in numbers if one and number_meant(one, True, known)]
        if meant:
            yield self.finding(
                ctx,
                f"{shown(known)} is in network byte order and is matched with numbers: {meant[0]} is not met by "
                f"{known.what or 'value'} {meant[0]}",
                span=covered(ctx, scrutinee),
                fixes=[convert_fix(ctx, scrutinee, known)],
            )


RULE = NetworkOrderComparedAsNumber()
