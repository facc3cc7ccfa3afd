"""A checksum helper is given old and new value, and flags with which it refuses them or computes something else.

## What it does
Looks at `l3_csum_replace` and `l4_csum_replace` (the methods and the helpers). It finds constant flags whose size is
0 although there is an old value, offsets of other fields than the checksum, sizes that are neither 0, 2 nor 4, the
change of an address in a TCP or UDP checksum without `BPF_F_PSEUDO_HDR`, and values that were converted to the
machine's byte order.

## Why is this bad
The low four bits of the flags are the size of the field. With 0 the helper wants a difference from `csum_diff` and an
old value of 0, else it answers EINVAL and changes nothing; that answer is mostly ignored. The addresses are part of
the pseudo header: without the flag the sum is wrong on cards that finish it (`CHECKSUM_PARTIAL`). The sum is made of
the bytes as they stand in the packet, so the values have to be in network order.

## Example
```rust
ctx.l3_csum_replace(offset, u64::from(old), u64::from(new), 0).ok();
```

## Use instead
```rust
ctx.l3_csum_replace(offset, u64::from(old), u64::from(new), 4).map_err(|_| ())?;
```

## Fix
Display: the flags to give.

## Kernels
All that have the helpers (4.1).

## Source
Linux, `net/core/filter.c`, `bpf_l3_csum_replace` and `bpf_l4_csum_replace`; `include/uapi/linux/bpf.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._checksums import Replacement, literal_sum, replacements
from bpfsmith.rules._orders import fact
from bpfsmith.rules._rust import cited, covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


_L3 = frozenset({"Ipv4Hdr", "iphdr"})
_L4 = frozenset({"TcpHdr", "UdpHdr", "IcmpHdr", "Icmpv6Hdr", "tcphdr", "udphdr", "icmphdr", "icmp6hdr"})
_CHECKSUMS = frozenset({"check", "checksum", "cksum", "icmp6_cksum"})


class ChecksumReplacedWithoutSize(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = ("l3_csum_replace", "l4_csum_replace", "bpf_l3_csum_replace", "bpf_l4_csum_replace")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for one in replacements(file):
                yield from self._offset(ctx, one)
                yield from self._sizes(ctx, one)

    def _offset(self, ctx: CheckContext, one: Replacement) -> Iterator[Finding]:
        """`.. + offset_of!(header, field)`: the field has to be the checksum of a header of that layer."""
        at = literal_sum(one.offset)
        if at is None:
            return
        header, field = at
        wanted = _L3 if one.layer == 3 else _L4
        if header not in _L3 | _L4 or (header in wanted and field in _CHECKSUMS):
            return
        yield self.finding(
            ctx,
            f"this is the offset of `{field}` in `{header}`: the helper changes two bytes there as if they were the "
            f"checksum of layer {one.layer}",
            span=covered(ctx, one.offset),
            fixes=[
                Fix("display", f"the offset of `check` in {'the IP header' if one.layer == 3 else 'TCP, UDP or ICMP'}")
            ],
        )

    def _sizes(self, ctx: CheckContext, one: Replacement) -> Iterator[Finding]:
        values = [known for known in (fact(one.old), fact(one.new)) if known is not None]
        address = any(known.what == "address" and known.bits == 32 for known in values)
        if one.flags is not None:
            size = one.flags & 0xF
            if size == 0 and one.old_number != 0:
                yield self.finding(
                    ctx,
                    f"the size in the flags is 0 and the old value {cited(one.old.text)} is not: the helper answers "
                    "EINVAL and changes nothing",
                    span=covered(ctx, one.flags_expr),
                    fixes=[
                        Fix("display", "write the size of the field: 2 or 4 (or give a difference, and 0 as old value)")
                    ],
                )
                return
            if size not in (0, 2, 4):
                yield self.finding(
                    ctx,
                    f"the size in the flags is {size}: the helper takes 2 and 4, and answers EINVAL",
                    span=covered(ctx, one.flags_expr),
                    fixes=[Fix("display", "write 2 or 4")],
                )
                return
            if one.layer == 4 and address and size == 4 and not one.flags & 0x10:
                yield self.finding(
                    ctx,
                    "an address is part of the pseudo header: without `BPF_F_PSEUDO_HDR` the checksum is wrong where "
                    "the card finishes it",
                    span=covered(ctx, one.flags_expr),
                    severity="warning",
                    fixes=[Fix("display", "write `BPF_F_PSEUDO_HDR as u64 | 4`")],
                )
        for value in (one.old, one.new):
            known = fact(value)
            if known is not None and known.kind == "host" and known.bits in (16, 32) and not known.high:
                yield self.finding(
                    ctx,
                    f"{cited(value.text)} is in the machine's byte order: the checksum is made of the packet's bytes",
                    span=covered(ctx, value),
                    fixes=[Fix("display", "give the value as it stands in the packet (`to_be`)")],
                )
                return


RULE = ChecksumReplacedWithoutSize()
