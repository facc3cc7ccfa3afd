"""Reads objects while others are looked at: reading uses all cores and leaves Python alone."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.model.object import Object

__all__ = ["objects"]

# Objects read and analysed at once; twice as many are held at most. More only costs memory.
_BATCH = 32


def objects(paths: list[str]) -> Iterator[tuple[str, Object | BpfsmithError]]:
    """Each path in order, with its object, linked and analysed, or with what is wrong with it."""
    from bpfsmith.read import read_many

    if len(paths) <= _BATCH:
        yield from zip(paths, read_many(paths, analyse=len(paths) > 1), strict=True)
        return
    ahead = _Reading(paths[:_BATCH])
    for start in range(_BATCH, len(paths) + _BATCH, _BATCH):
        batch, read = ahead.result()
        ahead = _Reading(paths[start : start + _BATCH])
        yield from zip(batch, read, strict=True)


class _Reading:
    """One batch, being read in a thread of its own."""

    def __init__(self, paths: list[str]) -> None:
        from threading import Thread

        self._paths = paths
        self._read: list[Object | BpfsmithError] = []
        self._error: BaseException | None = None
        # No daemon: Python may not end under native code that is about to come back to it.
        self._thread = Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        from bpfsmith.read import read_many

        try:
            self._read = read_many(self._paths, analyse=True)
        except BaseException as error:
            self._error = error

    def result(self) -> tuple[list[str], list[Object | BpfsmithError]]:
        """Waits for it."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._paths, self._read
