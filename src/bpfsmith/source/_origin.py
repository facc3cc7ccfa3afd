"""Where a value comes from, as its own expression tells: a map, a context, the packet, a helper."""

from __future__ import annotations

from bpfsmith.source._typed import typed
from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr

__all__ = ["Provenance", "origin"]

_LOOKUPS = frozenset({"get", "get_ptr", "get_ptr_mut"})


class Provenance:
    """Where a value comes from: `kind` is map (a lookup), context (a field), packet or helper; `name` of it."""

    __slots__ = ("expr", "kind", "name")

    def __init__(self, kind: str, name: str, expr: Expr) -> None:
        self.kind = kind
        self.name = name
        self.expr = expr


def origin(expr: Expr) -> Provenance | None:  # noqa: PLR0911 - one return a kind
    """What an expression itself takes a value from."""
    if expr.kind == "method":
        owner = typed(expr.receiver)
        if expr.name in _LOOKUPS and owner is not None and owner.rpartition("::")[0].endswith("maps"):
            at = expr.receiver
            return Provenance("map", at.path.rpartition("::")[2] if at is not None else "", expr)
        if owner is not None and owner.startswith(("aya_ebpf::programs::", "aya_bpf::programs::")):
            return Provenance("packet" if expr.name == "load" else "context", expr.name, expr)
        return None
    if expr.kind == "field":
        owner = typed(expr.receiver)
        if owner is None:
            return None
        if owner.startswith("network_types::"):
            return Provenance("packet", expr.name, expr)
        if owner.startswith(("aya_ebpf::bindings::", "aya_bpf::bindings::", "aya_ebpf::programs::")):
            return Provenance("context", expr.name, expr)
        return None
    if expr.kind == "call" and expr.callee is not None and expr.callee.kind == "path":
        path = resolve(expr.file, expr.callee.path, expr.item)
        if path is not None and path.startswith(("aya_ebpf::helpers::", "aya_bpf::helpers::")):
            return Provenance("helper", path.rpartition("::")[2], expr)
        if path is not None and len(expr.args) == 2 and "ctx" in expr.args[0].text:
            item = item_of(expr.file, path) if path.startswith("crate::") else None
            if item is not None and item.generic and "*" in item.type:
                return Provenance("packet", path.rpartition("::")[2], expr)
    return None
