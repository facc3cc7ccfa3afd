"""Program types: context, kinds, attach types, legal return values."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import frozen, index, rows
from ._row import Row, series_key

if TYPE_CHECKING:
    from collections.abc import Iterator


class ReturnRange:
    """What a program may return where it is attached so.

    `attach`: the attach types meant (empty: all that no other range names); `low`..`high`: the legal values (None:
    any); `enforced`: first series whose verifier rejects others ("" = it takes any value, the kernel decides when it
    runs); `deny`: the legal value that refuses or drops what the program was asked about (None: there is none);
    `values`: meaning of each value (`n` stands for any other); `widened`/`narrow_high`: before the series `widened`
    the highest legal value was `narrow_high`."""

    __slots__ = ("attach", "deny", "enforced", "high", "low", "narrow_high", "source", "values", "widened")

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.attach: tuple[str, ...]
        self.low: int | None
        self.high: int | None
        self.enforced: str
        self.deny: int | None
        self.widened: str
        self.narrow_high: int | None
        self.source: str
        (self.attach, self.low, self.high, self.enforced, self.deny, values, self.widened, self.narrow_high,
         self.source) = row  # fmt: skip
        self.values: dict[int | str, str] = dict(values)

    def legal(self, value: int, series: str = "") -> bool:
        """Whether `value` is in the range (of that series, else of the newest kernel)."""
        if self.low is None or self.high is None:
            return True
        high = self.high
        if series and self.widened and self.narrow_high is not None and series_key(series) < series_key(self.widened):
            high = self.narrow_high
        return self.low <= value <= high

    def rejected(self, value: int, series: str) -> bool:
        """Whether the verifier of `series` refuses a program that returns `value`."""
        if not self.enforced or series_key(series) < series_key(self.enforced):
            return False
        return not self.legal(value, series)

    def meaning(self, value: int) -> str:
        return self.values.get(value) or self.values.get("n", "")

    def describe(self) -> str:
        if self.low is None or self.high is None:
            return "any value"
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


class ProgramType(Row):
    """One program type. `context`: the argument as its users write it; `context_type`: as the kernel declares it;
    `kinds`: `network`, `tracing`, `cgroup`, `security`, `other`; `sleepable`: first series in which such programs may
    sleep ("" = never), with `sleepable_note`; `gpl_required`: every such program needs a GPL-compatible licence."""

    __slots__ = (
        "attach_types", "context", "context_type", "gpl_required", "kernel_name", "kinds", "number", "returns",
        "sleepable", "sleepable_note", "what",
    )  # fmt: skip
    kind = "program type"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.number: int
        self.kernel_name: str
        self.what: str
        self.context: str
        self.context_type: str
        self.kinds: tuple[str, ...]
        self.sleepable: str
        self.sleepable_note: str
        self.gpl_required: bool
        self.attach_types: tuple[str, ...]
        (self.number, self.name, self.kernel_name, self.since, self.commit, self.what, self.context, self.context_type,
         self.kinds, self.sleepable, self.sleepable_note, self.gpl_required, self.attach_types, returns,
         self.source) = row  # fmt: skip
        self.returns: tuple[ReturnRange, ...] = tuple(ReturnRange(r) for r in returns)

    def return_range(self, attach_type: str | None) -> ReturnRange | None:
        """The range for that attach type: the one naming it, else the one for all others, else None (anything)."""
        general = None
        for entry in self.returns:
            if attach_type is not None and attach_type in entry.attach:
                return entry
            if not entry.attach:
                general = entry
        return general

    @property
    def helpers(self) -> tuple[str, ...]:
        """Names of the helpers it may call, by number."""
        from .helpers import all as every

        return tuple(h.name for h in every() if h.since_in(self.name) is not None)

    @property
    def sections(self) -> tuple[str, ...]:
        """Section patterns of libbpf and aya that make such programs."""
        from .sections import patterns

        return patterns(self.name)

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "program type", f"{self.name} ({self.kernel_name}, number {self.number})"
        yield "what", self.what
        yield "context", self.context
        yield "kind", ", ".join(self.kinds)
        for entry in self.returns:
            where = f" at {', '.join(entry.attach)}" if entry.attach else ""
            meanings = "; ".join(f"{value} = {text}" for value, text in entry.values.items())
            checked = f", enforced since {entry.enforced}" if entry.enforced else ""
            yield f"returns{where}", f"{entry.describe()}{checked}: {meanings}"
        yield "attach types", ", ".join(self.attach_types)
        yield "sections", ", ".join(self.sections)
        yield "sleepable", f"{self.sleepable_note}" if self.sleepable else ""
        yield "licence", "GPL-compatible only" if self.gpl_required else ""


@cache
def _at(position: int) -> ProgramType:
    return ProgramType(frozen(rows("program_types")[position]))


def get(key: str | int) -> ProgramType | None:
    """By libbpf's word (`sched_cls`), kernel name (`BPF_PROG_TYPE_SCHED_CLS`) or number."""
    position = index("program_types", 0, 1, 2).get(key)
    return None if position is None else _at(position)


def all() -> tuple[ProgramType, ...]:  # noqa: A001 - read as `facts.program_types.all()`
    """Every program type by number."""
    return tuple(_at(position) for position in range(len(rows("program_types"))))
