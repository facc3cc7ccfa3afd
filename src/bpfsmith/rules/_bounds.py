"""Whether an index, length or divisor is constant, bounded or tested, as far as the text of a function says.

In doubt the answer is yes: rules that ask are silent then.
"""

from __future__ import annotations

from bpfsmith.source.types import binding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr

__all__ = ["bounded", "guarded", "is_constant"]

_SIZES = frozenset({"size_of", "size_of_val", "align_of", "align_of_val"})
_COMPARES = frozenset({"<", "<=", ">", ">=", "==", "!="})


def is_constant(expr: Expr, depth: int = 0) -> bool:  # noqa: PLR0911 - one return a kind
    """A literal, a constant by its name, arithmetic of such, `size_of`, a local that is set to such."""
    if expr.kind == "lit":
        return True
    if expr.kind == "path":
        last = expr.path.rpartition("::")[2]
        if last.isupper() or (last[:1].isupper() and last.upper() == last):
            return True
        given = _given(expr) if depth < _STEPS else None
        return given is not None and is_constant(given, depth + 1)
    if expr.kind in ("paren", "cast", "unary"):
        return expr.inner is not None and is_constant(expr.inner, depth)
    if expr.kind == "binary":
        return all(one is not None and is_constant(one, depth) for one in expr.operands)
    if expr.kind == "range":
        return all(one < 0 or is_constant(expr.file.exprs[one], depth) for one in expr.fields[:2])
    if expr.kind == "call" and expr.callee is not None:
        return expr.callee.path.rpartition("::")[2] in _SIZES
    return False


_STEPS = 6  # locals given their value by locals; more is code nobody reads


def _leaves_half(shifted: Expr) -> bool:
    """`id >> 32`: what is left are 32 bits, any number (a process id, say) and no bound."""
    amount = shifted.operands[1]
    return amount is not None and amount.integer == 32


def bounded(expr: Expr, index: Expr, depth: int = 0) -> bool:
    """The index is masked, reduced, counts a loop or is compared somewhere in the function, by itself or as a local."""
    bare = index
    while bare.kind in ("paren", "cast") and bare.inner is not None:
        bare = bare.inner
    if bare.kind == "binary" and (bare.op in ("&", "%") or (bare.op == ">>" and not _leaves_half(bare))):
        return True
    if bare.kind in ("method", "call"):
        name = bare.name or (bare.callee.path.rpartition("::")[2] if bare.callee is not None else "")
        if name in ("min", "clamp"):
            return True
    if bare.kind == "range":
        return all(
            one < 0 or is_constant(bare.file.exprs[one]) or bounded(expr, bare.file.exprs[one], depth)
            for one in bare.fields[:2]
        )
    if bare.kind in ("block", "if", "match") and depth:
        leaves = _leaves(bare)
        return bool(leaves) and all(is_constant(one) or bounded(expr, one, depth) for one in leaves)
    given = _given(bare) if depth < _STEPS else None
    if given is not None and (is_constant(given) or bounded(expr, given, depth + 1)):
        return True
    return guarded(expr, bare)


def _given(expr: Expr) -> Expr | None:
    """What a local is set to, where it is set once."""
    found = binding(expr) if expr.kind == "path" and "::" not in expr.path else None
    if found is None or found.let is None or found.kind != "let" or found.let.pattern.startswith("mut "):
        return None
    return found.let.init


def _leaves(expr: Expr) -> list[Expr]:
    """The values a block, `if` or `match` may have; none when one of them has no text."""
    if expr.kind == "block":
        return _leaves(expr.tail) if expr.tail is not None else []
    if expr.kind in ("return", "break", "continue"):
        return []
    if expr.kind == "if":
        parts: list[Expr | None] = list(expr.branches[1:])
    elif expr.kind == "match":
        parts = [one for _, _, one in expr.arms]
    else:
        return [expr]
    out: list[Expr] = []
    for one in parts:
        if one is None:
            return []
        out.extend(_leaves(one))
    return out


def guarded(expr: Expr, value: Expr) -> bool:
    """The function compares something the value is made of, or a loop or pattern gives it."""
    item = expr.item
    if item is None or item.expr is None:
        return False
    names = {
        one.path for one in value.within() if one.kind == "path" and "::" not in one.path and not one.path.isupper()
    }
    fields = {one.text for one in value.within() if one.kind == "field"}
    if not names and not fields:
        return value.kind not in ("call", "method")
    for one in item.expr.within():
        if one.kind == "for" and names & set(one.fields[2]):
            return True
        if one.kind == "match":
            scrutinee = one.file.expr(one.fields[0])
            if scrutinee is not None and {scrutinee.text} & (names | fields):
                return True
        if one.kind == "binary" and one.op in _COMPARES and not one.start <= expr.start < expr.end <= one.end:
            inside = {inner.text for inner in one.within() if inner.kind in ("path", "field")}
            if inside & (fields or names):
                return True
    return False
