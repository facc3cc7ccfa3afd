"""Bytes in C that are used before they are set."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import Function, functions, replace
from bpfsmith.repair.report import NO_NEW_PATH, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`= {}` where a local is declared, or all of its bytes set behind its declaration; a `return` at the end."""
    done = set()
    for function in functions(ground):
        yield from _return(function)
        names = [*ground.cause.variables, *re.findall(r"&\s*([A-Za-z_]\w*)", function.shown)]
        names += re.findall(r"\b([a-z_]\w*)\b", function.shown)
        for name in dict.fromkeys(names):
            plain = name.split(".")[0].split("->")[0]
            if (function.name, plain) not in done:
                done.add((function.name, plain))
                yield from _declared(function, plain)


def _declared(function: Function, name: str) -> Iterator[Candidate]:
    kinds = r"struct\s+|union\s+|const\s+|volatile\s+|unsigned\s+"
    pattern = rf"^[ \t]*((?:{kinds})*\w+)\s+({re.escape(name)})\s*(\[[^\]]*\])?\s*(=\s*\{{[^;]*\}}|=[^;,]*)?;"
    found = re.search(pattern, function.body, re.MULTILINE)
    if found is None or found[1] in ("return", "goto"):
        return
    said = f"set all of `{name}` where it is declared"
    end = function.start + found.end() - 1
    if not found[4]:
        aggregate = found[3] or "struct" in found[1] or "union" in found[1]
        edit = replace(function, end, end, " = {}" if aggregate else " = 0")
        yield Candidate("initialise", [edit], said, NO_NEW_PATH)
        return
    if "{" in found[4]:
        # An initialiser leaves padding as it is: all bytes first, then the fields.
        fields = re.findall(r"\.(\w+)\s*=\s*([^,{}]+)", found[4])
        start = function.start + found.start() + len(found[0]) - len(found[0].lstrip())
        space = function.indent(start)
        lines = [
            f"__builtin_memset(&{name}, 0, sizeof({name}));",
            *(f"{name}.{field} = {value.strip()};" for field, value in fields),
        ]
        text = f"{found[1]} {name};\n{space}" + f"\n{space}".join(lines)
        yield Candidate("initialise", [replace(function, start, end + 1, text)], f"{said}, padding too", NO_NEW_PATH)


def _return(function: Function) -> Iterator[Candidate]:
    """A function that ends without a value."""
    fails = function.failing()
    if fails is None or not fails.text or re.search(r"\breturn\b[^;]*;\s*$", function.body):
        return
    edit = replace(function, function.end, function.end, f"\t{fails.statement}\n")
    yield Candidate("initialise", [edit], f"return `{fails.text}` at the end", NO_NEW_PATH, fails.text, fails.why)
