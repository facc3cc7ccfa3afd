"""What the user side says about an object, one value a place. Found by `user`, followed by `follow`."""

from __future__ import annotations

from bpfsmith.source.layout import Layout, layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = ["GlobalSet", "Loaded", "LoaderCall", "MapUse", "ProgramUse", "Use"]


class Use:
    """One place of the user side that names something of the object. `names` is None where they are computed."""

    __slots__ = ("expr", "file", "names")

    def __init__(self, expr: Expr, names: frozenset[str] | None) -> None:
        self.expr = expr
        self.file: SourceFile = expr.file
        self.names = names

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self.names or ['?']))} at {self.expr.span})"

    @property
    def name(self) -> str | None:
        """The name where it is just one."""
        return next(iter(self.names)) if self.names is not None and len(self.names) == 1 else None

    @property
    def fn(self) -> Item | None:
        return self.expr.item

    @property
    def argument(self) -> Expr | None:
        """The expression that says the name."""
        args = self.expr.args
        return args[0] if args else None


class Loaded(Use):
    """An object is loaded: `names` holds the name of its file where that is written."""

    __slots__ = ()


class ProgramUse(Use):
    """`program(..)` or `program_mut(..)`: `cast` is the type it is taken as (`Xdp`), written at `cast_at`.

    `calls` are the methods called on it, `escapes` whether it went where it is not followed.
    """

    __slots__ = ("calls", "cast", "cast_at", "escapes", "several")

    def __init__(self, expr: Expr, names: frozenset[str] | None) -> None:
        super().__init__(expr, names)
        self.cast = ""
        self.cast_at: tuple[SourceFile, int, int] | None = None
        self.several = False  # taken as this or that
        self.calls: list[Expr] = []
        self.escapes = False

    @property
    def loads(self) -> list[Expr]:
        return [one for one in self.calls if one.name == "load"]

    @property
    def attaches(self) -> list[Expr]:
        return [one for one in self.calls if one.name.startswith("attach")]


class MapUse(Use):
    """`map`, `map_mut`, `take_map` (`how`): `type` is what it is opened as (`HashMap`), `key` and `value` the texts of
    its types as written in `scope_file`; empty where they are left to the compiler."""

    __slots__ = ("calls", "escapes", "how", "key", "scope_file", "scope_item", "type", "type_at", "value")

    def __init__(self, expr: Expr, names: frozenset[str] | None) -> None:
        super().__init__(expr, names)
        self.how = expr.name
        self.type = ""
        self.type_at: tuple[SourceFile, int, int] | None = None
        self.key = self.value = ""
        self.scope_file: SourceFile = expr.file
        self.scope_item: Item | None = expr.item
        self.calls: list[Expr] = []
        self.escapes = False

    @property
    def key_layout(self) -> Layout | None:
        return layout(self.scope_file, self.key, self.scope_item, "host") if self.key else None

    @property
    def value_layout(self) -> Layout | None:
        return layout(self.scope_file, self.value, self.scope_item, "host") if self.value else None


class LoaderCall(Use):
    """What a loader is told before it loads: `what` is max_entries, pin, pin_dir, extension or unsupported."""

    __slots__ = ("what",)

    def __init__(self, expr: Expr, names: frozenset[str] | None, what: str) -> None:
        super().__init__(expr, names)
        self.what = what


class GlobalSet(Use):
    """`override_global(name, value, must_exist)`; `must_exist` None where it is no literal or not given."""

    __slots__ = ("must_exist", "value")

    def __init__(self, expr: Expr, names: frozenset[str] | None) -> None:
        super().__init__(expr, names)
        args = expr.args
        self.value = args[1] if len(args) > 1 else None
        text = args[2].text if len(args) > 2 else ""
        self.must_exist = {"true": True, "false": False}.get(text)
