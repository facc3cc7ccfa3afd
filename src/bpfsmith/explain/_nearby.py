"""The files a log's lines are of: logs name a file by its last part only, and a folder of sources may have several."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from bpfsmith.verify.explained import Explained

__all__ = ["around", "place", "places"]

FILES = 20_000  # looked at in a folder of sources
QUICKLY = 600  # the same where nobody asked for it
_LEFT_OUT = frozenset(("target", "node_modules", "__pycache__"))


def around() -> str | None:
    """The current folder when it is a Cargo project's."""
    return "." if os.path.isfile("Cargo.toml") else None


def place(programs: Iterable[Explained], folder: str, most: int = FILES) -> None:
    """Gives the places of causes the path of the file that has those lines at those numbers; where none of a name does,
    or several do, they keep what the log says. Looks at `most` files."""
    told = [one for one in programs if one.cause is not None and one.source is None]
    wanted: dict[str, list[Any]] = {}
    for one in told:
        for each in places(one):
            if each.path and each.line and each.text and not os.path.isfile(each.path):
                wanted.setdefault(each.path, []).append(each)
    if not wanted:
        return
    names: dict[str, list[str]] = {os.path.basename(path): [] for path in wanted}
    for path in _files(folder, most):
        found = names.get(os.path.basename(path))
        if found is not None:
            found.append(path)
    for path, told_of in wanted.items():
        fits = [file for file in names[os.path.basename(path)] if _has(file, told_of)]
        if len(fits) == 1:
            for each in told_of:
                each.path = os.path.normpath(fits[0]).replace(os.sep, "/")


def places(one: Explained) -> Iterator[Any]:
    """Of its cause, each once."""
    cause = one.cause
    if cause is None:
        return
    seen = set()
    for each in (cause.place, *(fact.place for fact in cause.because), cause.symptom and cause.symptom.place):
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each


def _files(folder: str, most: int) -> Iterator[str]:
    count = 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT and not name.startswith("."))
        for name in sorted(files):
            count += 1
            if count > most:
                return
            yield os.path.join(root, name)


def _has(file: str, places: list[Any]) -> bool:
    """Whether each of the lines stands there with its text."""
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            lines = stream.read(4 << 20).split("\n")
    except OSError:
        return False
    return all(each.line <= len(lines) and lines[each.line - 1].strip() == each.text.strip() for each in places)
