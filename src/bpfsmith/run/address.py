"""Addresses as programs see them: bytes in network order. `ip("10.0.0.1")`, `mac("02:00:00:00:00:01")`, and
`prefix("10.0.0.0/8")`."""

from __future__ import annotations

import sys

from bpfsmith.model.errors import ValueMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Ip", "Mac", "Prefix", "ip", "mac", "prefix"]


class Ip(bytes):
    """An IPv4 or IPv6 address: its 4 or 16 bytes in network order, which is what a key of this size holds.

    >>> address = ip("10.0.0.1")
    >>> bytes(address), str(address), hex(address.host)
    (b'\\n\\x00\\x00\\x01', '10.0.0.1', '0xa000001')

    `number` is what a program that loads the address from a packet into an integer sees (`__be32`); `host` the same
    after `bpf_ntohl` or `u32::from_be`. As a key or value of an integer type it stands for `number`; pass `.host` to a
    program that keeps addresses in host order.
    """

    __slots__ = ()

    @property
    def version(self) -> int:
        """4 or 6."""
        return 4 if len(self) == 4 else 6

    @property
    def number(self) -> int:
        """The bytes read as an integer of this machine."""
        return int.from_bytes(self, sys.byteorder)

    @property
    def host(self) -> int:
        """The address as a number: 10.0.0.1 is 0x0a000001."""
        return int.from_bytes(self, "big")

    def __str__(self) -> str:
        if len(self) == 4:
            return ".".join(map(str, self))
        from socket import AF_INET6, inet_ntop

        return inet_ntop(AF_INET6, bytes(self))

    def __repr__(self) -> str:
        return f"ip({str(self)!r})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class Mac(bytes):
    """A hardware address of 6 bytes."""

    __slots__ = ()

    def __str__(self) -> str:
        return bytes(self).hex(":")

    def __repr__(self) -> str:
        return f"mac({str(self)!r})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def ip(address: Any) -> Ip:
    """An address from text, from what the standard library's `ipaddress` makes, from 4 or 16 bytes, or from the integer
    a program stored (`__be32`, this machine's view of the bytes in network order)."""
    packed = getattr(address, "packed", None)
    if isinstance(packed, bytes):
        return Ip(packed)
    if isinstance(address, str):
        return Ip(_parse(address))
    if isinstance(address, int) and 0 <= address < 1 << 32:
        return Ip(int(address).to_bytes(4, sys.byteorder))
    if isinstance(address, (bytes, bytearray, memoryview)) and len(address) in (4, 16):
        return Ip(address)
    raise ValueMismatch(
        f"{address!r} is no IP address",
        hint="expected text such as `10.0.0.1`, 4 or 16 bytes in network order, or a u32",
    )


def _parse(text: str) -> bytes:
    parts = text.split(".")
    if len(parts) == 4 and all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):
        numbers = [int(part) for part in parts]
        # Leading zeros mean octal to some and decimal to others: refused, as `ipaddress` does.
        if max(numbers) < 256 and not any(len(part) > 1 and part[0] == "0" for part in parts):
            return bytes(numbers)
    elif ":" in text:
        from socket import AF_INET6, inet_pton

        try:
            return inet_pton(AF_INET6, text)
        except (OSError, ValueError):
            pass
    raise ValueMismatch(f"`{text}` is no IP address", hint="expected IPv4 as `10.0.0.1` or IPv6 as `fe80::1`")


def mac(address: Any) -> Mac:
    """A hardware address from text (`02:00:00:00:00:01`, also with `-`) or 6 bytes."""
    if isinstance(address, str):
        parts = address.replace("-", ":").split(":")
        try:
            if len(parts) == 6 and all(0 < len(part) < 3 for part in parts):
                return Mac(int(part, 16) for part in parts)
        except ValueError:
            pass
    elif isinstance(address, (bytes, bytearray, memoryview)) and len(address) == 6:
        return Mac(address)
    raise ValueMismatch(f"{address!r} is no hardware address", hint="expected text as `02:00:00:00:00:01` or 6 bytes")


class Prefix:
    """A key of a longest-prefix-match trie: the first `length` bits of `data`, which is in network order.

    >>> prefix("10.1.2.3/8")
    prefix('10.0.0.0/8')
    """

    __slots__ = ("data", "length")

    def __init__(self, length: int, data: bytes) -> None:
        if not 0 <= length <= len(data) * 8:
            raise ValueMismatch(f"a prefix of {len(data)} bytes has 0 to {len(data) * 8} bits, not {length}")
        self.length = length
        # Bits after the prefix say nothing: cleared, so that equal prefixes are equal keys.
        keep = (1 << len(data) * 8) - (1 << len(data) * 8 - length)
        self.data = (int.from_bytes(data, "big") & keep).to_bytes(len(data), "big")

    @property
    def address(self) -> Ip | bytes:
        """The bytes, as an address when they are as many as one has."""
        return Ip(self.data) if len(self.data) in (4, 16) else self.data

    def __contains__(self, address: Any) -> bool:
        data = bytes(ip(address)) if len(self.data) in (4, 16) else bytes(address)
        return len(data) == len(self.data) and Prefix(self.length, data).data == self.data

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                other = prefix(other)
            except ValueMismatch:
                return False
        return isinstance(other, Prefix) and (self.length, self.data) == (other.length, other.data)

    def __hash__(self) -> int:
        return hash((self.length, self.data))

    def __str__(self) -> str:
        return f"{Ip(self.data)!s}/{self.length}" if len(self.data) in (4, 16) else f"{self.data.hex()}/{self.length}"

    def __repr__(self) -> str:
        return f"prefix({str(self)!r})" if len(self.data) in (4, 16) else f"Prefix({self.length}, {self.data!r})"


def prefix(network: Any, length: int | None = None) -> Prefix:
    """A prefix from `10.0.0.0/8`, from what `ipaddress.ip_network` makes, or from an address and a length in bits
    (without one: the whole address)."""
    if isinstance(network, Prefix):
        return network
    base = getattr(network, "network_address", None)
    if base is not None:
        return Prefix(network.prefixlen, base.packed)
    if isinstance(network, str) and length is None and "/" in network:
        text, _, bits = network.partition("/")
        if not (bits.isascii() and bits.isdigit()):
            raise ValueMismatch(
                f"`{network}` is no prefix", hint="expected an address and a number of bits: `10.0.0.0/8`"
            )
        network, length = text, int(bits)
    data = bytes(ip(network))
    return Prefix(len(data) * 8 if length is None else length, data)
