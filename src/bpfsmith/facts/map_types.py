"""Map types: shape rules, flags, who may use them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import frozen, index, rows
from ._row import Row, later

if TYPE_CHECKING:
    from collections.abc import Iterator


class MapType(Row):
    """One map type. `key`, `value`, `entries`: `any`, a byte count, or words saying what is legal (`key_size` and
    `value_size` give the count where exactly one is legal); `per_cpu`: one value per possible CPU, at most `value_max`
    bytes; `flags`: creation flags it takes; `required`: those it needs; `programs`: the only program types that may
    use it (empty: all); `helpers`: those that work on it."""

    __slots__ = (
        "entries", "flags", "helpers", "kernel_name", "key", "needs_btf", "number", "per_cpu", "programs", "required",
        "value", "value_max", "what",
    )  # fmt: skip
    kind = "map type"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.number: int
        self.kernel_name: str
        self.what: str
        self.key: str
        self.value: str
        self.entries: str
        self.per_cpu: bool
        self.value_max: int
        self.flags: tuple[str, ...]
        self.required: tuple[str, ...]
        self.needs_btf: bool
        self.programs: tuple[str, ...]
        self.helpers: tuple[str, ...]
        (self.number, self.name, self.kernel_name, self.since, self.commit, self.what, self.key, self.value,
         self.entries, self.per_cpu, self.value_max, self.flags, self.required, self.needs_btf, self.programs,
         self.helpers, self.source) = row  # fmt: skip

    @property
    def key_size(self) -> int | None:
        return int(self.key) if self.key.isdigit() else None

    @property
    def value_size(self) -> int | None:
        return int(self.value) if self.value.isdigit() else None

    def flag_since(self, name: str) -> str | None:
        """First series in which such a map may be made with that flag; None: never."""
        from .flags import get as flag

        row = flag(name)
        if row is None or name not in self.flags:
            return None
        return later(self.since, row.since)

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "map type", f"{self.name} ({self.kernel_name}, number {self.number})"
        yield "what", self.what
        yield "key", self.key if self.key == "any" or not self.key.isdigit() else f"{self.key} bytes"
        yield "value", self.value if self.value == "any" or not self.value.isdigit() else f"{self.value} bytes"
        yield "entries", self.entries
        yield "per CPU", f"yes, a value of at most {self.value_max} bytes" if self.per_cpu else ""
        yield "flags", ", ".join(f + (" (required)" if f in self.required else "") for f in self.flags)
        yield "BTF", "key and value types needed" if self.needs_btf else ""
        yield "program types", ", ".join(self.programs)
        yield "helpers", ", ".join(self.helpers)


@cache
def _at(position: int) -> MapType:
    return MapType(frozen(rows("map_types")[position]))


def get(key: str | int) -> MapType | None:
    """By libbpf's word (`percpu_array`), kernel name (`BPF_MAP_TYPE_PERCPU_ARRAY`) or number."""
    position = index("map_types", 0, 1, 2).get(key)
    return None if position is None else _at(position)


def all() -> tuple[MapType, ...]:  # noqa: A001 - read as `facts.map_types.all()`
    """Every map type by number."""
    return tuple(_at(position) for position in range(len(rows("map_types"))))
