"""A large local of Rust that does not fit on the stack: one element of a per-CPU array in its place."""

from __future__ import annotations

import re

from bpfsmith.repair.report import SAME_WORK, Candidate
from bpfsmith.repair.rust.fallible import fails_at
from bpfsmith.repair.rust.spot import edit, everywhere, indent, spots
from bpfsmith.source.layout import constant, layout
from bpfsmith.source.types import bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Edit
    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.rust.spot import Spot
    from bpfsmith.source.rust import Expr, Let

__all__ = ["candidates"]

_LEAST = 64  # bytes: what is smaller does not make the difference
_ZEROED = re.compile(r"(?:\w+::)*(?:zeroed|default)(?:::<(.+)>)?\(\)", re.DOTALL)


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The largest local first."""
    found: list[tuple[int, int, Spot, Let, str]] = []
    seen: set[int] = set()
    for spot in [*spots(ground), *everywhere(ground)]:
        body = spot.item.expr
        if body is None or spot.item.id in seen:
            continue
        seen.add(spot.item.id)
        for block in body.within("block"):
            for let in block.lets:
                type_ = _type(let)
                known = layout(spot.file, type_, spot.item) if type_ else None
                if known is not None and known.size >= _LEAST:
                    found.append((-known.size, len(found), spot, let, type_))
    for _, _, spot, let, type_ in sorted(found, key=lambda one: one[:2]):
        made = _moved(ground, spot, let, type_)
        if made is not None:
            yield made


def _type(let: Let) -> str:
    """The type of a local that begins as the same bytes over and over; "" of another one."""
    init = let.init
    if let.name is None or init is None or let.other is not None:
        return ""
    while init.kind == "block" and not init.fields[1] and init.tail is not None:
        init = init.tail
    if init.kind == "repeat":
        value, count = init.operands
        number = constant(init.file, count.text, init.item) if count is not None else None
        if value is None or number is None:
            return ""
        if let.type:
            return let.type.strip()
        suffix = re.search(r"([ui](?:8|16|32|64|size))$", value.text)
        return f"[{suffix[1]}; {count.text}]" if suffix is not None and count is not None else ""
    if init.kind == "struct":
        return init.path
    found = _ZEROED.fullmatch("".join(init.text.split())) if init.kind == "call" else None
    return (let.type or found[1] or "").strip() if found is not None else ""


def _moved(ground: Ground, spot: Spot, let: Let, type_: str) -> Candidate | None:
    init, name = let.init, let.name
    fails = fails_at(spot.item, ground, init) if init is not None else None
    if init is None or name is None or fails is None or fails.edits or fails.kind == "closure":
        return None
    static = _named(spot, name)
    space = indent(spot.file, let.start)
    maps = "aya_ebpf::maps::PerCpuArray"
    declared = f"#[aya_ebpf::macros::map]\nstatic {static}: {maps}<{type_}> = {maps}::with_max_entries(1, 0);\n\n"
    start = _begin(spot)
    lines = [
        f"let Some({name}) = {static}.get_ptr_mut(0) else {{",
        f"    {fails.statement}",
        "};",
        f"let {name} = unsafe {{ &mut *{name} }};",
        f"*{name} = {init.text};",
    ]
    edits = [
        edit(spot.file, start, start, declared),
        edit(spot.file, let.start, let.end, f"\n{space}".join(lines)),
    ]
    for one in spot.item.expr.within("path") if spot.item.expr is not None else ():
        found = bound(one.path, one) if one.path == name and one.start >= let.end else None
        if found is None or found.let is None or found.let.start != let.start:
            continue
        made = _deref(one)
        if made is not None:
            edits.append(made)
    said = f"keep `{name}` in an element of a per-CPU array, not on the stack"
    why = f"`{name}` has the same bytes in another place, set as before; element 0 of such an array is always there"
    return Candidate("per-cpu-scratch", edits, said, SAME_WORK, " or ".join(fails.texts), why)


def _deref(path: Expr) -> Edit | None:
    """A mention of a local that is a reference now: itself where that is looked through."""
    parent = path.parent
    if parent is None or (parent.kind in ("field", "method") and parent.receiver == path):
        return None
    if parent.kind == "index" and parent.operands[0] == path:
        return None
    return edit(path.file, path.start, path.start, "*")


def _named(spot: Spot, name: str) -> str:
    static, number = name.upper(), 2
    while re.search(rf"\b{static}\b", spot.file.text):
        static, number = f"{name.upper()}_{number}", number + 1
    return static


def _begin(spot: Spot) -> int:
    """Where the function begins, with its attributes; of a method before the whole `impl`."""
    item = spot.item
    while item.parent is not None and item.parent.kind in ("impl", "trait", "fn"):
        item = item.parent
    starts = [item.start, *(one.start for one in item.attrs)]
    at = min(starts)
    return spot.file.text.rfind("\n", 0, at) + 1
