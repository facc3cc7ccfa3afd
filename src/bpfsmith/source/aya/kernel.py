"""The kernel side of a project as written: programs, maps and globals of its kernel crates (and what these share)."""

from __future__ import annotations

import re

from bpfsmith.source.across import resolve_across
from bpfsmith.source.aya.tables import LOADED_AS, MAP_TYPES, SECTIONS, generic_parts
from bpfsmith.source.layout import Layout, constant, layout, split_type
from bpfsmith.source.names import resolve_attr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.rust import Attribute, Expr, Item, SourceFile

__all__ = ["KernelGlobal", "KernelMap", "KernelProgram", "read_kernel", "unread"]

_MACROS = ("aya_ebpf::macros::", "aya_bpf::macros::", "aya_ebpf_macros::", "aya_bpf_macros::")
_MAP_MODULES = frozenset({"aya_ebpf::maps", "aya_ebpf::btf_maps", "aya_bpf::maps", "aya_bpf::btf_maps"})
_DEPTH = 8
_HINTS = ("function", "name", "hook", "tracepoint")  # arguments that say where a program belongs
_READ = frozenset({"_numbers", "event", "key", "kind", "pinned", "value"})
_SIZES = frozenset({"flags", "max_entries"})
# Attributes that make nothing new of an item.
_PLAIN = frozenset(
    {
        *("allow", "cfg", "cfg_attr", "cold", "deny", "deprecated", "derive", "doc", "expect", "export_name", "inline"),
        *(
            "link_section",
            "must_use",
            "no_mangle",
            "non_exhaustive",
            "panic_handler",
            "repr",
            "rustfmt",
            "test",
            "used",
        ),
        *("track_caller", "unsafe", "warn", "global_allocator", "link", "path", "rustc_legacy_const_generics"),
    }
)
# Item macros that make no programs, maps or globals.
_HARMLESS = frozenset(
    {"compile_error", "const_assert", "const_assert_eq", "assert_eq_size", "bitflags", "static_assertions"}
)


class KernelProgram:
    """A function with a program macro. `kind` are the types of `aya::programs` that accept it; `old` are programs of
    aya-bpf: there `name = ".."` without a category is the program's own name, and one without may be called as its
    section is."""

    __slots__ = ("attach_hint", "attr", "attrs", "crate", "file", "item", "kinds", "macro", "name", "old")

    def __init__(self, item: Item, macro: str, attr: Attribute, crate: Crate, old: bool = False) -> None:
        self.macro = macro
        self.item = item
        self.attr = attr
        self.file: SourceFile = item.file
        self.crate = crate
        self.kinds = LOADED_AS.get(macro, ())
        self.attrs = _arguments(attr)
        self.old = old
        own = self.attrs.get("name") if old and not self.attrs.get("category") else None
        self.name: str = own or item.name
        hints = (one for one in _HINTS if self.attrs.get(one) and not (own and one == "name"))
        self.attach_hint = next((self.attrs[one] for one in hints), "")

    def __repr__(self) -> str:
        return f"KernelProgram({self.macro} {self.name})"

    @property
    def kind(self) -> str:
        return self.kinds[0] if self.kinds else ""

    @property
    def context(self) -> str:
        """The type of the context parameter as written."""
        params = self.item.params
        return params[0].type if params else ""


class KernelMap:
    """A map static. `name` is what the loader calls it; `key` and `value` are the types' texts, empty for none."""

    __slots__ = (
        "_numbers", "attr", "btf", "crate", "event", "file", "flags", "item", "kernel", "key", "kind", "max_entries",
        "name", "pinned", "value",
    )  # fmt: skip
    event: str  # what a buffer carries, where its type says so
    flags: int | None
    key: str
    kind: str  # the last segment of its type in aya-ebpf, empty when that cannot be told
    max_entries: int | None
    pinned: bool
    value: str

    def __init__(self, item: Item, attr: Attribute, kernel: Kernel, btf: bool) -> None:
        self.item = item
        self.attr = attr
        self.file: SourceFile = item.file
        self.kernel = kernel
        self.crate = item.file.crate or kernel.crate
        self.btf = btf
        args = _arguments(attr)
        self.name: str = args.get("name") or item.name

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """The type and its arguments are read when one of them is asked for."""
            if name in _SIZES:
                self._read_sizes()
            elif name in _READ:
                self._read()
            else:
                raise AttributeError(name)
            return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return f"KernelMap({self.kind} {self.name})"

    @property
    def type(self) -> str:
        return self.item.type

    def _read(self) -> None:
        self.pinned = "pin_by_name" in self.attr.args
        self.kind = self.key = self.value = self.event = ""
        self._numbers: tuple[SourceFile, list[str], Item | None] | None = None
        found = _map_type(self.file, self.item.type, self.item)
        if found is None:
            return
        self.kind, args, file, item = found
        if file is not self.file:
            args = []  # an alias of another file: its arguments mean something there only
        letters = MAP_TYPES[self.kind][1]
        parts = generic_parts(letters, args)
        self.key, self.value, self.event = parts.get("K", ""), parts.get("V", ""), parts.get("E", "")
        if self.btf:
            if self.kind == "PerfEventArray":
                self.event = ""  # its generic arguments are numbers
                letters = ""
            self._numbers = (file, args[len(letters) :], item)
            return
        made = self.item.expr
        if made is not None and made.kind == "call" and made.callee is not None:
            self.pinned = self.pinned or made.callee.path.rpartition("::")[2] == "pinned"

    def _read_sizes(self) -> None:
        self.max_entries = self.flags = None
        if not self.kind:
            return
        if self.btf:
            if self._numbers is not None:
                file, numbers, item = self._numbers
                self.max_entries = constant(file, numbers[0], item) if numbers else None
                self.flags = constant(file, numbers[1], item) if len(numbers) > 1 else 0
            return
        made = self.item.expr
        if made is None or made.kind != "call" or made.callee is None or len(made.args) != 2:
            return
        if made.callee.path.rpartition("::")[2] in ("with_max_entries", "pinned", "with_byte_size"):
            self.max_entries, self.flags = (constant(self.file, one.text, self.item) for one in made.args)

    @property
    def bpf_type(self) -> int | None:
        """The kernel's number of its type."""
        return MAP_TYPES[self.kind][0] if self.kind else None

    @property
    def key_layout(self) -> Layout | None:
        return layout(self.file, self.key, self.item) if self.key else None

    @property
    def value_layout(self) -> Layout | None:
        return layout(self.file, self.value, self.item) if self.value else None

    def mentions(self) -> list[Expr]:
        """Every expression of the kernel code that names it (or something else of its name)."""
        from bpfsmith.source.aya.values import paths_named

        return [path for file in self.kernel.files for path in paths_named(file, self.item.name)]

    def calls(self) -> list[Expr] | None:
        """The method calls on it in the kernel code; None when it is used in another way too (or in a macro)."""
        out = []
        for path in self.mentions():
            at, parent = path, path.parent
            while parent is not None and parent.kind in ("ref", "paren", "block", "unary"):
                at, parent = parent, parent.parent
            if parent is None or parent.kind != "method" or parent.receiver != at:
                return None
            out.append(parent)
        if self.item.name in self.kernel.tokens:
            return None
        return out


class KernelGlobal:
    """A static that is no map. `kind`: `Global`, `static-volatile`, `static`; `exported` when its symbol is `name`."""

    __slots__ = ("crate", "exported", "file", "item", "kind", "name", "type")

    def __init__(self, item: Item, crate: Crate, kind: str, type_: str) -> None:
        self.item = item
        self.file: SourceFile = item.file
        self.crate = crate
        self.kind = kind
        self.type = type_  # of what is in it: `T` for `Global<T>`
        self.name: str = item.name
        self.exported = False
        for attr in item.attrs:
            if attr.path == "export_name":
                self.name = attr.args.lstrip("= ").strip('"')
                self.exported = True
            elif attr.path == "no_mangle":
                self.exported = True

    def __repr__(self) -> str:
        return f"KernelGlobal({self.kind} {self.name}: {self.type})"

    @property
    def layout(self) -> Layout | None:
        return layout(self.file, self.type, self.item)


# Modules that are usually generated, and not in the repository: they hold types.
_TYPES = re.compile(r"(?:^|_)(?:bindings?|vmlinux|generated|types)(?:_|$)")


class Kernel:
    """What a kernel crate and the crates it uses by path hold; `complete` False where macros may make more."""

    __slots__ = ("_tokens", "complete", "crate", "crates", "globals", "maps", "programs", "why")

    def __init__(self, crate: Crate) -> None:
        self.crate = crate
        self.crates = list(_linked(crate))
        self._tokens: str | None = None
        self.programs: list[KernelProgram] = []
        self.maps: list[KernelMap] = []
        self.globals: list[KernelGlobal] = []
        self.complete = True
        self.why = ""

    @property
    def files(self) -> list[SourceFile]:
        """The files of all crates in the object."""
        return [file for crate in self.crates for file in crate.files]

    @property
    def tokens(self) -> str:
        """What stands in macros, unparsed."""
        if self._tokens is None:
            self._tokens = "\n".join(one.text for file in self.files for one in file.of_kind("tokens"))
        return self._tokens

    def unsure(self, why: str) -> None:
        self.complete = False
        self.why = self.why or why


def read_kernel(crate: Crate) -> Kernel:
    """Reads one kernel crate with everything it uses by path."""
    kernel = Kernel(crate)
    for one in kernel.crates:
        for file in one.files:
            _read_file(kernel, file, one)
        for module in unread(one):
            kernel.unsure(f"the module `{module}` has no file")
        for dependency in one.dependencies:
            if dependency.kind == "normal" and dependency.path is not None and not _known(one, dependency.path):
                kernel.unsure(f"the crate `{dependency.alias}` is not here")
    if not kernel.programs and not kernel.maps and not kernel.globals:
        kernel.unsure("no program and no map is written in it")
    return kernel


def unread(crate: Crate) -> list[str]:
    """The modules without a file that may hold more than types."""
    return [module for module in crate.unread if _TYPES.search(module) is None]


def _known(crate: Crate, folder: str) -> bool:
    return crate.project is None or any(other.folder == folder for other in crate.project.all_crates)


def _linked(crate: Crate) -> Iterator[Crate]:
    """The crate and those it depends on by path: their statics and programs are in the object too."""
    seen = {crate.folder}
    pending = [crate]
    while pending:
        one = pending.pop()
        yield one
        if one.project is None:
            continue
        for dependency in one.dependencies:
            if dependency.kind != "normal" or dependency.path is None or dependency.path in seen:
                continue
            seen.add(dependency.path)
            pending.extend(other for other in one.project.all_crates if other.folder == dependency.path)


def _read_file(kernel: Kernel, file: SourceFile, crate: Crate) -> None:
    # A function without an attribute is none of what is looked for.
    marked = {attr.owner for attr in file.attrs if attr.on_item}
    ids = [at for at in file.native.items_of_kind("fn") if at in marked]
    for item in (*file.items_of_kind("macro"), *map(file.items.__getitem__, ids), *file.items_of_kind("static")):
        kind = item.kind
        if kind == "macro" and (item.parent is None or item.parent.kind == "mod"):
            called = item.expr
            name = called.path.rpartition("::")[2] if called is not None else ""
            if name not in _HARMLESS:
                kernel.unsure(f"`{name}!` may make more")
        if kind in ("fn", "static") and (item.parent is None or item.parent.kind in ("mod", "fn")):
            _read_item(kernel, item, crate)


def _read_item(kernel: Kernel, item: Item, crate: Crate) -> None:
    section = ""
    for attr in item.attrs:
        if attr.path == "link_section":
            section = attr.args.lstrip("= ").strip('"')
            by_hand = attr
        if attr.path in _PLAIN:
            continue
        path = resolve_attr(item.file, attr.path, item)
        if path is not None and path.startswith(_MACROS):
            _add(kernel, item, path, attr, crate)
            return
        if path is None or not path.startswith(("core::", "std::")):
            kernel.unsure(f"`#[{attr.path}]` is not known")
            return
    if item.kind == "fn":
        macro = SECTIONS.get(section.partition("/")[0].removesuffix(".s"))
        if section and macro is None:
            kernel.unsure(f"section `{section}`")
        elif macro is not None:
            kernel.programs.append(KernelProgram(item, macro, by_hand, crate))
    elif section in ("maps", ".maps"):
        kernel.unsure("a map without a macro")
    elif not section or section.startswith((".rodata", ".data", ".bss")):
        _add_global(kernel, item, crate)


def _add(kernel: Kernel, item: Item, path: str, attr: Attribute, crate: Crate) -> None:
    macro = path.rpartition("::")[2]
    if macro in ("map", "btf_map"):
        if item.kind == "static":
            kernel.maps.append(KernelMap(item, attr, kernel, macro == "btf_map"))
    elif item.kind == "fn":
        kernel.programs.append(KernelProgram(item, macro, attr, crate, path.startswith("aya_bpf")))


def _add_global(kernel: Kernel, item: Item, crate: Crate) -> None:
    parsed = split_type(item.type)
    if parsed is not None and len(parsed[1]) == 1:
        path = resolve_across(item.file, parsed[0], item)
        if path == "aya_ebpf::Global":
            kernel.globals.append(KernelGlobal(item, crate, "Global", parsed[1][0]))
            return
    volatile = any(_read_volatile(item, one) for one in kernel.crates)
    kind = "static-volatile" if volatile else "static"
    kernel.globals.append(KernelGlobal(item, crate, kind, item.type))


def _read_volatile(item: Item, crate: Crate) -> bool:
    """Whether some `read_volatile` is given the static, directly or through anything else."""
    for file in crate.files:
        for call in file.calls("read_volatile"):
            if item.name in call.text:
                return True
        for call in file.methods("read_volatile"):
            if item.name in call.text:
                return True
    return False


def _map_type(
    file: SourceFile, text: str, item: Item | None, depth: int = 0
) -> tuple[str, list[str], SourceFile, Item | None] | None:
    """(kind, generic arguments, where they are written) of a map static's type, through aliases."""
    from bpfsmith.source.across import item_across

    parsed = split_type(text)
    if parsed is None or depth > _DEPTH:
        return None
    path = resolve_across(file, parsed[0], item)
    if path is None:
        return None
    module, _, kind = path.rpartition("::")
    if module in _MAP_MODULES and kind in MAP_TYPES:
        return kind, [one for one in parsed[1] if not one.startswith("'")], file, item
    alias = item_across(file, path)
    if alias is not None and alias.kind == "type" and not alias.generic and not parsed[1]:
        return _map_type(alias.file, alias.type, alias, depth + 1)
    return None


def _arguments(attr: Attribute) -> dict[str, str]:
    """`name = "value"` and flags of an attribute; empty where it is anything else."""
    if not (attr.args.startswith("(") and attr.args.endswith(")")):
        return {}
    out = {}
    for part in attr.args[1:-1].split(","):
        name, _, value = (one.strip() for one in part.partition("="))
        if name.isidentifier():
            out[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return out
