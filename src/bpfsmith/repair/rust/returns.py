"""A program returns what its hook does not take."""

from __future__ import annotations

import re

from bpfsmith.repair.report import REWRITE, Candidate
from bpfsmith.repair.rust.common import checked, fresh, pure, replaced
from bpfsmith.repair.rust.spot import _results, everywhere, failing, spots
from bpfsmith.source.layout import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.source.rust import Expr

__all__ = ["candidates", "taken"]

_RANGE = re.compile(r"should have been in [\[(](-?\w+)[,;] ?(-?\w+)[\])]")


def taken(message: str) -> tuple[int, int] | None:
    """The range that a message says the hook takes."""
    found = _RANGE.search(message)
    if found is None:
        return None
    try:
        return int(found[1], 0), int(found[2], 0)
    except ValueError:
        return None


def candidates(ground: Ground) -> Iterator[Candidate]:
    """A test of the value before it is returned; of a constant its negative, where that is in the range."""
    limits = taken(ground.why.message) or _told(ground)
    listed = list(spots(ground))
    own = [spot for spot in everywhere(ground) if spot.item.name == ground.program.name]
    done: set[int] = set()
    for spot in [*listed, *own]:
        body = spot.item.expr
        if body is None or limits is None:
            continue
        leaves = [*_results(body), *(one.inner for one in body.within("return") if one.inner is not None)]
        leaves.sort(key=lambda one: not spot.first <= one.start < spot.last)
        for leaf in leaves:
            if leaf.id in done:
                continue
            done.add(leaf.id)
            value = constant(leaf.file, leaf.text, leaf.item)
            if value is not None:
                if not limits[0] <= value <= limits[1] and limits[0] <= -value <= limits[1]:
                    said = f"return `-{leaf.text}`, which the hook takes"
                    yield Candidate("return-range", [replaced(leaf, f"-{leaf.text}")], said, REWRITE)
                continue
            yield from _tested(ground, leaf, limits)


def _told(ground: Ground) -> tuple[int, int] | None:
    low, high = ground.operand("low", "min"), ground.operand("high", "max")
    return (low, high) if isinstance(low, int) and isinstance(high, int) else None


def _tested(ground: Ground, leaf: Expr, limits: tuple[int, int]) -> Iterator[Candidate]:
    item = leaf.item
    fails = failing(item, ground, leaf) if item is not None else None
    if item is None or fails is None or item.name != ground.program.name:
        return
    value = constant(item.file, fails.text, item)
    if value is not None and not limits[0] <= value <= limits[1]:
        return
    name = fresh(leaf, "verdict")
    low, high = limits
    signed = item.type.strip().startswith("i")
    test = f"{name} > {high}" if not signed or low > 0 else f"{name} < {low} || {name} > {high}"
    lines = [f"let {name} = {leaf.text};", f"if {test} {{", f"    {fails.statement}", "}", name]
    text = "{\n" + "".join(f"        {line}\n" for line in lines) + "    }"
    said = f"return only what the hook takes, {low} to {high}"
    yield checked("return-range", [replaced(leaf, text)], said, fails)
    if (low, high) == (0, 1) and pure(leaf):
        said = "return whether it is more than 0"
        yield Candidate("return-range", [replaced(leaf, f"({leaf.text} != 0) as {item.type.strip()}")], said, REWRITE)
