"""The header behind the IPv6 header is taken to be TCP, UDP or ICMP.

## What it does
Finds TCP and UDP headers that are read behind `Ipv6Hdr::LEN`, in crates whose XDP and classifier programs drop, send
or redirect, and which know no extension header (hop-by-hop, routing, fragment, destination options).

## Why is this bad
IPv6 may put extension headers between the IP header and TCP or UDP: `next_hdr` then names the first of them. Such a
packet counts as "neither TCP nor UDP", and whoever sends it chooses that: one with destination options gets past a
port filter.

## Example
```rust
if unsafe { (*ip).next_hdr } == IpProto::Tcp {
    let tcp: *const TcpHdr = ptr_at(&ctx, EthHdr::LEN + Ipv6Hdr::LEN)?;
}
```

## Use instead
```rust
match unsafe { (*ip).next_hdr } {
    IpProto::Tcp => tcp(&ctx, EthHdr::LEN + Ipv6Hdr::LEN),
    IpProto::HopOpt | IpProto::Ipv6Route | IpProto::Ipv6Frag | IpProto::Ipv6Opts => Ok(xdp_action::XDP_DROP),
    _ => Ok(xdp_action::XDP_PASS),
}
```

## Fix
Display: follow a bounded number of extension headers, or decide about packets that have some.

## Kernels
All.

## Source
RFC 8200, section 4 (extension headers).
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

_KNOWN = (
    *("HopOpt", "Ipv6Route", "Ipv6Frag", "Ipv6Opts", "IPPROTO_HOPOPTS", "IPPROTO_ROUTING", "IPPROTO_FRAGMENT"),
    *(
        "IPPROTO_DSTOPTS",
        "NEXTHDR_HOP",
        "NEXTHDR_ROUTING",
        "NEXTHDR_FRAGMENT",
        "NEXTHDR_DEST",
        "hdr_ext_len",
        "ext_len",
    ),
    *("HopByHop", "ExtHdr", "Ipv6ExtHdr"),
)
_WORDS = (("Ipv6Hdr",), ("TcpHdr", "UdpHdr"))


class Ipv6ExtensionHeadersIgnored(SourceRule):
    severity = "note"
    group = "meaning"
    phase = "silent"
    words = ("Ipv6Hdr",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for one in transport_reads(project, _WORDS, _KNOWN, ipv6=True):
            yield self.finding(
                ctx,
                f"the {one.name} header is looked for right behind the IPv6 one: those with extension headers are "
                "taken for something else",
                span=covered(ctx, one.offset),
                fixes=[Fix("display", "follow the extension headers, or decide about packets that have some")],
            )


RULE = Ipv6ExtensionHeadersIgnored()
