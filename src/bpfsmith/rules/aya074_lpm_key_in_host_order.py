"""The address in a key of an LPM trie is in host byte order.

## What it does
Finds keys of LPM tries, on both sides, whose data is an address turned into a number of the host's order:
`u32::from(Ipv4Addr)`, `to_bits()`, `u32::from_be_bytes(..)`, `u32::from_be(..)`, `u128` alike, without a `to_be()`
after it; and prefixes longer than the data has bits.

## Why is this bad
The kernel compares the key byte by byte from the left, so the data must be in network order. On x86 and ARM a number
in host order has its last byte first: `10.0.0.0/8` then matches addresses that end in `.0`, and nothing complains. A
prefix longer than the data is refused with `EINVAL`.

## Example
```rust
trie.insert(&Key::new(8, u32::from(Ipv4Addr::new(10, 0, 0, 0))), 1, 0)?;
```

## Use instead
```rust
trie.insert(&Key::new(8, u32::from(Ipv4Addr::new(10, 0, 0, 0)).to_be()), 1, 0)?;
```

## Fix
Unsafe: adds `.to_be()`; both sides have to agree.

## Kernels
All that have the map (4.11).

## Source
Kernel, `longest_prefix_match` in `kernel/bpf/lpm_trie.c`; `aya/src/maps/lpm_trie.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import given, number
from bpfsmith.rules._rust import cited, covered, replace
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile


_KEYS = frozenset(f"{crate}::maps::{module}Key::new" for crate in ("aya", "aya_ebpf") for module in ("", "lpm_trie::"))
_HOST = frozenset({"u32::from_be_bytes", "u128::from_be_bytes", "u32::from_be", "u128::from_be", "u64::from_be_bytes"})


def _host_order(data: Expr) -> Expr | None:
    """The expression that gives a number in host order, where the data certainly is one."""
    made = given(data)
    if made.kind == "method" and made.name == "to_bits" and not made.args:
        return made
    if made.kind != "call" or made.callee is None or made.callee.kind != "path":
        return None
    if made.callee.path in _HOST:
        return made
    if made.callee.path in ("u32::from", "u128::from") and len(made.args) == 1:
        inner = given(made.args[0])
        name = inner.callee.path if inner.kind == "call" and inner.callee is not None else inner.path
        if "Ipv4Addr" in name or "Ipv6Addr" in name or _address(made.args[0]):
            return made
    return None


def _address(expr: Expr) -> bool:
    """Whether a value is declared or parsed as an IP address."""
    from bpfsmith.source.types import type_of

    known = type_of(expr)
    return known is not None and known.name in ("Ipv4Addr", "Ipv6Addr")


class LpmKeyInHostOrder(SourceRule):
    severity = "error"
    group = "maps"
    phase = "silent"
    words = ("lpm_trie", "LpmTrie")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.crates:
            for file in crate.files:
                if not file.has("lpm_trie", "LpmTrie"):
                    continue
                for call in file.calls("new"):
                    if call.callee is None or len(call.args) != 2:
                        continue
                    if resolve(file, call.callee.path, call.item) not in _KEYS:
                        continue
                    yield from self._key(ctx, file, call)

    def _key(self, ctx: CheckContext, file: SourceFile, call: Expr) -> Iterator[Finding]:
        prefix, data = call.args
        made = _host_order(data)
        if made is not None:
            fixes = [Fix("unsafe", "add `.to_be()`", [replace(ctx, file, made.end, made.end, ".to_be()")])]
            yield self.finding(
                ctx,
                f"{cited(made.text)} is in host byte order, but an LPM trie compares from the first byte on",
                span=covered(ctx, made),
                fixes=fixes,
            )
        bits = number(prefix)
        width = _bits(given(data)) if bits is not None else 0
        if bits is not None and width and bits > width:
            yield self.finding(
                ctx,
                f"a prefix of {bits} bits is longer than the data, which has {width}: the kernel refuses it (`EINVAL`)",
                span=covered(ctx, prefix),
            )


def _bits(made: Expr) -> int:
    """How many bits the data has, where that can be seen."""
    if made.kind == "method" and made.name in ("to_be", "swap_bytes") and made.receiver is not None:
        return _bits(given(made.receiver))
    if made.kind == "call" and made.callee is not None:
        head = made.callee.path.partition("::")[0]
        return {"u32": 32, "u64": 64, "u128": 128}.get(head, 0)
    if made.kind == "array":
        return 0
    return 0


RULE = LpmKeyInHostOrder()
