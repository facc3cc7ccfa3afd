"""Where a check stands: right before a use, and only on the way that leads to it.

Most uses have a statement of their own; one behind `&&`, in a match arm, in a closure or in the condition of a loop is
reached on some ways only, or again and again: there the check is put into a block around it.
"""

from __future__ import annotations

from bpfsmith.repair.rust.spot import before, edit, indent, statement, transparent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.finding import Edit
    from bpfsmith.source.rust import Expr

__all__ = ["boundary", "closure_of", "guarded"]


def guarded(use: Expr, lines: list[str]) -> list[Edit]:
    """The edits that put `lines` before a use."""
    file = use.file
    around = boundary(use)
    if around is None:
        return [before(file, statement(use), lines)]
    space = indent(file, around.start)
    text = "".join(f"\n{space}    {one}" for one in lines)
    return [
        edit(file, around.start, around.start, f"{{{text}\n{space}    "),
        edit(file, around.end, around.end, f"\n{space}}}"),
    ]


def boundary(use: Expr) -> Expr | None:  # noqa: PLR0911 - one return a kind
    """The largest expression around a use that is worked out exactly when the use is, where that is none of a block's
    statements; None where the statement itself is."""
    child, inner = use, use
    for outer in use.ancestors():
        kind = outer.kind
        if kind == "block":
            if not transparent(outer):
                return None
        elif kind == "binary" and outer.op in ("&&", "||"):
            if outer.operands[1] == child:
                return child if child.kind != "let" else inner
        elif kind == "match":
            results = [result for _, _, result in outer.arms]
            if child in results or child in outer.guards:
                return child
        elif kind == "if":
            condition = outer.branches[0]
            parent = outer.parent
            if child != condition or (parent is not None and parent.kind == "if" and parent.branches[2] == outer):
                return child if child.kind != "let" else inner
        elif kind == "while":
            return child if child.kind != "let" else inner
        elif kind == "closure":
            return child
        inner, child = child, outer
    return None


def closure_of(use: Expr) -> Expr | None:
    """The closure that a use is in."""
    return next((one for one in use.ancestors() if one.kind == "closure"), None)
