"""Texts that are read instead of files: what fixes have made of them and nobody has written yet.

Whatever reads sources, manifests or settings opens them by `opened`. Within `laid(texts)` it gets those texts, in the
same thread and what it awaits; outside, and for all other paths, the file.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import BinaryIO

__all__ = ["covers", "laid", "opened", "text_of"]

_NOTHING: Mapping[str, bytes] = {}
_laid: ContextVar[Mapping[str, bytes]] = ContextVar("laid", default=_NOTHING)


class laid:  # noqa: N801 - used as `with laid(texts):`
    """Lays texts over files, by absolute path. The mapping is kept, so that it may grow inside."""

    __slots__ = ("_texts", "_token")

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self._texts = texts

    def __enter__(self) -> None:
        self._token = _laid.set(self._texts)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _laid.reset(self._token)


def covers() -> bool:
    """Whether any file is covered: then what is known of files on disk (a cache) does not hold."""
    return bool(_laid.get())


def opened(path: str) -> BinaryIO:
    """The file as bytes, or what is laid over it."""
    texts = _laid.get()
    if texts:
        from os.path import abspath

        found = texts.get(abspath(path))
        if found is not None:
            from io import BytesIO

            return BytesIO(found)
    return open(path, "rb")


def text_of(path: str, limit: int) -> str:
    """At most `limit` bytes of it as text, with `\\n` at the ends of lines; what is not UTF-8 is replaced."""
    with opened(path) as file:
        return file.read(limit).decode("utf-8", "replace").replace("\r\n", "\n")
