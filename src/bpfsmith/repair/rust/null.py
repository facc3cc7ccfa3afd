"""A pointer or lookup that may be nothing is used without a test."""

from __future__ import annotations

from bpfsmith.repair.report import FAILING_BRANCH, Candidate
from bpfsmith.repair.rust.spot import Spot, edit, failing, guard, spots, statement
from bpfsmith.source.rust import Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Edit
    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.rust.spot import Failing
    from bpfsmith.source.rust import Expr

__all__ = ["candidates", "pure"]

_ACCESS = frozenset({"read", "read_unaligned", "read_volatile", "write", "write_unaligned", "write_volatile", "as_ref"})
_ACCESS |= {
    "as_mut",
    "cast",
    "add",
    "offset",
    "byte_add",
    "wrapping_add",
    "cast_mut",
    "cast_const",
    "copy_to",
    "copy_from",
}


def candidates(ground: Ground) -> Iterator[Candidate]:
    """Tests of what may be nothing, at the use and where it is looked up."""
    seen: set[int] = set()
    for spot in spots(ground):
        if spot.item.id not in seen:
            seen.add(spot.item.id)
            yield from _promises(ground, spot)
        yield from _pointers(ground, spot)


def candidate(kind: str, edits: list[Edit], message: str, fails: Failing) -> Candidate:
    """A check whose failing branch does what `fails` says."""
    return Candidate(kind, edits, message, FAILING_BRANCH, fails.text, fails.why)


def pure(expr: Expr | None) -> bool:
    """Whether evaluating it twice is the same as once: names, fields, numbers, arithmetic of such."""
    if expr is None:
        return False
    return all(
        one.kind in ("path", "field", "lit", "paren", "cast", "binary", "unary") and one.op not in _ASSIGNS
        for one in expr.within()
    )


_ASSIGNS = frozenset({"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="})


# ------------------------------------------------------------ promises to the compiler


def _promises(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """`unwrap_unchecked`, `unreachable_unchecked`, `assert_unchecked`: the test that was promised to be needless."""
    body = spot.item.expr
    if body is None:
        return
    found = [one for one in body.within("method") if one.name == "unwrap_unchecked" and one.receiver is not None]
    found.sort(key=lambda one: abs(spot.file.position(one.start)[0] - spot.line))
    for call in found:
        fails = failing(spot.item, ground, call)
        if fails is None or call.receiver is None:
            continue
        yield from unwrapped(call, call.receiver.text, fails)
    for call in body.within("call"):
        last = call.callee.path.rpartition("::")[2] if call.callee is not None else ""
        fails = failing(spot.item, ground, call)
        if fails is None:
            continue
        if last == "unreachable_unchecked" and not call.args:
            text = fails.statement.removesuffix(";")
            yield candidate(
                "null-check", [edit(spot.file, call.start, call.end, text)], f"`{text}` there instead", fails
            )
        elif last == "assert_unchecked" and len(call.args) == 1:
            place = statement(call)
            text = f"if !({call.args[0].text}) {{ {fails.statement} }}"
            if not isinstance(place, Let):
                edits = [edit(spot.file, place.start, _with_semicolon(spot, place.end), text)]
                yield candidate("null-check", edits, f"test `{call.args[0].text}` instead of promising it", fails)


def _with_semicolon(spot: Spot, end: int) -> int:
    return end + 1 if spot.file.text[end : end + 1] == ";" else end


def unwrapped(call: Expr, tested: str, fails: Failing, some: str = "Some") -> Iterator[Candidate]:
    """Instead of taking what is in an `Option` for granted: a test."""
    file = call.file
    place = statement(call)
    said = f"test `{tested.strip()[:60]}` before its use"
    if (
        isinstance(place, Let)
        and place.name is not None
        and place.init is not None
        and not place.type
        and _whole(place, call)
    ):
        name = place.pattern
        text = f"let {some}({name}) = {_bare(tested)} else {{ {fails.statement} }};"
        yield candidate(
            "null-check", [edit(file, place.start, place.end, _wide(file, place.start, text, fails))], said, fails
        )
    elif fails.kind == "option" and some == "Some":
        yield candidate("null-check", [edit(file, call.start, call.end, f"{tested}?")], said, fails)
    elif fails.kind == "result" and fails.error and some == "Some":
        yield candidate(
            "null-check", [edit(file, call.start, call.end, f"{tested}.ok_or({fails.error})?")], said, fails
        )
    if not (isinstance(place, Let) and place.init is None):
        name = fresh(call, "found")
        from bpfsmith.repair.rust.spot import before

        lines = [f"let {some}({name}) = {_bare(tested)} else {{", f"    {fails.statement}", "};"]
        yield candidate("null-check", [before(file, place, lines), edit(file, call.start, call.end, name)], said, fails)


def _wide(file: object, start: int, text: str, fails: Failing) -> str:
    """One line where it fits, else three."""
    from bpfsmith.repair.rust.spot import indent

    space = indent(file, start)  # type: ignore[arg-type]
    head = text.partition(" else { ")[0]
    return f"{head} else {{\n{space}    {fails.statement}\n{space}}};"


def _bare(text: str) -> str:
    """An `unsafe` block stays one; everything else as it stands."""
    return text.strip()


def _whole(let: Let, call: Expr) -> bool:
    """Whether the call, in brackets or `unsafe` at most, is all that the `let` starts with."""
    at: Expr | None = let.init
    while at is not None and at != call:
        if at.kind == "paren":
            at = at.inner
        elif at.kind == "block" and not at.fields[1] and at.tail is not None:
            at = at.tail
        else:
            return False
    return at is not None and (let.init == call or not _needs_unsafe(call))


def _needs_unsafe(call: Expr) -> bool:
    """Whether what is tested must stay in its `unsafe` block: aya's lookups of values, functions of one's own."""
    receiver = call.receiver
    if receiver is None:
        return True
    return any(
        one.kind == "call" or (one.kind == "method" and one.name in ("get", "get_value")) for one in receiver.within()
    ) or (any(one.kind == "unary" and one.op == "*" for one in receiver.within()))


def fresh(at: Expr, name: str) -> str:
    """A name that the function does not use yet."""
    item = at.item
    text = item.file.text[item.start : item.end] if item is not None else ""
    made, number = name, 2
    while made in text:
        made, number = f"{name}{number}", number + 1
    return made


# ------------------------------------------------------------ raw pointers


def _pointers(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """`if p.is_null()` before the first use of a raw pointer on the line."""
    wanted = ground.cause.variables
    done: set[str] = set()
    found = [one for one in _used(spot) if one.text not in done]
    found.sort(key=lambda one: (one.text not in wanted, one.start))
    for pointer in found:
        fails = failing(spot.item, ground, pointer)
        if fails is None or pointer.text in done:
            continue
        done.add(pointer.text)
        place = statement(pointer)
        if pure(pointer) and pointer.kind in ("path", "field"):
            edits = [guard(spot.file, place, f"{pointer.text}.is_null()", fails)]
            yield candidate("null-check", edits, f"return when `{pointer.text}` is null", fails)
        elif pointer.kind != "path":
            yield from _named(spot, pointer, fails)


def _named(spot: Spot, pointer: Expr, fails: Failing) -> Iterator[Candidate]:
    """A pointer that is computed and used at once gets a name first."""
    from bpfsmith.repair.rust.spot import before

    place = statement(pointer)
    name = fresh(pointer, "pointer")
    text = pointer.text
    while text.startswith("(") and text.endswith(")") and pointer.kind == "paren" and pointer.inner is not None:
        pointer_inner = pointer.inner
        text = pointer_inner.text
        break
    init = text if text.startswith("unsafe") else f"unsafe {{ {text} }}"
    lines = [f"let {name} = {init};", f"if {name}.is_null() {{", f"    {fails.statement}", "}"]
    edits = [before(spot.file, place, lines), edit(spot.file, pointer.start, pointer.end, name)]
    yield candidate("null-check", edits, "return when the pointer is null", fails)


def _used(spot: Spot) -> Iterator[Expr]:
    """Expressions of the line that are used as pointers."""
    for one in spot.around():
        target: Expr | None = None
        if one.kind == "unary" and one.op == "*":
            target = one.inner
        elif one.kind == "method" and one.name in _ACCESS:
            target = one.receiver
        elif one.kind == "call":
            for given in one.args:
                inner = _stripped(given)
                if inner.kind == "path" and "::" not in inner.path and inner.path.islower():
                    yield inner
        if target is None:
            continue
        inner = _stripped(target)
        yield inner if inner.kind in ("path", "field") else target


def _stripped(expr: Expr) -> Expr:
    while expr.kind in ("paren", "cast") and expr.inner is not None:
        expr = expr.inner
    if (
        expr.kind == "method"
        and expr.name in ("cast", "cast_mut", "cast_const", "add", "offset")
        and expr.receiver is not None
    ):
        return _stripped(expr.receiver)
    return expr
