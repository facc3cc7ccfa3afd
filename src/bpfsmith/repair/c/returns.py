"""A C program returns what its hook does not take."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import before, checked, fresh, functions, replace
from bpfsmith.repair.report import SAME_WORK, Candidate
from bpfsmith.repair.rust.returns import taken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """A test of the value before it is returned; of an errno its negative, where that is what the hook takes."""
    limits = taken(ground.why.message)
    if limits is None:
        return
    low, _high = limits
    done = set()
    listed = list(functions(ground))
    for function in listed:
        own = function.name == ground.program.name
        for node in function.top.walk():
            if node.kind != "return" or node.start in done:
                continue
            done.add(node.start)
            start = node.start + len("return")
            end = function.plain.rfind(";", start, node.end)
            text = " ".join(function.text[start:end].split())
            begin = end - len(function.plain[start:end].lstrip())
            if re.fullmatch(r"E[A-Z0-9]+", text) and low < 0:
                said = f"return `-{text}`, which the hook takes"
                why = f"`{text}` is an error's number, and hooks tell errors by the negative of it"
                yield Candidate("negative-errno", [replace(function, begin, end, f"-{text}")], said, SAME_WORK, why=why)
            elif own and not re.fullmatch(r"-?\s*\d+|-?[A-Z][A-Z0-9_]*|", text):
                yield from _tested(function, node.start, begin, end, limits)


def _tested(function: Function, at: int, start: int, end: int, limits: tuple[int, int]) -> Iterator[Candidate]:
    """`return x;` where `x` may be anything: what the hook does not take is answered as a failure."""
    low, high = limits
    text = " ".join(function.text[start:end].split())
    fails = function.leaving()
    if not fails.text or not re.fullmatch(r"-?\w+", fails.text) or fails.text.islower():
        return
    # An error's number says no, whatever the sign: which of the hook's answers that is depends on the hook.
    made = re.search(rf"(?<![\w.>]){re.escape(text)}\s*=(?!=)[^;]*\w\s*\(", function.body)
    made = made if text.isidentifier() else None
    if low < 0 or made is not None or re.search(r"\w\s*\(|[A-Z]{2}", text):
        return
    name = text
    ahead = []
    edits = []
    if not re.fullmatch(r"[a-z_]\w*", text):
        name = fresh(function, "result")
        ahead = [f"__auto_type {name} = {text};"]
        edits = [replace(function, start, end, name)]
    condition = f"{name} < {low} || {name} > {high}" if low else f"(unsigned long){name} > {high}"
    lines = [*ahead, f"if ({condition})", f"{function.tab}{fails.statement}"]
    said = f"return only what is taken, {low} to {high}"
    yield checked("in-range", [*before(function, at, lines), *edits], said, fails)
