"""Rust source files as typed views on the facts of the native parser.

The facts stay in the native core (`_native.RustFile`), with their indexes; a view fetches what is touched. Rules ask
the indexes (`methods`, `calls`, `macros`, `of_kind`, `attrs_named`, `has`) and look closer at what these give: what a
rule does must not grow with the text.

A view says what is written; what a name means is in `names.py`, what type a local has in `types.py`. Nothing here reads
a file or runs anything. Offsets are characters from the start of the text, `Span`s are lines and columns from 1.

Kinds of expressions and what their `fields` hold (ids of other expressions unless said):

    lit kind | path path | call callee [args] | method receiver name name-span generics-span [args] | field base name
    index base index | binary op lhs rhs | unary op inner | ref mutable inner | try inner | await inner
    cast inner type-span | macro path token-span [args] | struct path [[name, value]] spread | array [..] | tuple [..]
    repeat value len | paren inner | block flags [statements] tail | if cond then else
    let pattern-span [names] inner | match scrutinee [[pattern start, end, names, guard, expr]]
    loop body | while cond body | closure [params] [names] body
    for pattern-span [names] iter body | return inner | break inner | continue
    range from to inclusive | tokens | other [..]

Statements in `block`: ("let", start, end, pattern-start, -end, [names], type-start, -end, init, else), ("expr", id,
semicolon), ("item", id). Parameters: (name, start, end, type-start, -end, flags, value, [names]).
"""

from __future__ import annotations

from bpfsmith.model.finding import Span
from bpfsmith.source._items import Attribute, Item, Note, Param, Use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    from bpfsmith._native import RustFile
    from bpfsmith.source.cargo import Crate

    V = TypeVar("V")
else:
    V = object

__all__ = ["Attribute", "Expr", "Item", "Let", "Note", "Param", "SourceFile", "Use", "parse_files"]


class Let:
    """A `let` statement; `type` is its text or empty, `init` what it starts with."""

    __slots__ = (
        "_other", "block", "end", "file", "index", "init_id", "names", "pattern", "pattern_start", "start", "type",
        "type_start",
    )  # fmt: skip

    def __init__(self, block: Expr, index: int) -> None:
        raw = block.fields[1][index]
        self.block = block
        self.index = index  # among the statements of the block
        self.file = block.file
        _, self.start, self.end, self.pattern_start, pattern_end, self.names = raw[:6]
        self.type_start, type_end, self.init_id, self._other = raw[6:]
        self.pattern: str = self.file.text[self.pattern_start : pattern_end]
        self.type: str = self.file.text[self.type_start : type_end]

    @property
    def init(self) -> Expr | None:
        return self.file.expr(self.init_id)

    @property
    def other(self) -> Expr | None:
        """Of `let .. else`: its block."""
        return self.file.expr(self._other)

    @property
    def name(self) -> str | None:
        """The name it binds when the pattern is just that (`x`, `mut x`)."""
        plain = self.pattern.removeprefix("mut ").strip()
        return plain if plain in self.names else None


class Expr:
    """One expression. `fields` is what follows kind, parent and offsets; see the module for each kind."""

    __slots__ = ("end", "fields", "file", "id", "kind", "parent_id", "start")

    def __init__(self, file: SourceFile, at: int) -> None:
        self.file = file
        self.id = at
        self.kind: str
        self.parent_id: int
        self.start: int
        self.end: int
        self.kind, self.parent_id, self.start, self.end = file.native.expr(at)
        if TYPE_CHECKING:
            self.fields: tuple[Any, ...] = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Only `fields` is ever missing: fetched on first use."""
            if name != "fields":
                raise AttributeError(f"an expression has no `{name}`")
            fields = self.fields = self.file.native.fields(self.id)
            return fields

    def __repr__(self) -> str:
        return f"Expr({self.kind} {self.text[:40]!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and other.id == self.id and other.file is self.file

    def __hash__(self) -> int:
        return hash((id(self.file), self.id))

    @property
    def text(self) -> str:
        return self.file.text[self.start : self.end]

    @property
    def span(self) -> Span:
        return self.file.span(self.start, self.end)

    @property
    def parent(self) -> Expr | None:
        return self.file.expr(self.parent_id)

    def ancestors(self) -> Iterator[Expr]:
        """The enclosing expressions, innermost first."""
        for at in self.file.native.ancestors(self.id):
            yield self.file.exprs[at]

    @property
    def item(self) -> Item | None:
        """The item it is in."""
        at = self.file.native.owner(self.id)
        return self.file.items[at] if at >= 0 else None

    @property
    def label(self) -> str:
        """Of a block, loop, `break` or `continue`: its label with the quote, or nothing."""
        return self.file.native.label(self.id) or ""

    @property
    def attrs(self) -> list[Attribute]:
        """The attributes on it."""
        return [self.file.attrs[at] for at in self.file.native.attrs_at(self.start, self.end)]

    def _one(self, index: int) -> Expr | None:
        at = self.fields[index]
        return self.file.exprs[at] if at >= 0 else None

    def _many(self, index: int) -> list[Expr]:
        exprs = self.file.exprs
        return [exprs[one] for one in self.fields[index] if one >= 0]

    @property
    def path(self) -> str:
        """Of a path, macro or struct literal: the path without generic arguments; else empty."""
        return self.fields[0] if self.kind in ("path", "macro", "struct") else ""

    @property
    def name(self) -> str:
        """Of a method call or field: its name; else empty."""
        return self.fields[1] if self.kind in ("method", "field") else ""

    @property
    def name_span(self) -> Span:
        """Of a method call: the span of the name."""
        return self.file.span(self.fields[2], self.fields[3]) if self.kind == "method" else self.span

    @property
    def callee(self) -> Expr | None:
        return self._one(0) if self.kind == "call" else None

    @property
    def receiver(self) -> Expr | None:
        """Of a method call, field or index: what stands before the dot or bracket."""
        return self._one(0) if self.kind in ("method", "field", "index") else None

    @property
    def args(self) -> list[Expr]:
        """Of a call, method call or macro (what stands between commas)."""
        index = {"call": 1, "method": 6, "macro": 3}.get(self.kind)
        return self._many(index) if index is not None else []

    @property
    def inner(self) -> Expr | None:
        """The one expression inside: of ref, try, await, cast, paren, unary, return, break, `let` conditions."""
        index = {
            "unary": 1, "ref": 1, "try": 0, "await": 0, "cast": 0, "paren": 0, "return": 0, "break": 0, "let": 3,
        }.get(self.kind)  # fmt: skip
        return self._one(index) if index is not None else None

    @property
    def op(self) -> str:
        return self.fields[0] if self.kind in ("binary", "unary") else ""

    @property
    def operands(self) -> tuple[Expr | None, Expr | None]:
        """Of a binary expression: left, right. Of an index: base, index. Of `[value; len]`: value, len."""
        first = 1 if self.kind == "binary" else 0
        return self._one(first), self._one(first + 1)

    @property
    def cast_type(self) -> str:
        return self.file.text[self.fields[1] : self.fields[2]] if self.kind == "cast" else ""

    @property
    def literal(self) -> str:
        """Of a literal its kind (`int`, `str`, ..); else empty."""
        return self.fields[0] if self.kind == "lit" else ""

    @property
    def string(self) -> str | None:
        """The value of a plain string literal; None for other expressions and for strings with escapes."""
        if self.literal != "str":
            return None
        text = self.text
        if text.startswith('"') and text.endswith('"') and len(text) > 1:
            return None if "\\" in text else text[1:-1]
        return text.lstrip("r").strip("#")[1:-1] if text.startswith("r") else None

    @property
    def integer(self) -> int | None:
        """The value of an integer literal, with a minus before it or brackets around it too."""
        if self.kind == "paren" or (self.kind == "unary" and self.op == "-"):
            inner = self.inner.integer if self.inner is not None else None
            return -inner if inner is not None and self.kind == "unary" else inner
        if self.literal != "int":
            return None
        digits = self.text.replace("_", "")
        for suffix in ("u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"):
            if digits.endswith(suffix) and not digits.startswith("0x"):
                digits = digits.removesuffix(suffix)
                break
            if digits.startswith("0x") and suffix[0] in "ui" and digits.endswith(suffix):
                digits = digits.removesuffix(suffix)
                break
        try:
            return int(digits, 0) if not (digits.startswith("0") and digits.isdigit()) else int(digits)
        except ValueError:
            return None

    @property
    def lets(self) -> list[Let]:
        """Of a block: its `let` statements."""
        return [one for one in self._statements() if isinstance(one, Let)]

    def _statements(self) -> list[Let | Expr]:
        known: list[Let | Expr] | None = self.file.cache.get(("statements", self.id))
        if known is None:
            known = []
            if self.kind == "block":
                for at, raw in enumerate(self.fields[1]):
                    if raw[0] != "item":
                        known.append(self.let(at) if raw[0] == "let" else self.file.exprs[raw[1]])
            self.file.cache[("statements", self.id)] = known
        return known

    def let(self, index: int) -> Let:
        """Of a block: the `let` that is the statement with this index."""
        key = ("let", self.id, index)
        known: Let | None = self.file.cache.get(key)
        if known is None:
            known = self.file.cache[key] = Let(self, index)
        return known

    @property
    def statements(self) -> list[Let | Expr]:
        """Of a block: `let` statements and expressions in order, the tail last; items left out."""
        tail = self.tail
        return [*self._statements(), tail] if tail is not None else list(self._statements())

    @property
    def tail(self) -> Expr | None:
        return self._one(2) if self.kind == "block" else None

    @property
    def is_unsafe(self) -> bool:
        return self.kind == "block" and bool(self.fields[0] & 1)

    @property
    def branches(self) -> tuple[Expr | None, Expr | None, Expr | None]:
        """Of an `if`: condition, then, else."""
        return self._one(0), self._one(1), self._one(2)

    def expr_of_condition(self) -> Expr | None:
        """Of an `if` or `while`: its condition."""
        return self._one(0) if self.kind in ("if", "while") else None

    @property
    def body(self) -> Expr | None:
        """Of a loop or closure: what it runs."""
        index = {"loop": 0, "while": 1, "for": 4, "closure": 2}.get(self.kind)
        return self._one(index) if index is not None else None

    @property
    def arms(self) -> list[tuple[str, list[str], Expr | None]]:
        """Of a `match`: (pattern, names it binds, result)."""
        if self.kind != "match":
            return []
        return [(self.file.text[arm[0] : arm[1]], arm[2], self.file.expr(arm[4])) for arm in self.fields[1]]

    @property
    def guards(self) -> list[Expr | None]:
        """Of a `match`: the guard of each arm."""
        return [self.file.expr(arm[3]) for arm in self.fields[1]] if self.kind == "match" else []

    @property
    def struct_fields(self) -> list[tuple[str, Expr | None]]:
        if self.kind != "struct":
            return []
        return [(name, self.file.expr(value)) for name, value in self.fields[1]]

    def stripped(self) -> Expr:
        """Without `?`, brackets, references and the calls that only unwrap a result or add context to it."""
        at = self
        while True:
            if at.kind in ("try", "paren", "await") or (at.kind == "method" and at.name in _UNWRAPS):
                inner = at.receiver if at.kind == "method" else at.inner
            else:
                return at
            if inner is None:
                return at
            at = inner

    def within(self, *kinds: str) -> Iterator[Expr]:
        """All expressions inside it (of these kinds, if given), itself first; those of items declared in it are not."""
        exprs = self.file.exprs
        return map(exprs.__getitem__, self.file.native.within(self.id, kinds or None))


_UNWRAPS = frozenset(
    {"unwrap", "expect", "context", "with_context", "wrap_err", "wrap_err_with", "ok_or", "ok_or_else", "map_err", "ok"}
)


class _Views(dict[int, V]):
    """Views by id, made when asked for; iterated over in order of the text."""

    __slots__ = ("_count", "_file", "_make")

    def __init__(self, file: SourceFile, count: int, make: Callable[[SourceFile, int], V]) -> None:
        self._file = file
        self._count = count
        self._make = make

    def __missing__(self, at: int) -> V:
        if not -self._count <= at < self._count:
            raise IndexError(at)
        if at < 0:
            return self[at + self._count]
        made = self[at] = self._make(self._file, at)
        return made

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0

    def __iter__(self) -> Iterator[V]:  # type: ignore[override]  # the values: it is a list that fills itself
        return map(self.__getitem__, range(self._count))


class SourceFile:
    """One parsed Rust file. `module` is its module path in the crate (`()` for a root), `crate` where it belongs."""

    __slots__ = (
        "attrs", "cache", "crate", "exprs", "items", "module", "native", "path", "root", "text", "uses",
    )  # fmt: skip

    def __init__(self, path: str, data: bytes, native: RustFile | None = None) -> None:
        if native is None:
            from bpfsmith._native import rust_parse

            native = rust_parse(data)
        self.native = native
        self.path = path
        self.text: str = data.decode("utf-8", "replace")
        self.crate: Crate | None = None
        self.root: str = path
        self.module: tuple[str, ...] = ()
        items, attrs, uses, _, exprs = native.counts
        self.items: _Views[Item] = _Views(self, items, Item)
        self.attrs: _Views[Attribute] = _Views(self, attrs, Attribute)
        self.uses: _Views[Use] = _Views(self, uses, Use)
        self.exprs: _Views[Expr] = _Views(self, exprs, Expr)
        self.cache: dict[Any, Any] = {}  # what `names` and `types` found out already

    def __repr__(self) -> str:
        return f"SourceFile({self.path})"

    @property
    def notes(self) -> list[Note]:
        return [Note(kind, text, start) for kind, text, start, _ in self.native.notes()]

    @property
    def paths(self) -> list[tuple[int, str, int, int]]:
        """(item or -1, path, start, end) of the paths outside of expressions and `use`: in types, bounds, patterns."""
        found: list[tuple[int, str, int, int]] | None = self.cache.get("paths")
        if found is None:
            found = self.cache["paths"] = [self.native.path(at) for at in range(self.native.counts[3])]
        return found

    def expr(self, at: int) -> Expr | None:
        return self.exprs[at] if at >= 0 else None

    def of_kind(self, *kinds: str) -> Iterator[Expr]:
        """Every expression of these kinds, in order of the text within each kind."""
        if len(kinds) == 1:
            return map(self.exprs.__getitem__, self.native.of_kind(kinds[0]))
        return (self.exprs[at] for kind in kinds for at in self.native.of_kind(kind))

    def items_of_kind(self, *kinds: str) -> Iterator[Item]:
        """Every item of these kinds, in order of the text within each kind."""
        if len(kinds) == 1:
            return map(self.items.__getitem__, self.native.items_of_kind(kinds[0]))
        return (self.items[at] for kind in kinds for at in self.native.items_of_kind(kind))

    def methods(self, *names: str) -> Iterator[Expr]:
        """The method calls with one of these names."""
        return self._having("method", names)

    def calls(self, *names: str) -> Iterator[Expr]:
        """The calls of a path whose last segment is one of these: `new` finds `RingBuf::new(..)`."""
        return self._having("call", names)

    def macros(self, *names: str) -> Iterator[Expr]:
        """The macro calls with one of these last segments."""
        return self._having("macro", names)

    def structs(self, *names: str) -> Iterator[Expr]:
        """The struct literals with one of these last segments."""
        return self._having("struct", names)

    def fields_named(self, *names: str) -> Iterator[Expr]:
        """The expressions that read a field of one of these names."""
        return self._having("field", names)

    def path_exprs(self, *segments: str) -> Iterator[Expr]:
        """The path expressions with one of these segments, wherever it stands in the path."""
        return self._having("path", segments)

    def attrs_named(self, *names: str) -> Iterator[Attribute]:
        """The attributes with one of these last segments."""
        for name in names:
            for at in self.native.having("attr", name):
                yield self.attrs[at]

    def uses_of(self, *names: str) -> Iterator[Use]:
        """The `use` leaves (and globs) of a path with one of these last segments, whatever they call it."""
        for name in names:
            for at in self.native.having("use", name):
                yield self.uses[at]

    def paths_with(self, *segments: str) -> Iterator[tuple[int, str, int, int]]:
        """Those of `paths` with one of these segments; one with several of them comes several times."""
        for segment in segments:
            for at in self.native.having("segment", segment):
                yield self.native.path(at)

    def items_named(self, *names: str) -> Iterator[Item]:
        for name in names:
            for at in self.native.having("item", name):
                yield self.items[at]

    def has(self, *words: str) -> bool:
        """Whether one of these words stands in the code: identifier, keyword or in a literal; comments do not count."""
        return self.native.has_any(words)

    def _having(self, role: str, words: tuple[str, ...]) -> Iterator[Expr]:
        having = self.native.having
        found = [at for word in words for at in having(role, word)]
        return map(self.exprs.__getitem__, found)

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column) of a character offset, both from 1."""
        line, column = self.native.position(offset)
        if line == 1 and column > 1 and self.text.startswith("\ufeff"):
            column -= 1  # the byte order mark is no column
        return line, column

    def span(self, start: int, end: int) -> Span:
        line, column = self.position(start)
        end_line, end_column = self.position(max(end, start))
        return Span(self.path, line, column, end_line, end_column)

    def item_at(self, item: int) -> Item | None:
        return self.items[item] if item >= 0 else None

    def file_attrs(self) -> list[Attribute]:
        """The `#![..]` at the top of the file."""
        attrs = [self.attrs[at] for at in self.native.attrs_on(-1)]
        return [attr for attr in attrs if attr.inner]

    @property
    def no_std(self) -> bool:
        """True for `#![no_std]`, also under `cfg_attr` (then the kernel build has it)."""
        return any(
            attr.path == "no_std" or (attr.path == "cfg_attr" and "no_std" in attr.args) for attr in self.file_attrs()
        )

    def gates(self, item: Item | None, offset: int = -1) -> list[str]:
        """The `cfg(..)` conditions around a place: of the item, its parents, the file and enclosing statements."""
        if not self.has("cfg"):
            return []
        owners = {-1}
        while item is not None:
            owners.add(item.id)
            item = item.parent
        return [
            attr.args
            for attr in self.attrs_named("cfg")
            if (attr.owner in owners if attr.on_item else attr.target_start <= offset < attr.target_end)
        ]

    def is_off(self, item: Item | None, offset: int = -1) -> bool:
        """Under a `cfg` that is certainly off."""
        gates = self.gates(item, offset)
        if not gates:
            return False
        from bpfsmith.source.cfg import certainly_off

        kernel = self.crate is not None and self.crate.role == "kernel"
        return any(certainly_off(gate, kernel) for gate in gates)

    def in_test(self, item: Item | None) -> bool:
        """Inside `#[cfg(test)]` or a `#[test]` function, or under a `cfg` that is certainly off."""
        if not self.has("test", "cfg"):
            return False
        key = ("in_test", item.id if item is not None else -1)
        known: bool | None = self.cache.get(key)
        if known is None:
            known = self.cache[key] = self._in_test(item)
        return known

    def _in_test(self, item: Item | None) -> bool:
        if any("test" in gate and "not(test" not in gate.replace(" ", "") for gate in self.gates(item)):
            return True
        if self.is_off(item):
            return True
        while item is not None:
            if any(attr.path == "test" or attr.path.endswith("::test") for attr in item.attrs):
                return True
            item = item.parent
        return False


def parse_files(paths: list[str], datas: list[bytes]) -> list[SourceFile]:
    """Parses files on all cores."""
    from bpfsmith._native import rust_parse_many

    files = zip(paths, datas, rust_parse_many(datas), strict=True)
    return [SourceFile(path, data, native) for path, data, native in files]
