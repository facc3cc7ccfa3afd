"""Pointers into the packet in C, used after a helper that may move the packet: made and checked anew."""

from __future__ import annotations

import re

from bpfsmith.repair.c.pointer import end_of, used
from bpfsmith.repair.c.text import before, checked, functions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate

__all__ = ["candidates"]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The assignments that made the pointer once more, and the comparison with the end, before the use."""
    done = set()
    for function in functions(ground):
        yield from _asked_again(function)
        fails = function.failing()
        end = end_of(function)
        if end is None:
            continue
        for name in used(function)[:3]:
            if (function.start, function.line, name) in done or name == end:
                continue
            done.add((function.start, function.line, name))
            lines = _made(function, name)
            if not any("->data" in one for one in lines):
                continue
            if end.isidentifier():
                lines += [one for one in _made(function, end) if one not in lines]
            at = function.statement()
            said = f"make `{name}` and its check anew after the packet may have moved"
            guard = [f"if ((void *)({name} + 1) > (void *){end})", f"{function.tab}{fails.statement}"]
            yield checked("re-derive", before(function, at, [*lines, *guard]), said, fails)


_AGAIN = re.compile(r"bpf_(?:dynptr_slice(?:_rdwr)?|dynptr_data|map_lookup_elem|tcp_sock|sk_fullsock)\s*\(")


def _asked_again(function: Function) -> Iterator[Candidate]:
    """What a call gave is asked for again: the same call, and its test."""
    fails = function.failing()
    for name in used(function)[:3]:
        if not name.isidentifier():
            continue
        upto = function.plain[function.start : function.first]
        found = list(re.finditer(rf"(?<![\w.>]){name}\s*=(?!=)\s*((?:\([^()]*\)\s*)?{_AGAIN.pattern}[^;]*);", upto))
        if not found:
            continue
        value = function.text[function.start + found[-1].start(1) : function.start + found[-1].end(1)]
        at = function.statement(name=name)
        lines = [f"{name} = {' '.join(value.split())};", f"if (!{name})", f"{function.tab}{fails.statement}"]
        said = f"ask for `{name}` again behind what ended it"
        yield checked("re-derive", before(function, at, lines), said, fails)


def _made(function: Function, name: str, depth: int = 0) -> list[str]:
    """The assignments that a pointer was made by, in their order, up to the line."""
    upto = function.plain[function.start : function.first]
    found = None
    for one in re.finditer(rf"(?<![\w.>]){re.escape(name)}\s*=(?!=)\s*([^;,]+?)\s*(?=[;,])", upto):
        found = one
    if found is None or depth > 5:
        return []
    value = " ".join(found[1].split())
    # What calls something or counts would not give the same twice.
    if re.search(r"\+\+|--|\bbpf_\w+\s*\(", value) or re.search(rf"(?<![\w.>]){re.escape(name)}\b", value):
        return []
    out: list[str] = []
    for other in dict.fromkeys(re.findall(r"(?<![\w.>])[A-Za-z_]\w*\b(?!\s*\()", value)):
        pointer = re.search(rf"\*\s*{re.escape(other)}\b", function.head + upto)
        if other != name and pointer and other not in function.head:
            out += [one for one in _made(function, other, depth + 1) if one not in out]
    return [*out, f"{name} = {value};"]
