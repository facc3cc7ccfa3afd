"""Which integers are in network byte order: fields of packet headers (by the crate that defines them) and of contexts.

Read from the sources of `network-types` 0.0.5, 0.0.7, 0.1.0 and 0.2.0, of `aya-ebpf` 0.1 to 0.3, and from the kernel's
`include/uapi/linux/bpf.h` with the conversions in `net/core/filter.c`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.cargo import Crate

__all__ = [
    "CONTEXTS",
    "CONTEXT_METHODS",
    "Wire",
    "context_field",
    "field_at",
    "header_field",
    "kernel_header_field",
]


class Wire:
    """A field: `bits` that mean something, in a `width` bits wide integer (0: an array of bytes), `high` when they are
    its upper half; `what` it is (port, address, ethertype, length, id, checksum), `big` when in network order."""

    __slots__ = ("big", "bits", "high", "what", "width")

    def __init__(self, what: str, bits: int, width: int, *, big: bool = True, high: bool = False) -> None:
        self.what = what
        self.bits = bits
        self.width = width
        self.big = big
        self.high = high


_PORT, _ADDRESS = "port", "address"
# Type and field -> (what, bits). Integers in network order up to 0.0.8, arrays of bytes from 0.1.0 on.
_HEADERS: dict[str, dict[str, tuple[str, int]]] = {
    "ip::Ipv4Hdr": {
        "tot_len": ("length", 16),
        "id": ("id", 16),
        "frag_off": ("fragment", 16),
        "frags": ("fragment", 16),
        "check": ("checksum", 16),
        "src_addr": (_ADDRESS, 32),
        "dst_addr": (_ADDRESS, 32),
    },
    "ip::Ipv6Hdr": {"payload_len": ("length", 16)},
    "tcp::TcpHdr": {
        "source": (_PORT, 16),
        "dest": (_PORT, 16),
        "seq": ("sequence number", 32),
        "ack_seq": ("sequence number", 32),
        "window": ("window", 16),
        "check": ("checksum", 16),
    },
    "udp::UdpHdr": {
        "source": (_PORT, 16),
        "dest": (_PORT, 16),
        "src": (_PORT, 16),
        "dst": (_PORT, 16),
        "len": ("length", 16),
        "check": ("checksum", 16),
    },
}
_BYTES_SINCE = "0.1.0"
# The kernel's own headers, as bindings of `aya-tool` and `bindgen` have them; their names are the kernel's.
_KERNEL_HEADERS: dict[str, dict[str, tuple[str, int]]] = {
    "ethhdr": {"h_proto": ("ethertype", 16)},
    "iphdr": {
        "tot_len": ("length", 16),
        "id": ("id", 16),
        "frag_off": ("fragment", 16),
        "check": ("checksum", 16),
        "saddr": (_ADDRESS, 32),
        "daddr": (_ADDRESS, 32),
    },
    "ipv6hdr": {"payload_len": ("length", 16)},
    "tcphdr": {
        "source": (_PORT, 16),
        "dest": (_PORT, 16),
        "seq": ("sequence number", 32),
        "ack_seq": ("sequence number", 32),
        "window": ("window", 16),
        "check": ("checksum", 16),
    },
    "udphdr": {
        "source": (_PORT, 16),
        "dest": (_PORT, 16),
        "len": ("length", 16),
        "check": ("checksum", 16),
    },
}


def header_field(crate: Crate | None, path: str, field: str) -> Wire | None:
    """A field of a header type of `network_types`, as in the crate's version of it; None when that is not known."""
    if not path.startswith("network_types::") or crate is None:
        return None
    new = crate.at_least("network-types", _BYTES_SINCE)
    if not new and not crate.below("network-types", _BYTES_SINCE):
        return None
    name = path.removeprefix("network_types::")
    if name == "eth::EthHdr" and field == "ether_type":
        return Wire("ethertype", 16, 16) if new else None  # an enum before
    found = _HEADERS.get(name, {}).get(field)
    return Wire(found[0], found[1], 0 if new else found[1]) if found is not None else None


def kernel_header_field(name: str, field: str) -> Wire | None:
    """A field of one of the kernel's headers (`tcphdr`, `dest`)."""
    found = _KERNEL_HEADERS.get(name, {}).get(field)
    return Wire(found[0], found[1], found[1]) if found is not None else None


def field_at(path: str, field: str) -> Wire | None:
    """What stands in the packet at the offset of a header's field, read as an integer of its width."""
    name = path.removeprefix("network_types::")
    found = _HEADERS.get(name, {}).get(field) if name != path else None
    if name == "eth::EthHdr" and field == "ether_type":
        found = ("ethertype", 16)
    if found is not None:
        return Wire(found[0], found[1], found[1])
    return kernel_header_field(path.rpartition("::")[2], field)


# Structures of contexts. A 16 bit port stands in the lower half of the 32 bits unless `high`.
_CONTEXT_FIELDS: dict[str, dict[str, Wire]] = {
    "bpf_sock_addr": {
        "user_ip4": Wire(_ADDRESS, 32, 32),
        "user_port": Wire(_PORT, 16, 32),
        "msg_src_ip4": Wire(_ADDRESS, 32, 32),
    },
    "bpf_sock_ops": {
        "remote_ip4": Wire(_ADDRESS, 32, 32),
        "local_ip4": Wire(_ADDRESS, 32, 32),
        "remote_port": Wire(_PORT, 16, 32, high=True),
        "local_port": Wire(_PORT, 16, 32, big=False),
    },
    "sk_msg_md": {
        "remote_ip4": Wire(_ADDRESS, 32, 32),
        "local_ip4": Wire(_ADDRESS, 32, 32),
        "remote_port": Wire(_PORT, 16, 32, high=True),
        "local_port": Wire(_PORT, 16, 32, big=False),
    },
    "__sk_buff": {
        "protocol": Wire("ethertype", 16, 32),
        "remote_ip4": Wire(_ADDRESS, 32, 32),
        "local_ip4": Wire(_ADDRESS, 32, 32),
        "remote_port": Wire(_PORT, 16, 32, high=True),
        "local_port": Wire(_PORT, 16, 32, big=False),
    },
    "bpf_sk_lookup": {
        "remote_ip4": Wire(_ADDRESS, 32, 32),
        "local_ip4": Wire(_ADDRESS, 32, 32),
        "remote_port": Wire(_PORT, 16, 16),
        "local_port": Wire(_PORT, 16, 32, big=False),
    },
    "bpf_sock": {
        "src_ip4": Wire(_ADDRESS, 32, 32),
        "dst_ip4": Wire(_ADDRESS, 32, 32),
        "src_port": Wire(_PORT, 16, 32, big=False),
        "dst_port": Wire(_PORT, 16, 16),
    },
}
# A context's type and field -> what the field points to.
CONTEXTS: dict[tuple[str, str], str] = {
    ("SockAddrContext", "sock_addr"): "bpf_sock_addr",
    ("SockOpsContext", "ops"): "bpf_sock_ops",
    ("SkMsgContext", "msg"): "sk_msg_md",
    ("SkLookupContext", "lookup"): "bpf_sk_lookup",
    ("SockContext", "sock"): "bpf_sock",
    ("SkBuff", "skb"): "__sk_buff",
    ("XdpContext", "ctx"): "xdp_md",
}
# A context's type and method -> (structure, field) it answers.
CONTEXT_METHODS: dict[tuple[str, str], tuple[str, str]] = {
    **{
        ("SockOpsContext", name): ("bpf_sock_ops", name)
        for name in ("remote_ip4", "local_ip4", "remote_port", "local_port")
    },
    **{
        (owner, method): ("__sk_buff", field)
        for owner in ("SkBuff", "SkBuffContext")
        for method, field in (
            ("protocol", "protocol"),
            ("remote_ipv4", "remote_ip4"),
            ("local_ipv4", "local_ip4"),
            ("remote_port", "remote_port"),
            ("local_port", "local_port"),
        )
    },
}


def context_field(structure: str, field: str) -> Wire | None:
    """A field of a context's structure (`bpf_sock_addr`, `user_port`)."""
    return _CONTEXT_FIELDS.get(structure, {}).get(field)
