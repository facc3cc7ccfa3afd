"""What makers of changes to Rust share: candidates, pure expressions, fresh names, what a line uses as a pointer."""

from __future__ import annotations

from bpfsmith.repair.report import FAILING_BRANCH, UNSURE_BRANCH, Candidate
from bpfsmith.repair.rust.place import boundary, guarded
from bpfsmith.repair.rust.spot import before, edit, statement
from bpfsmith.source.types import bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfsmith.model.finding import Edit
    from bpfsmith.repair.rust.spot import Failing, Spot
    from bpfsmith.source.rust import Expr, Let

__all__ = [
    "ACCESS", "ASSIGNS", "at_use", "branch", "checked", "fresh", "joined", "let_of", "pointers", "pure", "replaced",
    "stripped", "type_text",
]  # fmt: skip

ACCESS = frozenset({"read", "read_unaligned", "read_volatile", "write", "write_unaligned", "write_volatile", "as_ref"})
ACCESS |= {"as_mut", "copy_to", "copy_from", "copy_to_nonoverlapping", "copy_from_nonoverlapping"}
_STEPS = frozenset({"cast", "add", "offset", "byte_add", "wrapping_add", "cast_mut", "cast_const", "sub"})
ASSIGNS = frozenset({"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="})
_LOOKS = frozenset({"data", "data_end", "len", "metadata", "metadata_end", "cast", "cast_mut", "cast_const"})


def checked(kind: str, edits: list[Edit], message: str, fails: Failing) -> Candidate:
    """A check whose failing branch does what `fails` says."""
    whole = joined([*edits, *fails.edits])
    return Candidate(kind, whole, message, branch(fails), " or ".join(fails.texts), fails.why)


def joined(edits: Sequence[Edit]) -> list[Edit]:
    """Insertions at one place made one, in this order."""
    out: list[Edit] = []
    for one in edits:
        span = one.span
        at = next((at for at, other in enumerate(out) if other.span == span), -1)
        if at >= 0 and (span.line, span.column) == (span.end_line, span.end_column):
            out[at] = type(one)(span, out[at].text + one.text)
        else:
            out.append(one)
    return out


def branch(fails: Failing) -> str:
    """The shape of a check that fails so."""
    return FAILING_BRANCH if fails.certain else UNSURE_BRANCH


def pure(expr: Expr | None) -> bool:
    """Whether evaluating it twice is the same as once: names, fields, numbers, arithmetic of such, `ctx.data()`."""
    if expr is None:
        return False
    for one in expr.within():
        if one.kind in ("path", "field", "lit", "paren", "cast", "ref"):
            continue
        if one.kind in ("binary", "unary"):
            if one.op in ASSIGNS:
                return False
            continue
        if one.kind == "method" and one.name in _LOOKS and not one.args:
            continue
        if one.kind == "call" and one.callee is not None and one.callee.path.rpartition("::")[2] == "size_of":
            continue
        if one.kind == "block" and not one.fields[1] and one.tail is not None:
            continue
        return False
    return True


def fresh(at: Expr, name: str) -> str:
    """A name that the function does not use yet."""
    item = at.item
    text = item.file.text[item.start : item.end] if item is not None else ""
    made, number = name, 2
    while made in text:
        made, number = f"{name}{number}", number + 1
    return made


def stripped(expr: Expr) -> Expr:
    """Without brackets, casts, `unsafe` around one expression, and steps from a pointer to another of its object."""
    while True:
        inner: Expr | None = None
        if expr.kind in ("paren", "cast"):
            inner = expr.inner
        elif expr.kind == "block" and not expr.fields[1]:
            inner = expr.tail
        elif expr.kind == "method" and expr.name in _STEPS:
            inner = expr.receiver
        if inner is None:
            return expr
        expr = inner


def pointers(spot: Spot, *, whole: bool = False) -> Iterator[tuple[Expr, Expr]]:
    """(the access, the pointer expression) of what the line reads or writes through pointers; `whole`: all of the
    function."""
    body = spot.item.expr
    for one in body.within() if whole and body is not None else spot.around():
        target: Expr | None = None
        if one.kind == "unary" and one.op == "*":
            target = one.inner
        elif one.kind == "method" and one.name in ACCESS:
            target = one.receiver
        elif one.kind == "call" and one.callee is not None:
            for given in one.args:
                inner = stripped(given)
                if inner.kind == "path" and "::" not in inner.path and inner.path.islower():
                    yield one, inner
            continue
        if target is None:
            continue
        while target.kind == "paren" and target.inner is not None:
            target = target.inner
        if target.kind == "ref" and target.inner is not None:
            continue
        yield one, target


def at_use(
    kind: str, use: Expr, condition: str, fails: Failing, message: str, lines: list[str] | None = None
) -> Iterator[Candidate]:
    """`if condition { fail }` before the statement of a use, after `lines`."""
    text = [*(lines or ()), f"if {condition} {{", f"    {fails.statement}", "}"]
    risky = _left_unsafe(use) if "(*" in condition and not condition.startswith("unsafe") else None
    edits = guarded(use, text) if risky is None else [before(use.file, risky, text)]
    yield checked(kind, edits, message, fails)


def _left_unsafe(use: Expr) -> Expr | None:
    """What an `unsafe` block gives that a use is in, where a check put before the statement stands outside of it."""
    around = boundary(use)
    place = around if around is not None else statement(use)
    blocks = [
        one for one in use.ancestors()
        if one.kind == "block" and one.is_unsafe and one.start >= place.start and one.end <= place.end
    ]  # fmt: skip
    return blocks[0].tail if blocks else None


def type_text(expr: Expr, depth: int = 0) -> str:  # noqa: PLR0911 - one return a kind
    """The type of a local as written: of its `let`, of the cast or the `cast::<T>()` it starts with; "" without."""
    while expr.kind in ("paren",) or (expr.kind == "block" and not expr.fields[1]):
        inner = expr.inner if expr.kind == "paren" else expr.tail
        if inner is None:
            return ""
        expr = inner
    if expr.kind == "cast":
        return expr.cast_type.strip()
    if expr.kind == "method" and expr.name == "cast":
        text = "".join(expr.text[expr.text.rfind("cast") :].split())
        if text.startswith("cast::<") and text.endswith(">()"):
            return f"*const {text[7:-3]}"
    if expr.kind == "method" and expr.name in ("add", "offset", "wrapping_add") and expr.receiver is not None:
        return type_text(expr.receiver, depth + 1)
    if expr.kind == "path" and "::" not in expr.path and depth < 8:
        found = bound(expr.path, expr)
        if found is None:
            return ""
        if found.type:
            return found.type.strip()
        if found.let is not None and found.let.init is not None and found.kind == "let":
            return type_text(found.let.init, depth + 1)
        if found.kind == "param" and found.item is not None:
            return next((one.type for one in found.item.params if one.name == expr.path), "")
    return ""


def let_of(expr: Expr) -> Let | None:
    """The `let` that binds the local an expression names."""
    found = bound(expr.path, expr) if expr.kind == "path" and "::" not in expr.path else None
    return found.let if found is not None and found.kind == "let" else None


def replaced(expr: Expr, text: str) -> Edit:
    """The edit that puts something else in an expression's place."""
    return edit(expr.file, expr.start, expr.end, text)
