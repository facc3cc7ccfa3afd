"""Views on what is not an expression: items, attributes, `use`, parameters and fields. See `rust.py`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.finding import Span
    from bpfsmith.source.rust import Expr, SourceFile

__all__ = ["Attribute", "Item", "Note", "Param", "Use"]

# Bits of `Item.flags` and of a parameter's.
_PUB, _GENERIC, _UNSAFE, _CONST, _ASYNC, _MUT, _EXTERN = 1, 2, 4, 8, 16, 32, 64


class Note:
    """What was unusual about the reading: `kind` is `not-utf8`, `nesting`, `length`, `syntax` or `unread`."""

    __slots__ = ("kind", "start", "text")

    def __init__(self, kind: str, text: str, start: int) -> None:
        self.kind = kind
        self.text = text
        self.start = start


class Attribute:
    """`#[path args]`; `args` is the text after the path: `(test)`, `= "x"` or nothing."""

    __slots__ = ("args", "end", "inner", "on_item", "owner", "path", "start", "target_end", "target_start", "unsafe_")

    def __init__(self, file: SourceFile, at: int) -> None:
        raw = file.native.attr(at)
        self.owner, self.path, self.start, self.end, flags, args, args_end, self.target_start, self.target_end = raw
        self.inner = bool(flags & 1)
        self.unsafe_ = bool(flags & 2)
        self.on_item = bool(flags & 4)
        self.args = file.text[args:args_end]

    @property
    def name(self) -> str:
        """The last segment of its path."""
        return self.path.rpartition("::")[2]


class Use:
    """One leaf of a `use` tree: `name` is what `path` is called here; a glob has no name."""

    __slots__ = ("end", "glob", "name", "owner", "path", "public", "renamed", "start", "stmt_end", "stmt_start")

    def __init__(self, file: SourceFile, at: int) -> None:
        raw = file.native.use_(at)
        self.owner, self.path, self.name, flags, self.start, self.end, self.stmt_start, self.stmt_end = raw
        self.glob = bool(flags & 1)
        self.public = bool(flags & 2)
        self.renamed = bool(flags & 4)


class Param:
    """A parameter, field or variant; `type` is its text, empty when there is none.

    `names` is what a pattern that is no plain name binds, `value` an enum variant's discriminant.
    """

    __slots__ = ("_file", "_value", "end", "mutable", "name", "names", "public", "start", "type", "type_start")

    def __init__(self, file: SourceFile, raw: tuple[Any, ...]) -> None:
        self.name, self.start, self.end, self.type_start, type_end, flags, self._value, self.names = raw
        self._file = file
        self.type = file.text[self.type_start : type_end]
        self.public = bool(flags & _PUB)
        self.mutable = bool(flags & _MUT)

    @property
    def value(self) -> Expr | None:
        return self._file.expr(self._value)

    @property
    def attrs(self) -> list[Attribute]:
        """The attributes on it."""
        file = self._file
        return [file.attrs[at] for at in file.native.attrs_at(self.start, self.end)]


class Item:
    """An item: fn, struct, enum, union, static, const, mod, impl, trait, type, macro_rules, macro, extern_block."""

    __slots__ = (
        "_flags", "_params", "_spans", "body_end", "body_start", "end", "expr_id", "extra_start", "file", "id", "kind",
        "name", "name_end", "name_start", "parent_id", "start", "type_start",
    )  # fmt: skip

    def __init__(self, file: SourceFile, at: int) -> None:
        self.file = file
        self.id = at
        raw = file.native.item(at)
        self.kind, self.parent_id, self.start, self.end, self.name, self.name_start, self.name_end, self._flags = raw[
            :8
        ]
        self.type_start, type_end, self.extra_start, extra_end, self.body_start, self.body_end = raw[8:14]
        self.expr_id = raw[14]
        self._spans = (type_end, extra_end, raw[15], raw[16])
        self._params: list[Param] | None = None

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
    def type(self) -> str:
        """Static, const: its type. Fn: what it returns. Impl: what it is for. Type alias: what it stands for."""
        return self.file.text[self.type_start : self._spans[0]]

    @property
    def extra(self) -> str:
        """Impl: the trait. A macro: its tokens."""
        return self.file.text[self.extra_start : self._spans[1]]

    @property
    def generics(self) -> str:
        """`<T: X>` as written, or nothing."""
        return self.file.text[self._spans[2] : self._spans[3]]

    @property
    def parent(self) -> Item | None:
        return self.file.items[self.parent_id] if self.parent_id >= 0 else None

    @property
    def params(self) -> list[Param]:
        """Fn: parameters; struct: fields; enum: variants."""
        if self._params is None:
            self._params = [Param(self.file, raw) for raw in self.file.native.params(self.id)]
        return self._params

    @property
    def expr(self) -> Expr | None:
        """Fn: its block; static and const: the value; a macro: the call."""
        return self.file.expr(self.expr_id)

    @property
    def attrs(self) -> list[Attribute]:
        return [self.file.attrs[at] for at in self.file.native.attrs_on(self.id)]

    @property
    def derives(self) -> list[str]:
        """The paths in its `#[derive(..)]`."""
        listed = [one.args for one in self.attrs if one.path == "derive"]
        return [path.strip() for args in listed for path in args.strip("()").split(",") if path.strip()]

    @property
    def name_span(self) -> Span:
        return self.file.span(self.name_start, self.name_end)

    def children(self, kind: str | None = None) -> list[Item]:
        inside = [self.file.items[at] for at in self.file.native.children(self.id)]
        return [one for one in inside if kind in (None, one.kind)]
