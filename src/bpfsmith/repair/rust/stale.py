"""A pointer into the packet is used after a helper that may move the packet: it must be made and checked anew."""

from __future__ import annotations

from bpfsmith.repair.rust.common import checked, pointers, stripped
from bpfsmith.repair.rust.fallible import fails_at
from bpfsmith.repair.rust.packet import _beyond, end_of
from bpfsmith.repair.rust.spot import Spot, before, spots, statement
from bpfsmith.source.rust import Expr, Let
from bpfsmith.source.types import bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate

__all__ = ["candidates"]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The pointer's `let` once more, and the comparison with the end, after the helper or before the use."""
    listed = list(spots(ground))
    for spot in listed:
        for access, target in pointers(spot):
            fails = fails_at(spot.item, ground, access)
            inner = stripped(target)
            lets = list(dict.fromkeys(_made_of(target, access)))
            if fails is None or not lets:
                continue
            names = {let.name for let in lets}
            lines = [spot.file.text[let.start : let.end] for let in lets]
            end = end_of(spot.item, access, target)
            if end is None:
                continue
            if end in names or not end.isidentifier():
                shown = end
            else:
                shown = end
                held = bound(end, access)
                if held is not None and held.let is not None and held.let.init is not None and held.let.name:
                    lines.append(spot.file.text[held.let.start : held.let.end])
            for condition in _beyond(target, shown):
                text = [*lines, f"if {condition} {{", f"    {fails.statement}", "}"]
                said = f"make `{inner.text[:40]}` and its check anew after the packet may have moved"
                for place in _places(access, listed, spot):
                    yield checked("re-derive", [before(spot.file, place, text)], said, fails)


def _made_of(target: Expr, at: Expr, depth: int = 0) -> Iterator[Let]:
    """The `let`s that a packet pointer is made by, the first one first."""
    if depth > 6:
        return
    for one in target.within("path"):
        if "::" in one.path:
            continue
        found = bound(one.path, one)
        let = found.let if found is not None and found.kind == "let" else None
        if let is None or let.init is None or let.start > at.start:
            continue
        inside = list(_made_of(let.init, at, depth + 1))
        if inside or any(
            part.kind in ("method", "field") and part.name in ("data", "data_end", "data_meta")
            for part in let.init.within()
        ):
            yield from inside
            yield let


def _places(access: Expr, listed: list[Spot], spot: Spot) -> Iterator[Expr | Let]:
    """Right before the use; and after the statement of the helper, when the use is in the same block or below."""
    for other in listed:
        if other.item != spot.item or other.line >= spot.line:
            continue
        for block in access.ancestors():
            if block.kind != "block":
                continue
            statements = block.statements
            for at, one in enumerate(statements[:-1]):
                if one.start < other.last and one.end > other.first and one.end <= access.start:
                    yield statements[at + 1]
                    break
    yield statement(access)
