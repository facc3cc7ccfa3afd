"""Debian packages without dpkg: an ar archive of `control.tar.*` and `data.tar.*` (deb(5))."""

from __future__ import annotations

import os

from bpfsmith._native import ReadError, Unpacker, compression
from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

__all__ = ["Deb", "is_deb"]

_MAGIC = b"!<arch>\n"


def is_deb(head: bytes) -> bool:
    """By the first bytes of a file."""
    return head.startswith(_MAGIC + b"debian-binary")


class Deb:
    """One package file. `name`, `version`, `arch` as its control file says them. `InputError` for what is none."""

    __slots__ = ("_members", "arch", "name", "path", "version")

    def __init__(self, path: str) -> None:
        self.path = path
        self._members = dict(self._list())
        control = self._control()
        self.name = control.get("Package", "")
        self.version = control.get("Version", "")
        self.arch = control.get("Architecture", "")

    def _bad(self, why: str) -> InputError:
        return InputError(f"`{self.path}` is a bad .deb: {why}", where=self.path, hint="download it again")

    def _list(self) -> Iterator[tuple[str, tuple[int, int]]]:
        size = os.path.getsize(self.path)
        with open(self.path, "rb") as file:
            if file.read(8) != _MAGIC:
                raise self._bad("it is no ar archive")
            at = 8
            while at + 60 <= size:
                file.seek(at)
                head = file.read(60)
                length = head[48:58].decode("ascii", "replace").strip()
                if head[58:] != b"`\n" or not length.isdecimal():
                    raise self._bad(f"no member begins at {at}")
                if at + 60 + int(length) > size:
                    raise self._bad("it is cut off")
                yield head[:16].decode("ascii", "replace").strip().rstrip("/"), (at + 60, int(length))
                at += 60 + int(length) + int(length) % 2

    def _tar(self, prefix: str) -> Unpacker:
        for name, (offset, length) in self._members.items():
            if name.startswith(prefix):
                with open(self.path, "rb") as file:
                    file.seek(offset)
                    kind = compression(file.read(16)) or ""
                return Unpacker(kind, self.path, offset, length)
        raise self._bad(f"it has no `{prefix}`")

    def _control(self) -> dict[str, str]:
        for name, file in self._files("control.tar"):
            if name.strip("./") == "control":
                lines = file.read(1 << 20).decode("utf-8", "replace").split("\n")
                return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        raise self._bad("it has no control file")

    def files(self) -> Iterator[tuple[str, IO[bytes]]]:
        """(path without the leading `./`, a reader of its bytes) of every regular file, in the archive's order. The
        reader is good until the next one is asked for."""
        yield from self._files("data.tar")

    def _files(self, prefix: str) -> Iterator[tuple[str, IO[bytes]]]:
        import tarfile

        try:
            source = self._tar(prefix)
            with tarfile.open(fileobj=source, mode="r|", bufsize=1 << 20) as tar:  # type: ignore[call-overload]
                for member in tar:
                    if member.isreg():
                        file = tar.extractfile(member)
                        if file is not None:
                            yield member.name.removeprefix("./").lstrip("/"), file
        except (tarfile.TarError, ReadError, EOFError) as error:
            why = error.args[0] if error.args else "it is cut off"
            raise self._bad(str(why)) from None
