"""Archives the kernel unpacks as its first file system: cpio "newc", written.

    archive = Archive()
    archive.file("init", data, 0o755)
    data = archive.done()

The same entries in the same order make the same bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Archive", "archive"]

FOLDER, FILE, LINK, DEVICE = 0o040000, 0o100000, 0o120000, 0o020000
_TRAILER = "TRAILER!!!"


class Archive:
    """Entries in the order they are added; folders on the way to a file are added before it. Archives may follow one
    another: the kernel unpacks them all."""

    __slots__ = ("_folders", "_number", "_parts")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._folders: set[str] = set()
        self._number = 0

    def _entry(self, name: str, mode: int, data: bytes = b"", major: int = 0, minor: int = 0) -> None:
        called = name.encode("utf-8", "surrogateescape") + b"\0"
        self._number += 1
        numbers = (self._number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(called), 0)
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + called
        # Name and data are padded to multiples of four.
        self._parts += (head, bytes(-len(head) % 4), data, bytes(-len(data) % 4))

    def _above(self, name: str) -> str:
        name = name.strip("/")
        folder = name.rpartition("/")[0]
        if folder:
            self.folder(folder)
        return name

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Once is enough; more do nothing."""
        name = name.strip("/")
        if name and name not in self._folders:
            self._above(name)
            self._folders.add(name)
            self._entry(name, FOLDER | mode)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._entry(self._above(name), FILE | mode, data)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._entry(self._above(name), LINK | 0o777, target.encode("utf-8", "surrogateescape"))

    def device(self, name: str, major: int, minor: int, mode: int = 0o600) -> None:
        """A character device."""
        self._entry(self._above(name), DEVICE | mode, b"", major, minor)

    def done(self) -> bytes:
        self._number = -1
        self._entry(_TRAILER, 0)
        self._parts.append(bytes(-sum(map(len, self._parts)) % 512))
        return b"".join(self._parts)


def archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """path -> (mode, contents), the mode with its type: of a link the contents are its target, of a folder nothing."""
    made = Archive()
    for name, (mode, data) in files.items():
        kind, bits = mode & 0o170000, mode & 0o7777
        if kind == FOLDER:
            made.folder(name, bits)
        elif kind == LINK:
            made.link(name, data.decode("utf-8", "surrogateescape"))
        else:
            made.file(name, data, bits or 0o644)
    return made.done()
