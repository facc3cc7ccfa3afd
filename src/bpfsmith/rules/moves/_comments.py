"""Edits that leave comments alone: a replaced stretch with a comment in it is edited word by word around it.

The words of the old text and those of the new one are compared; what is the same stays, with everything between it.
Where that does not give exactly the new words, the fix only says what to do.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from bpfsmith.model.finding import Edit, Fix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bpfsmith.source.rust import SourceFile

__all__ = ["keep_comments", "without_comment_loss"]

_WORD = re.compile(
    r"""(?P<doc>//[/!][^\n]*|/\*[*!](?:[^*]|\*(?!/))*\*/)
    |(?P<comment>//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
    |(?P<space>\s+)
    |(?P<word>(?:br|cr|r)(?P<hash>\#*)"(?s:.*?)"(?P=hash)|[bc]?"(?:[^"\\]|\\(?s:.))*"
        |b?'(?:[^'\\\n]|\\(?:[^u]|u\{[^}]*\}))[^']{0,4}'|'\w+|\w+|::|->|=>|(?s:.))""",
    re.VERBOSE,
)


def _words(text: str) -> list[tuple[int, int, str]] | None:
    """(start, end, word) of all but comments and white space; None for comments inside of comments."""
    out = []
    for one in _WORD.finditer(text):
        kind = one.lastgroup if one.lastgroup != "hash" else "word"
        if kind == "comment" and "/*" in one[0][2:]:
            return None
        if kind not in ("comment", "space"):
            out.append((one.start(), one.end(), one[0]))
    return out


def _comments(text: str) -> list[str]:
    return [one[0] for one in _WORD.finditer(text) if one.lastgroup == "comment"]


def keep_comments(text: str, start: int, end: int, new: str) -> list[tuple[int, int, str]] | None:
    """`text[start:end]` becomes `new` by edits that touch no comment; None where there are none."""
    old = text[start:end]
    held = _comments(old)
    if not held or all(one in new for one in held):
        return [(start, end, new)]
    before, behind = _words(old), _words(new)
    if before is None or behind is None or _comments(new):
        return None
    edits: list[tuple[int, int, str]] = []
    steps = SequenceMatcher(None, [one[2] for one in before], [one[2] for one in behind], autojunk=False)
    for tag, i1, i2, j1, j2 in steps.get_opcodes():
        if tag == "equal":
            continue
        if tag == "insert":
            if i1:
                at, written = before[i1 - 1][1], new[behind[j1 - 1][1] if j1 else 0 : behind[j2 - 1][1]]
            else:
                at, written = 0, new[: behind[j2][0] if j2 < len(behind) else len(new)]
            edits.append((at, at, written))
            continue
        gone = list(range(i1, i2))
        if i2 < len(before):  # of two commas the first one stays, before its comment
            held_one = gone if tag == "delete" else gone[1:]
            same = next((at for at in held_one if before[at][2] == before[i2][2] == ","), None)
            if same is not None:
                gone.remove(same)
                gone.append(i2)
        written = new[behind[j1][0] : behind[j2 - 1][1]] if j2 > j1 else ""
        for one in _runs(old, before, gone):
            edits.append((*one, written))
            written = ""
    out = [_tidy(text, start + one, start + two, written) for one, two, written in edits]
    return out if _right(text, start, end, out, behind, held) else None


def _runs(old: str, words: list[tuple[int, int, str]], gone: list[int]) -> list[tuple[int, int]]:
    """What goes, cut at comments and at words that stay."""
    out: list[tuple[int, int]] = []
    last = -2
    for at in gone:
        start, end, _ = words[at]
        if out and at == last + 1 and not _comments(old[out[-1][1] : start]):
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
        last = at
    return out


def _tidy(text: str, start: int, end: int, new: str) -> tuple[int, int, str]:
    """A deletion takes a line along that it empties, and the blank before what follows at the line's start."""
    if new or start == end:
        return start, end, new
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip():
        return start, end, new
    rest = re.compile(r"[ \t]*").match(text, end)
    behind = rest.end() if rest is not None else end
    if line and text[behind : behind + 1] in ("\n", "\r"):
        return line - (2 if text[line - 2 : line] == "\r\n" else 1), behind, new
    return start, behind, new


def _right(
    text: str,
    start: int,
    end: int,
    edits: list[tuple[int, int, str]],
    wanted: list[tuple[int, int, str]],
    held: Iterable[str],
) -> bool:
    """Whether the edits give the words that were asked for, and every comment is still there."""
    low = min([start, *(one[0] for one in edits)])
    high = max([end, *(one[1] for one in edits)])
    out, at = [], low
    for one, two, new in sorted(edits):
        if one < at:
            return False
        out += [text[at:one], new]
        at = two
    made = "".join([*out, text[at:high]])
    words = _words(made)
    return words is not None and [one[2] for one in words] == [one[2] for one in wanted] and _comments(made) == held


def without_comment_loss(
    fix: Fix, file: SourceFile | None, replace: Callable[[SourceFile, int, int, str], Edit], shown: str
) -> Fix:
    """The fix with edits that keep comments; without edits where that cannot be."""
    if file is None or not fix.edits:
        return fix
    text = file.text
    starts = [0, *(one.end() for one in re.finditer("\n", text))]
    edits: list[Edit] = []
    for edit in fix.edits:
        span = edit.span
        if span.path != shown:
            edits.append(edit)
            continue
        start, end = starts[span.line - 1] + span.column - 1, starts[span.end_line - 1] + span.end_column - 1
        if "//" not in text[start:end] and "/*" not in text[start:end]:
            edits.append(edit)
            continue
        kept = keep_comments(text, start, end, edit.text)
        if kept is None:
            return Fix("display", fix.message)
        edits += [edit] if kept == [(start, end, edit.text)] else [replace(file, *one) for one in kept]
    return Fix(fix.applicability, fix.message, edits)
