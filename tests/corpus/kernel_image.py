"""The `.BTF` section of a packaged kernel: bzImage -> ELF `vmlinux` -> bytes, without booting it.

Debian's own apt stands on liblz4 and libzstd, so both are on every Debian machine: no decompressor to install.
Only x86 images (boot protocol 2.08 and later) are read.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gzip
import struct
from pathlib import Path

_LZ4_LEGACY_BLOCK = 8 << 20  # every block of the legacy frame holds this much uncompressed, but the last


class BadImage(Exception):
    """Not a kernel image we can read; the message says where it ended."""


def vmlinux(image: bytes) -> bytes:
    """The uncompressed ELF inside a bzImage."""
    if image[0x1FE:0x200] != b"\x55\xaa" or image[0x202:0x206] != b"HdrS":
        raise BadImage("no x86 boot header")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length]
    elf = _decompress(payload)
    if elf[:4] != b"\x7fELF":
        raise BadImage(f"the payload is not an ELF file but starts with `{elf[:4].hex()}`")
    return elf


def _decompress(payload: bytes) -> bytes:
    size = struct.unpack("<I", payload[-4:])[0]  # the kernel's build appends it for every compressor
    if payload[:4] == b"\x28\xb5\x2f\xfd":
        return _zstd(payload[:-4], size)
    if payload[:4] == b"\x02\x21\x4c\x18":
        return _lz4_legacy(payload[:-4], size)
    if payload[:2] == b"\x1f\x8b":
        return gzip.decompress(payload[:-4])
    if payload[:6] == b"\xfd7zXZ\0":
        import lzma  # a Python built by hand may lack it

        return lzma.LZMADecompressor().decompress(payload)
    raise BadImage(f"unknown compression `{payload[:8].hex()}`")


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise BadImage(f"needs `{name}` to decompress: {error}") from error


def _zstd(data: bytes, size: int) -> bytes:
    zstd = _library("libzstd.so.1")
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    out = ctypes.create_string_buffer(size)
    got = zstd.ZSTD_decompress(out, size, data, len(data))
    if got > size:
        raise BadImage("zstd cannot decompress the payload")
    return out.raw[:got]


def _lz4_legacy(data: bytes, size: int) -> bytes:
    lz4 = _library("liblz4.so.1")
    out = ctypes.create_string_buffer(size + _LZ4_LEGACY_BLOCK)
    base, done, at = ctypes.addressof(out), 0, 4
    while at + 4 <= len(data) and done < size:
        (length,) = struct.unpack_from("<I", data, at)
        block = data[at + 4 : at + 4 + length]
        room = min(_LZ4_LEGACY_BLOCK, len(out) - done)
        got = lz4.LZ4_decompress_safe(block, ctypes.c_void_p(base + done), len(block), room)
        if got < 0:
            raise BadImage(f"lz4 cannot decompress the block at byte {at}")
        done, at = done + got, at + 4 + length
    return out.raw[:done]


def section(elf: bytes, wanted: str) -> bytes:
    """The bytes of one section of a 64-bit little-endian ELF file."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)

    def header(index: int) -> tuple[int, int, int]:
        name, _, _, _, offset, length = struct.unpack_from("<IIQQQQ", elf, table + index * entry)
        return name, offset, length

    _, names_at, names_length = header(names_index)
    names = elf[names_at : names_at + names_length]
    for index in range(count):
        name, offset, length = header(index)
        if names[name : names.index(b"\0", name)].decode() == wanted:
            return elf[offset : offset + length]
    raise BadImage(f"no section `{wanted}`")


def btf(image: Path) -> bytes:
    """The kernel's BTF, as `/sys/kernel/btf/vmlinux` would give it on a machine that runs this image."""
    return section(vmlinux(image.read_bytes()), ".BTF")
