"""On which ways a statement comes to what it uses, and checks that stand on those only."""

from __future__ import annotations

import re
from itertools import pairwise

from bpfsmith.model.finding import Edit
from bpfsmith.repair.c.text import before, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.reader import Node
    from bpfsmith.repair.c.text import Failing, Function

__all__ = ["elsewhere", "first_use", "given", "guarded", "joined", "reached"]


def guarded(
    function: Function, offset: int, conditions: list[str], fails: Failing, ahead: list[str] | None = None,
    name: str = "",
) -> list[Edit]:  # fmt: skip
    """`if (..) return ..;` before a statement, after other lines. `name`: what is used in it: where only a part of the
    statement's condition comes to the use, the guard asks for that part too."""
    lines = list(ahead or [])
    reach = reached(function, offset, name) if name else ""
    for one in conditions:
        whole = f"({one})" if reach and "||" in one else one
        lines += [f"if ({reach} && {whole})" if reach else f"if ({one})", f"{function.tab}{fails.statement}"]
    return before(function, offset, lines)


# Calls that give the same when they are asked twice.
_PURE = re.compile(
    r"\b(?!sizeof\b|bpf_(?:ntoh|hton|be\d+_to_cpu|cpu_to_be)\w*\b|__constant_\w+\b|likely\b|unlikely\b)\w+\s*\("
)


def reached(function: Function, offset: int, name: str) -> str:
    """The condition under which the statement at an offset comes to its first use of a name; "" where it always does,
    or where the condition may not be asked twice."""
    node = function.holder(offset)
    end = until(node) if node.start == offset else function.plain.find(";", offset)
    text = function.plain[offset:end]
    use = _use_of(text, name)
    return "" if use is None else _reach(text, use)


def joined(function: Function, offset: int, name: str, good: str, bad: str) -> list[Edit]:
    """The check put into the condition of an `if`, before the operand that the use stands in: where that is behind
    an `&&` or `||`. Empty elsewhere."""
    node = function.holder(offset)
    if node.start != offset or node.kind != "if" or node.head is None:
        return []
    begin, end = node.head
    text = function.plain[begin:end]
    use = _use_of(text, name)
    if use is None:
        return []
    opened = [0]
    for at in range(use):
        if text[at] in "([{":
            opened.append(at + 1)
        elif text[at] in ")]}" and len(opened) > 1:
            opened.pop()
    for start in reversed(opened):
        flat, depth = "", 0
        for letter in text[start:use]:
            depth -= letter in ")]}"
            flat += letter if depth == 0 and letter not in "([{" else " "
            depth += letter in "([{"
        found = list(re.finditer(r"&&|\|\||\?|,", flat))
        if not found:
            if re.search(r"!\s*\($", text[:start]):
                return []
            continue
        last = found[-1]
        if last[0] not in ("&&", "||"):
            return []
        at = begin + start + last.end()
        while function.plain[at].isspace():
            at += 1
        return [Edit(function.span(at, at), f"{good} && " if last[0] == "&&" else f"{bad} || ")]
    return []


def given(function: Function, offset: int, name: str) -> Node | None:
    """The statement that gave a local the value it has at an offset, where no branch between gives it another."""
    if not name.isidentifier():
        return None
    sets = re.compile(
        rf"(?<![\w.>]){re.escape(name)}\s*(?:[-+]?=(?!=)|\+\+|--)|(?:\+\+|--)\s*{re.escape(name)}\b(?!\s*->)"
    )
    outer = _around(function, offset)
    found = None
    for node in function.top.walk():
        if node.kind in ("top", "block", "label") or node.start >= offset:
            continue
        if sets.search(function.plain, node.start, min(until(node), offset)):
            found = node
    return found if found is not None and found.kind == "plain" and found.parent in outer else None


def first_use(function: Function, offset: int, name: str) -> int:
    """Where the statement begins that a check of a local stands before, so that all uses from where it was made up to
    that at an offset are behind it; the offset where there is no other, or where it is compared on the way already."""
    origin = given(function, offset, name)
    parameter = origin is None and re.search(rf"\*\s*{re.escape(name)}\s*[,)]", function.head) is not None
    if origin is None and not (parameter and not re.search(rf"(?<![\w.>]){re.escape(name)}\s*=(?!=)", function.body)):
        return offset
    start = origin.end if origin is not None else function.start
    if _compared(function, name, start, offset):
        return offset
    outer = _around(function, offset)
    first = next((one for one in _following(function, name, start) if one.start < offset), None)
    if first is None:
        return offset
    while first.parent is not None and first.parent not in outer:
        first = first.parent
    return first.start


def elsewhere(function: Function, offset: int, name: str, origin: Node) -> bool:
    """Whether statements of another block than that at an offset follow the pointer that one gave, and no condition
    asks for it."""
    own = function.holder(offset).parent
    if own is None or _compared(function, name, origin.end, function.end):
        return False
    others = [one for one in _following(function, name, origin.end) if one.start != offset]
    return any(one.parent is not own or own.kind == "if" for one in others)


def _compared(function: Function, name: str, start: int, end: int) -> bool:
    """Whether a condition between two offsets asks for a pointer itself."""
    word = rf"(?<![\w.>]){re.escape(name)}\b"
    asks = re.compile(rf"{word}\s*(?:$|[=!]=|&&|\|\||\?|\))|!\s*{word}(?!\s*(?:->|\[))")
    return any(
        node.head is not None and start <= node.start < end and asks.search(function.plain[slice(*node.head)])
        for node in function.top.walk()
    )


def _following(function: Function, name: str, start: int) -> Iterator[Node]:
    """Statements behind an offset that read or write through a pointer."""
    word = rf"(?<![\w.>]){re.escape(name)}\b"
    follows = re.compile(rf"{word}\s*(?:->|\[)|(?<![\w)\]])\s*\*\s*\(?\s*{word}(?!\s*[=;,]?\s*$)")
    for node in function.top.walk():
        if node.kind in ("top", "block", "label") or node.start < start:
            continue
        if follows.search(function.plain, node.start, until(node)):
            yield node


def _around(function: Function, offset: int) -> list[Node]:
    """The statements that one at an offset is in, the innermost first."""
    node: Node | None = function.holder(offset)
    out = []
    while node is not None:
        out.append(node)
        node = node.parent
    return out


def _use_of(text: str, name: str) -> int | None:
    """Where a name is used as what it points to; where it stands at all."""
    word = rf"(?<![\w.>]){re.escape(name)}"
    found = re.search(rf"{word}\s*(?:->|\[)|\*\s*\(?\s*{word}\b|\)\s*{word}\b", text) or re.search(rf"{word}\b", text)
    return found.start() if found is not None else None


def _reach(text: str, use: int) -> str:
    """As `reached`, in an expression."""
    parts: list[str] = []
    opened: list[int] = [0]
    for at in range(use):
        if text[at] in "([{":
            opened.append(at + 1)
        elif text[at] in ")]}" and len(opened) > 1:
            opened.pop()
    for number, start in enumerate(opened):
        stop = opened[number + 1] - 1 if number + 1 < len(opened) else use
        parts += _asked(text[start:stop])
    if any(_PURE.search(one) or re.search(r"\+\+|--|(?<![=!<>])=(?!=)", one) for one in parts):
        return ""
    return " && ".join(parts)


def _asked(text: str) -> list[str]:
    """What has to hold for the end of a part of an expression to be come to; no bracket is left open in it."""
    flat, depth = [], 0
    for letter in text:
        depth -= letter in ")]}"
        flat.append(letter if depth == 0 and letter not in "([{" else " " if depth == 0 else "\0")
        depth += letter in "([{"
    plain = "".join(flat)
    begin = 0
    for one in re.finditer(r"[,;]|(?<![=!<>])=(?!=)|\breturn\b|\bcase\b", plain):
        begin = one.end()
    out: list[str] = []
    asks = [one.start() for one in re.finditer(r"\?", plain) if one.start() >= begin]
    if asks:
        behind = plain.find(":", asks[-1])
        asked = " ".join(text[begin : asks[-1]].split())
        out.append(f"({asked})" if behind < 0 else f"!({asked})")
        begin = (behind if behind >= 0 else asks[-1]) + 1
    ors = [begin, *(one.end() for one in re.finditer(r"\|\|", plain) if one.start() >= begin)]
    for start, stop in pairwise(ors):
        out.append(f"!({' '.join(text[start : stop - 2].split())})")
    ands = [ors[-1], *(one.end() for one in re.finditer(r"&&", plain) if one.start() >= ors[-1])]
    for start, stop in pairwise(ands):
        said = " ".join(text[start : stop - 2].split())
        out.append(
            said if re.fullmatch(r"!?[\w.>\-]+|\(.*\)", said) or not re.search(r"[|?]|&(?!&)", said) else f"({said})"
        )
    return out
