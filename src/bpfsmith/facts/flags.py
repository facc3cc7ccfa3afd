"""Map creation flags and program load flags."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import frozen, rows
from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator


class Flag(Row):
    """One flag. `scope`: `map` (creation) or `prog` (load); `map_types`: map types that take it."""

    __slots__ = ("map_types", "scope", "value", "what")
    kind = "flag"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.scope: str
        self.value: int
        self.what: str
        self.map_types: tuple[str, ...]
        self.scope, self.name, self.value, self.since, self.commit, self.what, self.map_types, self.source = row

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield f"{self.scope} flag", f"{self.name} (0x{self.value:x})"
        yield "what", self.what
        yield "map types", ", ".join(self.map_types)


@cache
def all(scope: str = "") -> tuple[Flag, ...]:  # noqa: A001 - read as `facts.flags.all()`
    """Every flag, of `map` or `prog` or both."""
    return tuple(Flag(frozen(row)) for row in rows("flags") if scope in ("", row[0]))


def get(name: str) -> Flag | None:
    return next((flag for flag in all() if flag.name == name), None)


def of(scope: str, value: int) -> tuple[list[Flag], int]:
    """The flags set in `value`, and the bits no flag is known for."""
    found = [flag for flag in all(scope) if value & flag.value]
    rest = value
    for flag in found:
        rest &= ~flag.value
    return found, rest
