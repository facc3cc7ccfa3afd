"""What a program's function can return, as far as the text says: constants through helper functions and `match`."""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix, Label
from bpfsmith.rules._object import DELIBERATE
from bpfsmith.rules._rust import covered, kernel_files, programs
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._base import SourceRule
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

__all__ = ["Outcome", "always_zero", "outcomes", "reached"]

_DEPTH = 8
_CONSTANTS = {"SK_DROP": 0, "SK_PASS": 1}


class Outcome:
    """One way a function may end: `kind` is ok, err or plain; `value` None when it is not constant."""

    __slots__ = ("expr", "kind", "value")

    def __init__(self, kind: str, value: int | None, expr: Expr) -> None:
        self.kind = kind
        self.value = value
        self.expr = expr

    def of(self, kind: str) -> Outcome:
        return Outcome(kind, self.value, self.expr)


def outcomes(item: Item, depth: int = 0) -> list[Outcome]:
    """How a function may end: its tail and every `return`."""
    if item.expr is None or depth > _DEPTH:
        return []
    found = _of(item.expr, depth)
    for expr in item.expr.within():
        if expr.kind == "return" and not any(one.kind == "closure" for one in expr.ancestors()):
            found.extend(_of(expr.inner, depth))
    return found


def _of(expr: Expr | None, depth: int) -> list[Outcome]:  # noqa: PLR0911 - one branch a kind
    if expr is None or depth > _DEPTH:
        return []
    kind = expr.kind
    if kind in ("paren", "cast"):
        return _of(expr.inner, depth)
    if kind == "block":
        return _of(expr.tail, depth)
    if kind == "if":
        _, then, other = expr.branches
        return [*_of(then, depth), *_of(other, depth)]
    if kind == "match":
        return _of_match(expr, depth)
    if kind in ("return", "break", "continue", "loop"):
        return []
    if kind == "try":
        return [one.of("plain") for one in _of(expr.inner, depth) if one.kind == "ok"]
    if kind == "macro" and expr.path.rpartition("::")[2] in ("panic", "unreachable", "todo", "unimplemented"):
        return []
    if kind == "call" and expr.callee is not None and expr.callee.kind == "path":
        name = expr.callee.path.rpartition("::")[2]
        if name in ("Ok", "Err") and len(expr.args) == 1:
            inner = _of(expr.args[0], depth) or [Outcome("plain", None, expr.args[0])]
            return [one.of(name.lower()) for one in inner]
        callee = _function(expr.callee)
        return outcomes(callee, depth + 1) if callee is not None else [Outcome("plain", None, expr)]
    if kind == "method" and expr.name in ("unwrap_or", "unwrap_or_else") and len(expr.args) == 1:
        return _of_unwrap(expr, depth)
    return [Outcome("plain", _constant(expr), expr)]


def _of_match(expr: Expr, depth: int) -> list[Outcome]:
    scrutinee = expr.file.expr(expr.fields[0])
    inner = _of(scrutinee, depth) if scrutinee is not None else []
    results = any(one.kind in ("ok", "err") for one in inner)
    out: list[Outcome] = []
    for pattern, names, result in expr.arms:
        side = "err" if pattern.startswith("Err") else "ok" if pattern.startswith("Ok") else ""
        if result is not None and result.kind == "path" and result.path in names:
            wanted = ("ok", "err") if "|" in pattern else (side,)
            passed = [one for one in inner if one.kind in wanted] if results else []
            out.extend(passed or [Outcome(side or "plain", None, result)])
            continue
        found = _of(result, depth)
        out.extend([one.of("err") for one in found] if side == "err" else found)
    return out


def _of_unwrap(expr: Expr, depth: int) -> list[Outcome]:
    inner = _of(expr.receiver, depth)
    if not any(one.kind in ("ok", "err") for one in inner):
        return [Outcome("plain", None, expr)]
    out = [one for one in inner if one.kind == "ok"]
    other = expr.args[0]
    if other.kind == "closure":
        body = other.body
        if body is not None and body.kind == "path" and body.path in other.fields[1]:
            return [*out, *(one for one in inner if one.kind == "err")]
        return [*out, *(one.of("err") for one in _of(body, depth))]
    return [*out, *(one.of("err") for one in _of(other, depth))]


def reached(item: Item) -> Iterator[Item]:
    """A function and those of its crate that it calls, as far as the text says."""
    pending, seen = [item], set()
    while pending:
        one = pending.pop()
        if one.expr is None or (one.file.path, one.id) in seen:
            continue
        seen.add((one.file.path, one.id))
        yield one
        for expr in one.expr.within():
            if expr.kind == "call" and expr.callee is not None and expr.callee.kind == "path":
                callee = _function(expr.callee)
                if callee is not None:
                    pending.append(callee)


def _function(callee: Expr) -> Item | None:
    path = resolve(callee.file, callee.path, callee.item)
    item = item_of(callee.file, path) if path is not None and path.startswith("crate::") else None
    return item if item is not None and item.kind == "fn" else None


def _constant(expr: Expr) -> int | None:
    value = expr.integer
    if value is not None or expr.kind != "path":
        return value
    if "::" not in expr.path:
        found = binding(expr)
        if found is not None:
            let = found.let
            plain = let is not None and let.name is not None and not let.pattern.startswith("mut ")
            return let.init.integer if plain and let is not None and let.init is not None else None
    path = resolve(expr.file, expr.path, expr.item)
    if path is None:
        return None
    if path.startswith(("aya_ebpf::bindings", "aya_bpf::bindings")):
        return _CONSTANTS.get(path.rpartition("::")[2])
    item = item_of(expr.file, path)
    return item.expr.integer if item is not None and item.kind == "const" and item.expr is not None else None


def always_zero(  # one finding for a program, at the value to change
    rule: SourceRule,
    project: Project,
    ctx: CheckContext,
    macros: frozenset[str],
    message: str,
    fix: str,
    value: str,
    *,
    harmless: Callable[[Item], bool] | None = None,
) -> Iterator[Finding]:
    """Programs of these macros that return 0 on every path that is no error. `value` replaces it, empty: shown only.

    Where the program's function is `harmless` the finding is only a note.
    """
    for file in kernel_files(project):
        for item, macro, _ in programs(file):
            if macro not in macros or item.expr is None:
                continue
            found = outcomes(item)
            successes = [one for one in found if one.kind != "err"]
            if not successes or any(one.value != 0 for one in successes):
                continue
            if any(one.kind == "err" and one.value not in (0, None) for one in found):
                continue  # errors are let through: a policy, not an oversight
            if _meant(item) or any(_meant(one.expr.item) for one in successes):
                continue
            places = list(dict.fromkeys(one.expr for one in successes))
            yield rule.finding(
                ctx,
                f"`{item.name}` returns 0 on every path: {message}",
                span=covered(ctx, places[0]),
                program=item.name,
                severity="note" if harmless is not None and harmless(item) else None,
                labels=[_label(ctx, one) for one in places[1:]],
                fixes=[_fix(ctx, places, fix, value)],
            )


def _label(ctx: CheckContext, expr: Expr) -> Label:
    return Label(covered(ctx, expr), "here too")


def _fix(ctx: CheckContext, places: list[Expr], message: str, value: str) -> Fix:
    if not value or any(one.integer != 0 for one in places):
        return Fix("display", message)
    return Fix("unsafe", message, [Edit(covered(ctx, one), value) for one in places])


def _meant(item: Item | None) -> bool:
    """Whether a function's name, or a comment in it or right above it, says that it refuses everything."""
    if item is None:
        return False
    text = item.file.text
    above = []
    for line in reversed(text[: item.start].split("\n")[:-1]):
        if line.strip().startswith(("//", "#[", "*", "/*")):
            above.append(line)
        else:
            break
    inside = [line.partition("//")[2] for line in text[item.start : item.end].split("\n")]
    said = " ".join([item.name, *above, *inside]).lower()
    return any(word in said for word in DELIBERATE)
