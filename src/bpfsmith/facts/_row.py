"""What all fact rows share."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def series_key(series: str) -> tuple[int, int]:
    """Orders kernel series: `5.9` before `5.10`. The empty series (not known) comes first."""
    major, _, minor = series.partition(".")
    return int(major or 0), int(minor or 0)


def later(first: str, second: str) -> str:
    return first if series_key(first) >= series_key(second) else second


class Row:
    """One fact: `name` as users write it, `since` its first kernel series, `commit` (12 digits, may be empty) and
    `source`, the provenance in words. `fields()` serves renderers."""

    __slots__ = ("commit", "name", "since", "source")
    kind = "fact"
    name: str
    since: str
    commit: str
    source: str

    def fields(self) -> Iterator[tuple[str, str]]:
        """(label, text) pairs in reading order, empty ones left out."""
        for label, text in self._fields():
            if text:
                yield label, text
        if self.since:
            yield "since", f"Linux {self.since}" + (f" ({self.commit})" if self.commit else "")
        yield "source", self.source

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "name", self.name

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"
