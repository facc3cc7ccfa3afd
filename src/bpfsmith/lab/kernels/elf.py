"""The few things of a kernel's ELF file that the lab needs: its machine, its PVH entry, a section, its size without
debug information. Any bytes; what is not there is None."""

from __future__ import annotations

from struct import error as struct_error
from struct import unpack_from

__all__ = ["MACHINES", "machine", "pvh_entry", "section", "section_at", "without_debug"]

# e_machine -> as `uname -m` says.
MACHINES: dict[int, str] = {
    62: "x86_64",
    183: "aarch64",
    3: "i686",
    40: "arm",
    243: "riscv64",
    22: "s390x",
    21: "ppc64",
}
_LOAD, _NOTE = 1, 4
_PVH = 18  # XEN_ELFNOTE_PHYS32_ENTRY


def machine(data: bytes) -> str:
    """`x86_64`; "" for what is no ELF file."""
    if data[:4] != b"\x7fELF" or len(data) < 64:
        return ""
    number = int.from_bytes(data[18:20], "big" if data[5] == 2 else "little")
    return MACHINES.get(number, f"machine {number}")


def _segments(data: bytes) -> list[tuple[int, int, int]]:
    """(type, offset, size in the file) of a 64 bit little endian file's segments."""
    try:
        start, size, count = unpack_from("<Q", data, 32)[0], *unpack_from("<HH", data, 54)
        headers = [unpack_from("<IIQQQQ", data, start + at * size) for at in range(count)]
    except (struct_error, OverflowError):
        return []
    return [(kind, offset, length) for kind, _, offset, _, _, length in headers]


def pvh_entry(data: bytes) -> int | None:
    """The address a PVH loader jumps to (CONFIG_PVH); None when the kernel has none."""
    for kind, offset, length in _segments(data):
        if kind != _NOTE:
            continue
        at, end = offset, min(offset + length, len(data))
        while at + 12 <= end:
            name_size, size, number = unpack_from("<III", data, at)
            name = data[at + 12 : at + 12 + name_size]
            content = at + 12 + (name_size + 3 & ~3)
            if name == b"Xen\0" and number == _PVH and size in (4, 8) and content + size <= end:
                return int.from_bytes(data[content : content + size], "little")
            at = content + (size + 3 & ~3)
    return None


def section(data: bytes, name: str) -> bytes | None:
    """The bytes of a section of a 64 bit little endian file; None: there is none."""
    place = section_at(data, name)
    return place and data[place[0] : place[0] + place[1]]


def section_at(data: bytes, name: str) -> tuple[int, int] | None:
    """(offset, size) of it."""
    wanted = name.encode() + b"\0"
    try:
        start = unpack_from("<Q", data, 40)[0]
        size, count, names = unpack_from("<HHH", data, 58)
        if not start or not count:
            return None
        headers = [unpack_from("<IIQQQQ", data, start + at * size) for at in range(count)]
        base, length = headers[names][4:6]
        text = data[base : base + length]
        for at, kind, _, _, offset, size in headers:
            if kind != 8 and text[at : at + len(wanted)] == wanted and offset + size <= len(data):
                return offset, size
    except (struct_error, OverflowError, IndexError):
        return None
    return None


def without_debug(data: bytes) -> bytes:
    """The file up to the end of what is loaded, without section headers, when that is much shorter: a vmlinux with
    debug information is ten times as large as what boots."""
    end = max((offset + size for kind, offset, size in _segments(data) if kind in (_LOAD, _NOTE)), default=0)
    if not 64 < end < len(data) - (8 << 20):
        return data
    head = bytearray(data[:64])
    head[40:48] = bytes(8)  # e_shoff
    head[60:64] = bytes(4)  # e_shnum, e_shstrndx
    return bytes(head) + data[64:end]
