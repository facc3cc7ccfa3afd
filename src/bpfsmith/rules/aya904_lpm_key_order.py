"""The data of an LPM trie's key is a number in the machine's byte order, or its prefix cannot be meant.

## What it does
Finds `Key::new(prefix, data)` on both sides whose data is certainly a number (`u32::from(address)`, `to_bits()`, a
field after `from_be`), and prefixes that are longer than the data or are its size in bytes where a whole address is
looked up.

## Why is this bad
The kernel compares prefixes from the first byte on, so the first byte has to be the highest: network order. With a
number on a little-endian machine a /8 compares the last byte of the address. A prefix counts bits: 4 finds only what
was stored with four bits or fewer, and one longer than the data is refused (EINVAL).

## Example
```rust
let key = Key::new(24, u32::from(network));
trie.insert(&key, 1, 0)?;
```

## Use instead
```rust
let key = Key::new(24, u32::from(network).to_be());
trie.insert(&key, 1, 0)?;
```

## Fix
Unsafe: add `.to_be()` to the data.

## Kernels
All that have LPM tries (4.11). `bpftool map dump` shows the bytes.

## Source
Linux, `kernel/bpf/lpm_trie.c`, `longest_prefix_match` and `trie_update_elem`; aya, `maps/lpm_trie.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._orders import fact, is_lpm_key, literal, skipped
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.types import type_of
from bpfsmith.source.values import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile


class LpmKeyOrder(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = ("LpmTrie",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.crates:
            for file in crate.files:
                if not file.has("LpmTrie", "lpm_trie"):
                    continue
                for call in file.calls("new"):
                    if len(call.args) == 2 and is_lpm_key(call) and not skipped(call):
                        yield from self._key(ctx, call)
                yield from self._lookups(ctx, file)

    def _key(self, ctx: CheckContext, call: Expr) -> Iterator[Finding]:
        prefix, data = call.args
        known = fact(data)
        if known is None:
            return
        if known.kind == "host" and known.bits == known.width == 32:
            fixes = []
            if data.kind in ("call", "method", "path", "paren"):
                place = covered(ctx, data)
                text = f"{data.text}.to_be()"
                fixes.append(Fix("unsafe", "write `.to_be()` after it", [Edit(place, text)]))
            else:
                fixes.append(Fix("display", "convert it with `.to_be()`"))
            yield self.finding(
                ctx,
                f"{cited(data.text)} is a number in the machine's byte order: the trie compares its last byte first",
                span=covered(ctx, data),
                fixes=fixes,
            )
        if known.kind == "little" and not known.width:
            yield self.finding(
                ctx,
                f"{cited(data.text)} gives the bytes the wrong way round: the value is in network byte order already",
                span=covered(ctx, data),
                fixes=[Fix("display", "`to_ne_bytes()` of what came from the packet; `to_be_bytes()` of a number")],
            )
        number = constant(prefix)
        if number is not None and number > known.bits and known.bits in (16, 32):
            yield self.finding(
                ctx,
                f"the prefix {number} is longer than the {known.bits} bits of the key: the kernel refuses it",
                span=covered(ctx, prefix),
                fixes=[Fix("display", f"at most {known.bits}")],
            )

    def _lookups(self, ctx: CheckContext, file: SourceFile) -> Iterator[Finding]:
        """On the kernel side: `TRIE.get(&Key::new(4, address))`."""
        for call in file.methods("get"):
            if len(call.args) != 1:
                continue
            key = literal(call.args[0])
            if key is None or key.kind != "call" or len(key.args) != 2 or not is_lpm_key(key) or skipped(call):
                continue
            owner = type_of(call.receiver)
            if owner is None or owner.path not in ("aya_ebpf::maps::LpmTrie", "aya_ebpf::btf_maps::LpmTrie"):
                continue
            size = {"u32": 4, "[u8; 4]": 4, "[u8; 16]": 16, "u128": 16}.get(owner.args[0] if owner.args else "")
            number = constant(key.args[0])
            if size is not None and number == size:
                yield self.finding(
                    ctx,
                    f"a prefix counts bits: with {number} of them only entries of at most /{number} are found",
                    span=covered(ctx, key.args[0]),
                    fixes=[Fix("display", f"a whole address has {size * 8} bits")],
                )


RULE = LpmKeyOrder()
