"""Where a kernel-side function reads through a pointer, and where that pointer comes from."""

from __future__ import annotations

from bpfsmith.rules._handles import given, let_of
from bpfsmith.source.names import resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.rust import Expr, Item

__all__ = ["loads", "origins"]

_STEPS = frozenset({"add", "offset", "sub", "cast", "cast_mut", "cast_const", "wrapping_add", "byte_add"})
_READS = frozenset({"read", "read_unaligned", "read_volatile"})
_CORE = frozenset(f"{crate}::ptr::{name}" for crate in ("core", "std") for name in _READS)
_DEPTH = 8


def loads(item: Item) -> Iterator[tuple[Expr, Expr]]:
    """(expression, pointer): each certain read or write through a raw pointer in a function, as far as the text tells.

    Taking an address through a pointer is none, nor is what happens inside of macros.
    """
    file, body = item.file, item.expr
    if body is None:
        return
    for expr in body.within("unary"):
        pointer = expr.inner
        if expr.op == "*" and pointer is not None and not _address_only(expr):
            yield expr, pointer
    for call in body.within("method"):
        if call.name in _READS and not call.args and call.receiver is not None:
            yield call, call.receiver
    for call in body.within("call"):
        callee = call.callee
        if len(call.args) != 1 or callee is None or callee.path.rpartition("::")[2] not in _READS:
            continue
        if resolve(file, callee.path, item) in _CORE:
            yield call, call.args[0]
    yield from _through_references(body)


def _through_references(body: Expr) -> Iterator[tuple[Expr, Expr]]:
    """`let header = &*pointer;` reads nothing, `header.field` does."""
    for field in body.within("field"):
        base = field.receiver
        if base is None or base.kind != "path" or _address_only(field):
            continue
        let = let_of(base)
        made = let.init if let is not None else None
        while made is not None and made.kind in ("paren", "block") and (made.kind == "paren" or made.is_unsafe):
            made = made.inner if made.kind == "paren" else made.tail
        if made is None or made.kind != "ref" or made.text.startswith("&raw") or made.inner is None:
            continue
        target = made.inner
        if target.kind == "unary" and target.op == "*" and target.inner is not None:
            yield field, target.inner


def _address_only(expr: Expr) -> bool:
    """Whether only the address of what an expression names is taken."""
    at = expr
    while at.parent is not None:
        parent = at.parent
        if parent.kind == "paren" or (parent.kind in ("field", "index") and parent.receiver == at):
            at = parent
            continue
        if parent.kind == "method" and parent.receiver == at:
            return parent.name.startswith("as_") or parent.name in ("len", "iter", "get", "first")
        return parent.kind in ("ref", "macro", "tokens")
    return False


def origins(pointer: Expr, depth: int = 0) -> Iterator[Expr]:
    """The method calls a pointer is computed from, through locals, casts and arithmetic."""
    made = given(pointer)
    if depth > _DEPTH:
        return
    if made.kind == "method":
        if made.name in _STEPS and made.receiver is not None:
            known = type_of(made.receiver)
            if known is None or known.reference:
                yield from origins(made.receiver, depth + 1)
                return
        yield made
    elif made.kind == "binary" and made.op in ("+", "-"):
        for one in made.operands:
            if one is not None:
                yield from origins(one, depth + 1)
    elif made.kind in ("ref", "unary") and made.inner is not None and made.kind == "ref":
        yield from origins(made.inner, depth + 1)
