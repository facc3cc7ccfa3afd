"""A C program returns what its hook does not take."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import checked, functions, replace
from bpfsmith.repair.report import REWRITE, Candidate
from bpfsmith.repair.rust.returns import taken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """A test of the value before it is returned; of a constant its negative, where that is what the hook takes."""
    limits = taken(ground.why.message)
    if limits is None:
        return
    low, high = limits
    for function in functions(ground):
        fails = function.failing()
        for one in re.finditer(r"\breturn\b\s*([^;]+);", function.body):
            text, start, end = one[1].strip(), function.start + one.start(), function.start + one.end()
            if re.fullmatch(r"[A-Z][A-Z0-9_]*", text) and low < 0:
                said = f"return `-{text}`, which the hook takes"
                yield Candidate("return-range", [replace(function, start, end, f"return -{text};")], said, REWRITE)
            if fails is None or not re.fullmatch(r"[a-z_]\w*", text) or not fails.text:
                continue
            space = function.indent(start)
            guard = f"if ({text} < {low} || {text} > {high})\n{space}\t{fails.statement}\n{space}return {text};"
            said = f"return only what is taken, {low} to {high}"
            yield checked("return-range", [replace(function, start, end, guard)], said, fails)
