"""Aligned columns and colour for the views of `inspect`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


class Paint:
    """Colours words when asked to; otherwise hands them back."""

    __slots__ = ("_on",)

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, style: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self._on and text else text


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], paint: Paint, *, right: Iterable[int] = (), indent: int = 2
) -> list[str]:
    """Lines of a table: the head, then the rows; the columns in `right` are aligned right, `None` shows as `-`.

    Control characters of hostile names never reach the terminal.
    """
    cells = [[printable("-" if cell is None else str(cell)) for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(len(line[at]) for line in [list(head), *cells]) for at in range(len(head))]
    numeric = set(right)

    def line(row: Sequence[str]) -> list[str]:
        return [
            cell.rjust(width) if at in numeric else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]

    first = " " * indent + paint("  ".join(line(head)).rstrip(), "dim")
    lines = [first]
    for row in cells:
        padded = line(row)
        padded[0] = paint(padded[0], "bold")
        lines.append((" " * indent + "  ".join(padded)).rstrip())
    return lines


def printable(text: str) -> str:
    """The text with control characters shown as `\\x1b`."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def listed(label: str, words: Iterable[str], *, indent: int, width: int) -> list[str]:
    """`label: a, b, c`, broken between words before `width`, continued under the first word."""
    lines: list[str] = []
    start = " " * indent + label + " "
    line = start
    for at, word in enumerate(words):
        piece = printable(word)
        if at:
            line += ","
            if len(line) + 1 + len(piece) > width:
                lines.append(line)
                line = " " * len(start)
            else:
                line += " "
        line += piece
    return [*lines, line] if line != start else lines
