"""What programs are run on to compare them: packets of many shapes and lengths, contexts, contents of maps.

All of it is the same every time: nothing here is drawn anew.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["keys", "packets", "sockets", "values", "words"]

_MACS = bytes.fromhex("02000000000102000000000a")
_FOUR = (b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02")
_SIX = (bytes.fromhex("fd000000000000000000000000000001"), bytes.fromhex("fd000000000000000000000000000002"))
_PORTS = (12345, 53, 80, 443, 22, 8080)
_LENGTHS = (0, 1, 8, 100, 1200)


def _noise(seed: int, count: int) -> bytes:
    """Bytes that look random and are not (xorshift)."""
    state = seed * 0x9E3779B97F4A7C15 & (1 << 64) - 1 or 1
    out = bytearray()
    while len(out) < count:
        state ^= state << 13 & (1 << 64) - 1
        state ^= state >> 7
        state ^= state << 17 & (1 << 64) - 1
        out += state.to_bytes(8, "little")
    return bytes(out[:count])


def _ipv4(protocol: int, payload: bytes, *, options: int = 0, fragment: int = 0, ttl: int = 64, tos: int = 0) -> bytes:
    length = 20 + options + len(payload)
    head = bytes([0x45 + options // 4, tos]) + length.to_bytes(2, "big") + b"\x12\x34" + fragment.to_bytes(2, "big")
    head += bytes([ttl, protocol]) + b"\0\0" + _FOUR[0] + _FOUR[1] + b"\x01" * options
    total = sum(int.from_bytes(head[at : at + 2], "big") for at in range(0, len(head), 2))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + check.to_bytes(2, "big") + head[12:] + payload


def _ipv6(protocol: int, payload: bytes) -> bytes:
    return b"\x60\0\0\0" + len(payload).to_bytes(2, "big") + bytes([protocol, 64]) + _SIX[0] + _SIX[1] + payload


def _udp(dport: int, data: bytes, sport: int = _PORTS[0]) -> bytes:
    return sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + (8 + len(data)).to_bytes(2, "big") + b"\0\0" + data


def _tcp(dport: int, data: bytes, flags: int, options: int = 0, sport: int = _PORTS[0]) -> bytes:
    head = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + b"\0\0\0\x01\0\0\0\x02"
    return head + bytes([(5 + options // 4) << 4, flags]) + b"\xff\xff\0\0\0\0" + b"\x01" * options + data


def _eth(kind: int, payload: bytes, tags: int = 0) -> bytes:
    out = _MACS
    for number in range(tags):
        out += b"\x81\x00" + (100 + number).to_bytes(2, "big")
    return out + kind.to_bytes(2, "big") + payload


def packets() -> list[bytes]:
    """Ethernet frames, each at least 14 bytes: common and odd shapes, whole and cut at every layer."""
    out = []
    for length in _LENGTHS:
        data = _noise(length + 1, length)
        for port in _PORTS[1:]:
            out.append(_eth(0x0800, _ipv4(17, _udp(port, data))))
        for flags in (0x02, 0x12, 0x10, 0x18, 0x04, 0x29):
            out.append(_eth(0x0800, _ipv4(6, _tcp(80 if flags & 1 else 443, data, flags))))
        out.append(_eth(0x86DD, _ipv6(17, _udp(53, data))))
        out.append(_eth(0x86DD, _ipv6(6, _tcp(443, data, 0x02, 8))))
        out.append(_eth(0x0800, _ipv4(1, b"\x08\0\0\0\0\x01\0\x01" + data)))
        out.append(_eth(0x86DD, _ipv6(58, b"\x80\0\0\0\0\x01\0\x01" + data)))
        out.append(_eth(0x0800, _ipv4(6, _tcp(22, data, 0x02, 20), options=12)))
        out.append(_eth(0x0800, _ipv4(17, _udp(53, data), tos=0x2E, ttl=1), tags=1))
        out.append(_eth(0x0800, _ipv4(17, data, fragment=0x2010)))
        out.append(_eth(0x0800, _ipv4(47, b"\0\0\x08\0" + data)))
    out.append(_eth(0x0806, b"\0\x01\x08\0\x06\x04\0\x01" + _MACS[6:] + _FOUR[0] + bytes(6) + _FOUR[1]))
    out.append(_eth(0x0800, _ipv4(6, _tcp(80, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0x18))))
    dns = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01"
    out.append(_eth(0x0800, _ipv4(17, _udp(53, dns))))
    out.append(_eth(0x86DD, _ipv6(0, b"\x11\0\0\0\0\0\0\0" + _udp(53, dns))))
    whole = [_eth(0x0800, _ipv4(6, _tcp(80, b"x" * 40, 0x18))), _eth(0x0800, _ipv4(17, _udp(53, dns)), tags=2)]
    for frame in whole:
        out += [frame[:length] for length in (14, 15, 18, 22, 33, 34, 35, 38, 42, 53, 54, 60)]
    out += [bytes(length) for length in (14, 34, 60, 64, 128, 1514)]
    out += [b"\xff" * length for length in (14, 54, 64, 256)]
    out += [_MACS + _noise(length, length) for length in (2, 20, 50, 200, 1000)]
    return list(dict.fromkeys(out))


def sockets() -> Iterator[dict[str, object]]:
    """Contexts of `sk_lookup`: connections as the kernel takes them."""
    loopback = int.from_bytes(b"\x7f\0\0\x01", "little")
    for protocol in (6, 17):
        for port in (80, 443, 7007, 53, 0, 65535):
            yield {
                "family": 2, "protocol": protocol, "remote_ip4": loopback, "remote_port": 5000, "local_ip4": loopback,
                "local_port": port, "ingress_ifindex": 1,
            }  # fmt: skip


def words() -> Iterator[list[int]]:
    """Arguments of raw tracepoints and bytes of syscall programs, as numbers of 64 bits."""
    for first in (0, 1, 2, 7, 63, 64, 255, 4096, 1 << 31, (1 << 64) - 1):
        yield [first, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
        yield [first] * 12


def keys(size: int) -> list[bytes]:
    """Keys of a map that the packets above and counting programs may look up."""
    out = [bytes(size), (1).to_bytes(size, "little"), b"\xff" * size]
    if size == 1:
        out += [bytes([one]) for one in (1, 6, 17, 58)]
    elif size == 2:
        out += [one.to_bytes(2, order) for one in (*_PORTS, 0x0800, 0x86DD) for order in ("big", "little")]
    elif size == 4:
        out += [one for address in _FOUR for one in (address, address[::-1])]
        out += [one.to_bytes(4, "little") for one in (2, 3, 4, 5, 6, 7, 8, 17, 53, 80, 443, 12345)]
        out += [one.to_bytes(4, "big") for one in (53, 80, 443)]
    elif size == 6:
        out += [_MACS[:6], _MACS[6:]]
    elif size == 8:
        out += [address + bytes(4) for address in _FOUR]
        out += [_FOUR[0] + _FOUR[1], _FOUR[1] + _FOUR[0], *(one.to_bytes(8, "little") for one in (2, 3, 4, 6, 17, 80))]
        out += [(32).to_bytes(4, "little") + address for address in _FOUR]
        out += [(8).to_bytes(4, "little") + b"\x0a\0\0\0"]
    elif size == 16:
        out += [*_SIX]
    elif size in (12, 13):
        ports = _PORTS[0].to_bytes(2, "big") + (80).to_bytes(2, "big")
        out += [(_FOUR[0] + _FOUR[1] + ports + b"\x06")[:size], (_FOUR[0] + _FOUR[1] + ports + b"\x11")[:size]]
    return list(dict.fromkeys(one for one in out if len(one) == size))


def values(size: int, kind: int) -> bytes:
    """Bytes of a value: nothing, small numbers, anything."""
    if kind == 0:
        return bytes(size)
    if kind == 1:
        whole = b"".join(one.to_bytes(8, "little") for one in range(1, size // 8 + 2))
        return whole[:size]
    return _noise(size + kind, size)
