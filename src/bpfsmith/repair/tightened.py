"""A comparison with the packet's end that asks for more bytes than before: no new test, and no new way.

Only packets that end between the two addresses go another way, and that is the branch which the author wrote for
packets that are too short. What is added must be more than what was there, and what follows must use the address.
"""

from __future__ import annotations

from bpfsmith.repair.used import always_used, comes_to, followed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfsmith.source.rust import Expr, SourceFile

__all__ = ["TIGHTENED", "Compared", "compared", "fails_with", "terms", "undone"]

TIGHTENED = "tightened"
_BACK = {">": "<", ">=": "<=", "<": ">", "<=": ">="}


class Compared:
    """`address` against `end`; `fails`: whether it holds for packets that are too short; `strict`: whether a packet
    that ends at the address is long enough; `op`: that says so with the address on the left, `back` on the right."""

    __slots__ = ("address", "back", "end", "fails", "op", "strict")

    def __init__(self, address: Expr, end: Expr, op: str) -> None:
        self.address = address
        self.end = end
        self.fails = op in (">", ">=")
        self.strict = op in (">", "<=")
        self.op = ">" if self.fails else "<="
        self.back = _BACK[self.op]


def compared(one: Expr) -> Compared | None:
    """A comparison of an address with the packet's end; None for any other expression."""
    if one.kind != "binary" or one.op not in _BACK:
        return None
    left, right = one.operands
    if left is None or right is None or _end(left) == _end(right):
        return None
    return Compared(left, right, one.op) if _end(right) else Compared(right, left, _BACK[one.op])


def _end(expr: Expr, depth: int = 0) -> bool:
    """Whether an expression is the packet's end."""
    from bpfsmith.source.types import bound

    inner = _bare(expr)
    if inner.kind in ("method", "field"):
        return inner.name == "data_end"
    if inner.kind != "path" or "::" in inner.path or depth > 4:
        return False
    if inner.path in ("end", "data_end"):
        return True
    found = bound(inner.path, inner)
    init = found.let.init if found is not None and found.let is not None and found.kind == "let" else None
    return init is not None and init.kind != "tuple" and _end(init, depth + 1)


def _bare(expr: Expr) -> Expr:
    while True:
        inner = expr.inner if expr.kind in ("paren", "cast") else None
        if expr.kind == "block" and not expr.fields[1]:
            inner = expr.tail
        if inner is None:
            return expr
        expr = inner


def terms(expr: Expr) -> list[Expr]:
    """What is added up in an address, in the order it is written."""
    while expr.kind == "paren" and expr.inner is not None:
        expr = expr.inner
    if expr.kind == "binary" and expr.op == "+":
        return [term for part in expr.operands if part is not None for term in terms(part)]
    return [expr]


def fails_with(one: Expr) -> str:
    """What the branch for short packets returns, as text; "" where it does something else."""
    told = compared(one)
    for outer in one.ancestors():
        if outer.kind == "if":
            _, then, other = outer.branches
            at = then if told is not None and told.fails else other
            while at is not None and at.kind == "block" and len(at.statements) == 1:
                last = at.statements[0]
                at = last if hasattr(last, "kind") else None  # type: ignore[assignment]
            if at is None:
                return ""
            if at.kind == "return":
                return at.inner.text if at.inner is not None else ""
            return at.text if at.kind in ("path", "call", "lit", "break", "continue") else ""
        if outer.kind in ("block", "closure"):
            return ""
    return ""


def undone(before: SourceFile, after: SourceFile) -> tuple[str, str | None]:
    """The new text with each comparison that only asks for more put back to what it was, and what is wrong with one."""
    text = after.text
    rows: list[tuple[int, int, str]] = []
    for name in {item.name for item in after.items_of_kind("fn")}:
        olds = [one for item in before.items_named(name) if item.kind == "fn" for one in _all(item.expr)]
        news = [one for item in after.items_named(name) if item.kind == "fn" for one in _all(item.expr)]
        words = [_words(one) for one in news]
        left = [one for one in olds if _words(one) not in words]
        was = [_words(one) for one in olds]
        for one in news:
            if _words(one) in was:
                continue
            found = next((other for other in left if _more(other, one)), None)
            if found is None:
                continue
            if not _used(one):
                said = "what `{}` tests is used on some ways only, and the program would leave on the others too"
                return text, said.format(one.text[:60])
            left.remove(found)
            rows.append((one.start, one.end, found.text))
        if left:
            return text, f"the comparison `{left[0].text[:60]}` is gone"
    for start, end, put in sorted(rows, reverse=True):
        text = text[:start] + put + text[end:]
    return text, None


def _all(body: Expr | None) -> list[Expr]:
    return [one for one in body.within("binary") if compared(one) is not None] if body is not None else []


def _words(expr: Expr) -> str:
    return "".join(expr.text.split())


def _more(old: Expr, new: Expr) -> bool:
    """Whether a packet must be longer for the new comparison, and no other address is compared."""
    was, now = compared(old), compared(new)
    if was is None or now is None or was.fails != now.fails or _words(was.end) != _words(now.end):
        return False
    before, after = terms(was.address), terms(now.address)
    fresh = _without(after, before)
    gone = _without(before, after)
    bytes_ = _bytes(gone)
    # `>= end` asks for one byte more than `> end`.
    bytes_ = bytes_ + (not was.strict) - (not now.strict) if bytes_ is not None else None
    if bytes_ is None or not fresh:
        return False
    if all(_sized(one) for one in fresh):
        return bytes_ <= 1
    size = _bytes(fresh)
    return size is not None and size > bytes_


def _without(parts: Sequence[Expr], others: Sequence[Expr]) -> list[Expr]:
    rest = [_term(one) for one in others]
    out = []
    for one in parts:
        if _term(one) in rest:
            rest.remove(_term(one))
        else:
            out.append(one)
    return out


def _term(one: Expr) -> str:
    return _words(_bare(one)) if one.kind == "cast" and _words(one).endswith("asusize") else _words(one)


def _bytes(parts: Sequence[Expr]) -> int | None:
    from bpfsmith.source.layout import constant

    total = 0
    for one in parts:
        value = constant(one.file, one.text, one.item)
        if value is None or value < 0:
            return None
        total += value
    return total


def _sized(one: Expr) -> bool:
    """Whether a number is the size of a type: one byte at least, for what is read."""
    return one.kind == "call" and one.callee is not None and one.callee.path.rpartition("::")[2] == "size_of"


def _used(one: Expr) -> bool:
    """Whether every way past a comparison comes to a use of what it compares."""
    told = compared(one)
    condition = one
    for outer in one.ancestors():
        if outer.kind == "if":
            test, then, other = outer.branches
            if test is None or then is None or not test.start <= one.start < test.end:
                return False
            if told is not None and told.fails:
                return other is None and _leaves(then) and _comes_to(outer, condition, told.address)
            # `if address <= end { Some(address as *const T) } else { None }`
            names = {it.path for it in told.address.within("path")} if told is not None else set()
            tail = then.tail if len(then.statements) == 1 else None
            return (
                bool(fails_with(one)) and tail is not None and tail.kind in ("call", "block", "cast")
                and not any(tail.within("if", "match", "closure"))
                and any(it.path in names for it in tail.within("path"))
            )  # fmt: skip
        if outer.kind not in ("paren", "binary") or (outer.kind == "binary" and outer.op != "||"):
            return False
    return False


_WAYS = ("if", "match", "loop", "while", "for", "return", "try", "break", "continue", "closure")


def _comes_to(guard: Expr, condition: Expr, address: Expr) -> bool:
    """Whether what lies at the address is used on every way past a check: the check stands where it stood, and what
    is read before it comes to that may decide where the program goes."""
    body = guard.item.expr if guard.item is not None else None
    if body is None:
        return False
    behind = [one for one in body.within(*_WAYS) if one.start >= guard.end and not _of_end(one)]
    if not behind:
        return always_used(guard, condition)
    bases = [[_term(one) for one in parts] for parts in (terms(address), terms(address)[:-1])]
    for cast in body.within("cast"):
        if cast.inner is None or cast.start < guard.end or [_term(one) for one in terms(cast.inner)] not in bases:
            continue
        if cast.cast_type.lstrip().startswith("*"):
            for use in _uses(body, cast):
                if comes_to(guard, use) and not any(one.start < use.start for one in behind if not _holds(one, use)):
                    return True
    return False


def _uses(body: Expr, cast: Expr) -> list[Expr]:
    """Where a pointer is followed or handed on: itself, or by the name it is given."""
    if followed(cast):
        return [cast]
    names = {
        let.name for block in body.within("block") for let in block.lets
        if let.init is not None and let.init.start <= cast.start and cast.end <= let.init.end
    }  # fmt: skip
    return [one for one in body.within("path") if one.path in names and one.start > cast.end and followed(one)]


def _holds(way: Expr, use: Expr) -> bool:
    """Whether a way only parts at a use or behind it: `match *p`, `(*p)?`, `return *p`."""
    return way.start <= use.start and use.end <= way.end


def _of_end(way: Expr) -> bool:
    """Whether a way is, or leaves from, another comparison with the packet's end."""
    at: Expr | None = way
    if way.kind in ("return", "break", "continue"):
        at = next((one for one in way.ancestors() if one.kind != "block"), None)
    test = at.branches[0] if at is not None and at.kind == "if" else None
    return test is not None and compared(test) is not None


def _leaves(then: Expr) -> bool:
    """Whether a branch ends in a way out."""
    last = then.statements[-1] if then.statements else None
    return last is not None and getattr(last, "kind", "") in ("return", "break", "continue")
