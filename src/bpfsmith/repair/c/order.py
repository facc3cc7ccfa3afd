"""Statements of C in another order: what is used before it is given back, what is called before a lock is taken."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import before, functions, replace
from bpfsmith.repair.report import SAME_WORK, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

_GIVES = re.compile(r"\b(bpf_\w*(?:submit|release|discard)\w*)\s*\(\s*(\w+)\s*[,)]")
# Helpers that only look: what they give does not depend on whether a lock is held.
_LOOKS = re.compile(
    r"\bbpf_(?:ktime_get_\w+|get_current_\w+|get_smp_processor_id|jiffies64|get_prandom_u32|get_numa_node_id)\s*\(\s*\)"
)
_FLOW = re.compile(r"\b(?:return|goto|if|for|while|do|switch|break|continue|case)\b|[{}]")


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The release behind the last use; a clock that is read before the lock is taken."""
    for function in functions(ground):
        yield from _used(function)
        yield from _locked(function)


def _used(function: Function) -> Iterator[Candidate]:
    body = function.body
    line = function.first - function.start
    for one in _GIVES.finditer(body):
        if line < one.start() and function.first != _line_start(function, one.start()):
            continue
        end = body.find(";", one.end()) + 1
        start = one.start()
        while start > 0 and body[start - 1] in " \t":
            start -= 1
        if body[start - 1 : start] != "\n" or not re.fullmatch(r"[^;{}]*;", body[one.start() : end]):
            continue
        stop = end
        depth = re.compile(r"[^;{}]*;")
        last = 0
        while True:
            following = depth.match(body, stop)
            if following is None or _FLOW.search(following[0]):
                break
            stop = following.end()
            if re.search(rf"\b{re.escape(one[2])}\b", following[0]):
                last = stop
            if _GIVES.search(following[0]):
                break
        if not last:
            continue
        text = function.text[function.start + one.start() : function.start + end]
        space = function.indent(function.start + one.start())
        edits = [
            replace(function, function.start + start, function.start + end + 1, ""),
            replace(function, function.start + last, function.start + last, f"\n{space}{text}"),
        ]
        said = f"use `{one[2]}` before `{one[1]}` gives it away"
        why = f"the same statements, `{one[1]}` after the last use of `{one[2]}`, with no way out between"
        yield Candidate("order", edits, said, SAME_WORK, why=why)


def _line_start(function: Function, at: int) -> int:
    return function.plain.rfind("\n", 0, function.start + at) + 1


def _locked(function: Function) -> Iterator[Candidate]:
    first = function.first
    lock = None
    for one in re.finditer(r"\bbpf_(?:res_)?spin_lock\s*\(", function.body):
        if function.start + one.start() < first:
            lock = one
    if lock is None:
        return
    for one in _LOOKS.finditer(function.shown):
        name, number = "now" if "ktime" in one[0] else "seen", 2
        base = name
        while re.search(rf"\b{name}\b", function.body):
            name, number = f"{base}{number}", number + 1
        line = function.plain.count("\n", 0, function.start + lock.start()) + 1
        place = function.statement(line)
        if function.plain[place : place + len(lock[0])] != lock[0]:
            continue
        edits = [
            *before(function, place, [f"__u64 {name} = {one[0]};"]),
            replace(function, first + one.start(), first + one.end(), name),
        ]
        said = f"call `{one[0]}` before the lock is taken"
        why = f"`{one[0]}` only looks: taken a moment before the lock it is as right as a moment after"
        yield Candidate("order", edits, said, SAME_WORK, why=why)
