"""Code patterns with named captures: `Some($point), 0, $target, None` against the arguments of a call.

A pattern is parsed by the same parser as everything else. `$name` stands for any expression, `$lit_name` for a
literal; a path with `::` in a
pattern is absolute and compared by what is meant, a single name (`None`, `true`) as it is written.
"""

from __future__ import annotations

from bpfsmith.source.names import canonical, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr

__all__ = ["arguments", "matches"]

_MARK = "capture__"
_cache: dict[str, list[Expr]] = {}


def arguments(pattern: str) -> list[Expr]:
    """The expressions of a list of arguments."""
    found = _cache.get(pattern)
    if found is None:
        from bpfsmith.source.rust import SourceFile

        text = f"fn pattern() {{ pattern({pattern.replace('$', _MARK)}); }}"
        file = SourceFile("pattern", text.encode())
        call = next(file.calls("pattern"))
        found = _cache[pattern] = call.args
    return found


def matches(pattern: Expr, expr: Expr, captures: dict[str, Expr]) -> bool:  # noqa: PLR0911 - one return a kind
    """Whether an expression has the form of the pattern; `captures` gets what its names stand for."""
    if pattern.kind == "path" and pattern.path.startswith(_MARK):
        name = pattern.path.removeprefix(_MARK)
        if name.startswith("lit_") and expr.kind != "lit":
            return False
        if name in captures:
            return captures[name].text == expr.text
        captures[name] = expr
        return True
    while expr.kind == "paren" and expr.inner is not None:
        expr = expr.inner
    if pattern.kind != expr.kind:
        return False
    kind = pattern.kind
    if kind == "lit":
        number = pattern.integer
        return expr.integer == number if number is not None else expr.text == pattern.text
    if kind == "path":
        if "::" not in pattern.path:
            return expr.path == pattern.path
        found = resolve(expr.file, expr.path, expr.item)
        return found is not None and canonical(found) == canonical(pattern.path)
    if kind in ("method", "field"):
        return (
            pattern.name == expr.name
            and _both(pattern.receiver, expr.receiver, captures)
            and _all(pattern.args, expr.args, captures)
        )
    if kind == "call":
        return _both(pattern.callee, expr.callee, captures) and _all(pattern.args, expr.args, captures)
    if kind in ("unary", "ref", "try", "cast", "await"):
        same = pattern.op == expr.op and "".join(pattern.cast_type.split()) == "".join(expr.cast_type.split())
        return same and _both(pattern.inner, expr.inner, captures)
    return "".join(pattern.text.split()) == "".join(expr.text.split())


def _both(pattern: Expr | None, expr: Expr | None, captures: dict[str, Expr]) -> bool:
    return pattern is not None and expr is not None and matches(pattern, expr, captures)


def _all(patterns: list[Expr], exprs: list[Expr], captures: dict[str, Expr]) -> bool:
    return len(patterns) == len(exprs) and all(
        matches(one, other, captures) for one, other in zip(patterns, exprs, strict=True)
    )
