"""Helpers: number, first kernel, licence, where they may be called."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import frozen, index, rows, table
from ._row import Row, later

if TYPE_CHECKING:
    from collections.abc import Iterator


class Limit:
    """What a program type's permission asks for beside the type: attach types (`only`, `never`), a sleepable program,
    a capability of the loader. Empty fields ask for nothing."""

    __slots__ = ("capability", "never", "only", "sleepable")

    def __init__(self, only: tuple[str, ...], never: tuple[str, ...], sleepable: bool, capability: str) -> None:
        self.only = only
        self.never = never
        self.sleepable = sleepable
        self.capability = capability


class Helper(Row):
    """One helper. `gpl_only`: needs a GPL-compatible licence (in every program type unless `gpl_only_in` says
    otherwise); `moves_packet`: packet pointers are invalid after the call; `sleeps`: sleepable programs only."""

    __slots__ = (
        "_bounds",
        "_limits",
        "_programs",
        "arguments",
        "gpl_only",
        "gpl_types",
        "moves_packet",
        "number",
        "returns",
        "sleeps",
    )
    kind = "helper"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.number: int
        self.arguments: tuple[str, ...]
        self.returns: str
        self.gpl_types: tuple[str, ...]
        (self.number, self.name, self.since, self.commit, bits, self.gpl_types, self.arguments, self.returns,
         programs, self._limits, self._bounds, self.source) = row  # fmt: skip
        self.gpl_only = bool(bits & 1)
        self.moves_packet = bool(bits & 2)
        self.sleeps = bool(bits & 4)
        self._programs: tuple[tuple[str, str], ...] = frozen(table("helpers")["programs"][programs])

    @property
    def program_types(self) -> dict[str, str]:
        """Program type -> first series in which that type may call it. `ext` programs follow their target."""
        return dict(self._programs)

    def since_in(self, program_type: str) -> str | None:
        """First series in which `program_type` may call it; None: never seen allowed."""
        for word, since in self._programs:
            if word == program_type:
                return since
        return None

    def known_in(self, program_type: str) -> str | None:
        """First series whose source was read and shows the permission. Later than `since_in` where the commit that
        gave it is not known: then `since_in` is the earliest it can be."""
        for words, by in self._bounds:
            if program_type in words:
                return str(by)
        return self.since_in(program_type)

    def gpl_only_in(self, program_type: str) -> bool:
        return self.gpl_only and (not self.gpl_types or program_type in self.gpl_types)

    def limit(self, program_type: str) -> Limit | None:
        for words, only, never, sleepable, capability in self._limits:
            if program_type in words:
                return Limit(only, never, sleepable, capability)
        return None

    def allowed(self, program_type: str, attach_type: str | None = None, sleepable: bool | None = None) -> bool:
        """Whether any known kernel lets such a program call it. Unknown attach type or sleepability (None) counts as
        fitting; `ext` takes what its target takes, so everything is possible."""
        if program_type == "ext":
            return True
        if self.since_in(program_type) is None or (sleepable is False and self.sleeps):
            return False
        limit = self.limit(program_type)
        if limit is None:
            return True
        if sleepable is False and limit.sleepable:
            return False
        fits = attach_type not in limit.never and (not limit.only or attach_type in limit.only)
        return attach_type is None or fits

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "helper", f"{self.name} (number {self.number})"
        yield "arguments", ", ".join(self.arguments) or "none"
        yield "returns", self.returns
        if self.gpl_only:
            yield "licence", "GPL-compatible only" + (f" in {', '.join(self.gpl_types)}" if self.gpl_types else "")
        if self.moves_packet:
            yield "effect", "packet pointers are invalid after the call"
        if self.sleeps:
            yield "context", "sleepable programs only"
        shown = (w if later(self.since, s) == self.since else f"{w} ({s})" for w, s in self._programs)
        yield "program types", ", ".join(shown)


@cache
def _at(position: int) -> Helper:
    return Helper(frozen(rows("helpers")[position]))


def by_id(number: int) -> Helper | None:
    """The helper with that number, 1 to 211."""
    position = index("helpers", 0).get(number)
    return None if position is None else _at(position)


def by_name(name: str) -> Helper | None:
    """The helper of that name; `bpf_` may be left out."""
    names = index("helpers", 1)
    position = names.get(name, names.get(f"bpf_{name}"))
    return None if position is None else _at(position)


def all() -> tuple[Helper, ...]:  # noqa: A001 - read as `facts.helpers.all()`
    """Every helper by number."""
    return tuple(_at(position) for position in range(len(rows("helpers"))))
