"""What types and values say about a number: how large it may be, that it is not zero, how long an array is."""

from __future__ import annotations

import re

from bpfsmith.rules._kernel_code import given
from bpfsmith.source.across import item_across, resolve_across
from bpfsmith.source.layout import constant
from bpfsmith.source.types import binding, parse_type, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr, Item, SourceFile
    from bpfsmith.source.types import Binding

__all__ = ["Written", "array_length", "largest", "largest_of", "not_zero", "opaque", "written"]

_STEPS = 8
_WIDTHS = {"u8": 8, "i8": 8, "u16": 16, "i16": 16, "u32": 32, "i32": 32, "u64": 64, "i64": 64, "usize": 64}
_WIDTHS |= {"isize": 64, "u128": 128, "i128": 128}
_COMPARES = frozenset({"<", "<=", ">", ">=", "==", "!=", "&&", "||"})
_COUNTS = frozenset({"leading_zeros", "trailing_zeros", "leading_ones", "trailing_ones", "count_ones", "count_zeros"})
_SAME = frozenset({"clone", "to_be", "to_le", "swap_bytes", "wrapping_add", "wrapping_sub", "min", "max"})
_ZERO = re.compile(r"(?<![\w.])0(?:_?[ui]\w+)?(?![\w.])")


class Written:
    """A type as it is written, and where."""

    __slots__ = ("file", "item", "text")

    def __init__(self, text: str, file: SourceFile, item: Item | None) -> None:
        self.text = text.strip()
        self.file = file
        self.item = item

    def plain(self) -> Written:
        """Without references, and with the aliases of the project opened."""
        at = self
        for _ in range(_STEPS):
            text = re.sub(r"^(?:&\s*(?:'\w+\s+)?(?:mut\s+)?)+", "", at.text)
            parsed = parse_type(text)
            path = resolve_across(at.file, parsed[0], at.item) if parsed is not None else None
            alias = item_across(at.file, path) if path is not None else None
            if alias is None or alias.kind != "type" or alias.generic:
                return Written(text, at.file, at.item)
            at = Written(alias.type, alias.file, alias)
        return at


def written(expr: Expr | None, depth: int = 0) -> Written | None:  # noqa: PLR0911 - one return a kind
    """The type of an expression, references left out; None when the text does not say."""
    if expr is None or depth > _STEPS:
        return None
    kind = expr.kind
    if kind in ("paren", "ref") or (kind == "unary" and expr.op in ("*", "-", "!")):
        return written(expr.inner, depth + 1)
    if kind == "cast":
        return Written(expr.cast_type, expr.file, expr.item).plain()
    if kind == "binary":
        if expr.op in _COMPARES:
            return Written("bool", expr.file, expr.item)
        return written(expr.operands[0], depth + 1) or written(expr.operands[1], depth + 1)
    if kind == "lit":
        found = re.search(r"(?:[ui](?:8|16|32|64|128|size))$", expr.text)
        return Written(found[0], expr.file, expr.item) if found is not None else None
    if kind == "method":
        if expr.name in ("len", "count"):
            return Written("usize", expr.file, expr.item)
        if expr.name in _COUNTS:
            return Written("u32", expr.file, expr.item)
        return written(expr.receiver, depth + 1) if expr.name in _SAME else None
    if kind == "call" and expr.callee is not None and expr.callee.path.endswith("::from"):
        return Written(expr.callee.path.removesuffix("::from"), expr.file, expr.item).plain()
    if kind == "field":
        return _of_field(expr, depth)
    if kind == "path":
        return _of_path(expr, depth)
    return None


def _of_field(expr: Expr, depth: int) -> Written | None:
    owner = written(expr.receiver, depth + 1)
    parsed = parse_type(owner.text) if owner is not None else None
    if owner is None or parsed is None:
        return None
    path = resolve_across(owner.file, parsed[0], owner.item)
    item = item_across(owner.file, path) if path is not None else None
    if item is None or item.kind not in ("struct", "union"):
        return None
    return next((Written(one.type, item.file, item).plain() for one in item.params if one.name == expr.name), None)


def _of_path(expr: Expr, depth: int) -> Written | None:
    local = binding(expr) if "::" not in expr.path else None
    if local is not None:
        if local.type and local.type != "_":
            return Written(local.type, expr.file, expr.item).plain() if local.kind != "pattern" else None
        return written(local.let.init, depth + 1) if local.let is not None and local.kind == "let" else None
    if expr.path == "self":
        return None
    path = resolve_across(expr.file, expr.path, expr.item)
    item = _value(expr, path)
    return Written(item.type, item.file, item).plain() if item is not None else None


def _value(expr: Expr, path: str | None) -> Item | None:
    """The static or constant that a path names; of those inside of functions when there is only one of the name."""
    from bpfsmith.source.types import item_of

    item = item_of(expr.file, path) if path is not None and path.startswith("crate::") else None
    if item is None:
        local = [one for one in expr.file.items_named(expr.path) if one.kind in ("static", "const")]
        item = local[0] if len(local) == 1 else None
    return item if item is not None and item.kind in ("static", "const") else None


def opaque(expr: Expr | None) -> bool:
    """Whether the type has a name of its own (`NonZeroU32`, a struct, a parameter): operators may be anything."""
    found = written(expr)
    text = found.text if found is not None else ""
    if found is None and expr is not None:
        at = expr
        local = binding(at) if at.kind == "path" and "::" not in at.path else None
        value = given(local) if local is not None else at
        known = type_of(at) or type_of(value)
        text = known.path if known is not None else ""
    parsed = parse_type(text)
    return parsed is not None and parsed[0].rpartition("::")[2][:1].isupper()


def array_length(expr: Expr | None) -> int | None:
    """How many elements an array has; -1 for an array whose length is a parameter, None for what may be no array."""
    found = written(expr)
    if found is None or not found.text.startswith("[") or not found.text.endswith("]"):
        return None
    _, semicolon, count = found.text[1:-1].rpartition(";")
    if not semicolon:
        return None
    number = constant(found.file, count.strip(), found.item)
    return number if number is not None else -1


def largest(expr: Expr | None, depth: int = 0) -> int | None:  # noqa: PLR0912 - one branch a kind
    """The largest value that an index can have, by its type and how it is made; None for any."""
    if expr is None or depth > _STEPS:
        return None
    kind = expr.kind
    if kind in ("paren", "ref") or (kind == "unary" and expr.op == "*"):
        return largest(expr.inner, depth + 1)
    number = constant(expr.file, expr.text, expr.item) if kind in ("lit", "path") else None
    if number is not None:
        return number
    known = [largest_of(written(expr))]
    if kind == "cast":
        inner = expr.inner
        if inner is not None and not _signed(inner):
            known.append(largest(inner, depth + 1))
    elif kind == "call" and expr.callee is not None and expr.callee.path.endswith("::from") and len(expr.args) == 1:
        known.append(largest(expr.args[0], depth + 1))
    elif kind == "method":
        if expr.name == "into":
            known.append(largest(expr.receiver, depth + 1))
        elif expr.name in _COUNTS:
            found = written(expr.receiver)
            known.append(_WIDTHS.get(found.text, 128) if found is not None else 128)
        elif expr.name == "min" and expr.args:
            known.append(largest(expr.args[0], depth + 1))
    elif kind == "binary":
        left, right = (largest(one, depth + 1) for one in expr.operands)
        if expr.op == "&":
            known.extend((left, right))
        elif expr.op == "%" and right is not None and right > 0:
            known.append(right - 1)
        elif expr.op == "+" and left is not None and right is not None:
            known.append(left + right)
    elif kind == "path":
        local = binding(expr) if "::" not in expr.path else None
        if local is not None and local.kind == "let" and local.let is not None and not _mutable(local):
            known.append(largest(local.let.init, depth + 1))
    limits = [one for one in known if one is not None]
    return min(limits) if limits else None


def _mutable(local: Binding) -> bool:
    return local.let is not None and local.let.pattern.startswith("mut ")


def _signed(expr: Expr) -> bool:
    found = written(expr)
    return found is not None and found.text.startswith("i")


def largest_of(found: Written | None) -> int | None:
    """The largest value of a small type: `bool`, `u8`, `u16`, an enum of the project."""
    if found is None:
        return None
    small = {"bool": 1, "u8": 0xFF, "u16": 0xFFFF}.get(found.text)
    parsed = parse_type(found.text)
    if small is not None or parsed is None:
        return small
    path = resolve_across(found.file, parsed[0], found.item)
    item = item_across(found.file, path) if path is not None else None
    if item is None or item.kind != "enum" or not item.params or any(one.type for one in item.params):
        return None
    values: list[int] = []
    for one in item.params:
        _, equals, value = item.file.text[one.start : one.end].partition("=")
        number = constant(item.file, value.strip(), item) if equals else values[-1] + 1 if values else 0
        if number is None or number < 0:
            return None
        values.append(number)
    return max(values)


def not_zero(expr: Expr | None, depth: int = 0) -> bool:  # noqa: PLR0911, PLR0912 - one return a reason
    """Whether a divisor is certainly not zero, by its type or how it is made."""
    if expr is None or depth > _STEPS:
        return False
    kind = expr.kind
    if kind in ("paren", "cast") or (kind == "unary" and expr.op == "*"):
        return not_zero(expr.inner, depth + 1)
    number = constant(expr.file, expr.text, expr.item)
    if number is not None:
        return number != 0
    if kind == "call" and expr.callee is not None:
        name = expr.callee.path.rpartition("::")[2]
        if name == "from" and len(expr.args) == 1:
            return not_zero(expr.args[0], depth + 1)
        return name == "max" and any(not_zero(one, depth + 1) for one in expr.args)
    if kind == "method":
        if expr.name == "len":
            return array_length(expr.receiver) not in (None, 0)
        if expr.name in ("max", "clamp") and expr.args:
            return not_zero(expr.args[0], depth + 1) or (expr.name == "max" and not_zero(expr.receiver, depth + 1))
        if expr.name in ("get", "into") and not expr.args:
            return opaque(expr.receiver) if expr.name == "get" else not_zero(expr.receiver, depth + 1)
        return expr.name == "next_power_of_two"
    if kind == "binary":
        left, right = expr.operands
        if expr.op == "|":
            return not_zero(left, depth + 1) or not_zero(right, depth + 1)
        if expr.op == "+" and (not_zero(left, depth + 1) or not_zero(right, depth + 1)):
            most = largest(expr)
            found = written(left) or written(right)
            one, other = largest(left), largest(right)
            if one is None or other is None or most is None:
                return False
            return one + other < 1 << (_WIDTHS.get(found.text, 8) if found is not None else 8)
        return False
    local = binding(expr) if kind == "path" and "::" not in expr.path else None
    if local is None:
        return False
    if local.kind == "let" and local.let is not None and not _mutable(local):
        return not_zero(local.let.init, depth + 1)
    return local.kind == "pattern" and _arm_before(expr, local)


def _arm_before(name: Expr, local: Binding) -> bool:
    """`match b { 0 => .., n => a / n }`: an arm of the same `match` takes the zero."""
    scope = local.scope
    if scope is None:
        return False
    if scope.kind != "match":
        return False
    for (pattern, _, value), guard in zip(scope.arms, scope.guards, strict=False):
        if value is not None and value.start <= name.start < value.end:
            return "@" in pattern
        if guard is None and _ZERO.search(pattern) is not None:
            return True
    return False
