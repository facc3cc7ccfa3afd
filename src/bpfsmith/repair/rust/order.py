"""Statements of Rust in another order: what is used before it is given back."""

from __future__ import annotations

from bpfsmith.repair.report import NO_NEW_PATH, SAME_WORK, Candidate
from bpfsmith.repair.rust.common import fresh, replaced
from bpfsmith.repair.rust.spot import Spot, before, edit, indent, spots, statement
from bpfsmith.source.rust import Let
from bpfsmith.source.types import bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]

_GIVES = frozenset(
    {"submit", "discard", "bpf_ringbuf_submit", "bpf_ringbuf_discard", "bpf_sk_release", "bpf_ringbuf_output"}
)
_FLOW = ("return", "try", "if", "match", "loop", "while", "for", "break", "continue", "closure")
_PACKET = frozenset({"data", "data_end", "metadata", "metadata_end"})
_LOOKS = ("bpf_ktime_get", "bpf_get_current_", "bpf_get_smp_processor_id", "bpf_jiffies", "bpf_get_prandom")


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The release behind the last use; a clock that is read before the lock is taken."""
    for spot in spots(ground):
        body = spot.item.expr
        for block in body.within("block") if body is not None else ():
            yield from _used(spot, block)
        yield from _locked(spot)
    listed = list(spots(ground))
    for spot in listed:
        for other in [one for near in listed for one in _called_at(near, spot)]:
            if other.line < spot.line:
                yield from _taken(other, spot)
                yield from _made_later(other, spot)


def _used(spot: Spot, block: Expr) -> Iterator[Candidate]:
    statements = block.statements
    for number, one in enumerate(statements):
        name = _given(one)
        if not name or isinstance(one, Let):
            continue
        last = None
        for other in statements[number + 1 :]:
            expr = other.init if isinstance(other, Let) else other
            if expr is None or any(True for _ in expr.within(*_FLOW)) or other == block.tail or _given(other):
                break
            last = other
            if other.start >= spot.last:
                break
            if other.start < spot.last and other.end > spot.first:
                break
        if last is None or not (last.start < spot.last and last.end > spot.first):
            continue
        file = spot.file
        end = one.end + (file.text[one.end : one.end + 1] == ";")
        start = one.start - len(indent(file, one.start))
        if file.text[start - 1 : start] == "\n" and file.text[end : end + 1] == "\n":
            taken = edit(file, start, end + 1, "")
        else:
            taken = edit(file, one.start, end, "")
        behind = last.end + (file.text[last.end : last.end + 1] == ";")
        put = edit(file, behind, behind, f"\n{indent(file, one.start)}{file.text[one.start : end]}")
        said = f"use it before `{name}` gives it away"
        why = f"the same statements, `{name}` after the last use, with no way out between"
        yield Candidate("order", [taken, put], said, SAME_WORK, why=why)


def _called_at(other: Spot, spot: Spot) -> Iterator[Spot]:
    """A line itself where it is in the same function; else the lines at which that one's function is called."""
    if other.item == spot.item:
        yield other
        return
    body = spot.item.expr
    for one in body.within("call", "method") if body is not None else ():
        name = one.name if one.kind == "method" else (one.callee.path.rpartition("::")[2] if one.callee else "")
        if name == other.item.name:
            yield Spot(spot.file, spot.file.position(one.start)[0], spot.item)


def _taken(first: Spot, last: Spot) -> Iterator[Candidate]:
    """What is read of something behind its release: read before it."""
    for release in first.around("call", "method"):
        place = statement(release)
        if isinstance(place, Let) or not (_given(place) or _gives(release)):
            continue
        names = {one.path for one in release.within("path") if "::" not in one.path}
        for one in last.around("path"):
            if one.path not in names or one.start < place.end:
                continue
            read = _read(one)
            block = next((outer for outer in release.ancestors() if outer.kind == "block"), None)
            if read is None or block is None or not any(outer == block for outer in read.ancestors()):
                continue
            if not all(_before(part, place.start) for part in read.within("path")):
                continue
            name = fresh(read, "taken")
            edits = [before(first.file, place, [f"let {name} = {read.text};"]), replaced(read, name)]
            said = f"read `{read.text[:50]}` before `{release.text[:40]}` gives it back"
            why = "what is read is the same: nothing between the two reads writes to it"
            yield Candidate("order", edits, said, SAME_WORK, why=why)


def _gives(call: Expr) -> bool:
    """Whether a function of the user's gives back what it is given: it does nothing but that."""
    name = call.name if call.kind == "method" else (call.callee.path.rpartition("::")[2] if call.callee else "")
    for item in call.file.items_named(name):
        body = item.expr if item.kind == "fn" else None
        calls = list(body.within("call", "method")) if body is not None else []
        if any(one.kind == "call" and one.callee and one.callee.path.rpartition("::")[2] in _GIVES for one in calls):
            return True
    return False


def _read(path: Expr) -> Expr | None:
    """The whole of what is read through a local: fields, derefs, methods that only look."""
    at: Expr = path
    whole: Expr | None = None
    for outer in path.ancestors():
        if outer.kind == "method":
            if outer.receiver != at or outer.args or not _looks(outer):
                break
            whole = outer
        elif outer.kind in ("field", "paren") or (outer.kind == "unary" and outer.op == "*"):
            whole = outer if outer.kind != "paren" else whole
        elif not (outer.kind == "block" and not outer.fields[1] and outer.tail == at and outer.is_unsafe):
            break
        else:
            whole = outer
        at = outer
    return whole


def _looks(method: Expr) -> bool:
    """Whether a method of the user's only reads."""
    found = [item.expr for item in method.file.items_named(method.name) if item.kind == "fn" and item.expr is not None]
    return bool(found) and all(
        not any(True for _ in body.within("call", "macro", "closure", *_FLOW))
        and not any(one.op.endswith("=") and one.op not in ("==", "!=", "<=", ">=") for one in body.within("binary"))
        for body in found
    )


def _before(path: Expr, start: int) -> bool:
    """Whether a name of an expression is there already at an earlier place."""
    found = bound(path.path, path) if "::" not in path.path else None
    return found is None or found.let is None or found.let.end <= start


def _made_later(first: Spot, last: Spot) -> Iterator[Candidate]:
    """What is made of the packet before a helper that may move it, and used behind it only: made behind it."""
    body = first.item.expr
    params = {one.name for one in first.item.params if "Context" in one.type}
    for block in body.within("block") if body is not None else ():
        statements = block.statements
        at = next((at for at, one in enumerate(statements) if one.start < first.last and one.end > first.first), -1)
        if at < 0 or at + 1 >= len(statements):
            continue
        for let in statements[:at]:
            if (
                not isinstance(let, Let)
                or let.init is None
                or let.other is not None
                or not _of_packet(let.init, params)
            ):
                continue
            names = set(let.names)
            between = [one for one in block.within("path") if let.end <= one.start < statements[at].end]
            behind = [one for one in block.within("path") if statements[at].end <= one.start <= last.last]
            behind = [one for one in behind if one.path in names]
            if not behind:
                continue
            file = first.file
            if any(one.path in names for one in between):
                again = before(file, statements[at + 1], [file.text[let.start : let.end]])
                said = f"make `{let.pattern[:40]}` anew behind the call that may move the packet"
                yield Candidate("re-derive", [again], said, NO_NEW_PATH)
                continue
            start = let.start - len(indent(file, let.start))
            text = file.text[let.start : let.end]
            edits = [edit(file, start, let.end + 1, ""), before(file, statements[at + 1], [text])]
            said = f"make `{let.pattern[:40]}` behind the call that may move the packet"
            why = f"the same statements, `{let.pattern[:40]}` made where it is used: nothing between looks at it"
            yield Candidate("order", edits, said, SAME_WORK, why=why)


def _of_packet(init: Expr, params: set[str]) -> bool:
    """Whether a value is made of the context's packet pointers alone, by functions that only look."""
    if not any(one.path in params for one in init.within("path")):
        return False
    for one in init.within("call", "method", "macro", *_FLOW):
        name = one.name if one.kind == "method" else (one.callee.path.rpartition("::")[2] if one.callee else "")
        if name in _PACKET:
            continue
        found = [item.expr for item in one.file.items_named(name) if item.kind == "fn" and item.expr is not None]
        if one.kind not in ("call", "method") or not found:
            return False
        for body in found:
            inner = {part.name for part in body.within("method")}
            if any(True for _ in body.within("call", "macro", *_FLOW)) or inner - {
                "data",
                "data_end",
                "metadata",
                "metadata_end",
            }:
                return False
    return True


def _given(statement: Expr | Let) -> str:
    """What a statement gives something back by; "" for others."""
    at: Expr | None = None if isinstance(statement, Let) else statement
    while at is not None and at.kind in ("block", "paren"):
        at = at.tail or (at.statements[0] if len(at.statements) == 1 else None) if at.kind == "block" else at.inner  # type: ignore[assignment]
        if isinstance(at, Let):
            return ""
    if at is None or at.kind not in ("method", "call"):
        return ""
    name = at.name if at.kind == "method" else (at.callee.path.rpartition("::")[2] if at.callee is not None else "")
    return name if name in _GIVES else ""


def _locked(spot: Spot) -> Iterator[Candidate]:
    body = spot.item.expr
    locks = [
        one for one in (body.within("call") if body is not None else ())
        if one.callee is not None and one.callee.path.rpartition("::")[2] in ("bpf_spin_lock", "bpf_res_spin_lock")
        and one.start < spot.first
    ]  # fmt: skip
    if not locks:
        return
    for one in spot.around("call"):
        last = one.callee.path.rpartition("::")[2] if one.callee is not None else ""
        if not last.startswith(_LOOKS) or one.args:
            continue
        name = fresh(one, "now" if "ktime" in last else "seen")
        edits = [before(spot.file, statement(locks[-1]), [f"let {name} = {one.text};"]), replaced(one, name)]
        said = f"call `{last}` before the lock is taken"
        why = f"`{last}` only looks: taken a moment before the lock it is as right as a moment after"
        yield Candidate("order", edits, said, SAME_WORK, why=why)
