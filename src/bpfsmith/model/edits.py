"""Edits of texts: which of them go together, and what they make of a text. Pure: nothing here reads or writes a file.

Places are lines and columns as in `Span`: lines end at `\\n`, columns count characters, a byte order mark is none.
"""

from __future__ import annotations

from bisect import bisect_left, insort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfsmith.model.finding import Edit, Fix

    Place = tuple[int, int]

__all__ = ["Chosen", "apply", "unified_diff"]


class Chosen:
    """Edits that do not touch one another, by path; `add` takes all edits of a fix or none.

    Two edits that say the same are one. An insertion at the edge of a replacement is no conflict: it stays outside.
    """

    __slots__ = ("edits",)

    def __init__(self) -> None:
        self.edits: dict[str, list[tuple[Place, Place, str]]] = {}

    def add(self, fix: Fix) -> bool:
        """Whether the fix fits to what was taken before; then it is taken."""
        wanted: dict[str, list[tuple[Place, Place, str]]] = {}
        for edit in fix.edits:
            one = _placed(edit)
            listed = wanted.setdefault(edit.span.path, [])
            if one in listed:
                continue
            if any(_touch(one, other) for other in listed):
                return False  # a fix that contradicts itself
            listed.append(one)
        fresh = []
        for path, listed in wanted.items():
            taken = self.edits.get(path, [])
            for one in listed:
                fits = _fits(taken, one)
                if fits is None:
                    return False
                if fits:
                    fresh.append((path, one))
        for path, one in fresh:
            insort(self.edits.setdefault(path, []), one)
        return True


def _placed(edit: Edit) -> tuple[Place, Place, str]:
    span = edit.span
    return (span.line, span.column), (span.end_line, span.end_column), edit.text


def _fits(taken: Sequence[tuple[Place, Place, str]], one: tuple[Place, Place, str]) -> bool | None:
    """True when it can be added, False when it is there already, None when it cannot."""
    at = bisect_left(taken, one)
    if at < len(taken) and taken[at] == one:
        return False
    # What is taken does not overlap: only neighbours can touch. At one place there may be an insertion and a
    # replacement, so two on each side are looked at.
    near = taken[max(0, at - 2) : at + 2]
    return None if any(_touch(one, other) for other in near) else True


def _touch(one: tuple[Place, Place, str], other: tuple[Place, Place, str]) -> bool:
    (start, end, _), (other_start, other_end, _) = one, other
    if start == end and other_start == other_end:
        return start == other_start
    return start < other_end and other_start < end


def apply(text: str, edits: Iterable[tuple[Place, Place, str]]) -> str:
    """The text with the edits made. `ValueError` for a place that the text does not have, or edits that overlap.

    New lines of an edit end as the text's own lines do.
    """
    lines = _line_starts(text)
    crlf = _ends_with_cr(text)
    out = []
    at = 0
    for start, end, new in sorted(edits):
        first, last = _offset(text, lines, start), _offset(text, lines, end)
        if first < at or last < first:
            raise ValueError(f"edits overlap at line {start[0]}")
        out.append(text[at:first])
        out.append(new.replace("\r\n", "\n").replace("\n", "\r\n") if crlf else new)
        at = last
    out.append(text[at:])
    return "".join(out)


def _line_starts(text: str) -> list[int]:
    starts = [1 if text.startswith("\ufeff") else 0]
    at = text.find("\n")
    while at >= 0:
        starts.append(at + 1)
        at = text.find("\n", at + 1)
    return starts


def _ends_with_cr(text: str) -> bool:
    """Whether most lines end with a carriage return."""
    return text.count("\r\n") * 2 > text.count("\n")


def _offset(text: str, lines: list[int], place: Place) -> int:
    line, column = place
    if not 1 <= line <= len(lines) or column < 1:
        raise ValueError(f"there is no line {line}, column {column}")
    offset = lines[line - 1] + column - 1
    end = lines[line] if line < len(lines) else len(text)
    if offset > end:
        raise ValueError(f"there is no line {line}, column {column}")
    return offset


def unified_diff(path: str, old: str, new: str) -> str:
    """What `patch -p1` and `git apply` read; empty when nothing changes. Carriage returns are kept."""
    if old == new:
        return ""
    from difflib import unified_diff as differ

    absolute = path.startswith("/")
    before, after = (path, path) if absolute else (f"a/{path}", f"b/{path}")
    out = []
    for line in differ(_lines(old), _lines(new), before, after):
        out.append(line)
        if not line.endswith("\n"):
            out.append("\n\\ No newline at end of file\n")
    return "".join(out)


def _lines(text: str) -> list[str]:
    """With their ends; `splitlines` would split at form feeds and the like too."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
