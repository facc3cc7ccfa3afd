"""Does a Rust program always come to a use of what a test that was put in tests?

Where it does not, the program would leave now where it went on before: the test is no check of the use alone.
"""

from __future__ import annotations

from bpfsmith.source.rust import Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr

__all__ = ["always_used", "comes_to", "followed"]

_LEAVES = ("return", "break", "continue", "try")
_LOOPS = ("loop", "while", "for")
_THROUGH = frozenset(
    {
        *("read", "read_unaligned", "read_volatile", "write", "write_unaligned", "write_volatile", "as_ref", "as_mut"),
        *("copy_to", "copy_from", "copy_to_nonoverlapping", "copy_from_nonoverlapping", "get_unchecked", "swap"),
    }
)


def always_used(guard: Expr, condition: Expr) -> bool:
    """Whether, past `guard` (an `if` whose branch leaves), every way comes to a use of a name that it tests."""
    names = _names(condition)
    item = guard.item
    if not names or item is None or item.expr is None:
        return False
    if condition.kind == "binary" and condition.op == "&&":
        return False
    pointer = _of_pointer(condition)
    if pointer:
        # What was made of the pointer stands for it.
        for block in item.expr.within("block"):
            for let in block.lets:
                if let.init is not None and let.name and names & _plain(let.init):
                    names.add(let.name)
    return any(
        one.path in names and one.start >= guard.end and (not pointer or followed(one)) and comes_to(guard, one)
        for one in item.expr.within("path")
    )


def _of_pointer(condition: Expr) -> bool:
    """Whether a test is of null or of the packet's end."""
    if any(one.name in ("is_null", "data_end", "data", "metadata_end") for one in condition.within("method")):
        return True
    return any(one.path in ("end", "data_end") for one in condition.within("path"))


def followed(expr: Expr) -> bool:
    """Whether a pointer is followed: by `*`, by what reads or writes through it, by a function that is given it."""
    child = expr
    for outer in expr.ancestors():
        if outer.kind == "unary":
            if outer.op == "*":
                return True
        elif outer.kind == "method":
            if outer.name in _THROUGH or outer.receiver != child:
                return True
        elif outer.kind in ("call", "macro", "index"):
            return True
        elif outer.kind not in ("paren", "cast", "field", "ref", "binary", "block"):
            return False
        child = outer
    return False


def _names(condition: Expr) -> set[str]:
    """The locals a test is about: those left of a comparison, of all of it without one."""
    while condition.kind == "paren" and condition.inner is not None:
        condition = condition.inner
    if condition.kind == "unary" and condition.inner is not None:
        return _names(condition.inner)
    if condition.kind == "binary":
        left, right = condition.operands
        if left is None:
            return set()
        if right is not None and condition.op in ("<", "<=") and _of_pointer(left):
            return _plain(right)  # `end < address`
        if condition.op in ("||", "&&"):
            return _names(left) | (_names(right) if right is not None else set())
        return _plain(left)
    return _plain(condition)


def _plain(expr: Expr) -> set[str]:
    return {one.path for one in expr.within("path") if "::" not in one.path and not one.path[:1].isupper()}


def comes_to(guard: Expr, use: Expr) -> bool:
    """Whether every way past `guard` comes to a use, other tests that only leave apart."""
    at: Expr = guard
    while True:
        block = _block(at)
        if block is None:
            return False
        behind = False
        for one in block.statements:
            if one.start <= at.start and at.end <= one.end:
                behind = True
                continue
            if not behind:
                continue
            if one.start <= use.start and use.end <= one.end:
                return _within(one, use)
            if _may_leave(one) or _acts(one):
                return False
        parent = block.parent
        if parent is None or parent.kind in (*_LOOPS, "closure"):
            return False
        at = block


def _block(expr: Expr) -> Expr | None:
    for outer in expr.ancestors():
        if outer.kind == "block":
            return outer
        if outer.kind in ("closure", "match"):
            return None
    return None


def _may_leave(statement: Expr | Let) -> bool:
    """Whether a statement may leave; another test that only leaves is one of the same use."""
    if isinstance(statement, Let):
        return (
            statement.init is not None and bool(list(statement.init.within(*_LEAVES)))
        ) or statement.other is not None
    if statement.kind == "if":
        condition, then, other = statement.branches
        alone = then is not None and len(then.statements) == 1 and other is None
        if alone and condition is not None and not list(condition.within(*_LEAVES)):
            return False
    return statement.kind in _LEAVES or bool(list(statement.within(*_LEAVES)))


def _acts(statement: Expr | Let) -> bool:
    """Whether a statement does what would be missed: one that is no `let` and calls something or writes through a
    pointer; another test does not."""
    if isinstance(statement, Let) or statement.kind == "if":
        return False
    return any(one.kind != "binary" or _writes(one) for one in statement.within("call", "method", "macro", "binary"))


def _writes(expr: Expr) -> bool:
    left = expr.operands[0]
    return (
        expr.op.endswith("=") and expr.op not in ("==", "!=", "<=", ">=") and left is not None and left.kind != "path"
    )


def _within(statement: Expr | Let, use: Expr) -> bool:
    """Whether a statement, once begun, always comes to an expression in it."""
    if isinstance(statement, Let) and (
        statement.init is None or not statement.init.start <= use.start < statement.init.end
    ):
        return False
    child = use
    for outer in use.ancestors():
        if outer.start < statement.start or outer.end > statement.end:
            return True
        if not _always(outer, child):
            return False
        child = outer
        if outer == statement:
            return True
    return True


def _always(outer: Expr, child: Expr) -> bool:  # noqa: PLR0911 - one return a kind
    """Whether an expression always computes one of its parts."""
    if outer.kind == "if":
        return outer.branches[0] == child
    if outer.kind == "match":
        return bool(outer.fields[0] == child.id)
    if outer.kind == "closure":
        return False
    if outer.kind in ("while", "for"):
        return child.kind != "block"
    if outer.kind == "binary" and outer.op in ("&&", "||"):
        return outer.operands[0] == child
    if outer.kind == "block":
        for one in outer.statements:
            if one.start <= child.start and child.end <= one.end:
                return not (isinstance(one, Let) and one.other is not None and one.other == child)
            if _may_leave(one):
                return False
    return True
