"""A pointer or lookup that may be nothing is used without a test."""

from __future__ import annotations

from bpfsmith.repair.failures import NULL
from bpfsmith.repair.rust.common import at_use, checked, fresh, pointers, pure, replaced, stripped
from bpfsmith.repair.rust.fallible import begins_with, fails_at
from bpfsmith.repair.rust.place import guarded
from bpfsmith.repair.rust.spot import edit, everywhere, indent, spots, statement
from bpfsmith.source.rust import Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate
    from bpfsmith.repair.rust.spot import Failing, Spot
    from bpfsmith.source.rust import Expr

__all__ = ["candidates", "promises", "unwrapped"]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """Tests of what may be nothing, at the use and where it is looked up."""
    seen: set[int] = set()
    for spot in spots(ground):
        if spot.item.id not in seen:
            seen.add(spot.item.id)
            yield from promises(ground, spot)
        yield from _pointers(ground, spot)
    for spot in everywhere(ground):
        if spot.item.id not in seen:
            yield from promises(ground, spot)
            yield from _looked_up(ground, spot)


# ------------------------------------------------------------ promises to the compiler


def promises(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """`unwrap_unchecked`, `unreachable_unchecked`, `assert_unchecked`: the test that was promised to be needless."""
    body = spot.item.expr
    if body is None:
        return
    found = [one for one in body.within("method") if one.name == "unwrap_unchecked" and one.receiver is not None]
    found.sort(key=lambda one: abs(spot.file.position(one.start)[0] - spot.line))
    for call in found:
        fails = fails_at(spot.item, ground, call, sort=NULL)
        if fails is not None and call.receiver is not None:
            yield from unwrapped(call, call.receiver.text, fails)
    for call in body.within("call"):
        last = call.callee.path.rpartition("::")[2] if call.callee is not None else ""
        fails = (
            fails_at(spot.item, ground, call, sort=NULL)
            if last in ("unreachable_unchecked", "assert_unchecked")
            else None
        )
        if fails is None:
            continue
        if last == "unreachable_unchecked" and not call.args:
            text = fails.statement.removesuffix(";")
            yield checked("null-check", [replaced(call, text)], f"`{text}` there instead of a promise", fails)
        elif len(call.args) == 1:
            place = statement(call)
            if not isinstance(place, Let):
                end = place.end + (spot.file.text[place.end : place.end + 1] == ";")
                space = indent(spot.file, place.start)
                text = f"if !({call.args[0].text}) {{\n{space}    {fails.statement}\n{space}}}"
                said = f"test `{call.args[0].text}` instead of promising it"
                yield checked("null-check", [edit(spot.file, place.start, end, text)], said, fails)


def unwrapped(call: Expr, tested: str, fails: Failing, some: str = "Some") -> Iterator[Candidate]:
    """Instead of taking what is in an `Option` (or `Result`) for granted: a test."""
    file = call.file
    place = statement(call)
    said = f"test `{' '.join(tested.split())[:60]}` before its use"
    risky = _needs_unsafe(call)
    if isinstance(place, Let) and place.name is not None and not place.type and begins_with(place, call):
        space = indent(file, place.start)
        what = f"(unsafe {{ {tested} }})" if risky and place.init != call else tested
        what = f"({what})" if what.endswith("}") else what  # no block may stand right before `else`
        text = f"let {some}({place.pattern}) = {what} else {{\n{space}    {fails.statement}\n{space}}};"
        yield checked("null-check", [edit(file, place.start, place.end, text)], said, fails)
        return
    if fails.kind == "option" and some == "Some":
        yield checked("null-check", [replaced(call, f"{tested}?")], said, fails)
    elif fails.kind == "result" and fails.error and some == "Some":
        yield checked("null-check", [replaced(call, f"{tested}.ok_or({fails.error})?")], said, fails)
    elif fails.kind == "result" and some == "Ok" and fails.error:
        yield checked("null-check", [replaced(call, f"{tested}.map_err(|_| {fails.error})?")], said, fails)
    name = fresh(call, "found")
    what = f"(unsafe {{ {tested} }})" if risky and not tested.lstrip("(").startswith("unsafe") else tested
    what = f"({what})" if what.endswith("}") else what
    lines = [f"let {some}({name}) = {what} else {{", f"    {fails.statement}", "};"]
    yield checked("null-check", [*guarded(call, lines), replaced(call, name)], said, fails)


def _needs_unsafe(call: Expr) -> bool:
    """Whether what is tested must stay in its `unsafe` block: aya's lookups of values, functions, derefs."""
    inside = False
    for outer in call.ancestors():
        if outer.kind == "block" and outer.is_unsafe:
            inside = True
            break
        if outer.kind == "block":
            break
    receiver = call.receiver
    if not inside or receiver is None:
        return False
    return any(
        one.kind == "call" or (one.kind == "method" and one.name in ("get", "read_at", "as_ref", "as_mut"))
        or (one.kind == "unary" and one.op == "*")
        for one in receiver.within()
    )  # fmt: skip


# ------------------------------------------------------------ raw pointers


def _looked_up(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """`&mut *lookup(..)` in a function that is called where the use is."""
    body = spot.item.expr
    for one in body.within("ref") if body is not None else ():
        target = one.inner
        if target is None or target.kind != "unary" or target.op != "*" or target.inner is None:
            continue
        pointer = target.inner
        found = stripped(pointer)
        name = found.callee.path.rpartition("::")[2] if found.kind == "call" and found.callee is not None else ""
        fails = (
            fails_at(spot.item, ground, one, sort=NULL) if "lookup" in name or name == "bpf_ringbuf_reserve" else None
        )
        if fails is not None:
            yield from _named(pointer, fails)


def _pointers(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """`if p.is_null()` before the first use of a raw pointer on the line."""
    wanted = ground.cause.variables
    done: set[str] = set()
    found = []
    for access, target in pointers(spot):
        inner = stripped(target)
        found.append((access, inner if inner.kind in ("path", "field") else target))
    found.sort(key=lambda one: (one[1].text not in wanted, one[1].kind not in ("path", "field"), one[1].start))
    for access, pointer in found:
        fails = fails_at(spot.item, ground, access, sort=NULL)
        if fails is None or pointer.text in done:
            continue
        done.add(pointer.text)
        if pointer.kind in ("path", "field") and pure(pointer):
            said = f"return when `{pointer.text}` is null"
            yield from at_use("null-check", access, f"{pointer.text}.is_null()", fails, said)
        elif pointer.kind != "path":
            yield from _named(pointer, fails)


def _named(pointer: Expr, fails: Failing) -> Iterator[Candidate]:
    """A pointer that is computed and used at once gets a name first."""
    name = fresh(pointer, "pointer")
    text = pointer.text
    init = text if text.startswith("unsafe") else f"unsafe {{ {text} }}"
    lines = [f"let {name} = {init};", f"if {name}.is_null() {{", f"    {fails.statement}", "}"]
    edits = [*guarded(pointer, lines), replaced(pointer, name)]
    yield checked("null-check", edits, "return when the pointer is null", fails)
