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
from bpfsmith.rules._headers import transport_reads
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_FRAGMENTS = ("frag_off", "frags", "frag_offset", "frag_flags", "is_fragment", "fragment_offset", "is_frag")
# Behind IPv6 it is another matter: fragments of that have a header of their own.
_WORDS = (("Ipv4Hdr", "iphdr"), ("TcpHdr", "UdpHdr", "tcphdr", "udphdr"))


class PortsOfFragments(SourceRule):
    severity = "note"
    group = "meaning"
    phase = "silent"
    words = ("Ipv4Hdr", "iphdr")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for one in transport_reads(project, _WORDS, _FRAGMENTS, ipv6=False):
            yield self.finding(
                ctx,
                f"the {one.name} header is read from every packet: a later fragment has none, its data is taken "
                "for ports",
                span=covered(ctx, one.call),
                fixes=[Fix("display", "look at the fragment offset before: `u16::from_be(frag_off) & 0x1fff`")],
            )


RULE = PortsOfFragments()
