"""What the user side says about an object, one value a place. Found by `user`, followed by `follow`."""

from __future__ import annotations

from bpfsmith.source.layout import Layout, layout
from bpfsmith.source.rust import Expr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Item, SourceFile

__all__ = ["GlobalSet", "Loaded", "LoaderCall", "MapUse", "ProgramUse", "Use"]


class Use:
    """One place of the user side that names something of the object. `names` is None where they are computed."""

    __slots__ = ("expr", "file", "names")
    names: frozenset[str] | None

    def __init__(self, expr: Expr, names: frozenset[str] | Expr | None = None) -> None:
        self.expr = expr
        self.file: SourceFile = expr.file
        if not isinstance(names, Expr):
            self.names = names

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """What is found out when it is asked for: the names a computed argument can have, what becomes of it."""
            if name == "names":
                from bpfsmith.source.aya.values import strings

                self.names = strings(self._naming())
            elif name in self._FOLLOWED:
                self._follow()
            else:
                raise AttributeError(name)
            return object.__getattribute__(self, name)

    _FOLLOWED: tuple[str, ...] = ()

    def _naming(self) -> Expr | None:
        """The expression that says the name."""
        return self.argument

    def _follow(self) -> None:
        """Sets what `_FOLLOWED` names."""

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

    __slots__ = _FOLLOWED = ("calls", "cast", "cast_at", "escapes", "several")
    calls: list[Expr]
    cast: str
    cast_at: tuple[SourceFile, int, int] | None
    escapes: bool
    several: bool  # taken as this or that

    def _follow(self) -> None:
        from bpfsmith.source.aya.follow import follow_program

        self.cast = ""
        self.cast_at = None
        self.several = self.escapes = False
        self.calls = []
        follow_program(self, self.expr, 0)

    @property
    def loads(self) -> list[Expr]:
        return [one for one in self.calls if one.name == "load"]

    @property
    def attaches(self) -> list[Expr]:
        return [one for one in self.calls if one.name.startswith("attach")]


class MapUse(Use):
    """`map`, `map_mut`, `take_map` (`how`): `type` is what it is opened as (`HashMap`), `key` and `value` the texts of
    its types as written in `scope_file`; empty where they are left to the compiler."""

    _FOLLOWED = ("calls", "escapes", "key", "scope_file", "scope_item", "type", "type_at", "value")
    __slots__ = (*_FOLLOWED, "how", "named")
    calls: list[Expr]
    escapes: bool
    key: str
    scope_file: SourceFile
    scope_item: Item | None
    type: str
    type_at: tuple[SourceFile, int, int] | None
    value: str

    def __init__(self, expr: Expr, names: frozenset[str] | Expr | None = None) -> None:
        super().__init__(expr, names)
        self.how = expr.name
        self.named = names if isinstance(names, Expr) else None

    def _naming(self) -> Expr | None:
        return self.named

    def _follow(self) -> None:
        from bpfsmith.source.aya.follow import follow_map

        self.type = self.key = self.value = ""
        self.type_at = None
        self.scope_file, self.scope_item = self.file, self.expr.item
        self.calls = []
        self.escapes = self.how == "maps_disjoint_mut"
        if not self.escapes:
            follow_map(self, self.expr, 0)

    @property
    def key_layout(self) -> Layout | None:
        return layout(self.scope_file, self.key, self.scope_item, "host") if self.key else None

    @property
    def value_layout(self) -> Layout | None:
        return layout(self.scope_file, self.value, self.scope_item, "host") if self.value else None


class LoaderCall(Use):
    """What a loader is told before it loads: `what` is max_entries, pin, pin_dir, extension or unsupported."""

    __slots__ = ("what",)

    def __init__(self, expr: Expr, names: frozenset[str] | Expr | None, what: str) -> None:
        super().__init__(expr, names)
        self.what = what


class GlobalSet(Use):
    """`override_global(name, value, must_exist)`; `must_exist` None where it is no literal or not given."""

    __slots__ = ("must_exist", "value")

    def __init__(self, expr: Expr, names: frozenset[str] | Expr | None = None) -> None:
        super().__init__(expr, names)
        args = expr.args
        self.value = args[1] if len(args) > 1 else None
        text = args[2].text if len(args) > 2 else ""
        self.must_exist = {"true": True, "false": False}.get(text)
