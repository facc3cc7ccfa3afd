"""Packet pointers in the text: `ctx.data()`, what is computed from it, what is compared with `data_end`."""

from __future__ import annotations

from bpfsmith.rules._kernel_code import counts, local, origin
from bpfsmith.rules._meaning import leaves
from bpfsmith.source.calls import graph
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = [
    "COMPARES",
    "LOGS",
    "accessor",
    "called_elsewhere",
    "checked_elsewhere",
    "ends",
    "handed_out",
    "looks_at_end",
    "pointer",
    "reads",
]

COMPARES = frozenset({"<", "<=", ">", ">=", "==", "!="})
LOGS = frozenset({"info", "debug", "trace", "warn", "error"})
_READS = ("read", "read_unaligned", "read_volatile")

# Methods of the contexts that compare nothing.
_KNOWN = frozenset({"data", "data_end", "metadata", "metadata_end", "as_ptr", "len", "pull_data", "pid", "tgid"})
_STEPS = 8
_MODULES = ("aya_ebpf::programs::", "aya_bpf::programs::")
# Contexts whose `data()` is a packet pointer.
_CONTEXTS = frozenset({"XdpContext", "TcContext", "SkBuffContext", "SkMsgContext"})


def accessor(expr: Expr) -> str:
    """`data` or `data_end` when the expression is that call on one of Aya's packet contexts; else empty."""
    if expr.kind != "method" or expr.name not in ("data", "data_end") or expr.args:
        return ""
    owner = type_of(expr.receiver)
    if owner is None or not owner.path.startswith(_MODULES) or owner.name not in _CONTEXTS:
        return ""
    return str(expr.name)


def pointer(expr: Expr, depth: int = 0) -> tuple[str, list[Expr]] | None:  # noqa: PLR0911 - one return a kind
    """`data` or `data_end`, and what is added to it, of an expression that is such a pointer for certain."""
    while expr.kind in ("paren", "cast") or (expr.kind == "block" and not expr.fields[1] and expr.tail is not None):
        inner = expr.tail if expr.kind == "block" else expr.inner
        if inner is None or (expr.kind == "cast" and not _whole(expr.cast_type)):
            return None
        expr = inner
    if depth > _STEPS:
        return None
    name = accessor(expr)
    if name:
        return name, []
    if expr.kind == "binary" and expr.op == "+":
        left, right = expr.operands
        for one, other in ((left, right), (right, left)):
            found = pointer(one, depth + 1) if one is not None else None
            if found is not None and other is not None:
                return found[0], [*found[1], other]
        return None
    if expr.kind == "method" and expr.name in ("add", "wrapping_add", "byte_add", "cast") and expr.receiver is not None:
        found = pointer(expr.receiver, depth + 1)
        return (found[0], [*found[1], *expr.args]) if found is not None else None
    held = local(expr)
    if held is None or held.kind != "let" or held.let is None or held.let.init is None:
        return None
    if held.let.pattern.startswith("mut "):
        return None
    return pointer(held.let.init, depth + 1)


def _whole(type_: str) -> bool:
    """A cast that keeps the pointer."""
    text = type_.strip()
    return text.startswith("*") or text in ("usize", "u64", "isize", "i64")


def reads(file: SourceFile) -> Iterator[tuple[Expr, Expr]]:
    """(read, pointer) of every read through a pointer."""
    for one in file.of_kind("unary"):
        if one.op == "*" and one.inner is not None:
            outer = one.parent
            while outer is not None and outer.kind == "paren":
                outer = outer.parent
            field = outer is not None and outer.kind == "field"
            if outer is not None and outer.kind == "ref":
                continue  # a reference: what is read of it is elsewhere
            yield (outer if field and outer is not None else one), one.inner
    for one in file.methods(*_READS):
        if not one.args and one.receiver is not None:
            yield one, one.receiver
    for one in file.calls(*_READS):
        if len(one.args) == 1:
            yield one, one.args[0]


def handed_out(file: SourceFile) -> Iterator[tuple[Expr, Expr]]:
    """(pointer, read) for each packet pointer that a function gives to one that reads through it: `ptr_at`."""
    done: set[int] = set()
    for call in file.methods("data"):
        item = call.item
        if item is None or item.id in done or item.kind != "fn" or item.expr is None or "*" not in item.type:
            continue
        done.add(item.id)
        if file.crate is None or not accessor(call):
            continue
        for leaf in leaves(item.expr):
            made = leaf
            if made.kind == "call" and made.callee is not None and made.callee.path in ("Ok", "Some") and made.args:
                made = made.args[0]
            found = pointer(made)
            if found is not None and found[0] == "data":
                read = _read_by_caller(file, item)
                if read is not None:
                    yield made, read


def _read_by_caller(file: SourceFile, item: Item) -> Expr | None:
    """Where a caller of a function reads through the pointer that it gives, and looks at no end itself."""
    if file.crate is None:
        return None
    for call in graph(file.crate, file).calls_to(item):
        body = call.caller.expr
        if body is None or not counts(call.expr) or any(one.name == "data_end" for one in body.within("method")):
            continue
        for one in body.within("unary"):
            if one.op == "*" and one.inner is not None and origin(one.inner) == call.expr:
                return one
    return None


def ends(item: Item) -> set[str]:
    """Locals of a function that hold `data_end()`."""
    known: dict[int, set[str]] | None = item.file.cache.get("data_end")
    if known is None:
        known = item.file.cache["data_end"] = {}
        for call in item.file.methods("data_end"):
            found = known.setdefault(item.file.native.owner(call.id), set())
            for at in call.ancestors():
                if at.kind == "block":
                    found.update(let.name for let in at.lets if let.start <= call.start < let.end and let.name)
    return known.get(item.id, set())


def looks_at_end(expr: Expr, names: set[str]) -> bool:
    return any(
        accessor(one) == "data_end" or (one.kind == "path" and one.path in names)
        for one in expr.within("method", "path")
    )


def checked_elsewhere(read: Expr, item: Item, seen: list[Expr], names: set[str]) -> bool:
    """Whether something other than the conditions `seen` may have compared with the end before the read."""
    body = item.expr
    if body is None or item.file.crate is None:
        return True
    for one in body.within("binary", "macro"):
        if one.start >= read.start:
            continue
        if one.kind == "macro" and one.path.rpartition("::")[2] not in LOGS:
            return True
        if one.kind == "binary" and one.op in COMPARES and looks_at_end(one, names):
            inside = any(at.start <= one.start and one.end <= at.end for at in seen)
            if not inside:
                return True
    return called_elsewhere(read, item, body)


def called_elsewhere(read: Expr, item: Item, body: Expr) -> bool:
    """Whether a function called before the read compares with the end, or may do so."""
    if item.file.crate is None:
        return True
    calls = graph(item.file.crate, item.file)
    called = [call.callee for call in calls.calls_of(item) if call.expr.start < read.start]
    for one in calls.reached(called):
        if one.expr is not None and any(call.name == "data_end" for call in one.expr.within("method")):
            return True
    return _unknown_call(body, read, {call.expr.start for call in calls.calls_of(item)})


def _unknown_call(body: Expr, read: Expr, known: set[int]) -> bool:
    """A call before the read that is given the context and goes who knows where."""
    for one in body.within("call", "method"):
        if one.start >= read.start or one.start in known:
            continue
        if one.kind == "method" and one.name not in _KNOWN and _context(one.receiver):
            return True
        if any(_context(argument) for argument in one.args):
            return True
    return False


def _context(expr: Expr | None) -> bool:
    """A local that is one of Aya's contexts, or may hold one."""
    while expr is not None and expr.kind in ("ref", "paren"):
        expr = expr.inner
    if expr is None or expr.kind != "path" or local(expr) is None:
        return expr is not None and expr.text == "self"
    found = type_of(expr)
    return expr.path in ("ctx", "context", "self") or (found is not None and "::programs::" in found.path)
