"""The IPv4 header is taken to be 20 bytes long.

## What it does
Finds TCP, UDP and ICMP headers that are read behind `Ipv4Hdr::LEN` (or its `size_of`), in files that never look at the
header's own length (`ihl`).

## Why is this bad
An IPv4 header may have up to 40 bytes of options. The program then reads ports out of the options: whoever sends the
packet chooses what is seen there, and gets past a filter. Connections with options are counted and rewritten wrongly.

## Example
```rust
let tcp: *const TcpHdr = ptr_at(&ctx, EthHdr::LEN + Ipv4Hdr::LEN)?;
```

## Use instead
```rust
let length = usize::from(unsafe { (*ip).ihl() }) * 4; // bytes already, since network-types 0.1
let tcp: *const TcpHdr = ptr_at(&ctx, EthHdr::LEN + length)?;
```

## Fix
Display: use the length in the header, or refuse packets that have options (`ihl() != 5`).

## Kernels
All. `nping --ip-options R` sends such packets.

## Source
RFC 791, section 3.1 (Internet Header Length, options).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._headers import fixed_length, header_reads
from bpfsmith.rules._rust import cited, covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

# Names with which the length is looked at.
_LENGTHS = ("ihl", "vihl", "version_ihl", "_bitfield_1", "options_len", "ip_header_len", "ihl_version", "hdr_len")


class Ipv4OptionsIgnored(SourceRule):
    severity = "warning"
    group = "meaning"
    phase = "silent"
    words = ("Ipv4Hdr", "iphdr")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has("Ipv4Hdr", "iphdr") or file.has(*_LENGTHS):
                continue
            told: set[int] = set()
            for one in header_reads(file):
                item = one.call.item
                if item is None or item.id in told:
                    continue
                length = fixed_length(one.offset)
                if length is None:
                    continue
                told.add(item.id)
                yield self.finding(
                    ctx,
                    f"{cited(one.offset.text)} takes the IPv4 header to have no options: with some, this reads them as "
                    f"the {one.name} header",
                    span=covered(ctx, one.offset),
                    fixes=[Fix("display", "use the length in the header (`ihl`), or refuse packets with options")],
                )


RULE = Ipv4OptionsIgnored()
