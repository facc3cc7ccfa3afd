"""Statements of Rust in another order: what is used before it is given back."""

from __future__ import annotations

from bpfsmith.repair.report import SAME_WORK, Candidate
from bpfsmith.repair.rust.spot import before, edit, indent, spots
from bpfsmith.source.rust import Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.rust.spot import Spot
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]

_GIVES = frozenset(
    {"submit", "discard", "bpf_ringbuf_submit", "bpf_ringbuf_discard", "bpf_sk_release", "bpf_ringbuf_output"}
)
_FLOW = ("return", "try", "if", "match", "loop", "while", "for", "break", "continue", "closure")
_LOOKS = ("bpf_ktime_get", "bpf_get_current_", "bpf_get_smp_processor_id", "bpf_jiffies", "bpf_get_prandom")


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The release behind the last use; a clock that is read before the lock is taken."""
    for spot in spots(ground):
        body = spot.item.expr
        for block in body.within("block") if body is not None else ():
            yield from _used(spot, block)
        yield from _locked(spot)


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
    from bpfsmith.repair.rust.common import fresh, replaced
    from bpfsmith.repair.rust.spot import statement

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
