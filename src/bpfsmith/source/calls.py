"""Who calls whom inside one crate: `graph(crate)`, made once.

A call is followed where it is certain which function of the crate it names: a path (through `use`, renames, modules),
`Type::function`, `self.method()` and `value.method()` where the value's type is one of the crate's. A function handed
to `map_err`, `bpf_loop` and the like counts as called there. Calls through traits, generics and macros are unknown, so
"not reached" is no proof that nothing calls a function; "reached" is one that something does.
"""

from __future__ import annotations

from bpfsmith.source.names import resolve, resolve_attr
from bpfsmith.source.types import parse_type, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.rust import Attribute, Expr, Item, SourceFile

__all__ = ["Call", "Graph", "Program", "graph"]

# Methods and helpers that call the function they are given.
_ADAPTORS = (
    *("map", "map_err", "map_or_else", "and_then", "or_else", "unwrap_or_else", "ok_or_else", "then", "filter"),
    *("for_each", "fold", "find_map", "position", "any", "all", "filter_map", "flat_map", "take_while"),
)
_HELPERS = ("bpf_loop", "bpf_for_each_map_elem", "bpf_timer_set_callback", "bpf_user_ringbuf_drain")
_MACRO_CRATES = ("aya_ebpf::macros::", "aya_bpf::macros::", "aya_ebpf_macros::", "aya_bpf_macros::")
_NO_PROGRAM = frozenset({"map", "btf_map"})

_Key = tuple[str, int]


class Call:
    """`expr` in `caller` calls (or hands on) `callee`; `sure` when nothing else has the name."""

    __slots__ = ("callee", "caller", "expr", "sure")

    def __init__(self, caller: Item, callee: Item, expr: Expr, sure: bool) -> None:
        self.caller = caller
        self.callee = callee
        self.expr = expr
        self.sure = sure

    def __repr__(self) -> str:
        return f"Call({self.caller.name} -> {self.callee.name})"


class Program:
    """A function under one of Aya's program macros: `macro` is its name (`xdp`), `attr` the attribute."""

    __slots__ = ("attr", "item", "macro")

    def __init__(self, item: Item, macro: str, attr: Attribute) -> None:
        self.item = item
        self.macro = macro
        self.attr = attr

    def __repr__(self) -> str:
        return f"Program({self.macro} {self.item.name})"


def _key(item: Item) -> _Key:
    return item.file.path, item.id


class Graph:
    """The calls of one crate. Tests are left out."""

    __slots__ = ("_fns", "_from", "_reached", "_to", "programs")

    def __init__(self, files: list[SourceFile]) -> None:
        self._fns = _functions(files)
        self._from: dict[_Key, list[Call]] = {}
        self._to: dict[_Key, list[Call]] = {}
        self._reached: dict[_Key, list[Program]] | None = None
        self.programs: list[Program] = [one for file in files for one in _programs(file)]
        names = frozenset(path.rpartition("::")[2] for path in self._fns)
        methods = sorted({path.rpartition("::")[2] for path in self._fns if path.split("::")[-2][:1].isupper()})
        for file in files:
            for call in _calls(file, self._fns, names, methods):
                self._from.setdefault(_key(call.caller), []).append(call)
                self._to.setdefault(_key(call.callee), []).append(call)

    def calls_of(self, item: Item) -> list[Call]:
        """What a function calls, in order of the text within each way of calling."""
        return self._from.get(_key(item), [])

    def calls_to(self, item: Item) -> list[Call]:
        return self._to.get(_key(item), [])

    def reached(self, items: Iterable[Item]) -> list[Item]:
        """These functions and all that they call, directly or not."""
        found: dict[_Key, Item] = {}
        todo = list(items)
        while todo:
            item = todo.pop()
            if _key(item) not in found:
                found[_key(item)] = item
                todo.extend(call.callee for call in self.calls_of(item))
        return list(found.values())

    def programs_of(self, item: Item) -> list[Program]:
        """The programs that are this function or call it, directly or not."""
        if self._reached is None:
            self._reached = {}
            for program in self.programs:
                for one in self.reached([program.item]):
                    self._reached.setdefault(_key(one), []).append(program)
        return self._reached.get(_key(item), [])

    def cycles(self) -> Iterator[list[Call]]:
        """Each ring of functions that call each other, once: the calls from the first one round to itself."""
        done: set[_Key] = set()
        for start in sorted(self._from):
            if start in done:
                continue
            ring = self._way_back(start)
            if ring:
                done.update(_key(call.caller) for call in ring)
                yield ring

    def _way_back(self, start: _Key) -> list[Call]:
        """The shortest way of certain calls from a function to itself."""
        before: dict[_Key, Call] = {}
        todo = [start]
        for at in todo:
            for call in self._from.get(at, ()):
                if not call.sure:
                    continue
                to = _key(call.callee)
                if to == start:
                    ring = [call]
                    while _key(ring[0].caller) != start:
                        ring.insert(0, before[_key(ring[0].caller)])
                    return ring
                if to not in before:
                    before[to] = call
                    todo.append(to)
        return []


def graph(crate: Crate, file: SourceFile | None = None) -> Graph:
    """The calls of the target (binary or library) of the crate that `file` belongs to; by default its first one."""
    files = crate.files
    root = file.root if file is not None else files[0].root if files else ""
    files = [one for one in files if one.root == root]
    if not files:
        return Graph([])
    cache = files[0].cache
    if "calls" not in cache:
        cache["calls"] = Graph(files)
    made: Graph = cache["calls"]
    return made


def _functions(files: list[SourceFile]) -> dict[str, list[Item]]:
    """The functions by absolute path: `crate::net::parse`, `crate::net::Packet::parse` for those of an `impl`."""
    out: dict[str, list[Item]] = {}
    for file in files:
        for item in file.items_of_kind("fn"):
            if item.expr is None or file.in_test(item):
                continue
            parent = item.parent
            if parent is not None and parent.kind == "impl":
                owner = _owner(parent)
                if owner is not None:
                    out.setdefault(f"{owner}::{item.name}", []).append(item)
            elif parent is None or parent.kind == "mod":
                modules: list[str] = []
                at = parent
                while at is not None:
                    modules.insert(0, at.name)
                    at = at.parent
                out.setdefault("::".join(["crate", *file.module, *modules, item.name]), []).append(item)
    return out


def _owner(block: Item) -> str | None:
    """The type an `impl` is for, by absolute path; None for traits' blanket ones and foreign types."""
    parsed = parse_type(block.type)
    path = resolve(block.file, parsed[0], block) if parsed is not None else None
    return path if path is not None and path.startswith("crate::") else None


def _programs(file: SourceFile) -> Iterator[Program]:
    for attr in file.attrs:
        item = file.item_at(attr.owner) if attr.on_item else None
        if item is None or item.kind != "fn" or attr.inner:
            continue
        path = resolve_attr(file, attr.path, item)
        if path is not None and path.startswith(_MACRO_CRATES):
            macro = path.rpartition("::")[2]
            if macro not in _NO_PROGRAM:
                yield Program(item, macro, attr)


def _calls(
    file: SourceFile, functions: dict[str, list[Item]], names: frozenset[str], methods: list[str]
) -> Iterator[Call]:
    renamed = {use.name for use in file.uses if use.renamed and use.path.rpartition("::")[2] in names}
    for expr in file.calls(*sorted(names | renamed)):
        if expr.callee is not None:
            yield from _found(expr, _path_target(expr.callee), functions)
    for expr in file.methods(*methods):
        owner = _receiver(expr)
        if owner is not None:
            yield from _found(expr, f"{owner}::{expr.name}", functions)
    given_to = [*file.methods(*_ADAPTORS), *file.calls(*_HELPERS)] if file.has(*_ADAPTORS, *_HELPERS) else []
    for expr in given_to:
        for argument in expr.args:
            given = argument
            while given.kind in ("cast", "paren", "ref") and given.inner is not None:
                given = given.inner
            if given.kind == "path" and given.path.rpartition("::")[2] in names | renamed:
                yield from _found(given, _path_target(given), functions)


def _found(expr: Expr, path: str | None, functions: dict[str, list[Item]]) -> Iterator[Call]:
    items = functions.get(path, []) if path is not None else []
    caller = expr.item if items else None
    if caller is None or caller.kind != "fn" or caller.file.in_test(caller):
        return
    for item in items:
        yield Call(caller, item, expr, sure=len(items) == 1)


def _path_target(callee: Expr) -> str | None:
    """The absolute path of what a path expression calls."""
    head, _, last = callee.path.partition("::")
    if head == "Self" and last:
        owner = _self_type(callee)
        return f"{owner}::{last}" if owner is not None else None
    if not last:
        from bpfsmith.source.types import binding

        if binding(callee) is not None or _nested(callee):
            return None
    return resolve(callee.file, callee.path, callee.item)


def _nested(callee: Expr) -> bool:
    """Whether a function that stands in a function around has the name: it hides those outside."""
    at = callee.item
    while at is not None and at.kind != "mod":
        if at.kind == "fn" and callee.file.native.item_in(at.id, callee.path) >= 0:
            return True
        at = at.parent
    return False


def _self_type(expr: Expr) -> str | None:
    item = expr.item
    while item is not None and item.kind != "impl":
        item = item.parent
    return _owner(item) if item is not None else None


def _receiver(call: Expr) -> str | None:
    """The crate's own type that a method is called on."""
    receiver = call.receiver
    if receiver is None:
        return None
    if receiver.kind == "path" and receiver.path == "self":
        return _self_type(call)
    found = type_of(receiver)
    if found is None and receiver.kind == "path" and receiver.path[:1].isupper():
        return resolve(receiver.file, receiver.path, receiver.item)  # a unit struct
    return found.path if found is not None and found.path.startswith("crate::") else None
