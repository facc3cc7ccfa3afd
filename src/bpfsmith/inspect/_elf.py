"""Writes a small relocatable ELF object for BPF: what the kernel tells of a program, in the form a compiler would
give it.

Only what inspecting needs: program sections with relocations, map definitions, data sections, types and a licence.
"""

from __future__ import annotations

from struct import pack, unpack_from
from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Elf"]

_ORDER = "<" if byteorder == "little" else ">"
PROGBITS, SYMTAB, STRTAB, NOBITS, REL = 1, 2, 3, 8, 9
ALLOC, WRITE, EXEC = 2, 1, 4
OBJECT, FUNC, SECTION = 1, 2, 3
R_BPF_64_64, R_BPF_64_32 = 1, 10


class Elf:
    """Sections and symbols, then `to_bytes()`. Section and symbol numbers are those the adding calls answer."""

    def __init__(self) -> None:
        self._sections: list[tuple[str, int, int, bytes, int, int, int]] = [("", 0, 0, b"", 0, 0, 0)]
        self._symbols: list[tuple[str, int, int, int, int]] = [("", 0, 0, 0, 0)]

    def section(self, name: str, data: bytes, flags: int = 0, kind: int = PROGBITS) -> int:
        self._sections.append((name, kind, flags, data, 0, 0, 0))
        return len(self._sections) - 1

    def symbol(self, name: str, section: int, value: int, size: int, kind: int) -> int:
        self._symbols.append((name, section, value, size, kind))
        return len(self._symbols) - 1

    def relocations(self, section: int, entries: Sequence[tuple[int, int, int]]) -> None:
        """`entries`: (offset, symbol, type)."""
        if entries:
            data = b"".join(pack(f"{_ORDER}QQ", at, symbol << 32 | kind) for at, symbol, kind in sorted(entries))
            # sh_link is the symbol table, known only at the end: -1 stands for it.
            self._sections.append((f".rel{self._sections[section][0]}", REL, 0, data, -1, section, 16))

    def to_bytes(self) -> bytes:
        strings = _Strings()
        symbols = b"".join(
            pack(f"{_ORDER}IBBHQQ", strings.add(name), (0 if kind == SECTION else 1) << 4 | kind if name or kind else
            0, 0,
                 section, value, size)
            for name, section, value, size, kind in self._symbols
        )  # fmt: skip
        locals_ = 1 + next(
            (at for at, one in enumerate(self._symbols[1:]) if one[4] != SECTION), len(self._symbols) - 1
        )
        table = len(self._sections)
        rows = [*self._sections, (".symtab", SYMTAB, 0, symbols, table + 1, locals_, 24)]
        names = [strings.add(name) for name, *_ in rows] + [strings.add(".strtab")]
        rows.append((".strtab", STRTAB, 0, bytes(strings.data), 0, 0, 0))
        body, heads = bytearray(64), bytearray()
        for (_, kind, flags, data, link, info, entry), name in zip(rows, names, strict=True):
            body += bytes(-len(body) % 8)
            at = len(body) if data else 0
            body += b"" if kind == NOBITS else data
            heads += pack(f"{_ORDER}IIQQQQIIQQ", name, kind, flags, 0, at, len(data), table if link == -1 else link,
            info,
                          8, entry)  # fmt: skip
        body += bytes(-len(body) % 8)
        ident = b"\x7fELF\x02" + (b"\x01" if byteorder == "little" else b"\x02") + b"\x01" + bytes(9)
        body[:64] = ident + pack(f"{_ORDER}HHIQQQIHHHHHH", 1, 247, 1, 0, 0, len(body), 0, 64, 0, 0, 64, len(rows),
                                 len(rows) - 1)  # fmt: skip
        return bytes(body + heads)


class _Strings:
    def __init__(self) -> None:
        self.data = bytearray(1)
        self._at: dict[str, int] = {"": 0}

    def add(self, text: str) -> int:
        if text not in self._at:
            self._at[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self._at[text]


def with_strings(btf: bytes, texts: Sequence[str]) -> tuple[bytes, dict[str, int]]:
    """The BTF with more strings behind its own, and their offsets: the sections that line records are sorted by."""
    head = unpack_from(f"{_ORDER}I", btf, 4)[0]
    _, _, at, length = unpack_from(f"{_ORDER}IIII", btf, 8)
    end = head + at + length
    offsets: dict[str, int] = {}
    more = bytearray()
    for text in texts:
        offsets[text] = length + len(more)
        more += text.encode() + b"\0"
    longer = bytearray(btf[:end] + more + btf[end:])
    longer[20:24] = pack(f"{_ORDER}I", length + len(more))
    return bytes(longer), offsets


def btf_ext(functions: dict[int, list[bytes]], lines: dict[int, list[bytes]]) -> bytes:
    """`.BTF.ext` of records by the string offset of their section's name."""

    def part(size: int, groups: dict[int, list[bytes]]) -> bytes:
        found = b"".join(
            pack(f"{_ORDER}II", name, len(records)) + b"".join(records) for name, records in groups.items() if records
        )
        return pack(f"{_ORDER}I", size) + found if found else b""

    first, second = part(8, functions), part(16, lines)
    head = pack(f"{_ORDER}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(first), len(first), len(second))
    return head + first + second
