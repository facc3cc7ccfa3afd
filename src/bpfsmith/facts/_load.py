"""Reads the generated tables. They are JSON and not Python: quick to read even where no byte code may be cached."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def table(name: str) -> dict[str, list[list[Any]]]:
    """The parts of one generated table by name (`rows` is always there)."""
    from json import loads
    from os.path import dirname, join

    # Importing pathlib would cost more than the reading.
    with open(join(dirname(__file__), "_generated", f"{name}.json"), "rb") as file:
        parts: dict[str, list[list[Any]]] = loads(file.read())
    return parts


def rows(name: str) -> list[list[Any]]:
    return table(name)["rows"]


@cache
def index(name: str, *columns: int) -> dict[str | int, int]:
    """Value in one of those columns -> position of its row."""
    return {row[column]: at for at, row in enumerate(rows(name)) for column in columns}


def frozen(value: Any) -> Any:
    """Nested lists as tuples."""
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value
