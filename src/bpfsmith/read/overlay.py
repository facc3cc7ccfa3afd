"""Texts that are read instead of files: what fixes have made of them and nobody has written yet.

Whatever reads sources, manifests or settings opens them by `opened` (never by `open`: fixes are made in rounds, and a
later round must see what the earlier ones made). Within `with Overlay()` every file is read once:
later readings in the same thread get what the first one saw, or the text that was laid over it since. So what several
rounds of fixes say of places, and what is compared before anything is written, is about one and the same state.
"""

from __future__ import annotations

import os
from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO, Self

__all__ = ["Overlay", "covers", "opened", "text_of"]

_MAX_KEPT = 64 << 20  # bytes; what is bigger is nothing that anyone edits
_laid: ContextVar[Overlay | None] = ContextVar("laid", default=None)


class Overlay:
    """`seen` is what was read, `texts` what is to be read instead; both by the file's real path."""

    __slots__ = ("_token", "seen", "texts")

    def __init__(self) -> None:
        self.seen: dict[str, bytes] = {}
        self.texts: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self._token = _laid.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _laid.reset(self._token)


def covers() -> bool:
    """Whether readings are kept or covered here: then what a cache knows of the files on disk does not hold."""
    return _laid.get() is not None


def opened(path: str) -> BinaryIO:
    """The file as bytes, or what is laid over it."""
    overlay = _laid.get()
    if overlay is None:
        return open(path, "rb")
    return _kept(overlay, path)


def _kept(overlay: Overlay, path: str) -> BinaryIO:
    from io import BytesIO
    from stat import S_ISREG

    real = os.path.realpath(path)
    found = overlay.texts.get(real)
    if found is None:
        found = overlay.seen.get(real)
    if found is None:
        file = open(path, "rb")  # noqa: SIM115 - handed to the caller when it is not kept
        state = os.fstat(file.fileno())
        if not S_ISREG(state.st_mode) or state.st_size > _MAX_KEPT:
            return file
        with file:
            found = overlay.seen[real] = file.read()
    return BytesIO(found)


def text_of(path: str, limit: int) -> str:
    """At most `limit` bytes of it as text, with `\\n` at the ends of lines; what is not UTF-8 is replaced."""
    with opened(path) as file:
        return file.read(limit).decode("utf-8", "replace").replace("\r\n", "\n")
