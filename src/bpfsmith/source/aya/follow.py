"""Follows a program or map of the user side through `?`, `let`, casts, helper functions: what becomes of it.

What is not followed (stored, captured in another way, generic) sets `escapes`: no claim about absence is made then.
"""

from __future__ import annotations

from bpfsmith.source.across import item_across, resolve_across
from bpfsmith.source.aya.tables import OPENS, PROGRAM_TYPES, generic_parts
from bpfsmith.source.aya.values import hidden, impl_type, let_uses, param_uses, paths_named
from bpfsmith.source.layout import split_type
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, named, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.aya.uses import MapUse, ProgramUse
    from bpfsmith.source.rust import Expr, Item, Let, SourceFile
    from bpfsmith.source.types import Type

__all__ = ["follow_map", "follow_program", "function_of", "value_type"]

_UNWRAPS = frozenset(
    {
        *("unwrap", "expect", "context", "with_context", "wrap_err", "wrap_err_with", "ok_or", "ok_or_else", "map_err"),
        *("ok", "or_else", "unwrap_or_else", "ok_or_eyre", "as_mut", "as_ref", "and_then"),
    }
)
_TRANSPARENT = frozenset({"Result", "Option", "Box", "Arc", "Rc", "Mutex", "RefCell", "RwLock", "AsyncFd"})
_DEPTH = 6


def value_type(  # noqa: PLR0911 - one return a kind
    expr: Expr | None, depth: int = 0
) -> Type | None:
    """As `types.type_of`, and through functions of the project that say what they return."""
    found = type_of(expr)
    if found is not None or expr is None or depth > _DEPTH:
        return found
    expr = expr.stripped()
    if expr.kind == "ref":
        return value_type(expr.inner, depth + 1)
    if expr.kind == "path" and "::" not in expr.path:
        local = binding(expr)
        if local is not None and local.kind == "let" and local.let is not None and not local.let.type:
            return value_type(local.let.init, depth + 1)
        return None
    if expr.kind == "call" and expr.callee is not None:
        function = function_of(expr)
        return named(function.file, function.type, function) if function is not None and function.type else None
    if expr.kind == "method" and expr.receiver is not None:
        function = _method(expr)
        return named(function.file, function.type, function) if function is not None and function.type else None
    if expr.kind == "field" and expr.receiver is not None:
        owner = value_type(expr.receiver, depth + 1)
        struct = item_across(expr.file, owner.path) if owner is not None else None
        if struct is not None and struct.kind == "struct":
            for field in struct.params:
                if field.name == expr.name:
                    return named(struct.file, field.type, struct)
    return None


def function_of(call: Expr) -> Item | None:
    """The function of the project that a call names: a free one, or `Type::name`."""
    callee = call.callee
    if callee is None or callee.kind != "path":
        return None
    path = resolve_across(call.file, callee.path, call.item)
    found = item_across(call.file, path, values=True)
    if found is not None:
        return found if found.kind == "fn" else None
    head, _, last = callee.path.rpartition("::")
    if not head:
        return None
    kind = head.rpartition("::")[2]
    if kind == "Self":
        impl = call.item
        while impl is not None and impl.kind != "impl":
            impl = impl.parent
        kind = impl_type(impl)
    return _of_impl(call.file, kind, last)


def _method(call: Expr) -> Item | None:
    receiver = call.receiver
    if receiver is None:
        return None
    kind = ""
    if receiver.text == "self":
        impl = call.item
        while impl is not None and impl.kind != "impl":
            impl = impl.parent
        kind = impl_type(impl)
    else:
        known = type_of(receiver)
        kind = known.name if known is not None and known.path.startswith("crate::") else ""
    return _of_impl(call.file, kind, call.name) if kind else None


def _of_impl(file: SourceFile, kind: str, name: str) -> Item | None:
    """The one function `name` in an `impl` of a type of that name in the crate."""
    found = None
    for one in file.crate.files if file.crate is not None else [file]:
        if name not in one.text:
            continue
        for item in one.items_named(name):
            impl = item.parent if item.name == name and item.kind == "fn" else None
            if impl is None or impl.kind != "impl" or impl_type(impl) != kind:
                continue
            if found is not None:
                return None
            found = item
    return found


def _climb(expr: Expr) -> Expr:
    """The outermost expression that is still the same value, after unwrapping."""
    at = expr
    while True:
        parent = at.parent
        if parent is None:
            return at
        if (
            parent.kind in ("try", "paren", "await")
            or (parent.kind == "method" and parent.receiver == at and parent.name in _UNWRAPS)
            or (parent.kind == "ref" and parent.inner == at)
            # `match found { Some(it) => it, None => return }`
            or (parent.kind == "match" and any(result == at for _, _, result in parent.arms))
        ):
            at = parent
        else:
            return at


def _let_values(let: Let) -> Iterator[Expr | None]:
    """The uses of what a `let` binds: all of it, or what is in `Some(x)`; None for a use that is not seen."""
    if let.name is not None:
        yield from let_uses(let)
    elif len(let.names) == 1 and _in_some(let.pattern, let.names[0]):
        for path in paths_named(let.file, let.names[0]):
            found = binding(path) if path.path == let.names[0] and let.end <= path.start < let.block.end else None
            if found is not None and found.let is not None and found.let.start == let.start:
                yield path
        if any(
            let.names[0] in text
            for one, text in hidden(let.file)
            if one.kind == "tokens" and let.end <= one.start < let.block.end
        ):
            yield None
    elif let.names:
        yield None


def _in_some(pattern: str, name: str) -> bool:
    """`Some(x)`, `Ok(mut x)`, and either with a variant of `Program` around it."""
    text = "".join(pattern.split()).replace("mut", "").replace("ref", "")
    name = name.replace("mut", "").replace("ref", "")
    if text in (f"Some({name})", f"Ok({name})", f"Some(&{name})"):
        return True
    inner = text.removeprefix("Some(").removeprefix("Ok(").rstrip(")")
    head, _, last = inner.rpartition("(")
    return last == name and head.replace("::", "_").isidentifier() and "Program" in head


def _variant(file: SourceFile, pattern: str, item: Item | None) -> str:
    """The variant of `aya::programs::Program` that a pattern asks for."""
    text = "".join(pattern.split()).removeprefix("Some(").removeprefix("Ok(")
    head = text.partition("(")[0]
    path, _, last = head.rpartition("::")
    if last not in PROGRAM_TYPES or not path:
        return ""
    return last if resolve(file, path, item) == "aya::programs::Program" else ""


def _taken_apart(at: Expr, parent: Expr) -> list[tuple[str, int, list[Expr] | None]] | None:
    """(pattern, where, uses of what it binds; None when they are not seen) for `if let` and `match` on a value."""
    file = at.file
    if parent.kind == "let":
        holder = parent.parent
        while holder is not None and holder.kind == "binary":
            holder = holder.parent
        body = None
        if holder is not None and holder.kind in ("if", "while"):
            body = holder.branches[1] if holder.kind == "if" else holder.body
        pattern = file.text[parent.fields[0] : parent.fields[1]]
        return [(pattern, parent.fields[0], _bound_in(file, pattern, parent.fields[2], body))]
    if parent.kind == "match" and not any(result == at for _, _, result in parent.arms):
        out: list[tuple[str, int, list[Expr] | None]] = []
        for raw, (pattern, names, result) in zip(parent.fields[1], parent.arms, strict=True):
            out.append((pattern, raw[0], _bound_in(file, pattern, names, result)))
        return out
    return None


def _bound_in(file: SourceFile, pattern: str, names: list[str], body: Expr | None) -> list[Expr] | None:
    if not names:
        return []
    if len(names) != 1 or body is None or not _in_some(pattern, names[0]):
        return None
    if any(
        names[0] in text for one, text in hidden(file) if one.kind == "tokens" and body.start <= one.start < body.end
    ):
        return None
    out = []
    for path in paths_named(file, names[0]):
        if path.path == names[0] and body.start <= path.start < body.end:
            found = binding(path)
            if found is not None and found.kind == "pattern" and found.let is None:
                out.append(path)
    return out


def _let_of(expr: Expr) -> Let | None:
    """The `let` that an expression is all of."""
    block = expr.parent
    if block is None or block.kind != "block":
        return None
    return next((let for let in block.lets if let.init_id == expr.id), None)


def follow_program(  # noqa: PLR0911, PLR0912 - one branch a way a value may go
    use: ProgramUse, expr: Expr, depth: int
) -> None:
    """Follows a `&mut Program` (or what it was cast to) from an expression on."""
    at = _climb(expr)
    parent = at.parent
    if depth > _DEPTH or parent is None:
        use.escapes = True
        return
    if parent.kind == "method" and parent.receiver == at:
        if parent.name == "try_into":
            _follow_cast(use, parent, depth)
        elif use.cast or parent.name in ("fd", "pin", "info", "unload", "name", "prog_type"):
            use.calls.append(parent)
            if parent.name in ("map", "is_some", "is_none"):
                use.escapes = True
        else:
            use.escapes = True
        return
    let = _let_of(at)
    if let is not None:
        if let.type:
            _cast_text(use, let.file, let.type, let.type_start, at.item)
        for one in _let_values(let):
            if one is None or one.kind != "path":
                use.escapes = True
            else:
                follow_program(use, one, depth + 1)
        return
    taken = _taken_apart(at, parent)
    if taken is not None:
        for pattern, start, uses in taken:
            kind = _variant(at.file, pattern, at.item)
            if kind:
                _cast_to(use, kind, at.file, start, start + len(pattern))
            elif uses is None:
                use.escapes = True
            for one in uses or ():
                follow_program(use, one, depth + 1)
        return
    if parent.kind == "call" and parent.callee is not None and parent.callee != at:
        callee = parent.callee.text.replace("::<", "<")
        head, _, last = callee.rpartition("::")
        if last in ("try_from", "try_into") and head:
            inner = head.strip()
            if inner.startswith("<") and inner.endswith(">"):
                inner = inner[1:-1].partition(" as ")[0]
            elif inner.startswith("TryInto<"):
                inner = inner[len("TryInto<") : -1]
            _cast_text(use, parent.file, inner, parent.callee.start, parent.item)
            _follow_cast(use, parent, depth)
            return
        _into_function(use, parent, at, depth)
        return
    if parent.kind == "method" and parent.receiver != at:
        function = _method(parent)
        if function is not None:
            _into_param(use, function, parent.args.index(at) + 1 if at in parent.args else -1, depth)
            return
    if parent.kind == "block" and parent.tail != at:
        return  # a statement of its own
    use.escapes = True


def _follow_cast(use: ProgramUse, cast: Expr, depth: int) -> None:
    """From a `try_into()` on: what it is taken as is said by an annotation, a parameter or a return type."""
    at = _climb(cast)
    if at.parent is not None and at.parent.kind == "block" and at.parent.tail == at and not use.cast:
        item = at.item
        if item is not None and item.kind == "fn" and item.expr == at.parent and item.type:
            _cast_text(use, item.file, item.type, item.type_start, item)
    follow_program(use, cast, depth + 1)


def _into_function(use: ProgramUse, call: Expr, argument: Expr, depth: int) -> None:
    callee = call.callee
    if callee is not None and callee.path in ("Ok", "Some"):
        follow_program(use, call, depth + 1)
        return
    function = function_of(call)
    index = call.args.index(argument) if argument in call.args else -1
    _into_param(use, function, index, depth)


def _into_param(use: ProgramUse, function: Item | None, index: int, depth: int) -> None:
    if function is None or not 0 <= index < len(function.params):
        use.escapes = True
        return
    param = function.params[index]
    if param.type:
        _cast_text(use, function.file, param.type, param.type_start, function)
    if not param.name or function.generic:
        use.escapes = True
        return
    for one in param_uses(function, param.name):
        follow_program(use, one, depth + 1)


def _cast_text(use: ProgramUse, file: SourceFile, text: str, start: int, item: Item | None) -> None:
    """Takes the program type a type's text names, through references and the usual wrappers."""
    found = _program_type(file, text, item)
    if found:
        _cast_to(use, found, file, start, start + len(text))


def _cast_to(use: ProgramUse, kind: str, file: SourceFile, start: int, end: int) -> None:
    if use.cast and kind != use.cast:
        use.several = True
    if not use.cast:
        use.cast = kind
        use.cast_at = (file, start, end)


def _program_type(file: SourceFile, text: str, item: Item | None, depth: int = 0) -> str:
    text = text.strip()
    while text.startswith("&"):
        text = text[1:].strip()
        if text.startswith("'"):
            text = text.partition(" ")[2].strip()
        text = text.removeprefix("mut ").strip()
    parsed = split_type(text)
    if parsed is None or depth > _DEPTH:
        return ""
    head, args = parsed
    if head.rpartition("::")[2] in _TRANSPARENT and args:
        return _program_type(file, args[0], item, depth + 1)
    path = resolve(file, head, item) or ""
    module, _, last = path.rpartition("::")
    return last if module == "aya::programs" and last in PROGRAM_TYPES | {"ReusePortSocketFilter"} else ""


def follow_map(  # noqa: PLR0911, PLR0912 - one branch a way a value may go
    use: MapUse, expr: Expr, depth: int
) -> None:
    """Follows a map from an expression on: to what it is opened as, and what is done with that."""
    at = _climb(expr)
    parent = at.parent
    if depth > _DEPTH or parent is None:
        use.escapes = True
        return
    if parent.kind == "method" and parent.receiver == at:
        if parent.name == "try_into":
            _follow_opened(use, parent, depth)
        elif use.type:
            use.calls.append(parent)
        else:
            use.escapes = True
        return
    let = _let_of(at)
    if let is not None:
        if let.type:
            _map_text(use, let.file, let.type, let.type_start, at.item)
        for one in _let_values(let):
            if one is None or one.kind != "path":
                use.escapes = True
            else:
                follow_map(use, one, depth + 1)
        return
    taken = _taken_apart(at, parent)
    if taken is not None:
        for _, _, uses in taken:
            use.escapes = use.escapes or uses is None
            for one in uses or ():
                follow_map(use, one, depth + 1)
        return
    if parent.kind == "call" and parent.callee is not None and parent.callee != at:
        head, _, last = parent.callee.text.replace("::<", "<").rpartition("::")
        if last == "try_from" and head:
            inner = head.strip()
            if inner.startswith("<") and inner.endswith(">"):
                inner = inner[1:-1].partition(" as ")[0]
            if _map_text(use, parent.file, inner, parent.callee.start, parent.item):
                _follow_opened(use, parent, depth)
                return
        if parent.callee.path in ("Ok", "Some"):
            follow_map(use, parent, depth + 1)
            return
        function = function_of(parent)
        index = parent.args.index(at) if at in parent.args else -1
        if function is not None and 0 <= index < len(function.params) and function.params[index].type:
            param = function.params[index]
            _map_text(use, function.file, param.type, param.type_start, function)
            if param.name and not function.generic:
                for one in param_uses(function, param.name):
                    follow_map(use, one, depth + 1)
                return
        use.escapes = True
        return
    if parent.kind == "struct":
        _struct_field(use, parent, at)
    if parent.kind == "block" and parent.tail == at:
        item = at.item
        if item is not None and item.kind == "fn" and item.expr == parent and item.type:
            _map_text(use, item.file, item.type, item.type_start, item)
    use.escapes = True


def _follow_opened(use: MapUse, made: Expr, depth: int) -> None:
    follow_map(use, made, depth + 1)


def _struct_field(use: MapUse, literal: Expr, value: Expr) -> None:
    path = resolve(literal.file, literal.path, literal.item) if literal.path != "Self" else None
    struct = item_across(literal.file, path)
    if literal.path == "Self":
        impl = literal.item
        while impl is not None and impl.kind != "impl":
            impl = impl.parent
        head = impl.type.partition("<")[0].strip() if impl is not None else ""
        struct = item_across(literal.file, resolve(literal.file, head, impl)) if head else None
    if struct is None:
        return
    for name, given in literal.struct_fields:
        if given == value:
            for field in struct.params:
                if field.name == name and field.type:
                    _map_text(use, struct.file, field.type, field.type_start, struct)


def _map_text(use: MapUse, file: SourceFile, text: str, start: int, item: Item | None) -> bool:
    """Takes what a type's text says about the map: its type, key and value; True when it is a map type of Aya."""
    found = _map_type(file, text, item)
    if found is None:
        return False
    kind, args, where, scope = found
    if use.type and use.type != kind:
        return True
    if not use.type or use.type_at is None:
        use.type = kind
        use.type_at = (file, start, start + len(text))
    parts = generic_parts(OPENS[kind][1], args)
    if (parts.get("K") or parts.get("V")) and not (use.key or use.value):
        use.key, use.value = parts.get("K", ""), parts.get("V", "")
        use.scope_file, use.scope_item = where, scope
        use.type_at = (file, start, start + len(text))
    return True


def _map_type(
    file: SourceFile, text: str, item: Item | None, depth: int = 0
) -> tuple[str, list[str], SourceFile, Item | None] | None:
    text = text.strip()
    while text.startswith("&"):
        text = text[1:].strip()
        if text.startswith("'"):
            text = text.partition(" ")[2].strip()
        text = text.removeprefix("mut ").strip()
    parsed = split_type(text)
    if parsed is None or depth > _DEPTH:
        return None
    head, args = parsed
    path = resolve(file, head, item)
    module, _, last = (path or "").rpartition("::")
    if module in ("aya::maps", "aya::maps::perf") and last in OPENS:
        # The first argument is who owns the map.
        return last, [one for one in args if not one.startswith("'")][1:], file, item
    if head.rpartition("::")[2] in _TRANSPARENT and args:
        return _map_type(file, args[0], item, depth + 1)
    alias = item_across(file, path)
    if alias is not None and alias.kind == "type" and not alias.generic and not args:
        return _map_type(alias.file, alias.type, alias, depth + 1)
    return None
