"""How a type lies in memory: size, alignment, where each field stands, what is padding. From the text alone.

`repr(C)` (with `packed`, `align`), `repr(transparent)` and `repr(u8)` are certain: the language says so. What the
compiler may choose (`repr(Rust)`, tuples) has `certain` False and a word about it; its size is what rustc makes of it,
the offsets of its fields are -1 where they could be any. What cannot be known at all (macros, foreign types) is None.
"""

from __future__ import annotations

from bpfsmith.source._layout_known import KNOWN_STRUCTS, PRIMITIVES, WRAPPERS, c_type
from bpfsmith.source.across import constant_item, item_across, resolve_across
from bpfsmith.source.types import split_args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.rust import Item, SourceFile

__all__ = ["Field", "Layout", "constant", "layout", "split_type"]

_DEPTH = 24
_POINTER = 8  # bpf is 64 bit, and so is every host that Aya is used on
_MAX = 1 << 40
_PADDINGS = 64


class Field:
    """One field: `offset` -1 where the compiler may choose it."""

    __slots__ = ("layout", "name", "offset", "type")

    def __init__(self, name: str, type_: str, offset: int, layout_: Layout) -> None:
        self.name = name
        self.type = type_
        self.offset = offset
        self.layout = layout_

    def __repr__(self) -> str:
        return f"Field({self.name}: {self.type} at {self.offset}, {self.size})"

    @property
    def size(self) -> int:
        return self.layout.size


class Layout:
    """`kind`: int uint float bool char pointer array tuple struct union enum unit. `name` is the type as understood:
    a primitive's own name, a struct's absolute path. `item` is the struct, enum or union itself where it is ours."""

    __slots__ = ("align", "certain", "count", "element", "fields", "item", "kind", "name", "repr", "size", "why")

    def __init__(
        self,
        kind: str,
        name: str,
        size: int,
        align: int,
        fields: tuple[Field, ...] = (),
        repr_: str = "",
        why: str = "",
        item: Item | None = None,
        element: Layout | None = None,
        count: int = 0,
    ) -> None:
        self.kind = kind
        self.name = name
        self.size = size
        self.align = align
        self.fields = fields
        self.repr = repr_
        self.certain = not why
        self.why = why
        self.item = item
        self.element = element
        self.count = count

    def __repr__(self) -> str:
        return f"Layout({self.name}, size {self.size}, align {self.align}{'' if self.certain else ', ' + self.why})"

    def with_repr(self, shown: str, why: str) -> Layout:
        """The same under another `repr`."""
        return Layout(
            self.kind, self.name, self.size, self.align, self.fields, shown, why, self.item, self.element, self.count
        )

    @property
    def padding(self) -> list[tuple[int, int]]:
        """(offset, size) of the bytes that no field covers, those of inner types too; empty where offsets are open."""
        out: list[tuple[int, int]] = []
        self._holes(0, out)
        return sorted(out)

    def _holes(self, base: int, out: list[tuple[int, int]]) -> None:
        if self.kind == "array" and self.element is not None:
            if self.element.fields or self.element.kind == "array":
                for index in range(self.count):
                    if len(out) >= _PADDINGS:
                        return
                    self.element._holes(base + index * self.element.size, out)
            return
        if self.kind not in ("struct", "tuple") or not self.fields or any(one.offset < 0 for one in self.fields):
            return
        at = 0
        for one in sorted(self.fields, key=lambda field: field.offset):
            if one.offset > at:
                out.append((base + at, one.offset - at))
            one.layout._holes(base + one.offset, out)
            at = max(at, one.offset + one.size)
        if self.size > at:
            out.append((base + at, self.size - at))

    def leaves(self, base: int = 0, prefix: str = "") -> Iterator[Field]:
        """The fields down to what has no fields itself, with whole paths (`packet.source`) and absolute offsets."""
        if self.kind not in ("struct", "tuple") or not self.fields:
            yield Field(prefix, self.name, base, self)
            return
        for one in self.fields:
            path = f"{prefix}.{one.name}" if prefix else one.name
            offset = base + one.offset if base >= 0 and one.offset >= 0 else -1
            if one.layout.kind in ("struct", "tuple"):
                yield from one.layout.leaves(offset, path)
            else:
                yield Field(path, one.type, offset, one.layout)


class _Scope:
    """Where names in a type's text mean something: a file, an item of it, and the generic arguments given to it."""

    __slots__ = ("env", "file", "item", "target")

    def __init__(
        self, file: SourceFile, item: Item | None, target: str, env: dict[str, tuple[str, _Scope]] | None = None
    ) -> None:
        self.file = file
        self.item = item
        self.target = target
        self.env = env if env is not None else {}


def layout(file: SourceFile, type_text: str, item: Item | None = None, target: str = "bpf") -> Layout | None:
    """The layout of a type as written in `item` of `file`; None when it cannot be known."""
    key = ("layout", type_text, item.id if item is not None else -1, target)
    if key not in file.cache:
        file.cache[key] = _of(type_text, _Scope(file, item, target), 0)
    answer: Layout | None = file.cache[key]
    return answer


def constant(file: SourceFile, text: str, item: Item | None = None) -> int | None:
    """The value of a constant expression (`N * 2`, `{ size_of::<Key>() }`), through consts of the project."""
    return _value(text, _Scope(file, item, "bpf"), 0)


def split_type(text: str) -> tuple[str, list[str]] | None:
    """`a::B<C, 4>` -> (`a::B`, [`C`, `4`]); None for what is no path."""
    head, angle, rest = text.strip().partition("<")
    head = "".join(head.split()).removesuffix("::")
    if not head or not all(part.isidentifier() for part in head.removeprefix("::").split("::")):
        return None
    if not angle:
        return head, []
    rest = rest.rstrip()
    return (head, split_args(rest[:-1])) if rest.endswith(">") else None


def _of(text: str, scope: _Scope, depth: int) -> Layout | None:  # noqa: PLR0911 - one return a kind of type
    text = text.strip()
    if depth > _DEPTH or not text or len(text) > 4096:
        return None
    if text.startswith("("):
        return _tuple(text, scope, depth)
    if text.startswith("["):
        return _array(text, scope, depth)
    if text.startswith(("&", "*")):
        return _pointer(text, scope)
    if text.startswith(("extern ", "fn(", "fn (", "unsafe ", "for<")):
        return Layout("pointer", "fn", _POINTER, _POINTER)
    parsed = split_type(text)
    if parsed is None:
        return None
    head, args = parsed
    if head in scope.env and not args:
        given, outer = scope.env[head]
        return _of(given, outer, depth + 1)
    known = PRIMITIVES.get(head)
    if known is not None and not args:
        kind, size = known
        wide = "the alignment of 128 bit integers has changed between compilers" if size == 16 else ""
        return Layout(kind, head, size, size, why=wide)
    path = resolve_across(scope.file, head, scope.item)
    found = item_across(scope.file, path) if path is not None else None
    if found is not None:
        return _item(found, path or head, args, scope, depth)
    if path is None and "::" in head and head.partition("::")[0] not in ("crate", "self", "super", "Self"):
        return None
    return _foreign(path or head, args, scope, depth)


def _pointer(text: str, scope: _Scope) -> Layout | None:
    inner = text.lstrip("&* ").strip()
    while inner.startswith("'"):
        inner = inner.partition(" ")[2].strip()
    for word in ("mut ", "const "):
        inner = inner.removeprefix(word).strip()
    wide = (inner.startswith("[") and _top(inner[1:-1], ";") is None) or inner == "str" or inner.startswith("dyn ")
    if not wide and inner in scope.env:
        wide = scope.env[inner][0].strip() in ("str",)
    return Layout("pointer", "pointer", 2 * _POINTER if wide else _POINTER, _POINTER)


def _top(text: str, char: str) -> int | None:
    """Where a character stands outside of brackets."""
    depth = 0
    for at, one in enumerate(text):
        if one in "<([{":
            depth += 1
        elif one in ")]}" or (one == ">" and text[at - 1 : at] not in ("-", ">", "=")):
            depth -= 1
        elif one == char and depth == 0:
            return at
    return None


def _array(text: str, scope: _Scope, depth: int) -> Layout | None:
    if not text.endswith("]"):
        return None
    body = text[1:-1]
    at = _top(body, ";")
    if at is None:
        return None
    element = _of(body[:at], scope, depth + 1)
    count = _value(body[at + 1 :], scope, depth + 1)
    if element is None or count is None or count < 0 or count * element.size > _MAX:
        return None
    return Layout(
        "array", f"[{element.name}; {count}]", element.size * count, element.align, why=element.why, element=element,
        count=count,
    )  # fmt: skip


def _tuple(text: str, scope: _Scope, depth: int) -> Layout | None:
    if not text.endswith(")"):
        return None
    parts = split_args(text[1:-1])
    if not parts:
        return Layout("unit", "()", 0, 1)
    if len(parts) == 1 and not text[1:-1].rstrip().endswith(","):
        return _of(parts[0], scope, depth + 1)
    rows = []
    for index, part in enumerate(parts):
        inner = _of(part, scope, depth + 1)
        if inner is None:
            return None
        rows.append((str(index), part, inner))
    return _free("tuple", f"({', '.join(row[2].name for row in rows)})", rows, None, "the compiler orders a tuple")


def _free(
    kind: str, name: str, rows: list[tuple[str, str, Layout]], item: Item | None, why: str, align: int = 1
) -> Layout:
    """A struct or tuple whose fields the compiler orders: by falling alignment, so that holes are at the end only."""
    align = max([align, *(row[2].align for row in rows)])
    total = sum(row[2].size for row in rows)
    filled = [row for row in rows if row[2].size]
    if len(filled) <= 1:
        why = filled[0][2].why if filled else ""
    fields = tuple(Field(one, type_, 0 if len(filled) <= 1 else -1, inner) for one, type_, inner in rows)
    return Layout(kind, name, -(-total // align) * align, align, fields, "Rust", why, item)


class _Repr:
    """What the `repr` attributes of an item say."""

    __slots__ = ("align", "c", "guess", "integer", "packed", "transparent")

    def __init__(self, item: Item) -> None:
        self.c = self.transparent = self.guess = False
        self.packed = self.align = 0
        self.integer = ""
        for attr in item.attrs:
            if attr.path == "repr":
                self._read(attr.args)
            elif attr.path == "cfg_attr" and "repr" in attr.args:
                at = attr.args.find("repr")
                self._read(attr.args[at + 4 :].rpartition(")")[0] or attr.args[at + 4 :])
                self.guess = "all()" not in attr.args.partition(",")[0]

    def _read(self, args: str) -> None:
        for part in split_args(args.strip()[1:-1]):
            name, _, value = part.replace(" ", "").removesuffix(")").partition("(")
            if name == "C":
                self.c = True
            elif name == "transparent":
                self.transparent = True
            elif name == "packed":
                self.packed = int(value) if value.isdigit() else 1
            elif name == "align" and value.isdigit():
                self.align = max(self.align, int(value))
            elif name in PRIMITIVES:
                self.integer = name


def generics(item: Item) -> list[tuple[str, bool, str]]:
    """The generic parameters of an item without its lifetimes: (name, whether a const, default)."""
    text = item.file.text[item.name_end : item.end]
    stripped = text.lstrip()
    if not stripped.startswith("<"):
        return []
    depth = 0
    for at, char in enumerate(stripped):
        if char == "<":
            depth += 1
        elif char == ">" and stripped[at - 1] != "-":
            depth -= 1
            if depth == 0:
                break
    else:
        return []
    out = []
    for part in split_args(stripped[1:at]):
        if part.startswith("'"):
            continue
        const = part.startswith("const ")
        name, _, default = part.removeprefix("const ").partition("=")
        out.append((name.partition(":")[0].strip(), const, default.strip()))
    return out


def _item(item: Item, path: str, args: list[str], scope: _Scope, depth: int) -> Layout | None:
    """A struct, enum, union or alias of the project, with the arguments written for it."""
    args = [one for one in args if not one.startswith("'")]
    params = generics(item)
    if len(args) > len(params):
        return None
    env: dict[str, tuple[str, _Scope]] = {}
    inner = _Scope(item.file, item, scope.target, env)
    for index, (name, _, default) in enumerate(params):
        if index < len(args):
            env[name] = (args[index], scope)
        elif default:
            env[name] = (default, inner)
        else:
            return None
    key = ("layout-item", item.id, scope.target)
    if not env and key in item.file.cache:
        known: Layout | None = item.file.cache[key]
        return known
    name = path if not path.startswith("crate::") else item.name
    made = _made(item, name, inner, depth)
    if not env:
        item.file.cache[key] = made
    return made


def _made(  # noqa: PLR0911 - one return a kind of item
    item: Item, name: str, scope: _Scope, depth: int
) -> Layout | None:
    if item.kind == "type":
        return _of(item.type, scope, depth + 1)
    if item.kind == "enum":
        return _enum(item, name)
    if item.kind not in ("struct", "union"):
        return None
    how = _Repr(item)
    rows = []
    for param in item.params:
        inner = _of(param.type, scope, depth + 1)
        if inner is None:
            return None
        rows.append((param.name, param.type, inner))
    gated = any(
        attr.path in ("cfg", "cfg_attr") and not attr.on_item and item.start <= attr.start < item.end
        for attr in item.file.attrs
    )
    why = "fields depend on `cfg`" if gated else "its `repr` depends on `cfg`" if how.guess else ""
    if item.kind == "union":
        return _union(item, name, rows, how, why)
    if how.transparent and len([row for row in rows if row[2].size]) <= 1:
        return _free("struct", name, rows, item, why).with_repr("transparent", why)
    if not how.c:
        if how.packed:  # the order is open, the size is not
            made = _free("struct", name, [(a, b, _packed(c, how.packed)) for a, b, c in rows], item, _RUST)
            return made.with_repr("packed", made.why or why)
        made = _free("struct", name, rows, item, why or _RUST, max(how.align, 1))
        return made if made.why or not why else made.with_repr("Rust", why)
    return _in_order(item, name, rows, how, why)


_RUST = "without `repr(C)` the compiler orders the fields"


def _packed(one: Layout, limit: int) -> Layout:
    return Layout(
        one.kind, one.name, one.size, min(one.align, limit), one.fields, one.repr, one.why, one.item, one.element,
        one.count,
    )  # fmt: skip


def _in_order(item: Item, name: str, rows: list[tuple[str, str, Layout]], how: _Repr, why: str) -> Layout:
    at = 0
    align = 1
    fields = []
    for field, type_, inner in rows:
        step = min(inner.align, how.packed) if how.packed else inner.align
        at = -(-at // step) * step
        fields.append(Field(field, type_, at, inner))
        at += inner.size
        align = max(align, step)
        why = why or inner.why
    align = max(align, how.align)
    shown = "C, packed" if how.packed else "C"
    return Layout("struct", name, -(-at // align) * align, align, tuple(fields), shown, why, item)


def _union(item: Item, name: str, rows: list[tuple[str, str, Layout]], how: _Repr, why: str) -> Layout:
    align = max([1, how.align, *(min(row[2].align, how.packed or row[2].align) for row in rows)])
    size = max([0, *(row[2].size for row in rows)])
    fields = tuple(Field(field, type_, 0, inner) for field, type_, inner in rows)
    why = why or next((row[2].why for row in rows if row[2].why), "")
    if not how.c and not how.transparent:
        why = why or "without `repr(C)` the compiler places the fields of a union"
    return Layout("union", name, -(-size // align) * align, align, fields, "C" if how.c else "Rust", why, item)


def _enum(item: Item, name: str) -> Layout | None:
    variants = item.params
    if any(one.type for one in variants) or not variants:
        return None  # data-carrying: nothing that both sides should share
    how = _Repr(item)
    why = "its `repr` depends on `cfg`" if how.guess else ""
    if how.integer:
        size = PRIMITIVES[how.integer][1]
        return Layout("enum", name, size, size, (), how.integer, why, item)
    if how.c:
        return Layout("enum", name, 4, 4, (), "C", why, item)
    size = 0 if len(variants) == 1 else 1 if len(variants) <= 128 else 2
    for one in variants:
        _, equals, value = item.file.text[one.start : one.end].partition("=")
        if equals:
            number = constant(item.file, value, item)
            if number is None or not -128 <= number <= 255:
                return None
    return Layout("enum", name, size, max(size, 1), (), "Rust", "without `repr` the compiler chooses its size", item)


def _foreign(path: str, args: list[str], scope: _Scope, depth: int) -> Layout | None:  # noqa: PLR0911 - a kind each
    """Types of the language's library, of libc and of Aya, where their layout is known for certain."""
    first, _, last = path.rpartition("::")
    wrapped = WRAPPERS.get(last)
    if wrapped is not None and len(args) == 1 and first.split("::")[0] in wrapped:
        inner = _of(args[0], scope, depth + 1)
        if inner is None:
            return None
        return Layout(
            inner.kind, inner.name, inner.size, inner.align, inner.fields, inner.repr, inner.why, inner.item,
            inner.element, inner.count,
        )  # fmt: skip
    if last == "PhantomData" and first in ("core::marker", "std::marker", ""):
        return Layout("unit", "PhantomData", 0, 1)
    if last == "Option" and len(args) == 1 and first in ("", "core::option", "std::option"):
        argument = args[0].strip()
        parsed = split_type(argument)
        inner = _of(argument, scope, depth + 1)
        if inner is not None and argument.startswith(("&", "fn", "extern")):
            return inner
        if inner is not None and parsed is not None and parsed[0].rpartition("::")[2].startswith("NonZero"):
            return inner
        if parsed is not None and parsed[0].rpartition("::")[2] == "NonNull":
            return inner
        return None
    if last == "NonNull" and first in ("core::ptr", "std::ptr") and len(args) == 1:
        return _pointer(f"*mut {args[0]}", scope)
    if last == "Key" and first.endswith("::lpm_trie") and len(args) == 1:
        inner = _of(args[0], scope, depth + 1)
        if inner is None:
            return None
        prefix = Layout("uint", "u32", 4, 4)
        fields = (Field("prefix_len", "u32", 0, prefix), Field("data", args[0], 4, inner))
        return Layout("struct", path, 4 + inner.size, 1, fields, "C, packed", inner.why)
    if args:
        return None
    if path in KNOWN_STRUCTS:
        kind, size, align = KNOWN_STRUCTS[path]
        return Layout(kind, path, size, align)
    known = c_type(path)
    return Layout(known[0], known[2], known[1], known[1]) if known is not None else None


# Constant expressions


def _value(text: str, scope: _Scope, depth: int) -> int | None:
    if depth > _DEPTH or len(text) > 2048:
        return None
    from bpfsmith.source._const_text import evaluate

    def name(path: str, type_arguments: str) -> int | None:
        last = path.rpartition("::")[2]
        if last in ("size_of", "align_of") and type_arguments:
            inner = _of(type_arguments, scope, depth + 1)
            return None if inner is None else inner.size if last == "size_of" else inner.align
        if type_arguments:
            return None
        if path in scope.env:
            given, outer = scope.env[path]
            return _value(given, outer, depth + 1)
        found = constant_item(scope.file, path, scope.item)
        if found is None or found.kind != "const" or found.expr is None:
            return None
        return _value(found.expr.text, _Scope(found.file, found, scope.target), depth + 1)

    return evaluate(text, name)
