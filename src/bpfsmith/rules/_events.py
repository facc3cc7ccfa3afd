"""What the kernel side writes into ring buffers and perf event arrays, and as what the user side reads the records."""

from __future__ import annotations

from bpfsmith.source.aya.given import layout_given
from bpfsmith.source.aya.values import param_uses, paths_named
from bpfsmith.source.layout import Layout, layout
from bpfsmith.source.types import binding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.aya import KernelMap, MapUse, Pair
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = ["Read", "buffer_reads", "loose_reads", "reads", "written"]

_DEPTH = 4
_RECORDS = ("&[u8]", "RingBufItem", "RingBufItem<>", "&RingBufItem", "&RingBufItem<>")
_SAME = frozenset({"as_ref", "deref", "as_slice", "to_vec", "clone", "borrow"})


class Read:
    """A place where the bytes of a record are taken as a type."""

    __slots__ = ("expr", "layout")

    def __init__(self, expr: Expr, layout_: Layout) -> None:
        self.expr = expr
        self.layout = layout_


def written(made: KernelMap) -> list[tuple[Expr, Layout]] | None:
    """(call, layout of what it writes) for each write; None when one of them cannot be told."""
    calls = made.calls()
    if calls is None:
        return None
    out = []
    for call in calls:
        found: Layout | None = None
        if call.name in ("query", "read_value"):
            continue
        if call.name in ("reserve_bytes", "output_at_index") or made.kind == "PerfEventByteArray":
            return None
        generics = call.file.text[call.fields[4] : call.fields[5]].strip(":<> \n")
        if call.name in ("reserve", "reserve_untyped") and generics:
            found = layout(call.file, generics, call.item)
        elif call.name in ("reserve", "output", "output_untyped"):
            if made.event and not call.name.endswith("_untyped"):
                found = layout(made.file, made.event, made.item)
            elif generics and "," not in generics and made.kind == "RingBuf":
                found = layout(call.file, generics, call.item)
            elif call.name.startswith("output") and made.kind == "RingBuf" and call.args:
                found = layout_given(call.args[0])
        else:
            return None
        if found is None:
            return None
        out.append((call, found))
    return out


def reads(use: MapUse) -> Iterator[Read]:
    """The places that take the records of an opened ring buffer as a type: `while let Some(record) = ring.next()`."""
    for call in use.calls:
        if call.name == "next":
            yield from _record(call)


def loose_reads(pair: Pair) -> Iterator[Read]:
    """The same for every `next()` of the user side whose record is taken as a type by its pointer: where a project has
    one ring buffer, that is the one."""
    for user in pair.users:
        for file in user.crate.files:
            if not file.has("RingBuf"):
                continue
            for call in file.methods("next"):
                if not call.args:
                    yield from _record(call)


def buffer_reads(pair: Pair) -> Iterator[Read]:
    """The places that take a buffer which `read_events(&mut buffers)` filled as a type, in the same function."""
    for user in pair.users:
        for file in user.crate.files:
            for call in file.methods("read_events"):
                if len(call.args) != 1:
                    continue
                given = call.args[0]
                while given.kind in ("ref", "paren") and given.inner is not None:
                    given = given.inner
                if given.kind != "path" or "::" in given.path:
                    continue
                for pointer in file.methods("as_ptr"):
                    if pointer.item == call.item and pointer.start > call.end and _of_buffers(pointer, given.path):
                        yield from _pointer(pointer)


def _of_buffers(pointer: Expr, buffers: str) -> bool:
    """Whether a pointer is that of one of the buffers: `buffers[i]`, a local of that, or what a loop binds."""
    at = pointer.receiver
    for _ in range(_DEPTH):
        while at is not None and at.kind in ("ref", "paren", "unary", "index"):
            at = at.operands[0] if at.kind == "index" else at.inner
        if at is None or at.kind != "path":
            return False
        if at.path == buffers:
            return True
        found = binding(at) if "::" not in at.path else None
        if found is None:
            return False
        if found.kind == "let" and found.let is not None:
            at = found.let.init
        elif found.kind == "pattern" and found.scope is not None and found.scope.kind == "for":
            source = found.scope.file.expr(found.scope.fields[3])
            while source is not None and source.kind in ("method", "ref", "paren", "index"):
                source = source.receiver if source.kind in ("method", "index") else source.inner
            at = source
        else:
            return False
    return False


def _record(call: Expr) -> Iterator[Read]:
    parent = call.parent
    at = call
    while parent is not None and parent.kind in ("paren", "try"):
        at, parent = parent, parent.parent
    if parent is None:
        return
    if parent.kind == "let":
        names = parent.fields[2]
        holder = parent.parent
        while holder is not None and holder.kind == "binary":
            holder = holder.parent
        if len(names) != 1 or holder is None or holder.kind not in ("if", "while"):
            return
        body = holder.body if holder.kind == "while" else holder.branches[1]
        if body is not None:
            yield from _uses(call.file, names[0], body, 0)
    elif parent.kind == "block":
        let = next((one for one in parent.lets if one.init_id == at.id), None)
        if let is not None and len(let.names) == 1:
            yield from _uses(call.file, let.names[0], parent, 0)


def _uses(file: SourceFile, name: str, body: Expr, depth: int) -> Iterator[Read]:
    for path in paths_named(file, name):
        if path.path == name and body.start <= path.start < body.end:
            found = binding(path)
            if found is None or found.kind in ("pattern", "let"):
                yield from _taken(path, depth)


def _taken(expr: Expr, depth: int) -> Iterator[Read]:
    """What the bytes that an expression is are taken as."""
    if depth > _DEPTH:
        return
    at, parent = expr, expr.parent
    while parent is not None and (
        parent.kind in ("paren", "ref")
        or (parent.kind == "unary" and parent.op == "*")
        or (parent.kind == "method" and parent.receiver == at and parent.name in _SAME)
    ):
        at, parent = parent, parent.parent
    if parent is None:
        return
    if parent.kind == "method" and parent.receiver == at and parent.name == "as_ptr":
        yield from _pointer(parent)
        return
    if parent.kind == "call" and parent.callee is not None and at in parent.args:
        name = parent.callee.path.rpartition("::")[2]
        if name in ("from_bytes", "pod_read_unaligned", "read_from_bytes", "ref_from_bytes", "read_from_prefix"):
            return  # these check the size themselves
        from bpfsmith.source.aya.follow import function_of

        function = function_of(parent)
        index = parent.args.index(at)
        if function is not None and index < len(function.params) and not function.generic:
            param = function.params[index]
            if param.name and param.type.replace(" ", "").replace("'_", "") in _RECORDS:
                for use in param_uses(function, param.name):
                    yield from _taken(use, depth + 1)
        return
    if parent.kind == "block":
        let = next((one for one in parent.lets if one.init_id == at.id), None)
        if let is not None and let.name is not None:
            yield from _uses(expr.file, let.name, parent, depth + 1)


def _pointer(pointer: Expr) -> Iterator[Read]:
    """`record.as_ptr() as *const T`, `.cast::<T>()`, `let p: *const T = record.as_ptr().cast()`."""
    at, parent = pointer, pointer.parent
    while parent is not None and parent.kind == "paren":
        at, parent = parent, parent.parent
    text = ""
    if parent is not None and parent.kind == "cast":
        text = parent.cast_type.strip()
        if not text.startswith(("*const ", "*mut ")):
            return
        text = text.partition(" ")[2]
    elif parent is not None and parent.kind == "method" and parent.receiver == at and parent.name == "cast":
        text = parent.file.text[parent.fields[4] : parent.fields[5]].strip()
        text = text.removeprefix("::").strip()
        text = text[1:-1] if text.startswith("<") and text.endswith(">") else ""
    if parent is None or not text or text.strip() in ("_", "u8", "c_void", "()"):
        return
    item: Item | None = pointer.item
    if item is not None and item.generic:
        return
    found = layout(pointer.file, text, item, "host")
    if found is not None:
        yield Read(parent, found)
