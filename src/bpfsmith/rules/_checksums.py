"""Calls that replace a value in a checksum, as methods of a context or as helpers."""

from __future__ import annotations

from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, item_of, type_of
from bpfsmith.source.values import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.rust import Expr, SourceFile

__all__ = ["Replacement", "flag_bits", "literal_sum", "replacements"]

_CONTEXTS = frozenset({"TcContext", "SkBuffContext", "SkBuff"})
_FLAGS = {"BPF_F_PSEUDO_HDR": 0x10, "BPF_F_MARK_MANGLED_0": 0x20, "BPF_F_MARK_ENFORCE": 0x40, "BPF_F_IPV6": 0x80}


class Replacement:
    """One call: layer 3 or 4, offset, old and new value, flags (None when not constant)."""

    __slots__ = ("call", "flags", "flags_expr", "layer", "new", "offset", "old", "old_number")

    def __init__(self, call: Expr, layer: int, args: list[Expr]) -> None:
        self.call = call
        self.layer = layer
        self.offset, self.old, self.new, self.flags_expr = args
        self.flags = flag_bits(self.flags_expr)
        self.old_number = constant(self.old)


def flag_bits(expr: Expr | None, depth: int = 0) -> int | None:  # noqa: PLR0911 - one return a kind
    """The value of flags: numbers, `BPF_F_*` constants, `size_of::<u32>()`, joined with `|` or `+`."""
    if expr is None or depth > 12:
        return None
    if expr.kind in ("paren", "cast"):
        return flag_bits(expr.inner, depth + 1)
    if expr.kind == "binary" and expr.op in ("|", "+"):
        left, right = (flag_bits(one, depth + 1) for one in expr.operands)
        return left | right if left is not None and right is not None else None
    if expr.kind == "method" and expr.name == "into":
        return flag_bits(expr.receiver, depth + 1)
    if expr.kind == "call" and expr.callee is not None and not expr.args:
        text = "".join(expr.callee.text.split())
        for name, size in (("u8", 1), ("u16", 2), ("u32", 4), ("u64", 8)):
            if text.endswith(f"size_of::<{name}>"):
                return size
        return None
    if expr.kind == "path":
        path = resolve(expr.file, expr.path, expr.item)
        if path is not None and path.startswith(("aya_ebpf::bindings", "aya_bpf::bindings")):
            return _FLAGS.get(path.rpartition("::")[2])
        if "::" not in expr.path:
            local = binding(expr)
            if local is not None:
                plain = local.kind == "let" and local.let is not None and not local.let.pattern.startswith("mut ")
                return flag_bits(local.let.init, depth + 1) if plain and local.let is not None else None
        item = item_of(expr.file, path) if path is not None and path.startswith("crate::") else None
        if item is not None and item.kind == "const":
            return flag_bits(item.expr, depth + 1)
    return constant(expr)


def literal_sum(  # noqa: PLR0911 - one return a kind
    offset: Expr | None, depth: int = 0
) -> tuple[str, str] | None:
    """(header, field) of an offset that ends in `offset_of!(header, field)`, through locals and constants."""
    while offset is not None and offset.kind in ("paren", "cast"):
        offset = offset.inner
    if offset is None or depth > 6:
        return None
    if offset.kind == "binary" and offset.op == "+":
        return literal_sum(offset.operands[1], depth + 1)
    if offset.kind == "path":
        if "::" not in offset.path:
            local = binding(offset)
            if local is not None:
                plain = local.kind == "let" and local.let is not None and not local.let.pattern.startswith("mut ")
                return literal_sum(local.let.init, depth + 1) if plain and local.let is not None else None
        path = resolve(offset.file, offset.path, offset.item)
        item = item_of(offset.file, path) if path is not None and path.startswith("crate::") else None
        return literal_sum(item.expr, depth + 1) if item is not None and item.kind == "const" else None
    if offset.kind != "macro" or offset.path.rpartition("::")[2] != "offset_of" or len(offset.args) != 2:
        return None
    header, field = offset.args
    if header.kind != "path" or field.kind != "path":
        return None
    return header.path.rpartition("::")[2], field.path


def replacements(file: SourceFile) -> Iterator[Replacement]:
    """The calls in a kernel file; tests left out."""
    for layer in (3, 4):
        for call in file.methods(f"l{layer}_csum_replace"):
            owner = type_of(call.receiver)
            if owner is not None and owner.name in _CONTEXTS and len(call.args) == 4 and not file.in_test(call.item):
                yield Replacement(call, layer, call.args)
        for call in file.calls(f"bpf_l{layer}_csum_replace"):
            path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
            if path is None or not path.startswith(("aya_ebpf::helpers", "aya_bpf::helpers")):
                continue
            if len(call.args) == 5 and not file.in_test(call.item):
                yield Replacement(call, layer, call.args[1:])
