"""Security hooks: what each returns and whether its programs may sleep."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import frozen, index, rows
from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator


class LsmHook(Row):
    """One hook. `result`: `int` (0 or a negative errno), `bool` (0 or 1) or `void` (nothing; any value is taken);
    `sleepable`: a sleepable program may attach; `disabled`: BPF programs may not (since the versions in `source`);
    `kernels`: the kernels whose sources list it, of those read."""

    __slots__ = ("disabled", "kernels", "result", "sleepable")
    kind = "security hook"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.result: str
        self.sleepable: bool
        self.disabled: bool
        self.kernels: tuple[str, ...]
        self.name, self.result, self.sleepable, self.disabled, self.kernels, self.source = row
        self.since = self.commit = ""

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "security hook", self.name
        yield "returns", {"int": "0 or a negative errno", "bool": "0 or 1"}.get(self.result, "nothing")
        yield "sleepable", "yes" if self.sleepable else ""
        yield "BPF", "programs may not attach" if self.disabled else ""
        yield "seen in", ", ".join(self.kernels)


@cache
def _at(position: int) -> LsmHook:
    return LsmHook(frozen(rows("lsm_hooks")[position]))


def get(name: str) -> LsmHook | None:
    """By hook name as in `lsm/file_open`; `bpf_lsm_` may stand before it."""
    position = index("lsm_hooks", 0).get(name.removeprefix("bpf_lsm_"))
    return None if position is None else _at(position)


def all() -> tuple[LsmHook, ...]:  # noqa: A001 - read as `facts.lsm_hooks.all()`
    return tuple(_at(position) for position in range(len(rows("lsm_hooks"))))
