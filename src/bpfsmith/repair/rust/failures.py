"""Which branches of a Rust function tell what a check that fails returns there, by what they test: as `repair.failures`
says of C. A comparison by `!=` with a constant decides something; it is no failure."""

from __future__ import annotations

import re

from bpfsmith.repair.failures import BOUNDS, ERROR, FILTER, LIMIT, NULL, TRIED, deciding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.rust import Expr

__all__ = ["Leaving", "otherwise", "sort_of", "telling", "tested", "unlike"]

_GIVES = frozenset({"get", "get_mut", "get_ptr", "get_ptr_mut", "reserve", "peek", "pop"})
_HANDED_ON = re.compile(r"\bErr\(\s*(\w+)\s*\)\s*=>\s*(?:return\s+)?\1\b|\bunwrap_or_else\(\s*\|\s*(\w+)\s*\|\s*\2\b")


class Leaving:
    """A branch that leaves: `sorts` of what it tests, `text` it returns, `value` that stands for it."""

    __slots__ = ("givers", "sorts", "text", "value")

    def __init__(self, sorts: frozenset[str], text: str) -> None:
        self.sorts = sorts
        self.givers: frozenset[str] = frozenset()
        self.text = text
        plain = "".join(text.split())
        self.value = ERROR if re.fullmatch(r"(?:Err\()?-\w+\)?", plain) else plain


def sort_of(condition: Expr) -> frozenset[str]:
    """What a condition tests: of parts that are failures those only."""
    while condition.kind in ("paren", "let") and condition.inner is not None:
        condition = condition.inner
    if condition.kind == "binary" and condition.op in ("&&", "||"):
        parts = [sort_of(one) for one in condition.operands if one is not None]
        found = frozenset[str]().union(*parts)
        return found - {FILTER} if len(found) > 1 or condition.op == "&&" else found
    one = _one(condition)
    return frozenset({one} - {""})


def _one(condition: Expr) -> str:  # noqa: PLR0911 - one return a form
    if condition.kind == "method":
        if condition.name in ("is_null", "is_none"):
            return NULL
        return TRIED if condition.name in ("is_err", "is_empty") else ""
    if condition.kind == "unary" and condition.op == "!":
        inner = condition.inner
        while inner is not None and inner.kind == "paren":
            inner = inner.inner
        if inner is not None and inner.kind == "method" and inner.name in ("is_some", "is_ok"):
            return NULL if inner.name == "is_some" else TRIED
        if inner is not None and inner.kind == "binary":
            return next(iter(sort_of(inner)), "")
        return TRIED if inner is not None and inner.kind in ("call", "method") else FILTER
    if condition.kind != "binary":
        return ""
    right = condition.operands[1]
    text = "".join(condition.text.split())
    if condition.op in (">", ">=", "<", "<="):
        if re.search(r"\b\w*end\b|\bsize_of\b", text):
            return BOUNDS
        if condition.op in ("<", "<=") and (right is None or right.integer == 0 or right.text.startswith("-")):
            return TRIED
        left = condition.operands[0]
        bare = left is not None and re.fullmatch(r"[a-z_]\w*(?:\s+as\s+\w+)?|\(.*\)", left.text) is not None
        return LIMIT if bare and right is not None and (right.integer is not None or right.text.isupper()) else ""
    if condition.op == "!=":
        return TRIED if re.fullmatch(r"(?:err\w*|ret|rc|res)!=0", text) else FILTER
    return ""


def _asked(expr: Expr | None) -> str:
    """Of what `let .. else`, `match` and `ok_or` look into: a lookup, or anything else that may fail."""
    if expr is not None and any(one.name in _GIVES for one in expr.within("method")):
        return NULL
    text = expr.text if expr is not None else ""
    return NULL if re.search(r"lookup|reserve|as_ref\(\)|as_mut\(\)", text) else BOUNDS


def tested(leave: Expr) -> frozenset[str]:  # noqa: PLR0911 - one return a form
    """What is tested where a `return` is all, or the last, of a branch."""
    at = leave
    for outer in leave.ancestors():
        if outer.kind == "block":
            for let in outer.lets:
                if let.other == at:
                    return frozenset({_asked(let.init)})
            statements = outer.statements
            if not statements or statements[-1] != at or len(statements) > 4:
                return frozenset()
        elif outer.kind == "if":
            condition, then, other = outer.branches
            return sort_of(condition) if then == at and other is None and condition is not None else frozenset()
        elif outer.kind == "match":
            for pattern, _, result in outer.arms:
                if result == at:
                    word = pattern.strip().split("(")[0]
                    if word not in ("None", "Err"):
                        return frozenset({FILTER} if word in ("_", "false") else ())
                    return frozenset({_asked(outer.inner if outer.inner is not None else outer)})
            return frozenset()
        elif outer.kind != "paren":
            return frozenset()
        at = outer
    return frozenset()


def _all(body: Expr) -> Iterator[Leaving]:
    for one in body.within("return"):
        if one.inner is None or one.inner.text.startswith(("Ok(", "Some(")):
            continue
        if any(outer.kind == "closure" and outer.start >= body.start for outer in one.ancestors()):
            continue
        found = tested(one)
        if found:
            yield Leaving(found, one.inner.text)
    for one in body.within("method"):
        if one.name == "ok_or" and len(one.args) == 1:
            yield Leaving(frozenset({_asked(one.receiver)}), f"Err({one.args[0].text})")


def telling(body: Expr, sorts: frozenset[str]) -> list[Leaving]:
    """The branches that tell what a test of these sorts does when it fails."""
    return deciding(list(_all(body)), sorts, frozenset())  # type: ignore[arg-type, return-value]


def otherwise(body: Expr) -> list[Leaving]:
    """The branches that leave because of a filter."""
    return [one for one in _all(body) if one.sorts == {FILTER}]


def unlike(body: Expr, sorts: frozenset[str], text: str) -> str | None:
    """What is wrong with returning a text where a test of these sorts fails; None when nothing is."""
    said = Leaving(sorts, text)
    if said.value.startswith("Err(") and not _HANDED_ON.search(body.file.text):
        return None  # which error it is nobody looks at
    near = telling(body, sorts)
    values = {one.value for one in near}
    if len(values) > 1:
        return "the function's other checks of that kind do not agree on what to return"
    if values:
        return None if said.value in values else "no other failure of that kind returns that"
    if any(one.value != said.value for one in otherwise(body)):
        return "the function leaves otherwise elsewhere, and has no failure branch"
    return None
