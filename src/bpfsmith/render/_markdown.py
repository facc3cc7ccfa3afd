"""Markdown for a terminal: headings, tables, lists and code as plain, aligned text; colour only when asked for."""

from __future__ import annotations

from bpfsmith.render._cells import cells

__all__ = ["plain"]

_WIDTH = 120  # cells; what is longer is wrapped, but never code


def plain(markdown: str, *, color: bool = False) -> str:
    """The text as a person reads it on a terminal."""
    out: list[str] = []
    lines = markdown.splitlines()
    at = 0
    fenced = False
    while at < len(lines):
        line = lines[at]
        if line.lstrip().startswith("```"):
            fenced = not fenced
            at += 1
            continue
        if fenced:
            out.append(f"    {line}".rstrip())
        elif line.startswith("|"):
            end = at
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            out.extend(_table(lines[at:end], color))
            at = end
            continue
        elif line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            out.extend(_heading(line[level:].strip(), level, color))
        else:
            end = at + 1
            while line.strip() and end < len(lines) and _continues(lines[end]):
                end += 1
            if any(len(one) > _WIDTH for one in lines[at:end]):  # else as it was written
                line = " ".join([lines[at].rstrip(), *(one.strip() for one in lines[at + 1 : end])])
                out.extend(_wrap(_inline(line, color), _indent(line)))
                at = end
                continue
            out.append(_inline(line, color))
        at += 1
    return "\n".join(out).strip("\n") + "\n"


def _paint(code: str, text: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def _heading(text: str, level: int, color: bool) -> list[str]:
    if color:
        return [_paint("1;4" if level == 1 else "1", text.replace("`", ""), color)]
    return [text, ("=" if level == 1 else "-") * cells(text)] if level <= 2 else [text]


def _inline(line: str, color: bool) -> str:
    # Code keeps its backticks without colour: they say where it starts and ends.
    bold = line.split("**")
    if len(bold) % 2:
        line = "".join(_paint("1", part, color) if at % 2 else part for at, part in enumerate(bold))
    if not color:
        return line
    code = line.split("`")
    if len(code) % 2:
        line = "".join(_paint("36", part, color) if at % 2 else part for at, part in enumerate(code))
    return line


def _continues(line: str) -> bool:
    """Whether a line belongs to the paragraph or list item above it."""
    body = line.lstrip()
    return bool(body) and not body.startswith(("#", "|", "```", "* ", "- ", ">")) and not body[:1].isdigit()


def _indent(line: str) -> int:
    body = line.lstrip()
    return len(line) - len(body) + (2 if body.startswith(("* ", "- ")) else 0)


def _wrap(line: str, indent: int) -> list[str]:
    if len(line) <= _WIDTH:
        return [line]
    out: list[str] = []
    row = " " * (len(line) - len(line.lstrip()))
    for word in line.split():
        if row.strip() and len(row) + 1 + len(word) > _WIDTH:
            out.append(row)
            row = " " * indent + word
        else:
            row = f"{row} {word}" if row.strip() else row + word
    return [*out, row]


def _table(lines: list[str], color: bool) -> list[str]:
    rows = [_split(line) for line in lines]
    rows = [row for row in rows if not all(cell and set(cell) <= set(":-") for cell in row)]
    if not rows:
        return []
    count = max(len(row) for row in rows)
    rows = [[*row, *[""] * (count - len(row))] for row in rows]
    widths = [max(cells(row[at]) for row in rows) for at in range(count)]
    # The widest column gives way when the table is too wide: its text is wrapped below itself.
    spare = _WIDTH - sum(widths) - 2 * (count - 1)
    while spare < 0 and max(widths) > 24:
        widest = widths.index(max(widths))
        cut = max(24, widths[widest] + spare)
        if cut == widths[widest]:
            break
        widths[widest] = cut
        spare = _WIDTH - sum(widths) - 2 * (count - 1)
    out = []
    for number, row in enumerate(rows):
        columns = [_fold(cell, width) for cell, width in zip(row, widths, strict=True)]
        for level in range(max(len(column) for column in columns)):
            parts = [column[level] if level < len(column) else "" for column in columns]
            text = "  ".join(part + " " * (width - cells(part)) for part, width in zip(parts, widths, strict=True))
            out.append(_paint("1", text.rstrip(), color and number == 0))
        if number == 0:
            out.append("  ".join("-" * width for width in widths))
    return out


def _split(line: str) -> list[str]:
    body = line.strip().removeprefix("|").removesuffix("|").replace("\\|", "\0")
    return [cell.strip().replace("**", "").replace("\0", "|") for cell in body.split("|")]


def _fold(text: str, width: int) -> list[str]:
    out = [""]
    for word in text.split(" "):
        if out[-1] and cells(out[-1]) + 1 + cells(word) > width:
            out.append(word)
        else:
            out[-1] = f"{out[-1]} {word}" if out[-1] else word
    return out
