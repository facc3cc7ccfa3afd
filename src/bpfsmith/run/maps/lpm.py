"""Longest-prefix-match tries: keys are prefixes."""

from __future__ import annotations

from sys import byteorder

from bpfsmith.model.errors import InputError, ValueMismatch
from bpfsmith.run.address import Prefix, ip, prefix
from bpfsmith.run.maps.base import DELETE, ENOENT
from bpfsmith.run.maps.table import Table
from bpfsmith.run.values import Codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LpmTrie", "PrefixCodec"]

_NOTHING: Any = object()


class PrefixCodec(Codec):
    """`struct bpf_lpm_trie_key`: a length in bits as a 32-bit integer of this machine, then bytes in network order."""

    __slots__ = ()

    def __init__(self, size: int, name: str = "") -> None:
        super().__init__("prefix", name or f"prefix of {size - 4} bytes", size, f"{size}s", byteorder == "big", 4)
        self.load = lambda raw: Prefix(min(int.from_bytes(raw[:4], byteorder), size * 8 - 32), bytes(raw[4:]))

    def store(self, value: Any, where: str) -> bytes:
        room = self.size - 4
        raw = self._raw(value)
        if raw is not None and len(raw) == self.size:
            return raw
        if isinstance(value, dict):
            value = tuple(value.values())
        try:
            if isinstance(value, int):
                value = str(value)  # no prefix: which byte order would it have?
            if isinstance(value, tuple) and len(value) == 2:
                data = value[1] if isinstance(value[1], (bytes, bytearray)) else bytes(_address(value[1], room))
                found = Prefix(int(value[0]), bytes(data))
            else:
                found = prefix(value)
        except (ValueMismatch, TypeError, ValueError) as error:
            hint = getattr(error, "hint", "") or "pass `10.0.0.0/8`, a `bpfsmith.prefix(...)` or (bits, bytes)"
            raise self.refuse(where, f"a prefix of at most {room * 8} bits ({room} bytes)", value, hint) from None
        if len(found.data) != room:
            told = f"{len(found.data)} bytes"
            raise self.refuse(where, f"a prefix of at most {room * 8} bits ({room} bytes)", value, "", told)
        return found.length.to_bytes(4, byteorder) + found.data

    def _numpy(self) -> Any:
        names = ["prefixlen", "data"]
        formats = ["u4", ("u1", (self.size - 4,))]
        return {"names": names, "formats": formats, "offsets": [0, 4], "itemsize": self.size}


def _address(value: Any, room: int) -> bytes:
    return bytes(value) if isinstance(value, (list, tuple)) and len(value) == room else bytes(ip(value))


class LpmTrie(Table):
    """Keys are prefixes: `m["10.0.0.0/8"] = 1`, `m[bpfsmith.prefix("10.0.0.0", 8)]`, or what `ipaddress` makes.

    Reading is the kernel's longest match: `m["10.1.2.3"]` answers the value of the longest prefix that covers the
    address, and `m["10.1.0.0/16"]` that of the longest one of at most 16 bits. `exact(key)` answers only the entry of
    that very prefix; deleting is exact as well."""

    __slots__ = ()

    @property
    def key_type(self) -> Codec:
        if self._key is None:
            if self.spec.key_size < 5:
                raise InputError(f"{self._where}: a prefix needs 5 bytes at least", where=self._where)
            self._key = PrefixCodec(self.spec.key_size)
        return self._key

    def match(self, address: Any, default: Any = None) -> Any:
        """The value of the longest prefix that covers an address; `default` when none does."""
        return self.get(address, default)

    def exact(self, key: Any, default: Any = None) -> Any:
        """The value of this very prefix; reads all keys, for the kernel only answers matches."""
        wanted = self._encode_key(key)
        size = self.spec.key_size
        keys = bytes(self._raw_keys())
        if any(keys[at : at + size] == wanted for at in range(0, len(keys), size)):
            return self.get(key, default)
        return default

    def pop(self, key: Any, default: Any = _NOTHING) -> Any:
        """Takes out the entry of this very prefix."""
        raw = self._encode_key(key)
        value = self._read(raw)
        answer = self._element(DELETE, raw, None) if value is not None else -ENOENT
        if answer == -ENOENT:
            if default is _NOTHING:
                raise self._missing(key)
            return default
        if answer < 0:
            raise self._refused("BPF_MAP_DELETE_ELEM", -answer)
        return self._decode_value(value)

    lookup_and_delete = pop
