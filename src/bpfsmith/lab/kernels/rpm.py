"""RPM packages without rpm: a lead, two headers and a compressed cpio archive (the RPM file format, LSB 5.0)."""

from __future__ import annotations

import os
from struct import error as struct_error
from struct import unpack_from

from bpfsmith._native import ReadError, Unpacker, compression
from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

__all__ = ["Rpm", "is_rpm"]

_LEAD = b"\xed\xab\xee\xdb"
_HEADER = b"\x8e\xad\xe8\x01"
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_SIG_SIZE = 1000  # of the signature header: bytes of the main header and the payload
_PAYLOAD_DIGEST, _PAYLOAD_DIGEST_KIND, _SHA256 = 5092, 5093, 8
# A kernel package's header has a megabyte: the names of all its files.
_MOST = 256 << 20
_HEX = b"0123456789abcdefABCDEF"


def is_rpm(head: bytes) -> bool:
    """By the first bytes of a file."""
    return head.startswith(_LEAD)


class Rpm:
    """One package file. `name`, `version` (`5.14.0-503.el9`), `arch`. `InputError` for what is none, is cut off, or
    does not have the hash its header says."""

    __slots__ = ("_payload", "arch", "name", "path", "version")

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            if file.read(4) != _LEAD:
                raise self._bad("it has no lead")
            signature, end = self._header(file, 96)
            header, self._payload = self._header(file, (end + 7) // 8 * 8)
            size = os.path.getsize(path)
            told = signature.get(_SIG_SIZE)
            if isinstance(told, int) and size < (end + 7) // 8 * 8 + told:
                raise self._bad("it is cut off")
            digest = header.get(_PAYLOAD_DIGEST)
            if digest and header.get(_PAYLOAD_DIGEST_KIND) == _SHA256:
                from hashlib import sha256

                file.seek(self._payload)
                found = sha256()
                while piece := file.read(1 << 20):
                    found.update(piece)
                if found.hexdigest() != digest:
                    raise self._bad("its hash is not what its header says")
        self.name = str(header.get(_NAME, ""))
        epoch = f"{header[_EPOCH]}:" if header.get(_EPOCH) else ""
        self.version = f"{epoch}{header.get(_VERSION, '')}-{header.get(_RELEASE, '')}"
        self.arch = str(header.get(_ARCH, ""))

    def _bad(self, why: str) -> InputError:
        return InputError(f"`{self.path}` is a bad .rpm: {why}", where=self.path, hint="download it again")

    def _header(self, file: IO[bytes], at: int) -> tuple[dict[int, int | str], int]:
        """(tag -> its first number or text, where what follows begins)."""
        file.seek(at)
        head = file.read(16)
        if head[:4] != _HEADER or len(head) < 16:
            raise self._bad(f"no header begins at {at}")
        count, size = unpack_from(">II", head, 8)
        if count * 16 + size > _MOST:
            raise self._bad("its header is too large")
        index, store = file.read(count * 16), file.read(size)
        if len(index) + len(store) < count * 16 + size:
            raise self._bad("it is cut off")
        found: dict[int, int | str] = {}
        for entry in range(count):
            tag, kind, offset, _ = unpack_from(">IIII", index, entry * 16)
            if kind in (6, 8, 9):  # text, lists of texts
                end = store.find(b"\0", offset)
                found[tag] = store[offset : end if end >= 0 else offset].decode("utf-8", "replace")
            elif kind in (3, 4) and offset + (width := 2 if kind == 3 else 4) <= size:
                found[tag] = int.from_bytes(store[offset : offset + width], "big")
        return found, at + 16 + count * 16 + size

    def files(self) -> Iterator[tuple[str, IO[bytes]]]:
        """(path without the leading `./`, a reader of its bytes) of every regular file, in the archive's order. The
        reader is good until the next one is asked for."""
        with open(self.path, "rb") as file:
            file.seek(self._payload)
            head = file.read(16)
        try:
            yield from _cpio(Unpacker(compression(head) or "", self.path, self._payload))
        except (ReadError, struct_error, ValueError) as error:
            raise self._bad(str(error.args[0] if error.args else "it is cut off")) from None


class _Part:
    """The bytes of one file in the archive."""

    __slots__ = ("_left", "_source")

    def __init__(self, source: Unpacker, size: int) -> None:
        self._source = source
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._source.read(wanted)
        if len(piece) < wanted:
            raise ValueError("it is cut off")
        self._left -= len(piece)
        return piece

    def skip(self) -> None:
        while self._left:
            self.read(1 << 20)


def _cpio(source: Unpacker) -> Iterator[tuple[str, IO[bytes]]]:
    """newc archives (cpio(5)). Of hard links only the last has the bytes; the others are given the same."""
    links: dict[str, list[str]] = {}
    while True:
        head = source.read(110)
        if head[:6] not in (b"070701", b"070702"):
            raise ValueError("it is cut off" if len(head) < 110 else "its payload is no newc cpio archive")
        if len(head) < 110 or head[6:].translate(None, _HEX):  # `int` would take signs, blanks and `_` too
            raise ValueError("it is cut off" if len(head) < 110 else "a number in its payload is none")
        inode, mode, links_of, size, name_size = (
            int(head[at : at + 8], 16) for at in (6, 14, 38, 54, 94)
        )  # fmt: skip
        if name_size > 1 << 16:
            raise ValueError("a file name in it is too long")
        name = source.read(name_size + (-(110 + name_size) % 4))[: name_size - 1].decode("utf-8", "replace")
        if name == "TRAILER!!!":
            return
        if "\0" in name:
            raise ValueError("a file name in it has a NUL")
        path = name.removeprefix("./").lstrip("/")
        part = _Part(source, size)
        if mode & 0o170000 != 0o100000:
            pass
        elif links_of > 1 and not size:
            links.setdefault(str(inode), []).append(path)
        elif str(inode) in links:
            from io import BytesIO

            data = part.read()
            for one in (*links.pop(str(inode)), path):
                yield one, BytesIO(data)
        else:
            yield path, part  # type: ignore[misc]
        part.skip()
        source.read(-size % 4)
