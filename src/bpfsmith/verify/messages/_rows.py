"""The table of message formats, and how a line is matched with one of them.

One row a line in `table.tsv`, tab separated: family (or `note`), kind, first and last kernel seen with it (or the
loader it is of), names of the operands, the longest literal part, the format as the kernel prints it. Kinds: `error`
ends a verification, `weak` also stands before another message that says more, `part` is printed as a piece of a line
(the whole lines are rows too), `note` tells nothing of a rejection.
"""

from __future__ import annotations

__all__ = ["Row", "best", "rows", "similar"]

_SHARED = 3  # words that a line and a format must have in common
_PIECE = 8  # literal characters that a piece of a line is known by
_SUBJECT = 4  # spaces in what stands before a message: `BPF_EXIT instruction in main prog`
_DIGITS = "0123456789"
_HEX = "0123456789abcdefABCDEFx#"


class Row:
    """A format: `family` (`V06`, or `note`), `kind`, `first` and `last` kernel seen, `names` of its operands, `key`
    (its longest literal part), `format` (printf's)."""

    __slots__ = ("family", "first", "format", "key", "kind", "last", "names", "parts")

    def __init__(self, cells: list[str]) -> None:
        self.family, self.kind, self.first, self.last, names, self.key, self.format = cells
        self.names = tuple(names.split(",")) if names else ()
        self.parts: list[str] | None = None

    def __repr__(self) -> str:
        return f"<Row {self.family} {self.format!r}>"


_CELLS: list[list[str]] = []
_ROWS: dict[int, Row] = {}


def _cells() -> list[list[str]]:
    """The table as it stands in the file, read once; rows are made of what a message needs."""
    if not _CELLS:
        import os

        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "table.tsv")
        with open(path, encoding="utf-8") as file:
            _CELLS.extend([line.split("\t") for line in file.read().split("\n") if line])
    return _CELLS


def _row(number: int) -> Row:
    row = _ROWS.get(number)
    if row is None:
        row = _ROWS[number] = Row(_CELLS[number])
    return row


def rows() -> list[Row]:
    """All rows, in the table's order: by family."""
    return [_row(number) for number in range(len(_cells()))]


def best(line: str) -> tuple[Row, dict[str, str], bool] | None:
    """The row that explains most of a line, its operands, and whether all of the line is explained."""
    found: tuple[tuple[bool, bool, int, int], Row, dict[str, str]] | None = None
    for number, cells in enumerate(_cells()):
        if cells[5] not in line:
            continue
        row = _row(number)
        fit = _fit(row, line)
        if fit is None:
            continue
        operands, literal, whole = fit
        if row.kind == "part" and literal < _PIECE:
            continue
        score = (row.kind != "part", whole, literal, -len(row.names))
        if found is None or score > found[0]:
            found = (score, row, operands)
    return None if found is None else (found[1], found[2], found[0][1])


def _fit(row: Row, line: str) -> tuple[dict[str, str], int, bool] | None:
    """(operands, literal characters, all of the line) of a line that begins as the format does."""
    if row.parts is None:
        row.parts = _parts(row.format.partition("\\n")[0])
    parts = row.parts
    if not line.startswith(parts[0]):
        return None
    at = len(parts[0])
    literal = at
    operands: dict[str, str] = {}
    for number in range(1, len(parts), 2):
        kind, after = parts[number], parts[number + 1]
        end = _hole(line, at, kind, after, number + 2 >= len(parts))
        if end is None:
            return None
        name = row.names[number // 2] if number // 2 < len(row.names) else f"value{number // 2}"
        if number == 1 and not parts[0] and kind == "s" and line.count(" ", at, end) > _SUBJECT:
            return None
        operands[name] = line[at:end].strip()
        at = end + len(after)
        literal += len(after)
    rest = line[at:].strip(" .!")
    if rest and literal < 10:
        return None
    return operands, literal, not rest


def _hole(line: str, at: int, kind: str, after: str, last: bool) -> int | None:
    """Where an operand that begins at `at` ends."""
    if kind in "dx":
        letters = _DIGITS if kind == "d" else _HEX
        end = at
        if line[end : end + 1] in "+-" and end < len(line):
            end += 1
        while end < len(line) and line[end] in letters:
            end += 1
        return end if end > at and line.startswith(after, end) else None
    if not after:
        return len(line) if last else at
    end = line.find(after, at)
    if last and end >= 0 and after.strip(" .!'"):
        end = max(end, line.rfind(after, at)) if line.endswith(after) else end
    if end < 0 and last and after.strip(" .!") == "":
        return len(line)
    return end if end >= 0 else None


def _parts(text: str) -> list[str]:
    """`["R", "d", " invalid mem access '", "s", "'"]`: literals with the kinds of holes between them."""
    out = [""]
    at = 0
    while at < len(text):
        char = text[at]
        if char != "%":
            out[-1] += char
            at += 1
            continue
        at += 1
        while at < len(text) and text[at] in "#+-0123456789.*lhz":
            at += 1
        letter = text[at : at + 1]
        at += 1
        out += ["s" if letter in "sc" else "x" if letter in "xXp" else "d", ""]
    return out


def similar(line: str) -> tuple[Row, float] | None:
    """The row most of whose words a line shares, and how much of both is shared (0 .. 1)."""
    wanted = _words(line)
    if len(wanted) < _SHARED:
        return None
    found: tuple[float, int] | None = None
    for number, cells in enumerate(_cells()):
        if cells[1] in ("note", "part"):
            continue
        words = _words(cells[6])
        shared = len(words & wanted)
        if shared < _SHARED:
            continue
        share = shared * shared / (len(words) * len(wanted))
        if found is None or share > found[0]:
            found = (share, number)
    return None if found is None else (_row(found[1]), found[0])


def _words(text: str) -> set[str]:
    """The words of a line or format, without operands: `R1`, `%d`, numbers."""
    for char in "%=,;:()[]{}<>'`\".#":
        if char in text:
            text = text.replace(char, " ")
    return {word.lower() for word in text.split() if len(word) > 2 and not word[1:].isdigit()}
