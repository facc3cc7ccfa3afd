"""Bytes in C that are used before they are set, and code that runs off its end."""

from __future__ import annotations

import re

from bpfsmith.repair.c.reader import closing, split
from bpfsmith.repair.c.text import Failing, Function, functions, replace
from bpfsmith.repair.report import NO_NEW_PATH, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

_TYPE = re.compile(
    r"((?:(?:static|const|volatile|unsigned|signed|register|long|short)\s+)*(?:(?:struct|union|enum)\s+)?[A-Za-z_]\w*"
    r"(?:\s+(?:int|long|char|const|volatile))*)(?=[\s*])"
)
_NO_TYPES = frozenset({"return", "goto", "case", "else", "typedef", "extern", "sizeof"})


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`= {}` where a local is declared, or all of its bytes set behind its declaration; a `return` at the end."""
    done = set()
    for function in functions(ground):
        yield from _return(function)
        yield from _unreachable(function)
        names = [*ground.cause.variables, *re.findall(r"&\s*([A-Za-z_]\w*)", function.shown)]
        names += re.findall(r"\b([a-z_]\w*)\b", function.shown)
        for name in dict.fromkeys(one for one in names if one):
            plain = re.split(r"->|\.|\[", name.lstrip("&*( "))[0].strip()
            if (function.name, plain) not in done:
                done.add((function.name, plain))
                yield from _declared(function, plain)


def _declared(function: Function, name: str) -> Iterator[Candidate]:
    """The declaration of a local, among others or alone."""
    for node in function.top.walk():
        if node.kind != "plain":
            continue
        text = function.plain[node.start : node.end]
        kind = _TYPE.match(text)
        if kind is None or kind[1].split()[0] in _NO_TYPES:
            continue
        at = kind.end()
        for part in split(text[at:].rstrip().removesuffix(";")):
            offset = text.index(part, at) if part else at
            at = offset + len(part)
            found = re.match(rf"{re.escape(name)}\b\s*((?:\[[^\]]*\]\s*)*)", part)
            if found is None:
                continue
            yield from _set(function, kind[1], name, node.start + offset, part, found)
            return


def _set(function: Function, kind: str, name: str, start: int, part: str, found: re.Match[str]) -> Iterator[Candidate]:
    said = f"set all of `{name}` where it is declared"
    value = re.search(r"=(?!=)", part)
    if value is None:
        aggregate = found[1] or re.search(r"\b(?:struct|union)\b", kind) or re.search(rf"\b{name}\s*\.", function.body)
        end = start + len(part.rstrip())
        yield Candidate(
            "initialise", [replace(function, end, end, " = {}" if aggregate else " = 0")], said, NO_NEW_PATH
        )
        return
    opened = part.find("{", value.end())
    if opened < 0 or part[value.end() : opened].strip():
        return
    # An initialiser leaves padding as it is: all bytes first, then the fields.
    inside = part[opened + 1 : closing(part, opened)]
    fields = [
        (one[1], one[2])
        for one in (re.fullmatch(r"\.(\w+)\s*=\s*(.*)", word, re.DOTALL) for word in split(inside))
        if one
    ]
    given = [word for word in split(inside) if word]
    if len(fields) != len(given):
        listed = _fields(function, kind)
        if fields or len(listed) < len(given):
            return
        fields = list(zip(listed, given, strict=False))
    node = function.holder(start)
    if function.plain[start + len(part) : node.end].strip() != ";":
        return
    space = function.indent(node.start)
    lines = [
        f"__builtin_memset(&{name}, 0, sizeof({name}));",
        *(f"{name}.{field} = {' '.join(word.split())};" for field, word in fields),
    ]
    if any(word.lstrip().startswith("{") for _, word in fields):
        return
    text = f";{function.eol}{space}" + f"{function.eol}{space}".join(lines)
    end = start + len(name)
    yield Candidate("initialise", [replace(function, end, node.end, text)], f"{said}, padding too", NO_NEW_PATH)


def _fields(function: Function, kind: str) -> list[str]:
    """The fields of a struct that the file defines, in their order."""
    name = kind.rsplit(maxsplit=1)[-1]
    found = re.search(rf"\bstruct\s+{re.escape(name)}\s*\{{([^{{}}]*)\}}", function.plain) or re.search(
        rf"\btypedef\s+struct\s*\w*\s*\{{([^{{}}]*)\}}\s*{re.escape(name)}\s*;", function.plain
    )
    if found is None:
        return []
    out: list[str] = []
    for one in found[1].split(";"):
        words = [re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", part) for part in split(one)]
        out += [word[1] for word in words if word is not None]
    return out


def _return(function: Function) -> Iterator[Candidate]:
    """A function that ends without a value."""
    fails = function.leaving()
    last = function.top.parts[-1] if function.top.parts else None
    if not fails.text or (last is not None and last.kind in ("return", "goto")):
        return
    if re.search(r"\bvoid\s*$", function.head[: function.head.find(function.name)]):
        return
    edit = replace(function, function.end, function.end, f"{function.tab}{fails.statement}{function.eol}")
    yield Candidate("initialise", [edit], f"return `{fails.text}` at the end", NO_NEW_PATH, fails.text, fails.why)


def _unreachable(function: Function) -> Iterator[Candidate]:
    """A promise to the compiler that does not hold: what fails returns."""
    fails = function.leaving()
    yield from _asserted(function, fails)
    for one in re.finditer(r"\b__builtin_(?:unreachable|trap)\s*\(\s*\)\s*;", function.body):
        start, end = function.start + one.start(), function.start + one.end()
        said = f"`{fails.statement.rstrip(';')}` instead of a promise that it is never come to"
        edit = replace(function, start, end, fails.statement)
        yield Candidate("unreachable", [edit], said, NO_NEW_PATH, fails.text, fails.why)


def _asserted(function: Function, fails: Failing) -> Iterator[Candidate]:
    """`BUG_ON(x);`, whose macro traps or promises where `x` holds: what fails returns."""
    pattern = r"^[ \t]*#[ \t]*define[ \t]+(\w+)\((\w+)\)((?:[^\\\n]|\\\r?\n)*)"
    for macro in re.finditer(pattern, function.plain, re.MULTILINE):
        asked = re.search(
            rf"\bif\s*\(\s*(!?)\s*\(?\s*{macro[2]}\s*\)?\s*\)\s*\{{?\s*__builtin_(?:trap|unreachable)", macro[3]
        )
        if asked is None:
            continue
        for node in function.top.walk():
            text = function.plain[node.start : node.end]
            called = re.match(rf"{macro[1]}\s*\(", text) if node.kind == "plain" else None
            if called is None:
                continue
            close = closing(text, called.end() - 1)
            value = " ".join(function.text[node.start + called.end() : node.start + close].split())
            condition = f"!({value})" if asked[1] else value
            tab = f"{function.eol}{function.indent(node.start)}{function.tab}"
            edit = replace(function, node.start, node.end, f"if ({condition}){tab}{fails.statement}")
            said = f"`{fails.statement.rstrip(';')}` where `{macro[1]}` traps"
            yield Candidate("unreachable", [edit], said, NO_NEW_PATH, fails.text, fails.why)
