"""An index or offset that is not limited before it is used, or that was limited in another copy."""

from __future__ import annotations

from bpfsmith.repair.rust.common import at_use, checked, fresh, pure, replaced, stripped, type_text
from bpfsmith.repair.rust.fallible import fails_at
from bpfsmith.repair.rust.place import guarded
from bpfsmith.repair.rust.spot import edit, indent, spots
from bpfsmith.source.layout import constant, layout
from bpfsmith.source.types import bound, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate
    from bpfsmith.repair.rust.spot import Failing, Spot
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]

_STEPS = frozenset(
    {"add", "offset", "wrapping_add", "byte_add", "get_unchecked", "get_unchecked_mut", "wrapping_offset"}
)
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`if index >= N` right before the use; where the compiler made the check of another copy, behind a barrier."""
    for spot in spots(ground):
        yield from asserted(ground, spot)
        for use, base, index in _indexed(spot):
            fails = fails_at(spot.item, ground, use)
            if fails is None:
                continue
            for limit in _limits(ground, spot, base, index):
                yield from _checks(use, index, limit, fails)


def asserted(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """`debug_assert!`, which a release build leaves out, as a test that stays."""
    body = spot.item.expr
    for one in body.within("macro") if body is not None else ():
        if one.path.rpartition("::")[2] != "debug_assert" or not one.args or not pure(one.args[0]):
            continue
        fails = fails_at(spot.item, ground, one)
        if fails is None:
            continue
        condition = one.args[0].text
        space = indent(spot.file, one.start)
        end = one.end + (spot.file.text[one.end : one.end + 1] == ";")
        text = f"if !({condition}) {{\n{space}    {fails.statement}\n{space}}}"
        said = f"test `{condition[:50]}` in every build, and return where it does not hold"
        yield checked("bounds-check", [edit(spot.file, one.start, end, text)], said, fails)


def _indexed(spot: Spot) -> Iterator[tuple[Expr, Expr | None, Expr]]:
    """(use, what is indexed, the index) on the line."""
    for one in spot.around("index", "method"):
        if one.kind == "index":
            base, index = one.operands
            if index is not None and index.kind != "range" and index.integer is None:
                yield one, base, index
        elif one.name in _STEPS and len(one.args) == 1 and one.args[0].integer is None:
            yield one, one.receiver, one.args[0]


def _limits(ground: Ground, spot: Spot, base: Expr | None, index: Expr) -> list[str]:
    """How many elements there are: as the type says, as the cause says, as the function compares elsewhere."""
    out: list[str] = []
    count = _count(base) if base is not None else None
    if count:
        out.append(str(count))
    told = ground.operand("count", "limit", "elements", "max_index")
    if isinstance(told, int) and 0 < told < 1 << 29:
        out.append(str(told))
    size = ground.operand("value_size", "size", "mem_size")
    width = _width(base)
    if isinstance(size, int) and width and size >= width:
        out.append(str(size // width))
    out += _compared(spot, index)
    if base is not None and not count and pure(base) and not _raw(base):
        out.append(f"{base.text}.len()")
    return list(dict.fromkeys(out))[:3]


def _raw(base: Expr) -> bool:
    """Whether it may be a pointer that has no length: only a field or a slice is known to have one."""
    if base.kind == "field":
        return False
    text = type_text(base)
    return not (text.startswith(("&[", "&mut [", "[")))


def _width(base: Expr | None) -> int:
    """Bytes of an element that a pointer steps over."""
    if base is None:
        return 0
    text = type_text(base)
    if not text.startswith("*"):
        inner = base
        while inner.kind == "method" and inner.name in ("as_ptr", "as_mut_ptr") and inner.receiver is not None:
            inner = inner.receiver
        known = _array(inner)
        return known[1] if known else 0
    found = layout(base.file, text.removeprefix("*const ").removeprefix("*mut ").strip(), base.item)
    return found.size if found is not None else 0


def _count(base: Expr) -> int | None:
    known = _array(base)
    if known is None:
        return None
    count, size = known
    width = _stepped(base)
    return count * size // width if width else count


def _stepped(base: Expr) -> int:
    """Bytes of what a cast pointer steps over; 0 without a cast."""
    text = type_text(base)
    if not text.startswith("*"):
        return 0
    pointee = text.removeprefix("*const ").removeprefix("*mut ").strip()
    found = layout(base.file, pointee, base.item)
    return found.size if found is not None and found.kind != "array" else 0


def _array(expr: Expr, depth: int = 0) -> tuple[int, int] | None:  # noqa: PLR0911, PLR0912 - one return a kind
    """(elements, bytes of each) of the array an expression is, points to, or leads into."""
    if depth > 8:
        return None
    inner = (
        expr.inner
        if expr.kind in ("paren", "cast", "ref", "try") or (expr.kind == "unary" and expr.op == "*")
        else None
    )
    if expr.kind == "block" and not expr.fields[1]:
        inner = expr.tail
    if inner is not None:
        return _array(inner, depth + 1)
    name = expr.callee.path.rpartition("::")[2] if expr.kind == "call" and expr.callee is not None else ""
    if name == "bpf_get_current_comm" or (expr.kind == "method" and expr.name == "command"):
        return 16, 1  # TASK_COMM_LEN
    if expr.kind == "method" and expr.receiver is not None:
        if expr.name in ("get", "get_ptr", "get_ptr_mut"):
            owner = type_of(expr.receiver)
            if owner is not None and owner.args:
                return _of_type(expr, _held(expr, owner.args))
        return _array(expr.receiver, depth + 1)
    if expr.kind == "macro" and expr.path.rpartition("::")[2] in ("addr_of", "addr_of_mut") and expr.args:
        return _array(expr.args[0], depth + 1)
    if expr.kind == "field" and expr.receiver is not None:
        owner_text = _struct(expr.receiver)
        found = layout(expr.file, owner_text, expr.item) if owner_text else None
        field = next((one for one in found.fields if one.name == expr.name), None) if found is not None else None
        return _of_type(expr, field.type) if field is not None else None
    if expr.kind == "repeat":
        count = expr.operands[1]
        value = constant(expr.file, count.text, expr.item) if count is not None else None
        element = expr.operands[0].text if expr.operands[0] is not None else ""
        width = next((bits // 8 for name, bits in _BITS.items() if element.endswith(name)), 0)
        return (value, width or 1) if value else None
    if expr.kind == "path":
        found_local = bound(expr.path, expr) if "::" not in expr.path else None
        if found_local is None:
            return None
        if found_local.type:
            return _of_type(expr, found_local.type)
        if found_local.kind == "param" and found_local.item is not None:
            text = next((one.type for one in found_local.item.params if one.name == expr.path), "")
            return _of_type(expr, text)
        init = found_local.let.init if found_local.let is not None else found_local.init
        if init is not None and init.kind == "tuple" and found_local.let is not None:
            names = [one.strip() for one in found_local.let.pattern.strip("()").split(",")]
            parts = [init.file.exprs[one] for one in init.fields[0] if one >= 0]
            for name, part in zip(names, parts, strict=False):
                if expr.path == name.partition("(")[2].removesuffix(")").removeprefix("mut ") or expr.path == name:
                    return _array(part, depth + 1)
            return None
        return _array(init, depth + 1) if init is not None else None
    return None


_BITS = {"u8": 8, "i8": 8, "u16": 16, "i16": 16, "u32": 32, "i32": 32, "u64": 64, "i64": 64}


def _held(at: Expr, args: Sequence[str]) -> str:
    """The type of what a map holds: the last of its arguments that is no number (`HashMap<u32, Slow, 1024>`)."""
    for one in reversed(args):
        if not one.strip("{} ").isdecimal() and constant(at.file, one, at.item) is None:
            return one
    return args[-1]


def _struct(expr: Expr) -> str:
    """The type of what a pointer or reference leads to, as text."""
    while expr.kind in ("paren", "ref") or (expr.kind == "unary" and expr.op == "*"):
        if expr.inner is None:
            return ""
        expr = expr.inner
    text = type_text(expr)
    if text:
        return text.lstrip("&").removeprefix("mut ").removeprefix("*const ").removeprefix("*mut ").strip()
    found = bound(expr.path, expr) if expr.kind == "path" and "::" not in expr.path else None
    init = (
        found.let.init if found is not None and found.let is not None else (found.init if found is not None else None)
    )
    for one in init.within("method") if init is not None else ():
        if one.name in ("get", "get_ptr", "get_ptr_mut"):
            owner = type_of(one.receiver)
            if owner is not None and owner.args:
                return _held(one, owner.args)
    return ""


def _of_type(expr: Expr, text: str) -> tuple[int, int] | None:
    plain = text.strip().lstrip("&").removeprefix("mut ").removeprefix("*const ").removeprefix("*mut ").strip()
    found = layout(expr.file, plain, expr.item)
    if found is None or found.kind != "array" or found.element is None or not found.count:
        return None
    return found.count, found.element.size


def _compared(spot: Spot, index: Expr) -> Iterator[str]:
    """Bounds that the function compares the same value with."""
    name = stripped(index).text
    body = spot.item.expr
    for one in body.within("binary") if body is not None else ():
        left, right = one.operands
        if left is None or right is None or one.op not in _FLIPPED:
            continue
        if stripped(left).text == name and constant(right.file, right.text, right.item) is not None:
            yield right.text
        elif stripped(right).text == name and constant(left.file, left.text, left.item) is not None:
            yield left.text


def _checks(use: Expr, index: Expr, limit: str, fails: Failing) -> Iterator[Candidate]:
    said = f"go on only when `{index.text[:40]}` is below {limit}"
    number = index.text if index.kind in ("path", "field") and not _signed(index) else f"({index.text}) as usize"
    number = f"{index.text} as usize" if index.kind in ("path", "field") and _signed(index) else number
    if pure(index):
        yield from at_use("bounds-check", use, f"{number} >= {limit}", fails, said)
    inner = stripped(index)
    # The compiler may check one copy and use another: a barrier makes them one.
    name = inner.path if inner.kind == "path" and "::" not in inner.path else fresh(index, "index")
    first = inner.text if inner.kind == "path" else index.text
    lines = [f"let {name} = core::hint::black_box({first});"]
    again = name if inner.kind != "path" or not _signed(index) else f"{name} as usize"
    edits = guarded(use, [*lines, f"if {again} >= {limit} {{", f"    {fails.statement}", "}"])
    if inner.kind != "path" or "::" in inner.path:
        edits.append(replaced(index, name))
    yield checked("bounds-check", edits, f"{said}, in the copy that is used", fails)


def _signed(index: Expr) -> bool:
    """Whether a number may be negative, as far as its type is written."""
    text = type_text(stripped(index))
    return text.startswith("i") or (index.kind == "cast" and index.cast_type.strip().startswith("i"))
