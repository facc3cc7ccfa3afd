"""A function that cannot say that something failed: it gives an `Option` then, and its callers fail.

`fn header(ctx) -> &Tcp` becomes `-> Option<&Tcp>`, what it gives `Some(..)`, and each call a test. That is done only
where every mention of the function is a call that is known, and where each caller knows how to fail.
"""

from __future__ import annotations

from bpfsmith.repair.rust.place import boundary, closure_of, guarded
from bpfsmith.repair.rust.spot import Failing, edit, failing, indent, statement
from bpfsmith.source.rust import Let
from bpfsmith.source.types import bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Edit
    from bpfsmith.repair.ground import Ground
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = ["begins_with", "fails_at"]

_DEPTH = 3
# Names that methods of others have too: a call by such a name may be of one of those.
_COMMON = frozenset(
    {
        *("new", "get", "get_mut", "next", "len", "from", "into", "default", "clone", "as_ref", "as_mut", "deref"),
        *("read", "write", "index", "add", "sub", "push", "pop", "insert", "remove", "ptr", "as_ptr", "load", "store"),
    }
)


def fails_at(
    item: Item, ground: Ground | None, use: Expr, depth: int = 0, sort: str = ""
) -> Failing | None:  # fmt: skip
    """How a use in a function fails: as the function does; else by `Option`, where its callers can say so."""
    if closure_of(use) is not None:
        return _of_closure(use)
    own = failing(item, ground, use, sort)
    if own is not None and (own.certain or ground is None or item.name == ground.program.name):
        return own
    if ground is not None and depth < _DEPTH:
        made = _optional(item, ground, depth, sort)
        if made is not None:
            return made
    return own


def _of_closure(use: Expr) -> Failing | None:
    """A closure that gives nothing, or an `Option`, is left like a function that does."""
    closure = closure_of(use)
    body = closure.body if closure is not None else None
    if closure is None or body is None:
        return None
    parent = closure.parent
    if parent is not None and parent.kind == "method" and parent.name == "and_then":
        gives = {one.callee.path for one in body.within("call") if one.callee is not None}
        if "Some" in gives or any(one.path == "None" for one in body.within("path")):
            return Failing("None", "option", "the closure gives an `Option`", certain=True)
        return None
    if parent is not None and parent.kind == "method" and parent.name not in ("for_each",):
        return None
    return Failing("", "nothing", "the closure gives nothing", certain=True) if _unit(body) else None


def _unit(body: Expr) -> bool:
    """Whether a body gives nothing."""
    while body.kind in ("block", "paren"):
        inner = body.tail if body.kind == "block" else body.inner
        if inner is None:
            return True
        body = inner
    return body.kind == "binary" and body.op.endswith("=") and body.op not in ("==", "!=", "<=", ">=")


def _optional(item: Item, ground: Ground, depth: int, sort: str = "") -> Failing | None:
    body = item.expr
    if body is None or any(closure_of(one) is None for one in body.within("try")):
        return None
    if not item.type.strip() or item.type.strip() == "!" or not _own(item, ground):
        return None
    calls = _calls(item, ground)
    if not calls:
        return None
    edits = [edit(item.file, item.type_start, item.type_start + len(item.type), f"Option<{item.type}>")]
    for leave in body.within("return"):
        if leave.inner is not None and closure_of(leave) is None:
            edits += _some(leave.inner)
    if body.tail is not None and body.tail.kind != "return":
        edits += _some(body.tail)
    elif body.tail is None and not any(True for _ in body.within("return")):
        return None
    returns = ["None"]
    for call in calls:
        caller = call.item
        fails = fails_at(caller, ground, call, depth + 1, sort) if caller is not None and caller != item else None
        if fails is None or not fails.certain:
            return None
        edits += _tested(call, fails)
        edits += [one for one in fails.edits if one not in edits]
        returns += fails.texts
    why = f"`{item.name}` says so by `None`, and its callers fail"
    return Failing("None", "option", why, certain=True, edits=edits, texts=tuple(dict.fromkeys(returns)))


def _some(expr: Expr) -> list[Edit]:
    file = expr.file
    return [edit(file, expr.start, expr.start, "Some("), edit(file, expr.end, expr.end, ")")]


def _own(item: Item, ground: Ground) -> bool:
    """A plain function of the user's, that nothing but its calls knows of."""
    if item.extern or item.const_fn or item.async_ or item.name == ground.program.name:
        return False
    if any(one.path.rpartition("::")[2] not in ("inline", "allow", "must_use", "expect", "cold") for one in item.attrs):
        return False
    outer = item.parent
    if outer is not None and (outer.kind == "trait" or (outer.kind == "impl" and outer.extra.strip())):
        return False
    return not (outer is not None and outer.kind == "impl" and item.name in _COMMON)


def _files(ground: Ground) -> Iterator[SourceFile]:
    for path in ground.files:
        file = ground.source(path)
        if file is not None:
            yield file


def _calls(item: Item, ground: Ground) -> list[Expr]:
    """All calls of a function; none where it is mentioned in another way, or another one has its name."""
    found: list[Expr] = []
    for file in _files(ground):
        if any(one != item and one.kind == "fn" for one in file.items_named(item.name)):
            return []
        if item.name in file.text:
            calls = [
                one for one in file.of_kind("call")
                if one.callee is not None and one.callee.path.rpartition("::")[2] == item.name
            ]  # fmt: skip
            named = [
                one for one in file.of_kind("path")
                if one.path.rpartition("::")[2] == item.name and ("::" in one.path or bound(one.path, one) is None)
            ]  # fmt: skip
            if len(named) > len(calls):
                return []  # it is handed on
            found += calls
            found += [one for one in file.of_kind("method") if one.name == item.name]
            if any(item.name in one.extra for one in file.items_of_kind("macro_rules")):
                return []
    return found


def _tested(call: Expr, fails: Failing) -> list[Edit]:
    """A call whose answer may be nothing now."""
    file = call.file
    if fails.kind == "option":
        return [edit(file, call.end, call.end, "?")]
    if fails.kind == "result" and fails.error:
        return [edit(file, call.end, call.end, f".ok_or({fails.error})?")]
    place = statement(call)
    init = place.init if isinstance(place, Let) else None
    if (
        isinstance(place, Let)
        and init is not None
        and not place.other
        and boundary(call) is None
        and begins_with(place, call)
    ):
        space = indent(file, place.start)
        type_ = f": Option<{place.type}>" if place.type else ""
        made = f"({init.text})" if init.text.endswith("}") else init.text
        text = f"let Some({place.pattern}){type_} = {made} else {{\n{space}    {fails.statement}\n{space}}};"
        return [edit(file, place.start, place.end, text)]
    name = _fresh(call, "found")
    made = call.text
    if _unsafe(call):
        made = f"(unsafe {{ {made} }})"
    lines = [f"let Some({name}) = {made} else {{", f"    {fails.statement}", "};"]
    return [*guarded(call, lines), edit(file, call.start, call.end, name)]


def _fresh(at: Expr, name: str) -> str:
    from bpfsmith.repair.rust.common import fresh

    return fresh(at, name)


def begins_with(let: Let, call: Expr) -> bool:
    """Whether the call, in brackets or `unsafe` at most, is all that the `let` starts with."""
    at: Expr | None = let.init
    while at is not None and at != call:
        if at.kind == "paren":
            at = at.inner
        elif at.kind == "block" and not at.fields[1] and at.tail is not None:
            at = at.tail
        else:
            return False
    return at is not None


def _unsafe(call: Expr) -> bool:
    """Whether the call is in an `unsafe` block that its statement is not in."""
    place = statement(call)
    return any(
        one.kind == "block" and one.is_unsafe and one.start >= place.start and one.end <= place.end
        for one in call.ancestors()
    )
