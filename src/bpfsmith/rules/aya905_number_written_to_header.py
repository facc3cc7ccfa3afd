"""A number in the machine's byte order is written to a field in network byte order.

## What it does
Finds assignments to header fields of `network_types`, to `user_port` and `user_ip4`, and struct literals of headers,
whose value is certainly a number: one that was converted with `from_be`, an address as `u32`, a literal in decimal
digits that is no palindrome.

## Why is this bad
The bytes go out as they are in memory, lowest first: port 53 becomes 13568, and a rewritten address belongs to someone
else. Mostly a `from_be` on the way in has no `to_be` on the way out.

## Example
```rust
let backend = u32::from_be(unsafe { (*ip).src_addr });
unsafe { (*ip).dst_addr = backend };
```

## Use instead
```rust
unsafe { (*ip).dst_addr = backend.to_be() };
```

## Fix
Unsafe: add `.to_be()` where the widths agree.

## Kernels
All. `tcpdump` on the outgoing interface shows it.

## Source
RFC 791, RFC 793, RFC 768; Linux, `include/uapi/linux/bpf.h`, `struct bpf_sock_addr`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._orders import fact, held, number_meant, plain_number, skipped
from bpfsmith.rules._rust import cited, covered, kernel_files
from bpfsmith.source._typed import typed
from bpfsmith.source.values import Order
from bpfsmith.source.wire import header_field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_POSTFIX = frozenset({"call", "method", "path", "paren", "field", "block"})


class NumberWrittenToHeader(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = ("network_types", "user_port", "user_ip4", "__be16", "__be32")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for expr in held(project, "binary", words=self.words):
            if expr.op != "=":
                continue
            left, right = expr.operands
            if left is None or right is None or left.kind != "field" or skipped(expr):
                continue
            field = fact(left)
            if field is not None and field.kind == "big" and field.width:
                yield from self._written(ctx, cited(left.text), field, right)
        for file in kernel_files(project):
            for expr in file.structs("Ipv4Hdr", "Ipv6Hdr", "TcpHdr", "UdpHdr", "EthHdr"):
                owner = typed(expr)
                if owner is None or not owner.startswith("network_types::") or skipped(expr):
                    continue
                for name, value in expr.struct_fields:
                    wire = header_field(file.crate, owner, name)
                    if wire is None or value is None or not wire.width:
                        continue
                    field = Order("big", wire.bits, wire.width, wire.what, expr)
                    yield from self._written(ctx, f"`{name}` of `{owner.rpartition('::')[2]}`", field, value)

    def _written(self, ctx: CheckContext, name: str, field: Order, value: Expr) -> Iterator[Finding]:
        known = fact(value)
        number = plain_number(value) if known is None else None
        if known is not None:
            if known.kind != "host" or known.bits != field.bits or known.high:
                return
            said = f"{cited(value.text)} is a number in the machine's order"
        elif number is not None and number_meant(*number, field):
            shown = f"{number[0]:#010x}" if field.what == "address" else str(number[0])
            said = f"{shown} is a number in the machine's order"
        else:
            return
        fix = Fix("display", "convert it with `to_be`")
        if known is not None and known.width == field.width == field.bits and value.kind in _POSTFIX:
            text = f"({value.text}).to_be()" if value.kind == "block" else f"{value.text}.to_be()"
            fix = Fix("unsafe", "write `.to_be()` after it", [Edit(covered(ctx, value), text)])
        yield self.finding(ctx, f"{name} is in network byte order, and {said}", span=covered(ctx, value), fixes=[fix])


RULE = NumberWrittenToHeader()
