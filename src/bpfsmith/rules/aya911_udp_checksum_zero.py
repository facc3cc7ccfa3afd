"""A UDP checksum is changed as if there were always one.

## What it does
Finds `l4_csum_replace` at the checksum of a UDP header (`offset_of!(UdpHdr, check)`, or the offset it has behind
Ethernet and IP without options) with constant flags that lack `BPF_F_MARK_MANGLED_0`.

## Why is this bad
Over IPv4 a UDP checksum of 0 says that there is none. Without the flag the helper adds the difference to that 0 all
the same, and the receiver drops the packet for its wrong checksum; and a sum that comes out as 0 says that there is
none. With the flag the helper leaves 0 alone and writes 0xffff where the sum is 0.

## Example
```rust
ctx.l4_csum_replace(UDP_OFFSET + offset_of!(UdpHdr, check), old, new, 2)?;
```

## Use instead
```rust
let flags = u64::from(BPF_F_MARK_MANGLED_0) | 2;
ctx.l4_csum_replace(UDP_OFFSET + offset_of!(UdpHdr, check), old, new, flags)?;
```

## Fix
Unsafe: add the flag.

## Kernels
Since 4.6 (`BPF_F_MARK_MANGLED_0`). `nstat UdpInCsumErrors` counts the drops.

## Source
RFC 768; Linux, commit 2f72959a9c1b and `net/core/filter.c`, `bpf_l4_csum_replace`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._checksums import replacements
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.names import resolve
from bpfsmith.source.values import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

# Ethernet, IP without options, and the six bytes before the checksum.
_OFFSETS = frozenset({40})


def _udp(offset: Expr) -> bool:
    """`.. + offset_of!(UdpHdr, check)`."""
    if constant(offset) in _OFFSETS:
        return True
    for one in offset.within():
        if one.kind != "macro" or one.path.rpartition("::")[2] != "offset_of" or len(one.args) != 2:
            continue
        header, field = one.args
        if header.kind != "path" or field.text != "check":
            continue
        return resolve(offset.file, header.path, offset.item) == "network_types::udp::UdpHdr"
    return False


class UdpChecksumZero(SourceRule):
    severity = "warning"
    group = "meaning"
    phase = "silent"
    words = ("l4_csum_replace", "bpf_l4_csum_replace")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has("UdpHdr", "udphdr", "IPPROTO_UDP", "Udp"):
                continue
            for one in replacements(file):
                if one.layer != 4 or one.flags is None or one.flags & 0x20 or not _udp(one.offset):
                    continue
                if one.flags & 0xF == 0 and one.old_number != 0:
                    continue  # it does nothing at all
                place = covered(ctx, one.flags_expr)
                text = f"{one.flags_expr.text} | 0x20 /* BPF_F_MARK_MANGLED_0 */"
                yield self.finding(
                    ctx,
                    "a UDP checksum of 0 means none: without `BPF_F_MARK_MANGLED_0` it becomes a wrong one",
                    span=place,
                    fixes=[Fix("unsafe", "add the flag", [Edit(place, text)])],
                )


RULE = UdpChecksumZero()
