"""A header's length is used in the wrong unit.

## What it does
Finds `ihl()` of an `Ipv4Hdr` that is added to an offset without being multiplied by 4 (`network-types` before 0.1,
where it is the field: 32 bit words), or that is multiplied although it is in bytes already (0.1 and later), and
`doff()` of a `TcpHdr`, which is always in words.

## Why is this bad
5 words are 20 bytes. Read 5 bytes behind the start of the IP header, the ports are its identification and flags; read
at 80, they are in the payload, or nowhere. The bounds check passes, and every packet has ports that it never had.

## Example
```rust
let length = usize::from(unsafe { (*ip).ihl() }); // network-types 0.0.7: 5
let tcp: *const TcpHdr = ptr_at(&ctx, EthHdr::LEN + length)?;
```

## Use instead
```rust
let length = usize::from(unsafe { (*ip).ihl() }) * 4;
```

## Fix
Display: multiply by 4, or do not.

## Kernels
All.

## Source
RFC 791 and RFC 793 (IHL and data offset count 32 bit words); network-types 0.0.7 and 0.1.0, `Ipv4Hdr::ihl`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source._typed import typed
from bpfsmith.source.types import mentions
from bpfsmith.source.values import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_LOCALS = 2  # locals given to locals
_OWNERS = {"ihl": "network_types::ip::Ipv4Hdr", "doff": "network_types::tcp::TcpHdr"}


def _climbed(expr: Expr) -> tuple[Expr, Expr | None]:
    """(what a value becomes through casts, brackets and conversions, what takes that)."""
    at = expr
    while True:
        parent = at.parent
        if parent is None:
            return at, None
        kind = parent.kind
        through = (
            kind in ("paren", "cast", "try", "unary")
            or (kind == "block" and parent.tail == at and not parent.lets)
            or (kind == "call" and parent.callee is not None and parent.callee.path.endswith("::from"))
            or (kind == "method" and parent.receiver == at and parent.name in ("into", "unwrap_or"))
        )
        if not through:
            return at, parent
        at = parent


def _local(at: Expr, parent: Expr) -> list[Expr] | None:
    """The uses of the local that takes a value; None where it is no local."""
    let = next((one for one in parent.lets if one.init == at), None) if parent.kind == "block" else None
    return list(mentions(let)) if let is not None and let.name is not None else None


def _uses(expr: Expr, depth: int = 0) -> Iterator[tuple[str, Expr]]:
    """(`scaled`, `added` or `other`, where) for what becomes of a length."""
    at, parent = _climbed(expr)
    if parent is None:
        return
    if parent.kind == "binary":
        left, right = parent.operands
        other = right if left == at else left
        if parent.op == "*":
            yield ("scaled" if constant(other) == 4 else "other"), parent
        elif parent.op == "<<" and left == at:
            yield ("scaled" if constant(other) == 2 else "other"), parent
        else:
            yield ("added" if parent.op == "+" and _offset(parent) else "other"), parent
        return
    uses = _local(at, parent) if depth < _LOCALS else None
    if not uses:
        yield "other", parent
        return
    for use in uses:
        if use.kind == "path":
            yield from _uses(use, depth + 1)
        else:
            yield "other", use


def _offset(total: Expr, depth: int = 0) -> bool:
    """Whether a sum is only used as what a call reads at."""
    at, parent = _climbed(total)
    while parent is not None and parent.kind == "binary" and parent.op == "+":
        at, parent = _climbed(parent)
    if parent is None:
        return False
    if parent.kind in ("call", "method"):
        return at in parent.args
    uses = _local(at, parent) if depth < _LOCALS else None
    return bool(uses) and all(use.kind == "path" and _offset(use, depth + 1) for use in uses or ())


class HeaderLengthInWords(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = ("ihl", "doff")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            crate = file.crate
            if crate is None:
                continue
            for call in file.methods("ihl", "doff"):
                if call.args or typed(call.receiver) != _OWNERS[call.name] or file.in_test(call.item):
                    continue
                bytes_ = call.name == "ihl" and crate.at_least("network-types", "0.1.0")
                if call.name == "ihl" and not bytes_ and not crate.below("network-types", "0.1.0"):
                    continue
                uses = list(_uses(call))
                wrong = "scaled" if bytes_ else "added"
                if any(kind not in (wrong,) for kind, _ in uses) or not uses:
                    continue
                if bytes_:
                    text = f"`{call.name}()` is in bytes since network-types 0.1, and is multiplied by 4"
                    fix = "do not multiply"
                else:
                    text = f"`{call.name}()` counts words of 4 bytes, and is added to an offset in bytes"
                    fix = "multiply by 4"
                yield self.finding(ctx, text, span=covered(ctx, uses[0][1]), fixes=[Fix("display", fix)])


RULE = HeaderLengthInWords()
