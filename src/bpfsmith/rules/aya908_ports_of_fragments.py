"""Ports are read from every packet, also from fragments that have none.

## What it does
Finds, in crates with only XDP and TC programs that drop, send or redirect, TCP and UDP headers read behind an IPv4
header where no file of the crate ever looks at the fragment offset.

## Why is this bad
Only the first fragment of a datagram has the TCP or UDP header. In the others the same bytes are data: the program
takes them for ports, drops what it should not, or lets through what it should stop, and sends the fragments of one
datagram to different backends.

## Example
```rust
let udp: *const UdpHdr = ptr_at(&ctx, EthHdr::LEN + length)?;
if u16::from_be(unsafe { (*udp).dest }) == 53 {
    return Ok(xdp_action::XDP_DROP);
}
```

## Use instead
```rust
if u16::from_be(unsafe { (*ip).frag_off }) & 0x1fff != 0 {
    return Ok(xdp_action::XDP_PASS); // a later fragment: no ports here
}
```

## Fix
Display: decide what happens to fragments before the header is read.

## Kernels
All. `ping -s 3000` sends fragments.

## Source
RFC 791, section 3.2 (fragmentation); XDP and TC ingress see packets before the kernel puts them together.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._headers import fixed_length, header_reads
from bpfsmith.rules._meaning import crate_has, crate_programs
from bpfsmith.rules._rust import covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._headers import HeaderRead
    from bpfsmith.source.project import Project

_RAW = frozenset({"xdp", "classifier", "tc"})
_FRAGMENTS = ("frag_off", "frags", "frag_offset", "frag_flags", "is_fragment", "fragment_offset", "is_frag")
_ACTS = (
    "XDP_DROP",
    "XDP_TX",
    "XDP_REDIRECT",
    "TC_ACT_SHOT",
    "TC_ACT_REDIRECT",
    "TC_ACT_STOLEN",
    "bpf_redirect",
    "redirect",
)


def _ipv6(read: HeaderRead) -> bool:
    """Behind an IPv6 header: fragments of that have a header of their own, and are no TCP by its next header."""
    return fixed_length(read.offset, "Ipv6Hdr") is not None


class PortsOfFragments(SourceRule):
    severity = "note"
    group = "meaning"
    phase = "silent"
    words = ("Ipv4Hdr", "iphdr")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            crate = file.crate
            if (
                crate is None
                or not file.has("Ipv4Hdr", "iphdr")
                or not file.has("TcpHdr", "UdpHdr", "tcphdr", "udphdr")
            ):
                continue
            if crate_has(crate, _FRAGMENTS) or not crate_has(crate, _ACTS):
                continue
            kinds = crate_programs(crate)
            if not kinds or not kinds <= _RAW:
                continue
            told: set[int] = set()
            for one in header_reads(file):
                item = one.call.item
                if item is None or item.id in told or one.name == "ICMP" or _ipv6(one):
                    continue
                told.add(item.id)
                yield self.finding(
                    ctx,
                    f"the {one.name} header is read from every packet: a later fragment has none, its data is taken "
                    "for ports",
                    span=covered(ctx, one.call),
                    fixes=[Fix("display", "look at the fragment offset before: `u16::from_be(frag_off) & 0x1fff`")],
                )


RULE = PortsOfFragments()
