"""What the user side's arguments are: the names a string expression can have, the places that use a local."""

from __future__ import annotations

from bpfsmith.source.across import constant_item, item_across, resolve_across
from bpfsmith.source.types import binding, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.rust import Expr, Item, Let, SourceFile

__all__ = ["callers", "hidden", "impl_type", "let_uses", "param_uses", "paths_named", "strings"]

_DEPTH = 6
_SAME = frozenset(
    {"as_str", "as_ref", "to_string", "to_owned", "into", "clone", "borrow", "deref", "iter", "into_iter", "copied"}
)


def paths_named(file: SourceFile, name: str) -> list[Expr]:
    """The path expressions whose last segment is `name`."""
    key = ("paths-named", name)
    found: list[Expr] | None = file.cache.get(key)
    if found is None:
        every = [one for one in file.path_exprs(name) if one.path.rpartition("::")[2] == name]
        found = file.cache[key] = sorted(every, key=lambda one: one.start)
    return found


def hidden(file: SourceFile) -> list[tuple[Expr, str]]:
    """What names may stand in unseen: the tokens of macros, and format strings; each with its text."""
    found: list[tuple[Expr, str]] | None = file.cache.get("hidden")
    if found is None:
        found = [(one, one.text) for one in file.of_kind("tokens")]
        found += [(one, one.text) for one in file.of_kind("lit") if one.literal == "str" and "{" in one.text]
        file.cache["hidden"] = found
    return found


def let_uses(let: Let) -> Iterator[Expr]:
    """The expressions that use the name a `let` binds; tokens of macros and strings that may are among them."""
    name = let.name
    if name is None:
        return
    block = let.block
    for expr in paths_named(let.file, name):
        if expr.path == name and let.end <= expr.start < block.end:
            found = binding(expr)
            if found is not None and found.let is not None and found.let.start == let.start:
                yield expr
    for expr, text in hidden(let.file):
        if name in text and let.end <= expr.start < block.end and (expr.kind == "tokens" or "{" + name in text):
            yield expr


def param_uses(item: Item, name: str) -> Iterator[Expr]:
    """The expressions of a function that use its parameter `name`."""
    body = item.expr
    if body is None:
        return
    for expr in paths_named(item.file, name):
        if expr.path == name and body.start <= expr.start < body.end:
            found = binding(expr)
            if found is not None and found.kind == "param" and found.item == item:
                yield expr


def strings(expr: Expr | None, depth: int = 0) -> frozenset[str] | None:
    """Every string an expression can be: literals, consts, loops over literals, what callers pass; None for unknown."""
    found = _strings(expr, -1, depth)
    return frozenset(found) if found else None


def _strings(expr: Expr | None, position: int, depth: int) -> set[str] | None:  # noqa: PLR0911, PLR0912 - one branch a kind
    """`position` is the index in tuples that the value is taken from; -1 for the value itself."""
    if expr is None or depth > _DEPTH:
        return None
    while expr.kind in ("ref", "paren", "try") or (expr.kind == "method" and expr.name in _SAME and not expr.args):
        inner = expr.receiver if expr.kind == "method" else expr.inner
        if inner is None:
            return None
        expr = inner
    if expr.kind == "tuple" and position >= 0:
        parts = [expr.file.expr(one) for one in expr.fields[0]]
        return _strings(parts[position], -1, depth + 1) if position < len(parts) else None
    if expr.literal == "str":
        return {expr.string} if expr.string is not None and position < 0 else None
    if expr.kind == "if":
        _, then, other = expr.branches
        return _union([then, other], position, depth)
    if expr.kind == "match":
        results = [result for _, _, result in expr.arms]
        return _union([one for one in results if one is not None and not _leaves(one)], position, depth)
    if expr.kind == "block":
        return _strings(expr.tail, position, depth + 1) if not expr.lets else None
    if expr.kind != "path":
        return None
    local = binding(expr) if "::" not in expr.path else None
    if local is None:
        item = constant_item(expr.file, expr.path, expr.item)
        if item is None or item.kind not in ("const", "static") or item.mutable:
            return None
        return _strings(item.expr, position, depth + 1)
    if local.kind == "let" and local.let is not None:
        if local.let.pattern.startswith("mut "):
            return None
        return _strings(local.let.init, position, depth + 1)
    if local.kind == "param" and local.item is not None and local.scope == local.item.expr and position < 0:
        return _from_callers(local.item, expr.path, depth)
    if local.kind == "pattern" and local.scope is not None and local.scope.kind == "for" and position < 0:
        return _from_loop(local.scope, expr.path, depth)
    return None


def _leaves(expr: Expr) -> bool:
    return expr.kind in ("return", "continue", "break") or (
        expr.kind == "macro" and expr.path in ("panic", "unreachable", "bail", "anyhow::bail", "todo", "unimplemented")
    )


def _union(parts: list[Expr | None], position: int, depth: int) -> set[str] | None:
    out: set[str] = set()
    for part in parts:
        found = _strings(part, position, depth + 1)
        if found is None:
            return None
        out |= found
    return out


def _from_loop(loop: Expr, name: str, depth: int) -> set[str] | None:
    """What a `for` binds to `name`, where it goes over an array of literals or of tuples of them."""
    pattern = loop.file.text[loop.fields[0] : loop.fields[1]].strip().lstrip("&").strip()
    position = -1
    if pattern.startswith("(") and pattern.endswith(")"):
        names = [one.strip() for one in pattern[1:-1].split(",")]
        if name not in names:
            return None
        position = names.index(name)
    elif pattern != name:
        return None
    return _elements(loop.file.expr(loop.fields[3]), position, depth + 1)


def _elements(  # noqa: PLR0911 - one return a kind
    expr: Expr | None, position: int, depth: int
) -> set[str] | None:
    if expr is None or depth > _DEPTH:
        return None
    while expr.kind in ("ref", "paren") or (expr.kind == "method" and expr.name in _SAME and not expr.args):
        inner = expr.receiver if expr.kind == "method" else expr.inner
        if inner is None:
            return None
        expr = inner
    if expr.kind == "array":
        return _union([expr.file.expr(one) for one in expr.fields[0]], position, depth)
    if expr.kind == "macro" and expr.path == "vec":
        return _union(list(expr.args), position, depth)
    if expr.kind == "path":
        local = binding(expr) if "::" not in expr.path else None
        if local is not None:
            if local.kind == "let" and local.let is not None and not local.let.pattern.startswith("mut "):
                return _elements(local.let.init, position, depth + 1)
            return None
        item = constant_item(expr.file, expr.path, expr.item)
        if item is not None and item.kind in ("const", "static") and not item.mutable:
            return _elements(item.expr, position, depth + 1)
    return None


def impl_type(impl: Item | None) -> str:
    """The last segment of the type that an `impl` is for."""
    return impl.type.partition("<")[0].rpartition("::")[2].strip() if impl is not None else ""


def callers(item: Item) -> list[Expr] | None:
    """Every call of a function in its project's crates; None when it may be called in ways that cannot be seen."""
    key = ("callers", item.id)
    if key not in item.file.cache:
        item.file.cache[key] = _callers(item)
    answer: list[Expr] | None = item.file.cache[key]
    return answer


def _callers(item: Item) -> list[Expr] | None:  # noqa: PLR0912 - each way to be sure or not
    file = item.file
    crate = file.crate
    if crate is None:
        files = [file]
    elif item.public and crate.project is not None:
        files = [one for other in crate.project.all_crates for one in other.files]
    else:
        files = crate.files
    owner = item.parent
    if owner is not None and owner.kind == "trait":
        return None
    kind = impl_type(owner) if owner is not None and owner.kind == "impl" else ""
    found: list[Expr] = []
    for one in files:
        if not one.has(item.name):
            continue
        for path in paths_named(one, item.name):
            same = _same_function(path, item, kind)
            parent = path.parent
            if same is False:
                continue
            if same is None or parent is None or parent.kind != "call" or parent.callee != path:
                return None
            found.append(parent)
        for call in one.methods(item.name) if kind else ():
            same = _same_method(call, item, kind)
            if same is None:
                return None
            if same:
                found.append(call)
        if any(item.name in text for tokens, text in hidden(one) if tokens.kind == "tokens"):
            return None
    return found


def _same_function(path: Expr, item: Item, kind: str) -> bool | None:
    """Whether a path is this function; None for unknown."""
    if "::" not in path.path and binding(path) is not None:
        return False
    if kind:
        head = path.path.rpartition("::")[0].rpartition("::")[2]
        if head == "Self":
            impl = path.item
            while impl is not None and impl.kind != "impl":
                impl = impl.parent
            head = impl_type(impl)
        return head == kind
    absolute = resolve_across(path.file, path.path, path.item)
    found = item_across(path.file, absolute, values=True)
    if found is not None:
        return found is item or (found.file is item.file and found.id == item.id)
    # Another crate's, or one made by a macro; a name of nothing that we see is not ours unless it stands alone.
    return False if absolute is None or not absolute.startswith("crate::") else None


def _same_method(call: Expr, item: Item, kind: str) -> bool | None:
    names = [param.name for param in item.params]
    if not names or names[0] != "self" or len(call.args) != len(names) - 1:
        return False
    receiver = call.receiver
    if receiver is not None and receiver.text == "self":
        impl = call.item
        while impl is not None and impl.kind != "impl":
            impl = impl.parent
        return impl is not None and impl_type(impl) == kind
    known = type_of(receiver)
    return known.name == kind if known is not None else None


def _from_callers(item: Item, name: str, depth: int) -> set[str] | None:
    names = [param.name for param in item.params]
    if name not in names or item.kind != "fn":
        return None
    calls = callers(item)
    if not calls:
        return None
    index = names.index(name)
    out: set[str] = set()
    for call in calls:
        at = index - 1 if call.kind == "method" and names[0] == "self" else index
        args = call.args
        if not 0 <= at < len(args):
            return None
        found = _strings(args[at], -1, depth + 2)
        if found is None:
            return None
        out |= found
    return out
