"""What was reserved, looked up or locked is not given back on some way out."""

from __future__ import annotations

from bpfsmith.repair.report import NO_NEW_PATH, REWRITE, Candidate
from bpfsmith.repair.rust.common import replaced
from bpfsmith.repair.rust.spot import before, failing, indent, spots
from bpfsmith.source.rust import Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.rust.spot import Spot
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]

_RELEASES = ("submit", "discard", "bpf_ringbuf_submit", "bpf_ringbuf_discard", "bpf_sk_release", "bpf_spin_unlock")
_HELPERS = "aya_ebpf::helpers::"


class _Held:
    """`name` holds what `at` acquired; `text` gives it back on a failing way."""

    def __init__(self, name: str, at: Expr, text: str, *, entry: bool = False) -> None:
        self.name = name
        self.at = at
        self.text = text
        self.entry = entry


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The release before each way out that forgets it: one at a time, then all."""
    seen: set[int] = set()
    for spot in spots(ground):
        if spot.item.id in seen or spot.item.expr is None:
            continue
        seen.add(spot.item.id)
        yield from _forgotten(spot)
        for held in _held(spot):
            ways = list(_ways(spot, held))
            said = f"give `{held.name}` back before the way out that forgets it"
            groups = [[one] for one in ways] + ([ways] if len(ways) > 1 else [])
            for group in groups:
                edits = [edit for one in group for edit in _release(spot, ground, held, one)]
                if edits:
                    yield Candidate("release", edits, said, NO_NEW_PATH)
            if held.entry and not _given(spot.item.expr, held):
                tail = spot.item.expr.tail
                if tail is not None:
                    edits = [before(spot.file, tail, [f"{held.name}.submit(0);"])]
                    yield Candidate("release", edits, f"submit `{held.name}` at the end", REWRITE)


def _forgotten(spot: Spot) -> Iterator[Candidate]:
    """A guard whose `drop` would give it back is forgotten: `drop(guard)` instead."""
    body = spot.item.expr
    for one in body.within("call") if body is not None else ():
        if _last(one) == "forget" and len(one.args) == 1 and one.callee is not None:
            said = f"let `{one.args[0].text[:40]}` give back what it holds: `drop` instead of `forget`"
            yield Candidate("release", [replaced(one.callee, "drop")], said, NO_NEW_PATH)


def _held(spot: Spot) -> Iterator[_Held]:
    body = spot.item.expr
    if body is None:
        return
    for block in body.within("block"):
        for let in block.lets:
            name = let.name or (let.names[0] if len(let.names) == 1 else None)
            if let.init is None or name is None:
                continue
            for one in let.init.within("method", "call"):
                last = one.name if one.kind == "method" else _last(one)
                if one.kind == "method" and last == "reserve":
                    yield _Held(name, one, f"{name}.discard(0);", entry=True)
                elif last == "bpf_ringbuf_reserve":
                    yield _Held(name, one, f"{_HELPERS}bpf_ringbuf_discard({name}.cast(), 0);")
                elif last.startswith(("bpf_sk_lookup", "bpf_skc_lookup")):
                    yield _Held(name, one, _same(body, "bpf_sk_release") or f"{_HELPERS}bpf_sk_release({name}.cast());")
    for one in body.within("call"):
        if _last(one) == "bpf_spin_lock" and len(one.args) == 1:
            text = _same(body, "bpf_spin_unlock") or f"{_HELPERS}bpf_spin_unlock({one.args[0].text});"
            yield _Held(one.args[0].text, one, text)


def _last(call: Expr) -> str:
    return call.callee.path.rpartition("::")[2] if call.callee is not None else ""


def _same(body: Expr, name: str) -> str:
    """How the function gives it back elsewhere."""
    return next((f"{one.text};" for one in body.within("call") if _last(one) == name), "")


def _given(where: Expr, held: _Held) -> bool:
    """Whether something in `where` gives it back."""
    for one in where.within("method", "call"):
        last = one.name if one.kind == "method" else _last(one)
        if last in _RELEASES and held.name in one.text and one.start > held.at.end:
            return True
    return False


def _ways(spot: Spot, held: _Held) -> Iterator[Expr]:
    """Ways out after it is held: `return` and `?`; those of the test whether it is there, and those behind a release in
    the same block, left out."""
    body = spot.item.expr
    for leave in body.within("return", "try", "method") if body is not None else ():
        if leave.kind == "method" and leave.name != "tail_call":
            continue
        if leave.start <= held.at.start or held.at.start <= leave.start < held.at.end or leave.end <= held.at.end:
            continue
        if any(one == held.at for one in leave.within()) or _tests(leave, held) or _after_release(leave, held):
            continue
        yield leave


def _tests(leave: Expr, held: _Held) -> bool:
    """In the branch where there is nothing to give back."""
    child = leave
    for outer in leave.ancestors():
        if outer.kind == "if":
            condition, then, _ = outer.branches
            plain = "".join(condition.text.split()) if condition is not None else ""
            if then == child and plain in (f"{held.name}.is_null()", f"{held.name}.is_none()"):
                return True
        if outer.kind == "block":
            for let in outer.lets:
                if let.other is not None and let.other.start <= leave.start < let.other.end and let.init is not None:
                    return let.init.start <= held.at.start < let.init.end
        child = outer
    return False


def _after_release(leave: Expr, held: _Held) -> bool:
    child = leave
    for outer in leave.ancestors():
        if outer.kind == "block":
            for one in outer.statements:
                if one.start >= child.start:
                    break
                expr = one.init if isinstance(one, Let) else one
                if (
                    expr is not None
                    and one.start > held.at.start
                    and expr.kind not in ("if", "match")
                    and _given(expr, held)
                ):
                    return True
        child = outer
    return False


def _release(spot: Spot, ground: Ground, held: _Held, leave: Expr):  # type: ignore[no-untyped-def]
    """The edits for one way out."""
    parent = leave.parent
    given = held.text
    if "bpf_" in given and not any(one.kind == "block" and one.is_unsafe for one in leave.ancestors()):
        given = f"unsafe {{ {given.rstrip(';')} }};"
    if leave.kind == "try" and leave.inner is not None:
        fails = failing(spot.item, ground, leave)
        space = indent(spot.file, leave.start)
        if fails is None or fails.kind not in ("result", "option"):
            return []
        good, bad, out = (
            ("Ok", "Err(error)", "Err(error.into())") if fails.kind == "result" else ("Some", "None", "None")
        )
        text = (
            f"match {leave.inner.text} {{\n{space}    {good}(value) => value,\n{space}    {bad} => {{\n"
            f"{space}        {given}\n{space}        return {out};\n{space}    }}\n{space}}}"
        )
        return [replaced(leave, text)]
    if parent is not None and parent.kind == "block":
        return [before(spot.file, leave, [given])]
    if parent is not None and parent.kind == "match":
        return [replaced(leave, f"{{ {given} {leave.text} }}")]
    return []
