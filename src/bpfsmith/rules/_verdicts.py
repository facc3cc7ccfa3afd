"""What a program's function can return, as far as the text says: constants through helper functions and `match`."""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix, Label
from bpfsmith.rules._object import DELIBERATE
from bpfsmith.rules._rust import covered, kernel_files, programs
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, item_of, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._base import SourceRule
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

__all__ = ["Outcome", "always_zero", "constant", "errno", "outcomes", "reached", "verdict_name"]

_DEPTH = 8
_NUMBERED = (
    ("SK_DROP", "SK_PASS"),
    ("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"),
    (
        *("TC_ACT_OK", "TC_ACT_RECLASSIFY", "TC_ACT_SHOT", "TC_ACT_PIPE", "TC_ACT_STOLEN", "TC_ACT_QUEUED"),
        *("TC_ACT_REPEAT", "TC_ACT_REDIRECT", "TC_ACT_TRAP"),
    ),
)
_CONSTANTS = {"TC_ACT_UNSPEC": -1, **{name: at for family in _NUMBERED for at, name in enumerate(family)}}


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
    key = ("outcomes", item.id)
    known: list[Outcome] | None = item.file.cache.get(key)
    if known is not None:
        return known
    found = _of(item.expr, depth)
    for expr in item.expr.within("return", "try"):
        if expr.kind == "return" and not _in_closure(expr):
            found.extend(_of(expr.inner, depth))
        elif expr.kind == "try" and not item.type.startswith("Option") and not _in_closure(expr):
            found.extend(_errors(expr.inner, depth))
    if depth == 0:
        item.file.cache[key] = found
    return found


def _uncast(expr: Expr | None) -> Expr | None:
    while expr is not None and expr.kind in ("cast", "paren"):
        expr = expr.inner
    return expr


def _in_closure(expr: Expr) -> bool:
    return any(one.kind == "closure" for one in expr.ancestors())


def _errors(expr: Expr | None, depth: int) -> list[Outcome]:  # noqa: PLR0911 - one return a form
    """What `?` after the expression may return as the error."""
    while expr is not None and expr.kind == "paren":
        expr = expr.inner
    if expr is None or depth > _DEPTH:
        return []
    if expr.kind == "method" and expr.name in ("ok_or", "ok_or_else", "map_err") and len(expr.args) == 1:
        made = expr.args[0]
        if made.kind == "closure":
            body = _uncast(made.body)
            if body is not None and body.kind == "path" and body.path in made.fields[1] and expr.name == "map_err":
                return _errors(expr.receiver, depth)
            return [one.of("err") for one in _of(body, depth)] or [Outcome("err", None, expr)]
        if expr.name == "ok_or":
            return [one.of("err") for one in _of(made, depth)] or [Outcome("err", None, expr)]
        return [Outcome("err", None, expr)]
    if expr.kind == "call" and expr.callee is not None and expr.callee.kind == "path":
        callee = _function(expr.callee)
        if callee is not None:
            return [one for one in outcomes(callee, depth + 1) if one.kind == "err"]
    return [Outcome("err", None, expr)]


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
    return [Outcome("plain", constant(expr), expr)]


def _of_match(expr: Expr, depth: int) -> list[Outcome]:
    scrutinee = expr.file.expr(expr.fields[0])
    inner = _of(scrutinee, depth) if scrutinee is not None else []
    results = any(one.kind in ("ok", "err") for one in inner)
    out: list[Outcome] = []
    for pattern, names, result in expr.arms:
        side = "err" if pattern.startswith("Err") else "ok" if pattern.startswith("Ok") else ""
        passed_on = _uncast(result)
        if result is not None and passed_on is not None and passed_on.kind == "path" and passed_on.path in names:
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
        body = _uncast(other.body)
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
        for expr in one.expr.within("call"):
            if expr.callee is not None and expr.callee.kind == "path":
                callee = _function(expr.callee)
                if callee is not None:
                    pending.append(callee)


def _function(callee: Expr) -> Item | None:
    path = resolve(callee.file, callee.path, callee.item)
    item = item_of(callee.file, path) if path is not None and path.startswith("crate::") else None
    return item if item is not None and item.kind == "fn" else None


def constant(expr: Expr, depth: int = 0) -> int | None:  # noqa: PLR0911 - one return a kind
    """The value of an expression that is one certain integer: literals, constants (Aya's too), a minus before them."""
    value = expr.integer
    if value is not None or depth > _DEPTH:
        return value
    if expr.kind in ("paren", "cast"):
        return constant(expr.inner, depth + 1) if expr.inner is not None else None
    if expr.kind == "unary" and expr.op == "-":
        inner = constant(expr.inner, depth + 1) if expr.inner is not None else None
        return -inner if inner is not None else None
    if expr.kind != "path":
        return None
    if "::" not in expr.path:
        found = binding(expr)
        if found is not None:
            let = found.let
            plain = let is not None and let.name is not None and not let.pattern.startswith("mut ")
            return constant(let.init, depth + 1) if plain and let is not None and let.init is not None else None
    path = resolve(expr.file, expr.path, expr.item)
    if path is None:
        return None
    if path.startswith(_BINDINGS):
        return _CONSTANTS.get(path.rpartition("::")[2])
    item = item_of(expr.file, path)
    if item is None or item.kind != "const" or item.expr is None:
        return None
    return constant(item.expr, depth + 1)


_BINDINGS = ("aya_ebpf::bindings", "aya_bpf::bindings", "aya_ebpf_bindings::bindings", "aya_bpf_bindings::bindings")


def errno(expr: Expr) -> bool:
    """Whether an expression's error is what a helper returned: any negative number."""
    made = expr
    while made.kind in ("paren", "cast", "try") or (made.kind == "method" and made.name == "map_err"):
        inner = made.receiver if made.kind == "method" else made.inner
        if inner is None:
            return False
        made = inner
    if made.kind == "block" and made.tail is not None and len(made.statements) == 1:
        return errno(made.tail)
    if made.kind == "call" and made.callee is not None and made.callee.kind == "path":
        path = resolve(made.file, made.callee.path, made.item)
        return path is not None and path.startswith(("aya_ebpf::helpers::", "aya_bpf::helpers::"))
    if made.kind != "method" or made.name in ("get", "get_ptr", "get_ptr_mut", "arg", "reserve"):
        return False
    known = type_of(made.receiver)
    modules = ("aya_ebpf::maps", "aya_ebpf::btf_maps", "aya_ebpf::programs", "aya_bpf::maps", "aya_bpf::programs")
    return known is not None and known.within(*modules)


def verdict_name(expr: Expr, depth: int = 0) -> str:
    """The name of the kernel's verdict an expression is (`XDP_DROP`), through constants and locals; else empty."""
    while expr.kind in ("paren", "cast") and expr.inner is not None:
        expr = expr.inner
    if expr.kind != "path" or depth > _DEPTH:
        return ""
    if "::" not in expr.path:
        found = binding(expr)
        if found is not None:
            init = found.let.init if found.kind == "let" and found.let is not None else None
            return verdict_name(init, depth + 1) if init is not None else ""
    path = resolve(expr.file, expr.path, expr.item)
    if path is None:
        return ""
    if path.startswith(_BINDINGS):
        name = path.rpartition("::")[2]
        return name if name in _CONSTANTS else ""
    item = item_of(expr.file, path)
    if item is None or item.kind != "const" or item.expr is None:
        return ""
    return verdict_name(item.expr, depth + 1)


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
