"""Code that may panic: the verifier finds no way out of it."""

from __future__ import annotations

from bpfsmith.repair.rust.common import at_use, checked, pure, replaced
from bpfsmith.repair.rust.fallible import fails_at
from bpfsmith.repair.rust.null import promises, unwrapped
from bpfsmith.repair.rust.place import guarded
from bpfsmith.repair.rust.spot import Spot, edit, everywhere, spots, statement
from bpfsmith.source.rust import Let
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate
    from bpfsmith.repair.rust.spot import Failing
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]

_PANICS = frozenset({"panic", "unreachable", "todo", "unimplemented"})
_RESULTS = (
    "bpf_probe_read",
    "read_at",
    "bpf_get_current_comm",
    "insert",
    "remove",
    "output",
    "load",
    "store",
    "bpf_d_path",
)


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The panic's reason tested beforehand: `unwrap`, division, indices, `panic!` itself."""
    seen: set[int] = set()
    whole: set[int] = set()
    for spot in spots(ground):
        yield from _line(ground, spot)
        if spot.item.id not in seen:
            seen.add(spot.item.id)
            yield from promises(ground, spot)
    for spot in [*spots(ground), *everywhere(ground)]:
        if spot.item.id not in whole:
            whole.add(spot.item.id)
            yield from _whole_function(ground, spot)


def _line(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    for one in spot.around():
        fails = fails_at(spot.item, ground, one)
        if fails is not None:
            yield from _of(one, spot, fails)


def _whole_function(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """Where the line only says that the function panics: whatever in it may."""
    body = spot.item.expr
    for one in body.within() if body is not None else ():
        if spot.first <= one.start < spot.last:
            continue
        if one.kind in ("index", "macro") or one.name in ("unwrap", "expect") or one.op in ("/", "%"):
            fails = fails_at(spot.item, ground, one)
            if fails is not None:
                yield from _of(one, spot, fails)


def _of(one: Expr, spot: Spot, fails: Failing) -> Iterator[Candidate]:
    if one.kind == "method" and one.name in ("unwrap", "expect") and one.receiver is not None:
        first, second = ("Ok", "Some") if _is_result(one.receiver) else ("Some", "Ok")
        yield from unwrapped(one, one.receiver.text, fails, first)
        yield from unwrapped(one, one.receiver.text, fails, second)
    elif one.kind == "binary" and one.op in ("/", "%", "/=", "%="):
        divisor = one.operands[1]
        if divisor is not None and divisor.integer is None and pure(divisor):
            said = f"divide only when `{divisor.text[:40]}` is not 0"
            yield from at_use("bounds-check", one, f"{divisor.text} == 0", fails, said)
    elif one.kind == "index":
        base, index = one.operands
        if base is None or index is None or not _indexable(base) or index.kind == "range":
            yield from _slice(one, fails)
        elif pure(index) and index.integer is None:
            said = f"go on only when `{index.text[:40]}` is an index of `{base.text[:40]}`"
            yield from at_use("bounds-check", one, f"{index.text} >= {base.text}.len()", fails, said)
    elif one.kind == "macro" and one.path.rpartition("::")[2] in _PANICS:
        text = fails.statement
        place = statement(one)
        parent = one.parent
        arm = parent is not None and parent.kind == "match"
        if isinstance(place, Let) or arm or place != one:
            text = text.removesuffix(";")
        yield checked("null-check", [replaced(one, text)], f"`{text.removesuffix(';')}` instead of a panic", fails)
    elif one.kind == "macro" and one.path.rpartition("::")[2] in ("assert", "debug_assert") and one.args:
        yield from _assert(one, spot, fails)
    elif one.kind == "call" and one.callee is not None and _never(one, spot):
        parent = one.parent
        text = fails.statement if parent is not None and parent.kind == "block" else fails.statement.removesuffix(";")
        end = one.end + (spot.file.text[one.end : one.end + 1] == ";" and text.endswith(";"))
        yield checked("null-check", [edit(spot.file, one.start, end, text)], "return instead of never returning", fails)


def _indexable(base: Expr) -> bool:
    """Whether asking for its length again is the same: names, fields, and elements of such."""
    while base.kind == "index" and pure(base.operands[1]) and base.operands[0] is not None:
        base = base.operands[0]
    return pure(base)


def _assert(one: Expr, spot: Spot, fails: Failing) -> Iterator[Candidate]:
    condition = one.args[0].text
    end = one.end + (spot.file.text[one.end : one.end + 1] == ";")
    text = f"if !({condition}) {{ {fails.statement} }}"
    yield checked("null-check", [edit(spot.file, one.start, end, text)], "return instead of a panic", fails)


def _never(call: Expr, spot: Spot) -> bool:
    """Whether a function of this file that is called never returns."""
    name = call.callee.path.rpartition("::")[2] if call.callee is not None else ""
    return any(item.kind == "fn" and item.type.strip() == "!" for item in spot.file.items_named(name))


def _slice(one: Expr, fails: Failing) -> Iterator[Candidate]:
    """`a[x..y]` may panic: `a.get(x..y)` does not."""
    base, index = one.operands
    parent = one.parent
    if base is None or index is None or index.kind != "range" or parent is None:
        return
    whole, method = one, "get"
    if parent.kind == "ref":
        whole, method = parent, "get_mut" if parent.fields[0] else "get"
    tested = f"{base.text}.{method}({index.text})"
    if fails.kind == "option":
        yield checked("bounds-check", [replaced(whole, f"{tested}?")], f"take the part by `{method}`", fails)
    elif fails.kind == "result" and fails.error:
        text = f"{tested}.ok_or({fails.error})?"
        yield checked("bounds-check", [replaced(whole, text)], f"take the part by `{method}`", fails)
    else:
        from bpfsmith.repair.rust.common import fresh

        name = fresh(one, "part")
        lines = [f"let Some({name}) = {tested} else {{", f"    {fails.statement}", "};"]
        edits = [*guarded(one, lines), replaced(whole, name)]
        yield checked("bounds-check", edits, f"take the part by `{method}`", fails)


def _is_result(expr: Expr) -> bool:
    """Whether `unwrap` is of a `Result`: of aya's helpers, and of what says so."""
    inner = expr
    while inner.kind in ("paren",) or (inner.kind == "block" and inner.tail is not None):
        following = inner.inner if inner.kind == "paren" else inner.tail
        if following is None:
            return False
        inner = following
    name = inner.name if inner.kind == "method" else ""
    if inner.kind == "call" and inner.callee is not None:
        name = inner.callee.path.rpartition("::")[2]
    if name.startswith(_RESULTS) or name in ("try_into", "try_from"):
        return True
    return inner.kind == "path" and (type_of(inner) is not None and "Result" in str(type_of(inner)))
