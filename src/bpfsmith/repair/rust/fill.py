"""Bytes are used before they are set: of a value made without any, or the padding of one."""

from __future__ import annotations

from bpfsmith.repair.report import NO_NEW_PATH, Candidate
from bpfsmith.repair.rust.spot import edit, indent, spots
from bpfsmith.source.layout import layout
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.rust.spot import Spot
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`zeroed` for `uninit`; a value that has padding made of zeros first, then its fields."""
    seen: set[int] = set()
    for spot in spots(ground):
        if spot.item.id in seen:
            continue
        seen.add(spot.item.id)
        yield from _uninit(spot)
        yield from _padded(spot)


def _uninit(spot: Spot) -> Iterator[Candidate]:
    body = spot.item.expr
    for one in body.within("call") if body is not None else ():
        callee = one.callee
        last = callee.path.rpartition("::")[2] if callee is not None else ""
        if callee is None or last not in ("uninit", "uninitialized", "uninit_array"):
            continue
        word = "zeroed"
        at = callee.end - len(last) if spot.file.text[callee.end - len(last) : callee.end] == last else -1
        if at < 0:
            continue
        yield Candidate("initialise", [edit(spot.file, at, at + len(last), word)], "begin with zeros", NO_NEW_PATH)


def _padded(spot: Spot) -> Iterator[Candidate]:
    """`let key = Key { .. }` where `Key` has bytes that belong to no field."""
    body = spot.item.expr
    for block in body.within("block") if body is not None else ():
        for let in block.lets:
            init = let.init
            if init is None or init.kind != "struct" or let.name is None:
                continue
            known = layout(spot.file, init.path, spot.item)
            if known is None or not known.padding or any(value is None for _, value in init.struct_fields):
                continue
            if resolve(spot.file, init.path, spot.item) is None:
                continue
            yield _zeroed(spot, let.name, init, let.start, let.end)


def _zeroed(spot: Spot, name: str, init: Expr, start: int, end: int) -> Candidate:
    space = indent(spot.file, start)
    lines = [f"let mut {name}: {init.path} = unsafe {{ core::mem::zeroed() }};"]
    lines += [f"{name}.{field} = {value.text};" for field, value in init.struct_fields if value is not None]
    text = f"\n{space}".join(lines)
    return Candidate("initialise", [edit(spot.file, start, end, text)], f"set the padding of `{name}` too", NO_NEW_PATH)
