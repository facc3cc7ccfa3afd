"""Section names: what libbpf 1.7 and aya make of them.

libbpf takes the first row of its table that fits: `name` exactly, `name+` alone or followed by `/` and more, `name/`
only followed by more. A leading `?` means the program is not loaded by default. aya splits at `/` and looks at the
first part or two; what follows is free, except after `xdp` and `sk_reuseport`, and it knows no `?`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import table
from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = frozenset({"libbpf", "aya"})


class Section(Row):
    """One section name as matched.

    `program_type`, `attach_type`: libbpf's words; `attach_type` is what the loader declares as expected attach type,
    None where its row declares none (`cgroup_skb/ingress` declares `cgroup_inet_ingress` though its number is 0).
    `attach_to`: what stands behind the pattern (`do_unlinkat` in `kprobe/do_unlinkat`), else None.
    `loaders`: which of `libbpf` and `aya` know the name; where both do, types are libbpf's.
    `aya_since`: first aya-obj release that knows it ("" = none). `autoload`: False for `?name`.
    `flags`: libbpf's words (`sleepable`, `xdp_frags`, `usdt`, `attach_btf`, `attachable`, `attachable_opt`)."""

    __slots__ = ("attach_to", "attach_type", "autoload", "aya_since", "flags", "loaders", "pattern", "program_type")
    kind = "section"

    def __init__(self, name: str, row: list[Any], loaders: frozenset[str], aya_since: str, autoload: bool) -> None:
        self.name = name
        self.pattern: str = row[0]
        self.program_type: str = row[1]
        self.attach_type: str | None = row[2] or None
        self.flags: tuple[str, ...] = tuple(row[3])
        self.loaders = loaders
        self.aya_since = aya_since
        self.autoload = autoload
        rest = name.removeprefix("?")[len(self.pattern.rstrip("+/")) + 1 :]
        self.attach_to: str | None = rest or None
        self.since = self.commit = ""
        self.source = "; ".join(
            ([f"libbpf 1.7, `{self.pattern}`"] if "libbpf" in loaders else [])
            + ([f"aya-obj {aya_since} and later"] if "aya" in loaders else [])
        )

    @property
    def sleepable(self) -> bool:
        return "sleepable" in self.flags

    @property
    def xdp_frags(self) -> bool:
        return "xdp_frags" in self.flags

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "section", self.name
        yield "program type", self.program_type
        yield "attach type", self.attach_type or ""
        yield "attaches to", self.attach_to or ""
        yield "loaders", ", ".join(sorted(self.loaders, reverse=True))
        yield "sleepable", "yes" if self.sleepable else ""
        yield "loaded", "" if self.autoload else "only when asked for"


_Rows = dict[str, tuple[int, list[Any]]]


def _split(rows: list[list[Any]]) -> tuple[_Rows, _Rows, _Rows]:
    """Rows by exact name, by name that may stand alone or before `/`, by name that must stand before `/`."""
    exact: _Rows = {}
    open_ended: _Rows = {}
    longer: _Rows = {}
    for index, row in enumerate(rows):
        pattern: str = row[0]
        table = open_ended if pattern.endswith("+") else longer if pattern.endswith("/") else exact
        table.setdefault(pattern.rstrip("+/"), (index, row))
    return exact, open_ended, longer


@cache
def _tables() -> tuple[tuple[_Rows, _Rows, _Rows], tuple[_Rows, _Rows, _Rows]]:
    return _split(table("sections")["libbpf"]), _split(table("sections")["aya"])


def _find(name: str, tables: tuple[_Rows, _Rows, _Rows]) -> list[Any] | None:
    exact, open_ended, longer = tables
    found = [table[name] for table in (exact, open_ended) if name in table]
    at = name.find("/")
    while at >= 0:
        found += [table[name[:at]] for table in (open_ended, longer) if name[:at] in table]
        at = name.find("/", at + 1)
    return min(found)[1] if found else None


def match(name: str) -> Section | None:
    """What loaders make of that section name; None: neither knows it."""
    libbpf, aya = _tables()
    bare = name.removeprefix("?")
    autoload = bare == name
    ours = _find(bare, libbpf)
    theirs = _find(name, aya)
    if ours is not None:
        loaders = BOTH if theirs is not None else frozenset({"libbpf"})
        return Section(name, ours, loaders, theirs[4] if theirs is not None else "", autoload)
    if theirs is not None:
        return Section(name, theirs, frozenset({"aya"}), theirs[4], True)
    return None


def patterns(program_type: str) -> tuple[str, ...]:
    """libbpf's patterns for a program type in table order, then those only aya has."""
    own, theirs = ([row[0] for row in table("sections")[part] if row[1] == program_type] for part in ("libbpf", "aya"))
    bare = {pattern.rstrip("+/") for pattern in own}
    return (*own, *(pattern for pattern in theirs if pattern.rstrip("+/") not in bare))


@cache
def all() -> tuple[Section, ...]:  # noqa: A001 - read as `facts.sections.all()`
    """Every pattern as the shortest name it fits, libbpf's first."""
    names = dict.fromkeys(row[0].rstrip("+/") for part in ("libbpf", "aya") for row in table("sections")[part])
    return tuple(found for name in names if (found := match(name)) is not None)
