"""What Rust declares too small or as another kind: a map's values, an entry that is reserved, the map itself."""

from __future__ import annotations

import re

from bpfsmith.repair.report import SAME_WORK, Candidate
from bpfsmith.repair.rust.common import stripped
from bpfsmith.repair.rust.index import _held
from bpfsmith.repair.rust.spot import edit, everywhere, spots
from bpfsmith.source.layout import layout
from bpfsmith.source.types import bound, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.rust.spot import Spot
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = ["candidates"]

_CAST = re.compile(r"cast::<\s*(.+?)\s*>\(\)$", re.DOTALL)
_LOOKUPS = ("get", "get_ptr", "get_ptr_mut", "lookup")
# The helper that refuses a map -> the kind it takes, of the same keys and values.
_KINDS = {
    "bpf_redirect_map": "DevMap",
    "bpf_tail_call": "ProgramArray",
    "bpf_get_stackid": "StackTrace",
    "bpf_sk_redirect_map": "SockMap",
    "bpf_msg_redirect_map": "SockMap",
    "bpf_sk_select_reuseport": "ReusePortSockArray",
}
_REFUSED = re.compile(r"cannot pass map_type \d+ into func (\w+)#")


def candidates(ground: Ground) -> Iterator[Candidate]:
    """Other declarations; the program's own lines stay as they are."""
    refused = _REFUSED.search(ground.why.message)
    if refused is not None:
        yield from _map_kind(ground, _KINDS.get(refused[1], ""))
        return
    seen: set[int] = set()
    for spot in spots(ground):
        if spot.item.id not in seen:
            seen.add(spot.item.id)
            yield from _larger(spot)


# ------------------------------------------------------------ sizes


def _larger(spot: Spot) -> Iterator[Candidate]:
    """A pointer to a map's value, or to a reserved entry, that is cast to a larger type."""
    body = spot.item.expr
    for one in body.within("method", "cast") if body is not None else ():
        wanted = _pointee(one)
        source = one.receiver if one.kind == "method" else one.inner
        if not wanted or source is None:
            continue
        origin = _origin(source)
        if origin is None:
            continue
        new = layout(spot.file, wanted, spot.item)
        if new is None:
            continue
        if origin.kind == "method" and origin.name in _LOOKUPS:
            yield from _value(spot, origin, wanted, new.size)
        else:
            yield from _entry(spot, origin, wanted, new.size)


def _pointee(one: Expr) -> str:
    """What a cast says that a pointer points to."""
    if one.kind == "method":
        found = _CAST.search(one.text) if one.name == "cast" else None
        return found[1] if found is not None else ""
    text = one.cast_type.strip()
    for word in ("*mut ", "*const "):
        if text.startswith(word):
            return text.removeprefix(word).strip()
    return ""


def _origin(expr: Expr, depth: int = 0) -> Expr | None:
    """The lookup or reservation that a pointer comes from."""
    for one in [stripped(expr), *expr.within("method", "call")]:
        if one.kind == "method" and one.name in (*_LOOKUPS, "reserve"):
            return one
        if one.kind == "call" and one.callee is not None and one.callee.path.endswith("bpf_ringbuf_reserve"):
            return one
    inner = stripped(expr)
    while inner.kind == "method" and inner.receiver is not None and inner.name in ("as_mut_ptr", "as_ptr", "as_mut"):
        inner = stripped(inner.receiver)
    if inner.kind != "path" or "::" in inner.path or depth > 5:
        return None
    found = bound(inner.path, inner)
    init = (found.let.init if found.let is not None else found.init) if found is not None else None
    return _origin(init, depth + 1) if init is not None else None


def _value(spot: Spot, lookup: Expr, wanted: str, size: int) -> Iterator[Candidate]:
    owner, path = type_of(lookup.receiver), lookup.receiver
    if owner is None or not owner.args or path is None or path.kind != "path":
        return
    held = _held(lookup, owner.args)
    old = layout(spot.file, held, spot.item)
    if old is None or old.size >= size:
        return
    item = _static(spot, path.path)
    at = item.type.rfind(held) if item is not None else -1
    if item is None or at < 0:
        return
    start = item.type_start + at
    said = f"declare that `{item.name}` holds `{wanted}`, which its values are used as"
    why = "every instruction is the same one: only a declaration is another"
    yield Candidate("larger-value", [edit(item.file, start, start + len(held), wanted)], said, SAME_WORK, why=why)


def _static(spot: Spot, path: str) -> Item | None:
    files: list[SourceFile] = [spot.file, *(spot.file.crate.files if spot.file.crate is not None else ())]
    found = (item for file in files for item in file.items_named(path.rpartition("::")[2]))
    return next((item for item in found if item.kind == "static"), None)


def _entry(spot: Spot, reserve: Expr, wanted: str, size: int) -> Iterator[Candidate]:
    found = re.search(r"(?:reserve|size_of)::<\s*([^<>()]+(?:<[^<>]*>)?)\s*>\(", reserve.text)
    if found is None or found[1].strip() == wanted:
        return
    old = layout(spot.file, found[1].strip(), spot.item)
    if old is None or old.size >= size:
        return
    start = reserve.start + found.start(1)
    said = f"reserve as much as `{wanted}` needs, which the entry is used as"
    why = "only the size that is reserved is another: what is written has room in it"
    yield Candidate("larger-entry", [edit(spot.file, start, start + len(found[1]), wanted)], said, SAME_WORK, why=why)


# ------------------------------------------------------------ kinds of maps


def _map_kind(ground: Ground, kind: str) -> Iterator[Candidate]:
    """A map that a helper does not take, declared as the kind it takes."""
    if not kind:
        return
    named = {one.path for spot in spots(ground) for one in spot.around("path")}
    for spot in everywhere(ground):
        for item in spot.file.items_of_kind("static"):
            text = spot.file.text[item.type_start : item.end]
            found = re.fullmatch(r"([\w:]+?)\s*(?:<.*?>)?\s*=\s*([\w:]+)::with_max_entries(\(.*\));?", text, re.DOTALL)
            if item.name not in named or found is None or not any(one.path == "map" for one in item.attrs):
                continue
            path = f"aya_ebpf::maps::{kind}"
            tail = ";" if text.endswith(";") else ""
            made = edit(
                spot.file, item.type_start, item.end, f"{path} = {path}::with_max_entries{found[3].rstrip(';')}{tail}"
            )
            said = f"declare `{item.name}` as what the helper takes: `{kind}`"
            why = "only a declaration is another, no instruction; user space opens it as the new type"
            yield Candidate("map-type", [made], said, SAME_WORK, why=why)
            return
