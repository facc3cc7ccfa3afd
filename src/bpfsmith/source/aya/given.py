"""Which type a value has that is handed to a generic function, as far as the text says so: `&pid`, `&(n as u64)`."""

from __future__ import annotations

from bpfsmith.source.across import constant_item, item_across
from bpfsmith.source.aya.follow import value_type
from bpfsmith.source.layout import Layout, layout
from bpfsmith.source.types import binding, parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = ["layout_given"]

_INTEGERS = ("u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize")
_RETURNS = {"std::process::id": "u32", "process::id": "u32"}
_DEPTH = 6


def layout_given(expr: Expr | None) -> Layout | None:
    """The layout of `T` where a `&T` is expected and `expr` is given; None when its type is not written anywhere."""
    if expr is None:
        return None
    while expr.kind == "paren" and expr.inner is not None:
        expr = expr.inner
    if expr.kind == "ref":
        found = _type(expr.inner, 0, True)
    else:
        found = _type(expr, 0, False)
        if found is not None:
            text = found[1].strip()
            if not text.startswith("&"):
                return None
            found = (found[0], text[1:].strip().removeprefix("mut ").strip(), found[2])
    if found is None or found[1].lstrip().startswith(("&", "[T]", "impl ", "dyn ", "_")):
        return None
    return layout(found[0], found[1], found[2], "host")


def _type(  # noqa: PLR0911, PLR0912 - one return a kind
    expr: Expr | None, depth: int, direct: bool
) -> tuple[SourceFile, str, Item | None] | None:
    """(file, type's text, item) of an expression. `direct`: nothing but the number itself says its type, so `i32`."""
    if expr is None or depth > _DEPTH:
        return None
    kind = expr.kind
    file, item = expr.file, expr.item
    if kind == "paren":
        return _type(expr.inner, depth + 1, direct)
    if kind == "unary" and expr.op == "-":
        return _type(expr.inner, depth + 1, direct)
    if expr.literal == "int":
        for name in _INTEGERS:
            if expr.text.endswith(name):
                return file, name, item
        return (file, "i32", item) if direct else None
    if expr.literal == "bool":
        return file, "bool", item
    if kind == "cast":
        return file, expr.cast_type, item
    if kind == "struct":
        return file, expr.path, item
    if kind == "call" and expr.callee is not None:
        name = expr.callee.path
        if name in _RETURNS:
            return file, _RETURNS[name], item
        head, _, last = name.rpartition("::")
        if head in _INTEGERS and last in ("from", "from_be_bytes", "from_ne_bytes", "from_le_bytes", "from_str_radix"):
            return (file, head, item) if last != "from_str_radix" else None
    if kind == "path":
        return _of_path(expr, depth)
    if kind in ("block", "ref"):
        inner = _type(expr.tail if kind == "block" else expr.inner, depth + 1, direct)
        return inner if kind == "block" or inner is None else (inner[0], "&" + inner[1], inner[2])
    if kind == "unary" and expr.op == "*":
        inner = _type(expr.inner, depth + 1, False)
        bare = _pointee(inner[1]) if inner is not None else ""
        return (inner[0], bare, inner[2]) if inner is not None and bare else None
    if kind in ("try", "method"):
        return _looked_up(expr)
    if kind == "field" and expr.receiver is not None:
        owner = value_type(expr.receiver)
        struct = item_across(file, owner.path) if owner is not None and not owner.args else None
        if struct is not None and struct.kind == "struct" and not struct.generic:
            for field in struct.params:
                if field.name == expr.name:
                    return struct.file, field.type, struct
    return None


def _pointee(text: str) -> str:
    """`*mut T`, `&mut T`: `T`."""
    for start in ("*mut ", "*const ", "&mut ", "&"):
        if text.startswith(start):
            return text.removeprefix(start).strip()
    return ""


def _looked_up(expr: Expr) -> tuple[SourceFile, str, Item | None] | None:
    """`SCRATCH.get_ptr_mut(0)?`: a pointer to what the map's static says it holds."""
    made = expr.stripped()
    while (
        made.kind == "method" and made.name in ("ok_or", "ok_or_else", "unwrap_unchecked") and made.receiver is not None
    ):
        made = made.receiver
    if made == expr or made.kind != "method" or made.receiver is None or made.receiver.kind != "path":
        return None
    pointer = {"get_ptr_mut": "*mut ", "get_ptr": "*const ", "get": "&"}.get(made.name)
    found = constant_item(made.file, made.receiver.path, made.item)
    parsed = parse_type(found.type) if found is not None and found.kind == "static" else None
    if pointer is None or found is None or parsed is None or not parsed[1]:
        return None
    if parsed[0].rpartition("::")[2] not in _HOLDS:
        return None
    return found.file, pointer + parsed[1][_HOLDS[parsed[0].rpartition("::")[2]]], found


_HOLDS = {"Array": 0, "PerCpuArray": 0, "HashMap": 1, "LruHashMap": 1, "PerCpuHashMap": 1, "LruPerCpuHashMap": 1}


def _of_path(  # noqa: PLR0911 - one return a kind
    expr: Expr, depth: int
) -> tuple[SourceFile, str, Item | None] | None:
    local = binding(expr) if "::" not in expr.path else None
    if local is not None:
        if local.item is not None and local.item.generic:
            return None
        if local.type:
            return expr.file, local.type, expr.item
        if local.let is not None and local.let.pattern.replace(" ", "") == f"Some({expr.path})":
            init = local.let.init  # `let Some(x) = MAP.get_ptr_mut(0) else { .. }`
            return _looked_up(init.parent) if init is not None and init.parent and init.parent.kind == "try" else None
        if local.kind == "let" and local.let is not None:
            return _type(local.let.init, depth + 1, False)
        return None
    found = constant_item(expr.file, expr.path, expr.item)
    if found is not None and found.kind in ("const", "static"):
        return found.file, found.type, found
    return None
