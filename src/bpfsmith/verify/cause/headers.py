"""Fields of packet headers as sources name them: where in its header a field lies that a line uses tells where the
header begins, which the instruction, with all offsets added up, does not."""

from __future__ import annotations

__all__ = ["begins", "followed", "past"]

# Headers of the kernel's own C files, and of the crate `network-types`: field -> (first byte, bytes).
_HEADERS: tuple[dict[str, tuple[int, int]], ...] = (
    {"h_dest": (0, 6), "h_source": (6, 6), "h_proto": (12, 2), "dst_addr": (0, 6), "src_addr": (6, 6),
     "ether_type": (12, 2)},
    {"h_vlan_TCI": (0, 2), "h_vlan_encapsulated_proto": (2, 2)},
    {"ihl": (0, 1), "version": (0, 1), "vihl": (0, 1), "tos": (1, 1), "tot_len": (2, 2), "id": (4, 2),
     "frag_off": (6, 2), "frags": (6, 2), "ttl": (8, 1), "protocol": (9, 1), "proto": (9, 1), "check": (10, 2),
     "saddr": (12, 4), "daddr": (16, 4), "src_addr": (12, 4), "dst_addr": (16, 4)},
    {"payload_len": (4, 2), "nexthdr": (6, 1), "next_hdr": (6, 1), "hop_limit": (7, 1), "saddr": (8, 16),
     "daddr": (24, 16), "src_addr": (8, 16), "dst_addr": (24, 16)},
    {"source": (0, 2), "dest": (2, 2), "seq": (4, 4), "ack_seq": (8, 4), "doff": (12, 1), "syn": (13, 1),
     "ack": (13, 1), "fin": (13, 1), "rst": (13, 1), "psh": (13, 1), "urg": (13, 1), "window": (14, 2),
     "check": (16, 2), "urg_ptr": (18, 2)},
    {"source": (0, 2), "dest": (2, 2), "src": (0, 2), "dst": (2, 2), "len": (4, 2), "check": (6, 2)},
    {"type": (0, 1), "code": (1, 1), "checksum": (2, 2), "icmp6_type": (0, 1), "icmp6_code": (1, 1)},
    {"ar_hrd": (0, 2), "ar_pro": (2, 2), "ar_hln": (4, 1), "ar_pln": (5, 1), "ar_op": (6, 2)},
)  # fmt: skip


def followed(text: str) -> list[tuple[str, str]]:
    """(pointer, field) of each `p->f`, `(*p).f` in a line."""
    found = []
    for sign in ("->", ")."):
        at = text.find(sign)
        while at >= 0:
            end = at + 2
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            start = at
            while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_"):
                start -= 1
            named = sign == "->" or text[max(0, start - 2) : start] == "(*"
            if named and text[start:at].isidentifier() and text[at + 2 : end].isidentifier():
                found.append((text[start:at], text[at + 2 : end]))
            at = text.find(sign, end)
    return found


def begins(text: str, first: int) -> dict[str, set[int]]:
    """Pointer -> where its header may begin, when the line reads byte `first` through it."""
    found: dict[str, set[int]] = {}
    for pointer, field in followed(text):
        for header in _HEADERS:
            off, size = header.get(field, (0, 0))
            found.setdefault(pointer, set()).update(first - off - at for at in range(size) if first - off - at >= 0)
    return {pointer: starts for pointer, starts in found.items() if starts}


def past(text: str) -> set[str]:
    """Pointers whose end a line computes: `p + 1`, `p.add(1)`."""
    found = set()
    for sign in (" + 1", ".add(1"):
        at = text.find(sign)
        while at >= 0:
            start, end = at, at + len(sign)
            while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_"):
                start -= 1
            behind = text[end : end + 1]
            if text[start:at].isidentifier() and not (behind.isalnum() or behind == "_"):
                found.add(text[start:at])
            at = text.find(sign, end)
    return found
