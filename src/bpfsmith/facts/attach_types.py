"""Attach types: number, first kernel, which program types declare them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import frozen, index, rows
from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator


class AttachType(Row):
    """One attach type, named as libbpf prints it."""

    __slots__ = ("kernel_name", "number", "program_types")
    kind = "attach type"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.number: int
        self.kernel_name: str
        self.program_types: tuple[str, ...]
        self.number, self.name, self.kernel_name, self.since, self.commit, self.program_types, self.source = row

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "attach type", f"{self.name} ({self.kernel_name}, number {self.number})"
        yield "program types", ", ".join(self.program_types)


@cache
def _at(position: int) -> AttachType:
    return AttachType(frozen(rows("attach_types")[position]))


def get(key: str | int) -> AttachType | None:
    """By libbpf's word (`xdp_devmap`), kernel name (`BPF_XDP_DEVMAP`) or number."""
    position = index("attach_types", 0, 1, 2).get(key)
    return None if position is None else _at(position)


def all() -> tuple[AttachType, ...]:  # noqa: A001 - read as `facts.attach_types.all()`
    """Every attach type by number."""
    return tuple(_at(position) for position in range(len(rows("attach_types"))))
