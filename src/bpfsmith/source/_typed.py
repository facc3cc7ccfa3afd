"""What struct an expression is, points to or refers to, through the helpers that kernel programs read packets with.

`types.type_of` knows annotations and constructors; this adds `ptr_at::<T>(..)` and its kin (functions of the crate that
are generic over what they give), `ctx.load::<T>(..)`, pointer casts, and patterns that unwrap.
"""

from __future__ import annotations

from bpfsmith.source.names import canonical, resolve
from bpfsmith.source.types import binding, item_of, parse_type, split_args
from bpfsmith.source.wire import CONTEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = ["field_types", "generic_argument", "named_type", "single_generic", "typed"]

_DEPTH = 16
_WRAPPERS = frozenset({"Result", "Option", "NonNull", "MaybeUninit", "ManuallyDrop", "RingBufEntry"})
_SAME = frozenset(
    {
        *("unwrap", "expect", "ok_or", "ok_or_else", "ok", "map_err", "unwrap_unchecked", "as_ref", "as_mut", "read"),
        *(
            "read_unaligned",
            "read_volatile",
            "clone",
            "cast_mut",
            "cast_const",
            "copied",
            "cloned",
            "as_ptr",
            "as_mut_ptr",
        ),
    }
)
_CONTEXT_OF = {"TcContext": "SkBuff", "SkBuffContext": "SkBuff"}


def typed(expr: Expr | None, depth: int = 0) -> str | None:  # noqa: PLR0911, PLR0912 - one branch a kind
    """The absolute path of the struct; None when the text does not say."""
    if expr is None or depth > _DEPTH:
        return None
    kind = expr.kind
    if kind in ("paren", "try", "ref"):
        return typed(expr.inner, depth + 1)
    if kind == "unary":
        return typed(expr.inner, depth + 1) if expr.op == "*" else None
    if kind == "block":
        return typed(expr.tail, depth + 1) if not expr.fields[0] & ~1 else None
    if kind == "cast":
        return named_type(expr.file, expr.cast_type, expr.item) or typed(expr.inner, depth + 1)
    if kind == "struct":
        return named_type(expr.file, expr.path, expr.item)
    if kind == "path":
        return _of_path(expr, depth)
    if kind == "field":
        return _of_field(expr, depth)
    if kind == "call":
        return _of_call(expr, depth)
    if kind == "method":
        if expr.name in ("load", "cast", "parse") and expr.fields[5] > expr.fields[4]:
            return named_type(expr.file, generic_argument(expr), expr.item)
        if expr.name in _SAME:
            return typed(expr.receiver, depth + 1)
        if expr.name in ("src_addr", "dst_addr") and not expr.args:
            owner = typed(expr.receiver, depth + 1)
            return "core::net::Ipv4Addr" if owner == "network_types::ip::Ipv4Hdr" else None
        return None
    if kind == "match":
        return _of_match(expr, depth)
    return None


def generic_argument(expr: Expr) -> str:
    """The first argument between `::<` and `>` of a call's name or a method call."""
    text = expr.file.text[expr.fields[4] : expr.fields[5]] if expr.kind == "method" else expr.text
    start = text.find("<")
    if start < 0 or not text.rstrip().endswith(">"):
        return ""
    parts = split_args(text[start + 1 : text.rstrip().rindex(">")])
    return parts[0] if parts else ""


def field_types(file: SourceFile, path: str) -> dict[str, str]:
    """Field -> type as written, of a struct of the crate."""
    item = item_of(file, path)
    if item is None or item.kind not in ("struct", "union"):
        return {}
    return {field.name: field.type for field in item.params}


def named_type(file: SourceFile, text: str, item: Item | None, depth: int = 0) -> str | None:
    """The struct that a type's text names, through pointers, references and the usual wrappers."""
    parsed = parse_type(text)
    if parsed is None or depth > _DEPTH:
        return None
    head, args, _ = parsed
    if head.rpartition("::")[2] in _WRAPPERS and args:
        return named_type(file, args[0], item, depth + 1)
    path = resolve(file, head, item)
    if path is not None and path.startswith("crate::"):
        alias = item_of(file, path)
        if alias is not None and alias.kind == "type" and not alias.generic:
            return named_type(alias.file, alias.type, alias, depth + 1)
    return path


def _of_path(expr: Expr, depth: int) -> str | None:  # noqa: PLR0911 - one return a way
    if expr.path == "self":
        return _self_type(expr)
    if "::" not in expr.path:
        found = binding(expr)
        if found is not None:
            if found.type:
                return named_type(expr.file, found.type, expr.item)
            let = found.let
            if let is None:
                return _of_condition(expr, depth)
            if found.kind == "pattern" and _ipv4(let.pattern, expr.path):
                return "core::net::Ipv4Addr"
            plain = let.pattern.removeprefix("Some(").removeprefix("Ok(").removeprefix("mut ")
            if found.kind == "pattern" and plain.rstrip(") ") != expr.path:
                return None
            if let.type:
                return named_type(expr.file, let.type, expr.item)
            return typed(let.init, depth + 1)
    path = resolve(expr.file, expr.path, expr.item)
    item = item_of(expr.file, path) if path is not None and path.startswith("crate::") else None
    if item is None or item.kind not in ("static", "const"):
        return None
    return named_type(item.file, item.type, item)


def _self_type(expr: Expr) -> str | None:
    """What the `impl` around is for; of a generic one only when that is a type of the crate, and no parameter."""
    owner = expr.item
    while owner is not None and owner.kind != "impl":
        owner = owner.parent
    path = named_type(owner.file, owner.type, owner) if owner is not None else None
    if owner is None or path is None or not owner.generic:
        return path
    made = item_of(owner.file, path) if path.startswith("crate::") else None
    return path if made is not None and made.kind in ("struct", "union", "enum") else None


def _of_condition(expr: Expr, depth: int) -> str | None:
    """A name that `if let Some(x) = ..` or an arm binds."""
    child = expr
    for outer in expr.ancestors():
        if outer.kind in ("if", "while"):
            condition = outer.expr_of_condition()
            for one in condition.within() if condition is not None and child != condition else ():
                if one.kind == "let" and one.fields[2] == [expr.path]:
                    pattern = one.file.text[one.fields[0] : one.fields[1]]
                    if _ipv4(pattern, expr.path):
                        return "core::net::Ipv4Addr"
                    wrapped = pattern.removeprefix("Some(").removeprefix("Ok(").removeprefix("mut ").rstrip(") ")
                    return typed(one.inner, depth + 1) if wrapped == expr.path else None
        elif outer.kind == "match":
            for arm in outer.fields[1]:
                if child.id == arm[4] and arm[2] == [expr.path]:
                    pattern = outer.file.text[arm[0] : arm[1]]
                    if _ipv4(pattern, expr.path):
                        return "core::net::Ipv4Addr"
                    wrapped = pattern.removeprefix("Some(").removeprefix("Ok(").removeprefix("mut ").rstrip(") ")
                    return typed(outer.file.expr(outer.fields[0]), depth + 1) if wrapped == expr.path else None
        child = outer
    return None


def _ipv4(pattern: str, name: str) -> bool:
    """`IpAddr::V4(address)`."""
    return "".join(pattern.split()).endswith(f"IpAddr::V4({name})")


def _of_match(expr: Expr, depth: int) -> str | None:
    """`match ptr_at(..) { Ok(header) => header, Err(..) => return .. }`"""
    for pattern, names, given in expr.arms:
        result = given
        while result is not None and result.kind in ("block", "paren", "unary", "ref"):
            result = result.tail if result.kind == "block" else result.inner
        if (
            result is not None
            and result.kind == "path"
            and names == [result.path]
            and pattern.startswith(("Ok(", "Some("))
        ):
            return typed(expr.file.expr(expr.fields[0]), depth + 1)
    return None


def _of_field(expr: Expr, depth: int) -> str | None:
    owner = typed(expr.receiver, depth + 1)
    if owner is None:
        return None
    name = owner.rpartition("::")[2]
    if owner.startswith(("aya_ebpf::programs::", "aya_bpf::programs::")):
        if expr.name == "skb" and name in _CONTEXT_OF:
            return owner.rpartition("::")[0] + "::SkBuff"
        structure = CONTEXTS.get((name, expr.name))
        return f"aya_ebpf::bindings::{structure}" if structure is not None else None
    if owner.startswith("crate::"):
        item = item_of(expr.file, owner)
        text = field_types(expr.file, owner).get(expr.name)
        return named_type(item.file, text, item) if text and item is not None else None
    return None


def _of_call(expr: Expr, depth: int) -> str | None:  # noqa: PLR0911 - one return a kind of call
    callee = expr.callee
    if callee is None or callee.kind != "path":
        return None
    head, _, last = callee.path.rpartition("::")
    if head == "Self" and last == "new":
        return _self_type(callee)
    if head and head.rpartition("::")[2][:1].isupper():
        made = resolve(callee.file, head, callee.item)
        return canonical(made) if made is not None and last in ("new", "from", "from_bits", "from_octets") else None
    if last in ("read", "read_unaligned", "read_volatile", "Ok", "Some") and len(expr.args) == 1:
        return typed(expr.args[0], depth + 1)
    path = resolve(callee.file, callee.path, callee.item)
    item = item_of(callee.file, path) if path is not None and path.startswith("crate::") else None
    if item is None or item.kind != "fn" or not item.type:
        return None
    if item.generic:
        wanted = single_generic(item)
        given = generic_argument(callee)
        return named_type(callee.file, given, callee.item) if wanted and given else None
    return named_type(item.file, item.type, item)


def single_generic(item: Item) -> bool:
    """`fn ptr_at<T>(..) -> Result<*const T, ()>`: what it gives is a pointer to, or a value of, its first parameter."""
    header = item.file.text[item.name_end : item.body_start]
    if not header.lstrip().startswith("<"):
        return False
    inner = header[header.index("<") + 1 :]
    names = [one.split(":")[0].strip() for one in split_args(inner[: inner.find(">")]) if not one.startswith("'")]
    name = names[0] if names and not names[0].startswith("const ") else ""
    parsed = parse_type(item.type)
    while parsed is not None and parsed[0].rpartition("::")[2] in _WRAPPERS and parsed[1]:
        parsed = parse_type(parsed[1][0])
    return bool(name) and parsed is not None and parsed[0] == name
