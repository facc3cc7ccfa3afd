"""What real kernels answered when they were asked for every row of the facts: `./dev facts` asks, in guests of the lab.

from bpfsmith.facts import seen
[kernel.package for kernel in seen.kernels()]            # "5.10.262-1", ...
seen.of("helper", "bpf_loop").first()                    # "6.1": the oldest kernel asked that has it
seen.of("helper", "bpf_loop").states("xdp")              # {"5.10": "absent", "6.1": "present", ...}
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import rows, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._row import Row

STATES = {
    "+": "present", "-": "absent", "b": "backport", "c": "config", "w": "withdrawn", "?": "unasked",
    "!": "contradicted",
}  # fmt: skip
_THERE = "+b"


class SeenKernel:
    """A kernel that was asked: `series`, `release`, `package` (its version), `arch`, `date` (day, ISO)."""

    __slots__ = ("arch", "date", "package", "release", "series")

    def __init__(self, row: list[str]) -> None:
        self.series, self.release, self.package, self.arch, self.date = row

    def __repr__(self) -> str:
        return f"<SeenKernel {self.release}>"


class Seen:
    """What the kernels said about one row. `groups`: (a state's letter per kernel, the program or map types it holds
    for; "" = the row itself); `without`: kernel -> the option it was built without, as `CONFIG_X=n`."""

    __slots__ = ("groups", "kind", "name", "without")

    def __init__(self, row: list[Any]) -> None:
        self.kind: str = row[0]
        self.name: str = row[1]
        self.groups: tuple[tuple[str, tuple[str, ...]], ...] = tuple((text, tuple(words)) for text, words in row[2])
        self.without: dict[str, str] = dict(row[3])

    def states(self, where: str | None = None) -> dict[str, str]:
        """Series -> `present`, `absent`, `backport` (there before the first kernel claimed), `config` (built without an
        option it needs), `withdrawn` (refused by a later release), `unasked`. `where`: one type; None: any of them."""
        out: dict[str, str] = {}
        for at, kernel in enumerate(kernels()):
            letters = [text[at] for text, words in self.groups if where is None or where in words]
            best = min(letters, key="+bwc?!-".index, default="-")
            out[kernel.series] = STATES[best]
        return out

    def first(self, where: str | None = None) -> str:
        """The oldest kernel asked that has it; "" = none."""
        found = self.states(where)
        return next((series for series, state in found.items() if state in ("present", "backport")), "")

    def there(self, series: str) -> tuple[str, ...]:
        """The types it was there for on that kernel."""
        at = [kernel.series for kernel in kernels()].index(series)
        return tuple(sorted(word for text, words in self.groups if text[at] in _THERE for word in words))

    def fields(self, since: str) -> Iterator[tuple[str, str]]:
        """(label, text) pairs for an explanation of a row that is claimed `since`."""
        states = self.states()
        asked = kernels()
        if asked:
            first = self.first()
            yield "seen", f"first seen here: {first}" if first else f"on none of {', '.join(states)}"
        for kernel in asked:
            state = states[kernel.series]
            if state == "backport" and since:
                yield f"on {kernel.series}", f"there before {since}: a backport in package {kernel.package}"
            elif state in ("config", "absent") and kernel.series in self.without:
                yield f"on {kernel.series}", f"not there: built with {self.without[kernel.series]}"
            elif state == "withdrawn":
                yield f"on {kernel.series}", f"not there: package {kernel.package} has it no more"
            elif state == "unasked":
                yield f"on {kernel.series}", "cannot be asked"
        yield from self._types()

    def _types(self) -> Iterator[tuple[str, str]]:
        """Program types kernel by kernel, where they are not the same as on the one before."""
        if all(words == ("",) for _, words in self.groups):
            return
        before: tuple[str, ...] = ()
        what = "map types" if self.kind == "flag" else "program types"
        for kernel in kernels():
            now = self.there(kernel.series)
            if now == before:
                continue
            more, less = [word for word in now if word not in before], [word for word in before if word not in now]
            text = ", ".join(now) or "none"
            if before and len(more) + len(less) < len(now):
                text = "; ".join(
                    ([f"also {', '.join(more)}"] if more else []) + ([f"no more {', '.join(less)}"] if less else [])
                )
            yield f"{what} seen on {kernel.series}", text
            before = now
        for text, words in self.groups:
            for at, letter in enumerate(text):
                if letter == "b" and words != ("",):
                    yield f"backport in {kernels()[at].package}", ", ".join(sorted(words))
                if letter == "w":
                    yield f"withdrawn in {kernels()[at].package}", ", ".join(sorted(words))

    def __repr__(self) -> str:
        return f"<Seen {self.kind} {self.name}: {self.states()}>"


@cache
def kernels() -> tuple[SeenKernel, ...]:
    """The kernels asked, oldest first."""
    return tuple(SeenKernel(row) for row in table("seen")["kernels"])


@cache
def _index() -> dict[tuple[str, str], int]:
    return {(row[0], row[1]): at for at, row in enumerate(rows("seen"))}


@cache
def of(kind: str, name: str) -> Seen | None:
    """By `Row.kind` and name; None: no kernel asked has it, or the kind is not one kernels can be asked for."""
    at = _index().get((kind, name))
    return None if at is None else Seen(rows("seen")[at])


def of_row(row: Row) -> Seen | None:
    """What was seen of a row, by its kind and name; a field of a context by its structure too."""
    struct = getattr(row, "struct", "")
    if struct:
        return of(row.kind, f"{struct}.{row.name.partition('[')[0]}")
    return of(row.kind, row.name)


def document(row: Row) -> dict[str, Any]:
    """For JSON: `{"since","seen":[{"kernel","release","package","date","state","without","types"}]}`; `types` is null
    where the row is not narrowed by program or map types."""
    found = of_row(row)
    told = []
    for kernel in kernels() if found is not None else ():
        assert found is not None
        narrowed = any(words != ("",) for _, words in found.groups)
        told.append(
            {
                "kernel": kernel.series, "release": kernel.release, "package": kernel.package, "date": kernel.date,
                "state": found.states()[kernel.series], "without": found.without.get(kernel.series),
                "types": list(found.there(kernel.series)) if narrowed else None,
            }
        )  # fmt: skip
    return {"since": row.since or None, "seen": told}
