"""Packet pointers in the text: `ctx.data()`, what is computed from it, what is compared with `data_end`."""

from __future__ import annotations

from bpfsmith.rules._kernel_code import local
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr

__all__ = ["accessor", "pointer"]

_STEPS = 8
_MODULES = ("aya_ebpf::programs::", "aya_bpf::programs::")
# Contexts whose `data()` is a packet pointer.
_CONTEXTS = frozenset({"XdpContext", "TcContext", "SkBuffContext", "SkMsgContext"})


def accessor(expr: Expr) -> str:
    """`data` or `data_end` when the expression is that call on one of Aya's packet contexts; else empty."""
    if expr.kind != "method" or expr.name not in ("data", "data_end") or expr.args:
        return ""
    owner = type_of(expr.receiver)
    if owner is None or not owner.path.startswith(_MODULES) or owner.name not in _CONTEXTS:
        return ""
    return str(expr.name)


def pointer(expr: Expr, depth: int = 0) -> tuple[str, list[Expr]] | None:  # noqa: PLR0911 - one return a kind
    """`data` or `data_end`, and what is added to it, of an expression that is such a pointer for certain."""
    while expr.kind in ("paren", "cast") or (expr.kind == "block" and not expr.fields[1] and expr.tail is not None):
        inner = expr.tail if expr.kind == "block" else expr.inner
        if inner is None or (expr.kind == "cast" and not _whole(expr.cast_type)):
            return None
        expr = inner
    if depth > _STEPS:
        return None
    name = accessor(expr)
    if name:
        return name, []
    if expr.kind == "binary" and expr.op == "+":
        left, right = expr.operands
        for one, other in ((left, right), (right, left)):
            found = pointer(one, depth + 1) if one is not None else None
            if found is not None and other is not None:
                return found[0], [*found[1], other]
        return None
    if expr.kind == "method" and expr.name in ("add", "wrapping_add", "byte_add", "cast") and expr.receiver is not None:
        found = pointer(expr.receiver, depth + 1)
        return (found[0], [*found[1], *expr.args]) if found is not None else None
    held = local(expr)
    if held is None or held.kind != "let" or held.let is None or held.let.init is None:
        return None
    if held.let.pattern.startswith("mut "):
        return None
    return pointer(held.let.init, depth + 1)


def _whole(type_: str) -> bool:
    """A cast that keeps the pointer."""
    text = type_.strip()
    return text.startswith("*") or text in ("usize", "u64", "isize", "i64")
