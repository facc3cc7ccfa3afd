"""What type a local value has, as far as the text says so: annotations, constructors, parameters, statics, fields.

Wrappers are looked through: a `Result<T>` or `&mut T` counts as `T`, since rules ask what a value is after `?`.
Unknown is None; nothing is guessed.
"""

from __future__ import annotations

from functools import lru_cache

from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.rust import Expr, Item, Let, SourceFile

__all__ = ["Binding", "Type", "binding", "bound", "item_of", "mentions", "parse_type", "type_of"]

# Associated functions that give `Self` (or a `Result` of it).
_MAKERS = frozenset(
    {
        *("new", "try_from", "from", "default", "load", "load_file", "from_pin", "with_max_entries", "with_flags"),
        *("pinned", "create", "parse", "from_map_data", "from_program_info", "with_allocator"),
    }
)
_WRAPPERS = frozenset({"Result", "Option", "Box", "Arc", "Rc", "Mutex", "RefCell", "RwLock", "MutexGuard"})
_SAME = frozenset({"as_mut", "as_ref", "borrow_mut", "lock", "clone", "take", "as_deref_mut", "get_mut", "borrow"})
_DEPTH = 16
_OPENED = frozenset({"aya::maps::PerfEventArray", "aya::maps::AsyncPerfEventArray"})


class Type:
    """A named type: `path` absolute and canonical, `args` the texts of its generic arguments, `reference` if one."""

    __slots__ = ("args", "path", "reference")

    def __init__(self, path: str, args: tuple[str, ...], reference: bool = False) -> None:
        self.path = path
        self.args = args
        self.reference = reference

    def __repr__(self) -> str:
        return f"Type({self.path}<{', '.join(self.args)}>)"

    @property
    def name(self) -> str:
        return self.path.rpartition("::")[2]

    def within(self, *modules: str) -> bool:
        """True when the type is directly in one of these modules (`aya::maps`)."""
        return self.path.rpartition("::")[0] in modules


class Binding:
    """Where a local name comes from. `kind` is `let` or `param` when the pattern is the name alone, else `pattern`."""

    __slots__ = ("init", "item", "kind", "let", "scope", "type")

    def __init__(
        self,
        kind: str,
        scope: Expr | None,
        item: Item | None,
        type_: str = "",
        let: Let | None = None,
        init: Expr | None = None,
    ) -> None:
        self.kind = kind  # let, param, pattern
        self.scope = scope  # the expression in which it is visible
        self.item = item
        self.type = type_  # text of the annotation
        self.let = let
        self.init = init  # what the pattern takes apart: of `let`, `if let`, `match`, `for`

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Binding):
            return NotImplemented
        mine = self.let.start if self.let is not None else -1
        theirs = other.let.start if other.let is not None else -1
        return (self.kind, self.scope, mine) == (other.kind, other.scope, theirs)

    __hash__ = None  # type: ignore[assignment]  # compared, never kept in sets


@lru_cache(maxsize=4096)
def parse_type(text: str) -> tuple[str, tuple[str, ...], bool] | None:
    """`&'a mut HashMap<_, u32, [u8; 4]>` -> (`HashMap`, (`_`, `u32`, `[u8; 4]`), True); None for what is no path."""
    text = text.strip()
    reference = False
    while text.startswith(("&", "*")):
        reference = True
        text = text[1:].strip()
        if text.startswith("'"):
            text = text.partition(" ")[2].strip()
        for word in ("mut ", "const "):
            text = text.removeprefix(word).strip()
    head, angle, rest = text.partition("<")
    head = "".join(head.split()).removesuffix("::")
    if not head or not all(part.isidentifier() for part in head.removeprefix("::").split("::")):
        return None
    if not angle:
        return head, (), reference
    if not rest.rstrip().endswith(">"):
        return None
    return head, tuple(split_args(rest.rstrip()[:-1])), reference


def split_args(text: str) -> list[str]:
    """Splits at the commas outside of brackets."""
    out: list[str] = []
    depth = start = 0
    previous = ""
    for at, char in enumerate(text):
        if char in "<([{":
            depth += 1
        elif char in ")]}" or (char == ">" and previous != "-"):
            depth -= 1
        elif char == "," and depth == 0:
            out.append(text[start:at].strip())
            start = at + 1
        previous = char
    last = text[start:].strip()
    return [*out, last] if last else out


def named(file: SourceFile, text: str, item: Item | None, depth: int = 0) -> Type | None:
    """The type that a type's text names, looking through the usual wrappers."""
    parsed = parse_type(text)
    if parsed is None or depth > _DEPTH:
        return None
    head, args, reference = parsed
    if head.rpartition("::")[2] in _WRAPPERS and args:
        inner = named(file, args[0], item, depth + 1)
        if inner is not None:
            return inner
    path = resolve(file, head, item)
    if path is None:
        return None
    if path.startswith("crate::"):
        alias = item_of(file, path)
        if alias is not None and alias.kind == "type" and not alias.generic:
            return named(alias.file, alias.type, alias, depth + 1)
    return Type(path, args, reference)


def item_of(file: SourceFile, path: str) -> Item | None:
    """The item of this crate that an absolute `crate::..` path names."""
    files = file.crate.files if file.crate is not None and file.crate.files else [file]
    cache = files[0].cache
    key = ("item", file.root, path, len(files))
    if key not in cache:
        cache[key] = _find_item(files, file.root, path.split("::"))
    found: Item | None = cache[key]
    return found


def _find_item(files: list[SourceFile], root: str, parts: list[str]) -> Item | None:
    for other in files:
        if other.root != root or not other.has(parts[-1]):
            continue
        for item in other.items_named(parts[-1]):
            if item.name != parts[-1] or item.kind in ("impl", "macro"):
                continue
            modules: list[str] = []
            at = item.parent
            while at is not None:
                modules.insert(0, at.name)
                at = at.parent
            if [*other.module, *modules] == parts[1:-1]:
                return item
    return None


def type_of(expr: Expr | None, depth: int = 0) -> Type | None:
    """The named type of an expression, after `?` and unwrapping; None when the text does not say."""
    if expr is None or depth > _DEPTH:
        return None
    if depth:
        return _type_of(expr.stripped(), depth)
    key = ("type", expr.id)
    cache = expr.file.cache
    if key not in cache:
        cache[key] = _type_of(expr.stripped(), 0)
    known: Type | None = cache[key]
    return known


def _type_of(expr: Expr, depth: int) -> Type | None:  # noqa: PLR0911 - one return a kind
    kind = expr.kind
    if kind in ("ref", "unary"):
        return type_of(expr.inner, depth + 1) if expr.op in ("", "*") else None
    if kind == "path":
        return _of_path(expr, depth)
    if kind == "struct":
        return named(expr.file, expr.path, expr.item)
    if kind == "call" and expr.callee is not None and expr.callee.kind == "path":
        return _of_call(expr.callee)
    if kind == "method":
        if expr.name in _SAME:
            return type_of(expr.receiver, depth + 1)
        owner = type_of(expr.receiver, depth + 1)
        if owner is not None and owner.path in ("aya::EbpfLoader", "aya::BpfLoader"):
            made = "Ebpf" if owner.name == "EbpfLoader" else "Bpf"
            return Type(f"aya::{made}", ()) if expr.name in ("load", "load_file") else owner
        if owner is not None and expr.name == "open" and owner.path in _OPENED:
            return Type(f"{owner.path}Buffer", owner.args)
        return None
    if kind == "field" and expr.receiver is not None and expr.receiver.text == "self":
        return _of_field(expr)
    return None


def _of_call(callee: Expr) -> Type | None:
    head, _, last = callee.path.rpartition("::")
    if last not in _MAKERS or not head or not head.rpartition("::")[2][:1].isupper():
        return None
    text = callee.text.rpartition("::")[0]
    return named(callee.file, text.replace("::<", "<"), callee.item)


def _of_path(expr: Expr, depth: int) -> Type | None:
    if "::" not in expr.path:
        found = binding(expr)
        if found is not None:
            if found.type:
                known = named(expr.file, found.type, expr.item)
                if known is not None or found.type != "_":
                    return known
            return type_of(found.let.init, depth + 1) if found.let is not None and found.kind == "let" else None
    path = resolve(expr.file, expr.path, expr.item)
    item = item_of(expr.file, path) if path is not None and path.startswith("crate::") else None
    if item is None or item.kind not in ("static", "const"):
        return None
    return named(item.file, item.type, item)


def _of_field(expr: Expr) -> Type | None:
    item = expr.item
    while item is not None and item.kind != "impl":
        item = item.parent
    if item is None:
        return None
    parsed = parse_type(item.type)
    path = resolve(expr.file, parsed[0], item) if parsed is not None else None
    owner = item_of(expr.file, path) if path is not None else None
    if owner is None or owner.kind != "struct":
        return None
    for field in owner.params:
        if field.name == expr.name:
            return named(owner.file, field.type, owner)
    return None


def binding(expr: Expr) -> Binding | None:
    """Where the local name that `expr` (a path of one segment) uses comes from; None when it is no local."""
    if expr.kind != "path":
        return None
    file = expr.file
    key = ("binding", expr.id)
    if key not in file.cache:
        file.cache[key] = _binding(file, file.native.binding(expr.id))
    known: Binding | None = file.cache[key]
    return known


def bound(name: str, at: Expr) -> Binding | None:
    """What binds a local name as seen from an expression."""
    return _binding(at.file, at.file.native.bound(name, at.id))


def _binding(file: SourceFile, found: tuple[str, int, int, int, int, int] | None) -> Binding | None:
    if found is None:
        return None
    kind, at, start, end, index, init = found
    scope = file.expr(at)
    let = None
    if kind == "let" and scope is not None:
        let = scope.let(index)
        if let.name is None:
            kind = "pattern"
    item = scope.item if scope is not None else None
    return Binding(kind, scope, item, file.text[start:end], let, file.expr(init))


def mentions(let: Let) -> Iterator[Expr]:
    """Uses of the name a `let` binds, after it and in its block; tokens and strings that may use it are among them."""
    name = let.name
    if name is None:
        return
    file = let.file
    for at in file.native.mentions(let.block.id, let.index, name):
        expr = file.exprs[at]
        if (
            (expr.kind == "path")
            or (expr.kind == "tokens" and _word_in(name, expr.text))
            or (expr.literal == "str" and "{" + name in expr.text)
        ):
            yield expr


def _word_in(word: str, text: str) -> bool:
    at = text.find(word)
    while at >= 0:
        before = text[at - 1 : at]
        after = text[at + len(word) : at + len(word) + 1]
        if not (before.isalnum() or before == "_" or after.isalnum() or after == "_"):
            return True
        at = text.find(word, at + 1)
    return False
