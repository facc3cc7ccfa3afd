"""Packet headers that a crate declares itself: known by their name and, byte for byte, by their layout."""

from __future__ import annotations

from bpfsmith.source.types import item_of
from bpfsmith.source.wire import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import SourceFile

__all__ = ["own_header_field"]

# Protocol -> (words of its name, sizes, offset -> (what, bytes)).
_PROTOCOLS: dict[str, tuple[frozenset[str], frozenset[int], dict[int, tuple[str, int]]]] = {
    "tcp": (frozenset({"tcp"}), frozenset({20}), {0: ("port", 2), 2: ("port", 2), 4: ("sequence number", 4)}),
    "udp": (frozenset({"udp"}), frozenset({8}), {0: ("port", 2), 2: ("port", 2), 4: ("length", 2), 6: ("checksum", 2)}),
    "ip": (
        frozenset({"ip", "ipv4", "ip4"}),
        frozenset({20}),
        {2: ("length", 2), 6: ("fragment", 2), 10: ("checksum", 2), 12: ("address", 4), 16: ("address", 4)},
    ),
    "ethernet": (frozenset({"eth", "ethernet", "ether"}), frozenset({14}), {12: ("ethertype", 2)}),
}
_INTEGERS = {"u16": 2, "u32": 4}


def own_header_field(file: SourceFile, path: str, field: str) -> Wire | None:
    """A field of a `#[repr(C)]` struct of the crate that is named for a protocol and laid out as its header is."""
    key = ("own header", path)
    if key not in file.cache:
        file.cache[key] = _fields(file, path)
    known: dict[str, Wire] = file.cache[key]
    return known.get(field)


def _fields(file: SourceFile, path: str) -> dict[str, Wire]:
    words = _words(path.rpartition("::")[2])
    protocol = next((one for one in _PROTOCOLS.values() if one[0] & words), None)
    if protocol is None or not words & {"hdr", "header"}:
        return {}
    item = item_of(file, path)
    if item is None or item.kind != "struct" or item.generic:
        return {}
    from bpfsmith.source.layout import layout

    made = layout(item.file, item.name, item)
    if made is None or not made.certain or made.size not in protocol[1]:
        return {}
    out = {}
    for one in made.fields:
        expected = protocol[2].get(one.offset)
        size = _INTEGERS.get(one.type.strip())
        if expected is not None and size == expected[1]:
            out[one.name] = Wire(expected[0], size * 8, size * 8)
    # All of a header's fields that there are in such a struct have to be where they belong.
    return out if len(out) >= min(2, len(protocol[2])) else {}


def _words(name: str) -> frozenset[str]:
    """`Ipv4Header` -> ipv4, header; `tcphdr` -> tcp, hdr."""
    spaced = "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
    for end in ("hdr", "header"):
        if spaced.endswith(end) and not spaced.endswith("_" + end):
            spaced = spaced.removesuffix(end) + "_" + end
    return frozenset(one for one in spaced.split("_") if one)
