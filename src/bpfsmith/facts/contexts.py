"""Contexts: the structures programs get, and how each field may be read and written."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import frozen, rows
from ._row import Row, series_key

if TYPE_CHECKING:
    from collections.abc import Iterator


class Access:
    """One way a field is used: in `program_type`, attached as one of `attach_types` (empty: as any); `steps`: (kernel
    from which on it was seen so, widths), oldest first. Widths: `r124 w4` = read with 1, 2 or 4 bytes, written with
    4."""

    __slots__ = ("attach_types", "program_type", "steps")

    def __init__(self, word: str, attach: tuple[str, ...], steps: tuple[tuple[str, str], ...]) -> None:
        self.program_type = word
        self.attach_types = attach
        self.steps = steps

    def at(self, series: str = "") -> str:
        """The widths on a kernel of that series (the newest asked when left out); "" = not at all."""
        found = ""
        for first, widths in self.steps:
            if not series or series_key(first) <= series_key(series):
                found = widths
        return found


class Field(Row):
    """One field: `struct`, `name`, `offset` and `size` in bytes, `uses`. Elements of an array that are used alike are
    one row, `remote_ip6[0-3]`."""

    __slots__ = ("offset", "size", "struct", "uses")
    kind = "context field"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.struct: str
        self.offset: int
        self.size: int
        self.struct, self.name, self.offset, self.size, self.since, uses, self.source = row
        self.commit = ""
        self.uses = tuple(Access(word, attach, steps) for places, steps in uses for word, attach in places)

    def access(self, program_type: str, attach_type: str | None = None, series: str = "") -> str:
        """Widths as `Access.at` tells them, of that program type (attached so)."""
        found = [
            one.at(series)
            for one in self.uses
            if one.program_type == program_type
            and (attach_type is None or not one.attach_types or attach_type in one.attach_types)
        ]
        return max(found, key=len, default="")

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "context field", f"{self.struct}.{self.name} (offset {self.offset}, {self.size} bytes)"
        for one in self.uses:
            where = one.program_type + (f" ({', '.join(one.attach_types)})" if one.attach_types else "")
            first, *later = one.steps
            text = words(first[1])
            for series, widths in later:
                text += f"; on {series}: {words(widths)}"
            yield where, text


class Context(Row):
    """One structure: `program_types` that get it, `fields_` in order."""

    __slots__ = ("fields_", "program_types")
    kind = "context"

    def __init__(self, name: str, fields: tuple[Field, ...]) -> None:
        self.name = name
        self.since = self.commit = ""
        self.source = fields[0].source
        self.fields_ = fields
        self.program_types = tuple(dict.fromkeys(use.program_type for field in fields for use in field.uses))

    def field(self, name: str) -> Field | None:
        return next((one for one in self.fields_ if one.name == name or one.name.partition("[")[0] == name), None)

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "context", f"struct {self.name}"
        yield "program types", ", ".join(self.program_types)
        for field in self.fields_:
            widths = {use.at() for use in field.uses}
            text = " or ".join(sorted(words(one) for one in widths if one)) or "not used"
            since = f"; since {field.since}" if field.since else ""
            yield f"{field.name} at {field.offset}", f"{text}{since}"


def words(widths: str) -> str:
    """`r124 w4` -> `read by 1, 2, 4 bytes, written by 4`."""
    verbs = {"r": "read", "w": "written"}
    parts = [f"{verbs[one[0]]} by {', '.join(one[1:])}" for one in widths.split()]
    unit = "byte" if {one[1:] for one in widths.split()} == {"1"} else "bytes"
    return f"{', '.join(parts)} {unit}" if parts else "neither read nor written"


@cache
def all() -> tuple[Context, ...]:  # noqa: A001 - read as `facts.contexts.all()`
    found: dict[str, list[Field]] = {}
    for row in rows("contexts"):
        found.setdefault(row[0], []).append(Field(frozen(row)))
    return tuple(Context(name, tuple(fields)) for name, fields in found.items())


def get(name: str) -> Context | None:
    """By the structure's name (`__sk_buff`, `struct xdp_md`)."""
    bare = name.removeprefix("struct ").rstrip(" *")
    return next((one for one in all() if one.name == bare), None)


def field(name: str) -> Field | None:
    """By structure and field: `__sk_buff.mark`."""
    struct, _, rest = name.removeprefix("struct ").partition(".")
    found = get(struct) if rest else None
    return found.field(rest) if found is not None else None
