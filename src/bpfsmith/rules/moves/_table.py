"""What a row of the table of moves is: one thing of Aya's interface that a release took away, renamed or changed.

A row says what moved (`item`), on which `side`, in which `crate`, the `last` release that has the old form and the
`first` without it, how the old form is found (`match`, see `_match.py`) and what is written instead (`edits`, tried in
order, see `_edit.py`). The rest is its page.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Protocol

    from bpfsmith.model.finding import Fix
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._rust import Mention
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile

    class Match(Protocol):
        """A kind of match; `words` are identifiers without one of which nothing can be found."""

        @property
        def words(self) -> tuple[str, ...]: ...

        def find(self, row: Row, project: Project) -> Iterator[Hit]: ...

    EditKind = Callable[["Hit", CheckContext], Fix | None]

__all__ = ["Hit", "Row", "crates", "files", "known"]

_ROLES = {"kernel": ("kernel",), "user": (), "any": ()}


class Hit:
    """One old form in a file: `start`..`end` is shown; `words` fill the row's message, `expr` is what edits work on."""

    __slots__ = ("crate", "end", "expr", "file", "follows", "item", "places", "program", "start", "words")

    def __init__(
        self,
        file: SourceFile | None,
        start: int,
        end: int,
        *,
        expr: Expr | None = None,
        item: Item | None = None,
        places: Iterable[Mention] = (),
        words: dict[str, str] | None = None,
        program: str | None = None,
        crate: Crate | None = None,
        follows: bool = False,
    ) -> None:
        self.file = file
        self.start = start
        self.end = end
        self.expr = expr
        self.item = item
        self.places = tuple(places)  # all mentions that one fix edits together
        self.words = words or {}
        self.program = program
        self.crate = crate if crate is not None else file.crate if file is not None else None
        self.follows = follows  # the fix of an earlier hit edits this one too


class Row:
    """One row of the table, with its page. `before`: the release from which on another row speaks of it."""

    __slots__ = (
        "before", "code", "crate", "edits", "first", "fix", "found", "group", "item", "kernels", "last", "match",
        "message", "name", "new", "old", "phase", "replacement", "severity", "side", "source", "summary", "supersedes",
        "why",
    )  # fmt: skip

    def __init__(
        self,
        code: str,
        name: str,
        summary: str,
        *,
        item: str,
        side: str,
        crate: str,
        last: str,
        first: str,
        replacement: str,
        match: Match,
        edits: tuple[EditKind, ...],
        message: str,
        found: str,
        why: str,
        old: str,
        new: str,
        fix: str,
        source: str,
        severity: str = "error",
        group: str = "aya-version",
        phase: str = "compile",
        kernels: str = "All.",
        before: str = "",
        supersedes: tuple[str, ...] = (),
    ) -> None:
        self.code = code
        self.name = name
        self.summary = summary
        self.item = item
        self.side = side
        self.crate = crate
        self.last = last
        self.first = first
        self.replacement = replacement
        self.match = match
        self.edits = edits
        self.message = message
        self.found = found
        self.why = why
        self.old = old
        self.new = new
        self.fix = fix
        self.source = source
        self.severity = severity
        self.group = group
        self.phase = phase
        self.kernels = kernels
        self.before = before
        self.supersedes = supersedes

    def __repr__(self) -> str:
        return f"Row({self.code} {self.item})"

    @property
    def since(self) -> str:
        """In words: who has the old form and who has not."""
        if not self.first:
            until = f"before {self.before}" if self.before else "in every release"
            return f"Concerns {self.crate} {until}."
        had = f"{self.crate} {self.last} has it, " if self.last else ""
        seen = f" To see it, run `cargo check` with {self.crate} {self.first}." if self.phase == "compile" else ""
        return f"Moved: {had}{self.crate} {self.first} has `{self.replacement}` instead.{seen}"

    def page(self) -> str:
        """The rule's page, as the docstring of a rule's own file is."""
        kind = "rust" if any(one in self.old for one in ";(#") else "toml"
        parts = [
            self.summary,
            f"## What it does\n{self.found}",
            f"## Why is this bad\n{self.why}\n\n{self.since}",
            f"## Example\n```{kind}\n{self.old.strip()}\n```",
            f"## Use instead\n```{kind}\n{self.new.strip()}\n```",
            f"## Fix\n{self.fix}",
            f"## Kernels\n{self.kernels}",
            f"## Source\n{self.source}",
        ]
        return "\n\n".join(parts) + "\n"


_OLD_NAMES = {"aya-ebpf": "aya-bpf"}


def known(project: Project, crate: Crate, package: str, first: str, before: str = "") -> bool:
    """Whether a crate's `package` is certainly `first` or newer (and older than `before`); with a target version, that
    is what counts."""
    if before and not crate.below(package, before):
        return False
    if not first:
        return crate.dependency(package) is not None or crate.dependency(_OLD_NAMES.get(package, package)) is not None
    if crate.at_least(package, first):
        return True
    # A crate that still depends on aya-bpf has no version of aya-ebpf yet, but it is to get one.
    target = getattr(project, "target", None)
    old = _OLD_NAMES.get(package)
    if not target or old is None or package not in target or crate.dependency(old) is None:
        return False
    from bpfsmith.source.versions import parse_version

    wanted, asked = parse_version(first), parse_version(target[package])
    return wanted is not None and asked is not None and asked >= wanted


def crates(row: Row, project: Project) -> Iterator[Crate]:
    """The crates that a row is about, in which its old form is certainly gone."""
    for crate in project.crates:
        roles = _ROLES[row.side]
        packages = row.crate.split(" or ")
        if (not roles or crate.role in roles) and any(
            known(project, crate, one, row.first, row.before) for one in packages
        ):
            yield crate


def files(row: Row, project: Project) -> Iterator[SourceFile]:
    """The files of those crates."""
    for crate in crates(row, project):
        yield from crate.files
