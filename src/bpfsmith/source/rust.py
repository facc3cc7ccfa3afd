"""Rust source files as typed views on the facts of the native parser.

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
"""

from __future__ import annotations

from bpfsmith.model.finding import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith.source.cargo import Crate

__all__ = ["Attribute", "Expr", "Item", "Let", "Note", "Param", "SourceFile", "Use", "parse_files"]

_VERSION = 1
# Bits of `Item.flags`.
_PUB, _GENERIC, _UNSAFE, _CONST, _ASYNC, _MUT, _EXTERN = 1, 2, 4, 8, 16, 32, 64


class Note:
    """What was unusual about the reading: `kind` is `not-utf8`, `nesting`, `syntax` or `unread`."""

    __slots__ = ("kind", "start", "text")

    def __init__(self, kind: str, text: str, start: int) -> None:
        self.kind = kind
        self.text = text
        self.start = start


class Attribute:
    """`#[path args]`; `args` is the text after the path: `(test)`, `= "x"` or nothing."""

    __slots__ = ("args", "end", "inner", "on_item", "owner", "path", "start", "target_end", "target_start", "unsafe_")

    def __init__(self, file: SourceFile, raw: list[Any]) -> None:
        self.owner, self.path, self.start, self.end, flags, args, args_end, self.target_start, self.target_end = raw
        self.inner = bool(flags & 1)
        self.unsafe_ = bool(flags & 2)
        self.on_item = bool(flags & 4)
        self.args = file.text[args:args_end]


class Use:
    """One leaf of a `use` tree: `name` is what `path` is called here; a glob has no name."""

    __slots__ = ("end", "glob", "name", "owner", "path", "public", "renamed", "start", "stmt_end", "stmt_start")

    def __init__(self, raw: list[Any]) -> None:
        self.owner, self.path, self.name, flags, self.start, self.end, self.stmt_start, self.stmt_end = raw
        self.glob = bool(flags & 1)
        self.public = bool(flags & 2)
        self.renamed = bool(flags & 4)


class Param:
    """A parameter, field or variant; `type` is its text, empty when there is none."""

    __slots__ = ("end", "name", "start", "type", "type_start")

    def __init__(self, file: SourceFile, raw: list[Any]) -> None:
        self.name, self.start, self.end, self.type_start, type_end = raw
        self.type = file.text[self.type_start : type_end]


class Item:
    """An item: fn, struct, enum, union, static, const, mod, impl, trait, type, macro_rules, macro, extern_block."""

    __slots__ = (
        "_flags", "_params", "body_end", "body_start", "end", "expr_id", "extra", "extra_start", "file", "id", "kind",
        "name", "name_end", "name_start", "parent_id", "start", "type", "type_start",
    )  # fmt: skip

    def __init__(self, file: SourceFile, at: int, raw: list[Any]) -> None:
        self.file = file
        self.id = at
        self.kind, self.parent_id, self.start, self.end, self.name, self.name_start, self.name_end, self._flags = raw[
            :8
        ]
        self.type_start, type_end, self.extra_start, extra_end, self.body_start, self.body_end = raw[8:14]
        self.expr_id, self._params = raw[14:]
        self.type: str = file.text[self.type_start : type_end]
        self.extra: str = file.text[self.extra_start : extra_end]

    def __repr__(self) -> str:
        return f"Item({self.kind} {self.name})"

    public = property(lambda self: bool(self._flags & _PUB))
    generic = property(lambda self: bool(self._flags & _GENERIC))
    unsafe_ = property(lambda self: bool(self._flags & _UNSAFE))
    const_fn = property(lambda self: bool(self._flags & _CONST))
    async_ = property(lambda self: bool(self._flags & _ASYNC))
    mutable = property(lambda self: bool(self._flags & _MUT))
    extern = property(lambda self: bool(self._flags & _EXTERN))

    @property
    def parent(self) -> Item | None:
        return self.file.items[self.parent_id] if self.parent_id >= 0 else None

    @property
    def params(self) -> list[Param]:
        """Fn: parameters; struct: fields; enum: variants."""
        return [Param(self.file, raw) for raw in self._params]

    @property
    def expr(self) -> Expr | None:
        """Fn: its block; static and const: the value; a macro: the call."""
        return self.file.expr(self.expr_id)

    @property
    def attrs(self) -> list[Attribute]:
        return [attr for attr in self.file.attrs if attr.on_item and attr.owner == self.id]

    @property
    def name_span(self) -> Span:
        return self.file.span(self.name_start, self.name_end)

    def children(self, kind: str | None = None) -> list[Item]:
        return [one for one in self.file.items if one.parent_id == self.id and kind in (None, one.kind)]


class Let:
    """A `let` statement; `type` is its text or empty, `init` what it starts with."""

    __slots__ = ("block", "end", "file", "init_id", "names", "pattern", "pattern_start", "start", "type", "type_start")

    def __init__(self, block: Expr, raw: list[Any]) -> None:
        self.block = block
        self.file = block.file
        _, self.start, self.end, self.pattern_start, pattern_end, self.names = raw[:6]
        self.type_start, type_end, self.init_id, _ = raw[6:]
        self.pattern: str = self.file.text[self.pattern_start : pattern_end]
        self.type: str = self.file.text[self.type_start : type_end]

    @property
    def init(self) -> Expr | None:
        return self.file.expr(self.init_id)

    @property
    def name(self) -> str | None:
        """The name it binds when the pattern is just that (`x`, `mut x`)."""
        plain = self.pattern.removeprefix("mut ").strip()
        return plain if plain in self.names else None


class Expr:
    """One expression. `fields` is what follows kind, parent and offsets; see the module for each kind."""

    __slots__ = ("end", "fields", "file", "id", "kind", "parent_id", "start")

    def __init__(self, file: SourceFile, at: int) -> None:
        raw = file.raw_exprs[at]
        self.file = file
        self.id = at
        self.kind: str = raw[0]
        self.parent_id: int = raw[1]
        self.start: int = raw[2]
        self.end: int = raw[3]
        self.fields: list[Any] = raw[4:]

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
        at = self.parent
        while at is not None:
            yield at
            at = at.parent

    @property
    def item(self) -> Item | None:
        """The item it is in."""
        at = self.id
        exprs = self.file.raw_exprs
        while at >= 0:
            at = exprs[at][1]
        return self.file.items[-2 - at] if at <= -2 else None

    def _one(self, index: int) -> Expr | None:
        return self.file.expr(self.fields[index])

    def _many(self, index: int) -> list[Expr]:
        return [self.file.exprs[one] for one in self.fields[index] if one >= 0]

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
        return [Let(self, raw) for raw in self.fields[1] if raw[0] == "let"] if self.kind == "block" else []

    @property
    def statements(self) -> list[Let | Expr]:
        """Of a block: `let` statements and expressions in order, the tail last; items left out."""
        if self.kind != "block":
            return []
        out: list[Let | Expr] = [
            Let(self, raw) if raw[0] == "let" else self.file.exprs[raw[1]] for raw in self.fields[1] if raw[0] != "item"
        ]
        if self.tail is not None:
            out.append(self.tail)
        return out

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

    def within(self) -> Iterator[Expr]:
        """All expressions inside it, itself first."""
        # Children follow their parents, so one pass over the ids that can be inside is enough.
        ids = {self.id}
        yield self
        for at in range(self.id + 1, len(self.file.raw_exprs)):
            raw = self.file.raw_exprs[at]
            if raw[1] in ids:
                ids.add(at)
                yield self.file.exprs[at]
            elif raw[2] >= self.end:
                break


_UNWRAPS = frozenset(
    {"unwrap", "expect", "context", "with_context", "wrap_err", "wrap_err_with", "ok_or", "ok_or_else", "map_err", "ok"}
)


class _Exprs:
    """`Expr` views by id, made when asked for."""

    __slots__ = ("_file", "_made")

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._made: dict[int, Expr] = {}

    def __getitem__(self, at: int) -> Expr:
        made = self._made.get(at)
        if made is None:
            made = self._made[at] = Expr(self._file, at)
        return made


class SourceFile:
    """One parsed Rust file. `module` is its module path in the crate (`()` for a root), `crate` where it belongs."""

    __slots__ = (
        "_by_kind", "_by_name", "attrs", "cache", "crate", "exprs", "items", "lines", "module", "notes", "path", "paths",
        "raw_exprs", "root", "text", "uses",
    )  # fmt: skip

    def __init__(self, path: str, data: bytes, facts: bytes | None = None) -> None:
        import json

        if facts is None:
            from bpfsmith._native import rust_facts

            facts = rust_facts(data)
        read = json.loads(facts)
        if read["v"] != _VERSION:
            raise ValueError(f"facts of version {read['v']}, this reads {_VERSION}")
        self.path = path
        self.text: str = data.decode("utf-8", "replace")
        self.crate: Crate | None = None
        self.root: str = path
        self.module: tuple[str, ...] = ()
        self.lines: list[int] = read["lines"]
        self.raw_exprs: list[list[Any]] = read["exprs"]
        self.exprs = _Exprs(self)
        self.paths: list[tuple[int, str, int, int]] = [tuple(one) for one in read["paths"]]
        self.notes = [Note(kind, text, start) for kind, text, start, _ in read["notes"]]
        self.items = [Item(self, at, raw) for at, raw in enumerate(read["items"])]
        self.attrs = [Attribute(self, raw) for raw in read["attrs"]]
        self.uses = [Use(raw) for raw in read["uses"]]
        self.cache: dict[Any, Any] = {}  # what `names` and `types` found out already
        self._by_kind: dict[str, list[int]] | None = None
        self._by_name: dict[tuple[str, str], list[int]] | None = None

    def __repr__(self) -> str:
        return f"SourceFile({self.path})"

    def expr(self, at: int) -> Expr | None:
        return self.exprs[at] if at >= 0 else None

    def of_kind(self, *kinds: str) -> Iterator[Expr]:
        """Every expression of these kinds, in order of the text within each kind."""
        if self._by_kind is None:
            self._by_kind = {}
            for at, raw in enumerate(self.raw_exprs):
                self._by_kind.setdefault(raw[0], []).append(at)
        for kind in kinds:
            for at in self._by_kind.get(kind, ()):
                yield self.exprs[at]

    def methods(self, *names: str) -> Iterator[Expr]:
        """The method calls with one of these names."""
        for name in names:
            for at in self._named("method", name):
                yield self.exprs[at]

    def calls(self, *names: str) -> Iterator[Expr]:
        """The calls of a path whose last segment is one of these: `new` finds `RingBuf::new(..)`."""
        for name in names:
            for at in self._named("call", name):
                yield self.exprs[at]

    def macros(self, *names: str) -> Iterator[Expr]:
        """The macro calls with one of these last segments."""
        for name in names:
            for at in self._named("macro", name):
                yield self.exprs[at]

    def has(self, *words: str) -> bool:
        """Whether one of these identifiers stands in the file (or seems to: comments and strings count)."""
        return any(word in self.text for word in words)

    def _named(self, kind: str, name: str) -> list[int]:
        if self._by_name is None:
            self._by_name = {}
            for at, raw in enumerate(self.raw_exprs):
                found = ""
                if raw[0] == "method":
                    found = raw[5]
                elif raw[0] == "macro":
                    found = raw[4].rpartition("::")[2]
                elif raw[0] == "call" and raw[4] >= 0 and self.raw_exprs[raw[4]][0] == "path":
                    found = self.raw_exprs[raw[4]][4].rpartition("::")[2]
                if found:
                    self._by_name.setdefault((raw[0], found), []).append(at)
        return self._by_name.get((kind, name), [])

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column) of a character offset, both from 1."""
        from bisect import bisect_right

        line = bisect_right(self.lines, offset)
        column = offset - self.lines[line - 1] + 1
        if line == 1 and self.text.startswith("\ufeff") and column > 1:
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
        return [attr for attr in self.attrs if attr.owner == -1 and attr.inner]

    @property
    def no_std(self) -> bool:
        """True for `#![no_std]`, also under `cfg_attr` (then the kernel build has it)."""
        return any(
            attr.path == "no_std" or (attr.path == "cfg_attr" and "no_std" in attr.args) for attr in self.file_attrs()
        )

    def gates(self, item: Item | None, offset: int = -1) -> list[str]:
        """The `cfg(..)` conditions around a place: of the item, its parents, the file and enclosing statements."""
        owners = set()
        while item is not None:
            owners.add(item.id)
            item = item.parent
        return [
            attr.args
            for attr in self.attrs
            if attr.path == "cfg"
            and (
                (attr.on_item and (attr.owner in owners or attr.owner == -1))
                or (not attr.on_item and attr.target_start <= offset < attr.target_end)
            )
        ]

    def in_test(self, item: Item | None) -> bool:
        """Inside `#[cfg(test)]` or a `#[test]` function."""
        if any("test" in gate and "not(test" not in gate.replace(" ", "") for gate in self.gates(item)):
            return True
        while item is not None:
            if any(attr.path == "test" or attr.path.endswith("::test") for attr in item.attrs):
                return True
            item = item.parent
        return False


def parse_files(paths: list[str], datas: list[bytes]) -> list[SourceFile]:
    """Parses files on all cores."""
    from bpfsmith._native import rust_facts_many

    facts = rust_facts_many(datas)
    return [SourceFile(path, data, one) for path, data, one in zip(paths, datas, facts, strict=True)]
