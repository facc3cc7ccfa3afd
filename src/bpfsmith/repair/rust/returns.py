"""A program returns what its hook does not take."""

from __future__ import annotations

import re

from bpfsmith.repair.report import REWRITE, SAME_WORK, Candidate
from bpfsmith.repair.rust.common import checked, fresh, pure, replaced
from bpfsmith.repair.rust.spot import Failing, _results, everywhere, failing, indent, spots
from bpfsmith.source.layout import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.source.rust import Expr

__all__ = ["candidates", "taken"]

_NEGATIVE = re.compile(r"\bsmax=-\d|has value \(0xf{6,}")  # all that it may be is below 0
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
    if limits is None:
        return
    called = "callback" in ground.why.message
    listed = list(spots(ground))
    own = [spot for spot in everywhere(ground) if spot.item.name == ground.program.name]
    done: set[int] = set()
    for spot in listed if called else [*listed, *own]:
        body = spot.item.expr
        if body is None:
            continue
        leaves = [*_results(body), *(one.inner for one in body.within("return") if one.inner is not None)]
        leaves.sort(key=lambda one: not spot.first <= one.start < spot.last)
        for leaf in leaves:
            if leaf.id in done:
                continue
            done.add(leaf.id)
            value = constant(leaf.file, leaf.text, leaf.item)
            if value is None:
                yield from _tested(ground, leaf, limits, called=called)
            elif not limits[0] <= value <= limits[1]:
                yield from _constant(leaf, value, limits)


def _constant(leaf: Expr, value: int, limits: tuple[int, int]) -> Iterator[Candidate]:
    if limits[0] <= -value <= limits[1] and value > 0:
        said = f"return `-{leaf.text}`, which the hook takes"
        why = "an error is said by a negative number: only the number that was refused is another"
        yield Candidate("negative-errno", [replaced(leaf, f"-{leaf.text}")], said, SAME_WORK, why=why)
    elif value < 0 and limits == (0, 1):
        said = f"return 0, which says no at this hook, instead of `{leaf.text}`"
        yield Candidate("return-range", [replaced(leaf, "0")], said, REWRITE)


def _told(ground: Ground) -> tuple[int, int] | None:
    low, high = ground.operand("low", "min"), ground.operand("high", "max")
    return (low, high) if isinstance(low, int) and isinstance(high, int) else None


def _tested(ground: Ground, leaf: Expr, limits: tuple[int, int], *, called: bool) -> Iterator[Candidate]:
    item = leaf.item
    if item is None or not (called or item.name == ground.program.name):
        return
    fails = _fails(ground, leaf, limits, called=called)
    value = constant(item.file, fails.text, item) if fails is not None else None
    if fails is None or (value is not None and not limits[0] <= value <= limits[1]):
        return
    name = fresh(leaf, "verdict")
    low, high = limits
    signed = item.type.strip().startswith("i")
    test = f"{name} > {high}" if not signed or low > 0 else f"{name} < {low} || {name} > {high}"
    space = indent(item.file, leaf.start)
    lines = [f"let {name} = {leaf.text};", f"if {test} {{", f"    {fails.statement}", "}", name]
    text = "{\n" + "".join(f"{space}    {line}\n" for line in lines) + f"{space}}}"
    said = f"return only what the hook takes, {low} to {high}"
    yield checked("return-range", [replaced(leaf, text)], said, fails)
    if (low, high) == (0, 1) and pure(leaf):
        said = "return whether it is more than 0"
        yield Candidate("return-range", [replaced(leaf, f"({leaf.text} != 0) as {item.type.strip()}")], said, REWRITE)


def _fails(ground: Ground, leaf: Expr, limits: tuple[int, int], *, called: bool) -> Failing | None:
    """What stands for a value out of the range."""
    if called:
        why = "any number but 0 ends the rounds"
        return Failing("1", "value", why, certain=True) if limits == (0, 1) else None
    least = _NEGATIVE.search(ground.why.message)
    if limits == (0, 1) and least is not None:
        return Failing("0", "value", "a negative number is an error, and 0 says no at this hook", certain=True)
    return failing(leaf.item, ground, leaf) if leaf.item is not None else None
