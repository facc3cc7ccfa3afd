"""Instruction and program features by the words the native core reports them with."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import rows
from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator


class Feature(Row):
    """One feature a program can need: `name`, `what` it is."""

    __slots__ = ("what",)
    kind = "feature"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.what: str
        self.name, self.since, self.commit, self.what, self.source = row

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "feature", self.name
        yield "what", self.what


@cache
def _index() -> dict[str, Feature]:
    return {row[0]: Feature(tuple(row)) for row in rows("features")}


def get(name: str) -> Feature | None:
    return _index().get(name)


def all() -> tuple[Feature, ...]:  # noqa: A001 - read as `facts.insn_features.all()`
    return tuple(_index().values())
