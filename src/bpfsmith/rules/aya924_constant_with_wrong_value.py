"""A constant has the name of one of the kernel's, and another value.

## What it does
Compares constants that kernel crates define themselves with the kernel's of the same name: verdicts (`XDP_*`,
`TC_ACT_*`, `SK_PASS`), protocols (`ETH_P_*`, also in network order, `IPPROTO_*`), address families, socket types, TCP
states, flags of map updates.

## Why is this bad
The program says one thing and does another: `const SK_DROP: u32 = 1` lets everything pass that it means to stop.
Nothing complains, since the number is a valid verdict.

## Example
```rust
const SK_DROP: u32 = 1;
const SK_PASS: u32 = 0;
```

## Use instead
```rust
use aya_ebpf::bindings::sk_action::{SK_DROP, SK_PASS};
```

## Fix
Unsafe: the kernel's value.

## Kernels
All: these are part of the interface and never change.

## Source
Linux, `include/uapi/linux/bpf.h`, `pkt_cls.h`, `if_ether.h`, `in.h`, `tcp.h`; `include/linux/socket.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import kernel_files, place
from bpfsmith.source.values import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item

_VALUES = {
    **{name: at for at, name in enumerate(("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"))},
    **{
        name: at
        for at, name in enumerate(
            (
                *("TC_ACT_UNSPEC", "TC_ACT_OK", "TC_ACT_RECLASSIFY", "TC_ACT_SHOT", "TC_ACT_PIPE", "TC_ACT_STOLEN"),
                *("TC_ACT_QUEUED", "TC_ACT_REPEAT", "TC_ACT_REDIRECT", "TC_ACT_TRAP"),
            ),
            -1,
        )
    },
    "SK_DROP": 0,
    "SK_PASS": 1,
    "ETH_P_IP": 0x0800,
    "ETH_P_IPV6": 0x86DD,
    "ETH_P_ARP": 0x0806,
    "ETH_P_8021Q": 0x8100,
    "ETH_P_8021AD": 0x88A8,
    "IPPROTO_ICMP": 1,
    "IPPROTO_IGMP": 2,
    "IPPROTO_IPIP": 4,
    "IPPROTO_TCP": 6,
    "IPPROTO_UDP": 17,
    "IPPROTO_IPV6": 41,
    "IPPROTO_GRE": 47,
    "IPPROTO_ESP": 50,
    "IPPROTO_ICMPV6": 58,
    "IPPROTO_SCTP": 132,
    "AF_UNIX": 1,
    "AF_INET": 2,
    "AF_INET6": 10,
    "AF_NETLINK": 16,
    "AF_PACKET": 17,
    "SOCK_STREAM": 1,
    "SOCK_DGRAM": 2,
    "SOCK_RAW": 3,
    "BPF_ANY": 0,
    "BPF_NOEXIST": 1,
    "BPF_EXIST": 2,
    "BPF_F_LOCK": 4,
    "BPF_F_PSEUDO_HDR": 0x10,
    "BPF_F_MARK_MANGLED_0": 0x20,
    **{
        name: at
        for at, name in enumerate(
            (
                *("TCP_ESTABLISHED", "TCP_SYN_SENT", "TCP_SYN_RECV", "TCP_FIN_WAIT1", "TCP_FIN_WAIT2", "TCP_TIME_WAIT"),
                *("TCP_CLOSE", "TCP_CLOSE_WAIT", "TCP_LAST_ACK", "TCP_LISTEN", "TCP_CLOSING"),
            ),
            1,
        )
    },
}
_INTEGERS = frozenset(
    {"u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize", "c_int", "c_uint", "c_long"}
)


def _agrees(name: str, number: int, wanted: int) -> bool:
    if name.startswith("ETH_P_"):
        return number in (wanted, int.from_bytes(wanted.to_bytes(2, "big"), "little"))
    if name == "TC_ACT_UNSPEC":
        return number in (wanted, 0xFFFFFFFF)
    return number == wanted


class ConstantWithWrongValue(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = tuple(_VALUES)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for item in file.items_named(*_VALUES):
                if item.kind == "const" and not self._other(item):
                    yield from self._compared(ctx, item)

    @staticmethod
    def _other(item: Item) -> bool:
        """Of a type or in a module of its own: what the name means there is its business."""
        return item.parent is not None and item.parent.kind in ("impl", "trait")

    def _compared(self, ctx: CheckContext, item: Item) -> Iterator[Finding]:
        wanted = _VALUES[item.name]
        value = item.expr
        number = value.integer if value is not None else None
        if number is None:
            number = constant(value)
        if value is None or number is None or item.type.rpartition("::")[2] not in _INTEGERS:
            return
        if _agrees(item.name, number, wanted) or item.file.in_test(item):
            return
        same = next(
            (name for name, one in _VALUES.items() if one == number and name.split("_")[0] == item.name.split("_")[0]),
            None,
        )
        text = f"{wanted:#06x}" if item.name.startswith("ETH_P_") else str(wanted)
        span = place(ctx, item.file, value.start, value.end)
        yield self.finding(
            ctx,
            f"the kernel's `{item.name}` is {text}, not {value.text}" + (f", which is `{same}`" if same else ""),
            span=span,
            fixes=[Fix("unsafe", f"write {text}", [Edit(span, text)])],
        )


RULE = ConstantWithWrongValue()
