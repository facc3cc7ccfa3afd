"""Kinds of edits that rows of the kernel side need."""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._rust import borrow_edits, mentions, programs, replace
from bpfsmith.rules.moves._where import long_parameter
from bpfsmith.source.names import canonical, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.finding import Edit
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules.moves._table import EditKind, Hit

__all__ = ["all_of_file", "borrow_mut", "int_error", "size_parameter"]


def all_of_file(new: str, macro: str) -> EditKind:
    """The context's name changes everywhere in the file, where every program that takes it is one of `macro`."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file, item = hit.file, hit.item
        if file is None or item is None or hit.places or not item.params:
            return None
        old = resolve(file, item.params[0].type, item)
        if old is None or any(use.name == new for use in file.uses):
            return None
        for other, kind, _ in programs(file):
            if kind != macro and other.params and resolve(file, other.params[0].type, other) == old:
                return None
        name = old.rpartition("::")[2]
        places = [one for one in mentions(file, {canonical(old)}) if one.text == name]
        edits = [replace(ctx, file, one.start, one.end, new) for one in places]
        return Fix("unsafe", f"take a `{new}`", edits) if edits else None

    return make


def int_error(hit: Hit, ctx: CheckContext) -> Fix | None:
    """The closure takes an `i32`; or the error is widened again where the function returns it."""
    call, file = hit.expr, hit.file
    if call is None or file is None:
        return None
    found = long_parameter(call)
    if found is None:
        edit = replace(ctx, file, call.end, call.end, ".map_err(i64::from)")
        return Fix("safe", "widen the error: `.map_err(i64::from)`", [edit])
    closure, start, end = found
    body = closure.body
    kind = "safe" if body is not None and body.kind in ("cast", "lit") else "unsafe"
    return Fix(kind, "take an `i32`", [replace(ctx, file, start, end, "i32")])


def borrow_mut(message: str) -> EditKind:
    """`&mut` before the arguments that the match named."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.expr is None:
            return None
        wrong = [hit.expr.args[int(at)] for at in hit.words["wrong"].split()]
        edits: list[Edit] = []
        for one in wrong:
            first, *rest = borrow_edits(ctx, one)
            edits += [type(first)(first.span, first.text.replace("&", "&mut ", 1)), *rest]
        return Fix("safe" if all(one.kind == "lit" for one in wrong) else "unsafe", message, edits)

    return make


def size_parameter(hit: Hit, ctx: CheckContext) -> Fix | None:
    """`PerfEventArray<F>` -> `PerfEventArray<0, F>`, without parameters `<0, 0>`."""
    file = hit.file
    if file is None:
        return None
    if file.text[hit.end : hit.end + 1] == "<":
        edit = replace(ctx, file, hit.end + 1, hit.end + 1, "0, ")
    else:
        edit = replace(ctx, file, hit.end, hit.end, "<0, 0>")
    return Fix("safe", "write size 0, the loader's choice", [edit])
