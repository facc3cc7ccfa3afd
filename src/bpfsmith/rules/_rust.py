"""What source rules share: files by Aya version, where a name is used, programs and maps of kernel crates."""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix, Span
from bpfsmith.source.names import canonical, resolve, resolve_attr
from bpfsmith.source.rust import Expr
from bpfsmith.source.types import binding, item_of, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Attribute, Item, Let, SourceFile, Use

__all__ = [
    "EBPF",
    "LOADER",
    "Mention",
    "blocks_around",
    "borrow_edits",
    "by_value",
    "c_string_fix",
    "called_on",
    "cited",
    "compat",
    "covered",
    "files",
    "is_text",
    "kernel_files",
    "manifest_span",
    "maps",
    "mentions",
    "name_taken",
    "place",
    "programs",
    "rename_fix",
    "replace",
    "takes_any_error",
    "user_files",
]

EBPF = frozenset({"aya::Ebpf", "aya::Bpf"})
LOADER = frozenset({"aya::EbpfLoader", "aya::BpfLoader"})


def files(project: Project, package: str, since: str | None, before: str | None) -> Iterator[SourceFile]:
    """Files of the crates whose `package` is certainly in [`since`, `before`); tests and unread files left out."""
    for crate in project.crates:
        known = crate.version(package)
        if crate.dependency(package) is None or (known is None and (since or before)):
            continue
        if since is not None and not crate.at_least(package, since):
            continue
        if before is not None and not crate.below(package, before):
            continue
        yield from crate.files


def user_files(project: Project, since: str | None = None, before: str | None = None) -> Iterator[SourceFile]:
    """Files of crates that use `aya` at these versions."""
    yield from files(project, "aya", since, before)


def kernel_files(project: Project, since: str | None = None, before: str | None = None) -> Iterator[SourceFile]:
    """Files of kernel crates, `aya-ebpf` at these versions (`aya-bpf`, its old name, counts without them)."""
    for crate in project.crates:
        if crate.role != "kernel":
            continue
        late = since is None or crate.at_least("aya-ebpf", since)
        early = before is None or crate.below("aya-ebpf", before)
        if late and early:
            yield from crate.files


def place(ctx: CheckContext, file: SourceFile, start: int, end: int) -> Span:
    """A span with the path as findings show it."""
    return file.span(start, end).replace(path=ctx.shown(file.path))


def covered(ctx: CheckContext, expr: Expr) -> Span:
    """The span of an expression."""
    return place(ctx, expr.file, expr.start, expr.end)


def replace(ctx: CheckContext, file: SourceFile, start: int, end: int, text: str) -> Edit:
    return Edit(place(ctx, file, start, end), text)


def cited(text: str) -> str:
    """A short one-line quotation of code."""
    line = " ".join(text.split())
    return f"`{line if len(line) <= 60 else line[:57] + '...'}`"


def manifest_span(ctx: CheckContext, crate: Crate, dependency: str) -> Span:
    """The line of a dependency in the crate's manifest."""
    wanted = crate.dependency(dependency)
    alias = wanted.alias if wanted is not None else dependency
    return Span(ctx.shown(crate.manifest), crate.line_of(alias), 1, 0, len(alias) + 1)


def compat(file: SourceFile, item: Item | None, offset: int) -> bool:
    """Under a `cfg` on a feature or version: code kept for another Aya on purpose."""
    return any("feature" in gate or "version" in gate or "aya" in gate for gate in file.gates(item, offset))


class Mention:
    """A place where a name is written: `start`..`end` is the one segment to edit."""

    __slots__ = ("end", "file", "item", "path", "start", "use")

    def __init__(self, file: SourceFile, path: str, start: int, end: int, item: Item | None, use: bool) -> None:
        self.file = file
        self.path = path  # absolute, without what follows the name
        self.start = start
        self.end = end
        self.item = item
        self.use = use

    @property
    def text(self) -> str:
        return self.file.text[self.start : self.end]


def mentions(file: SourceFile, wanted: Collection[str]) -> list[Mention]:
    """Every place that names one of the absolute paths: in `use`, types, patterns, expressions. Tests too."""
    last_names = {path.rpartition("::")[2] for path in wanted}
    if not file.has(*last_names):
        return []
    out = []
    names = set(last_names)
    for use in sorted({use.start: use for use in file.uses_of(*last_names)}.values(), key=lambda one: one.start):
        if use.name:
            names.add(use.name)
        scope = file.item_at(use.owner)
        path = resolve(file, use.path, scope)
        if path in wanted and path is not None:
            out.append(Mention(file, path, use.start, use.end, scope, True))
    spelled = {(start, end): (path, file.item_at(owner)) for owner, path, start, end in file.paths_with(*sorted(names))}
    for one in file.path_exprs(*sorted(names)):
        spelled[one.start, one.end] = (one.path, one.item)
    for (start, end), (path, item) in spelled.items():
        segments = path.split("::")
        for count, segment in enumerate(segments, 1):
            if segment not in names:
                continue
            found = resolve(file, "::".join(segments[:count]), item)
            if found in wanted and found is not None:
                at = _segment(file.text, start, end, segment, segments[: count - 1].count(segment))
                if at is not None:
                    out.append(Mention(file, found, at, at + len(segment), item, False))
                break
    return sorted(out, key=lambda one: one.start)


def _segment(text: str, start: int, end: int, word: str, skip: int) -> int | None:
    """Where a segment of a path is written, generic arguments left out."""
    depth = 0
    at = start
    while at < end:
        char = text[at]
        if char == "<":
            depth += 1
        elif char == ">" and text[at - 1] != "-":
            depth -= 1
        elif depth == 0 and (char.isalpha() or char == "_"):
            stop = at
            while stop < end and (text[stop].isalnum() or text[stop] == "_"):
                stop += 1
            if text[at:stop] == word:
                if skip == 0:
                    return at
                skip -= 1
            at = stop
            continue
        at += 1
    return None


def rename_fix(ctx: CheckContext, file: SourceFile, places: list[Mention], new: str, message: str) -> Fix:
    """Writes the new name at every place; a re-export or hidden use (macro tokens) makes it unsafe."""
    old = places[0].text
    hidden = any(old in one.text for one in file.of_kind("tokens")) or any(
        item.kind == "macro_rules" and old in item.extra for item in file.items
    )
    public = any(use.public and use.name == old for use in file.uses)
    if name_taken(file, places, new):
        return Fix("display", f"{message}; something else is called `{new}` here")
    # What is imported under the new name already must not be imported twice.
    twice = {(use.owner, use.name) for use in file.uses if use.name == new and not use.renamed}
    edits = []
    for one in places:
        if one.text != old:
            continue
        owner = one.item.id if one.item is not None else -1
        if one.use and (owner, new) in twice:
            leaf = next((use for use in file.uses if use.start == one.start), None)
            if leaf is None or leaf.renamed or leaf.public:
                return Fix("display", message)
            edits.append(_without_leaf(ctx, file, leaf))
        else:
            edits.append(replace(ctx, file, one.start, one.end, new))
    return Fix("unsafe" if hidden or public else "safe", message, edits)


def name_taken(file: SourceFile, places: list[Mention], new: str) -> bool:
    """Whether an import of the old name cannot become one of the new: the file has another thing called so."""
    imports = [one for one in places if one.use]
    if not imports:
        return False
    if any(item.name == new and item.kind in _NAMED_KINDS for item in file.items):
        return True
    wanted = {canonical(f"{one.path.rpartition('::')[0]}::{new}") for one in imports}
    others = [use for use in file.uses if use.name == new]
    return any(resolve(file, use.path, file.item_at(use.owner)) not in wanted for use in others)


_NAMED_KINDS = frozenset({"struct", "enum", "union", "trait", "type", "mod", "fn", "const", "static"})


def _without_leaf(ctx: CheckContext, file: SourceFile, leaf: Use) -> Edit:
    """A name goes from its `use`: with its comma from a list, with the whole statement when it is alone."""
    text = file.text
    end = leaf.end
    while end < leaf.stmt_end and text[end].isspace():
        end += 1
    if text[end] == ",":
        end += 1
        while end < leaf.stmt_end and text[end] in " \t\r":
            end += 1
        line = text.rfind("\n", 0, leaf.start) + 1
        if text[end : end + 1] == "\n" and not text[line : leaf.start].strip():
            return replace(ctx, file, line, end + 1, "")  # it has a line of its own
        return replace(ctx, file, leaf.start, end, "")
    before = text.rfind(",", leaf.stmt_start, leaf.start)
    if text[end] == "}" and before > text.rfind("{", leaf.stmt_start, leaf.start):
        return replace(ctx, file, before, leaf.end, "")
    if text[end] == "}":
        return replace(ctx, file, leaf.start, leaf.end, "")
    start, stop = leaf.stmt_start, leaf.stmt_end
    if text[stop : stop + 1] == "\n":
        stop += 1
    return replace(ctx, file, start, stop, "")


def blocks_around(file: SourceFile, calls: Iterable[Expr]) -> list[Expr]:
    """The blocks that one of these expressions is in, in order of the text."""
    ids: set[int] = set()
    for call in calls:
        if call.parent_id not in ids:
            ids.update(file.native.ancestors(call.id))
    exprs = (file.exprs[at] for at in sorted(ids))
    return [one for one in exprs if one.kind == "block"]


def called_on(expr: Expr, types: frozenset[str] | set[str]) -> bool:
    """Whether a method call's receiver is certainly of one of these types."""
    found = type_of(expr.receiver)
    return found is not None and found.path in types


def programs(file: SourceFile) -> list[tuple[Item, str, Attribute]]:
    """The eBPF programs of a kernel file: function, name of the Aya macro (`xdp`), the attribute."""
    found: list[tuple[Item, str, Attribute]] | None = file.cache.get("programs")
    if found is None:
        marked = _marked(file, "fn", lambda path: path.startswith(_PROGRAM_MACROS))
        found = file.cache["programs"] = [(item, path.rpartition("::")[2], attr) for item, attr, path in marked]
    return found


def maps(file: SourceFile) -> list[tuple[Item, Attribute]]:
    """The map statics of a kernel file, with the attribute that makes them one."""
    found: list[tuple[Item, Attribute]] | None = file.cache.get("maps")
    if found is None:
        marked = _marked(file, "static", lambda path: path.startswith("aya_") and path.endswith(_MAP_MACROS))
        found = file.cache["maps"] = [(item, attr) for item, attr, _ in marked]
    return found


_PROGRAM_MACROS = ("aya_ebpf::macros::", "aya_bpf::macros::", "aya_ebpf_macros::", "aya_bpf_macros::")
_MAP_MACROS = ("::map", "::btf_map")


def _marked(file: SourceFile, kind: str, wanted: Callable[[str], bool]) -> Iterator[tuple[Item, Attribute, str]]:
    """Items of a kind with the first of their attributes whose macro is wanted, and its path."""
    found: dict[int, tuple[Item, Attribute, str]] = {}
    for attr in file.attrs:
        if not attr.on_item or attr.owner < 0 or attr.owner in found:
            continue
        item = file.items[attr.owner]
        path = resolve_attr(file, attr.path, item) if item.kind == kind else None
        if path is not None and wanted(path):
            found[item.id] = (item, attr, path)
    return iter([found[at] for at in sorted(found)])


_TEXT_TYPES = frozenset({"str", "String", "&str", "&String", "&'static str", "Box<str>"})


def is_text(expr: Expr | None) -> bool:  # noqa: PLR0911 - one return a kind
    """Whether an argument is certainly a Rust string: a literal, a local or field declared as one, a `format!`."""
    while expr is not None and expr.kind in ("ref", "paren"):
        expr = expr.inner
    if expr is None:
        return False
    if expr.literal == "str":
        return True
    if expr.kind == "macro":
        return expr.path == "format"
    if expr.kind == "method" and expr.name in ("unwrap_or", "unwrap_or_else") and len(expr.args) == 1:
        other = expr.args[0].body if expr.args[0].kind == "closure" else expr.args[0]
        return is_text(other)
    if expr.kind == "method":
        return expr.name in ("as_str", "to_string") or (expr.name == "to_owned" and is_text(expr.receiver))
    if expr.kind == "field":
        owner = type_of(expr.receiver)
        item = item_of(expr.file, owner.path) if owner is not None else None
        if item is None or item.kind != "struct":
            return False
        return any(field.name == expr.name and field.type in _TEXT_TYPES for field in item.params)
    if expr.kind != "path":
        return False
    found = binding(expr) if "::" not in expr.path else None
    if found is not None:
        if found.kind == "pattern":
            return found.let is not None and _text_field(expr, found.let)
        if found.type:
            return found.type.replace("'_ ", "") in _TEXT_TYPES
        return found.kind == "let" and found.let is not None and is_text(found.let.init)
    path = resolve(expr.file, expr.path, expr.item)
    item = item_of(expr.file, path) if path is not None else None
    return item is not None and item.kind in ("const", "static") and item.type in _TEXT_TYPES


def _text_field(name: Expr, let: Let) -> bool:
    """Whether `let Struct { name, .. } = ..` gives the name a field that is text."""
    struct, brace, rest = let.pattern.partition("{")
    if not brace or not rest.rstrip().endswith("}"):
        return False
    path = resolve(name.file, struct.strip(), name.item)
    item = item_of(name.file, path) if path is not None else None
    if item is None or item.kind != "struct":
        return False
    for part in rest.rstrip()[:-1].split(","):
        field, _, bound = part.partition(":")
        if (bound or field).replace("mut ", "").strip() == name.path:
            return any(one.name == field.replace("mut ", "").strip() and one.type in _TEXT_TYPES for one in item.params)
    return False


def c_string_fix(ctx: CheckContext, expr: Expr) -> Fix:
    """`"lo"` -> `c"lo"` where that is the same text; else what to do by hand."""
    plain = expr.string
    edition = expr.file.crate.edition if expr.file.crate is not None else 0
    if plain is not None and expr.text.startswith('"') and "\0" not in plain and edition >= 2021:
        return Fix("safe", f"write `c{expr.text}`", [replace(ctx, expr.file, expr.start, expr.start, "c")])
    inner = expr
    while inner.kind in ("ref", "paren") and inner.inner is not None:
        inner = inner.inner
    if inner.kind in ("path", "field") and takes_any_error(expr):
        made = f"&std::ffi::CString::new({inner.text}.as_bytes())?"
        return Fix(
            "unsafe",
            "make a C string of it: a NUL in the name is an error",
            [replace(ctx, expr.file, expr.start, expr.end, made)],
        )
    return Fix("display", "pass a reference to a C string (`CString::new(name)?`), or the interface's index")


def takes_any_error(expr: Expr) -> bool:
    """Whether `?` on any error compiles here: the function returns a `Result` of anyhow's or a `Box<dyn Error>`."""
    item = expr.item
    if item is None or item.kind != "fn":
        return False
    around = list(expr.ancestors())
    if any(one.kind == "closure" or (one.kind == "block" and one.fields[0] & 10) for one in around):
        return False
    name, _, rest = item.type.partition("<")
    path = resolve(item.file, name.strip(), item.parent)
    error = rest.rstrip("> ").rpartition(",")[2].strip() if "," in rest else ""
    if path == "anyhow::Result" or (error and resolve(item.file, error, item.parent) == "anyhow::Error"):
        return True
    return rest.rpartition(",")[2].strip().startswith("Box<dyn ") and "Error" in rest.rpartition("dyn ")[2]


_INTEGERS = ("u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize")
# Methods of the standard library that give numbers, whatever they are called on.
_NUMBERS_OF = frozenset(
    {
        *("to_be", "to_le", "swap_bytes", "to_be_bytes", "to_le_bytes", "to_ne_bytes", "octets", "segments", "to_bits"),
        *("wrapping_add", "wrapping_sub", "saturating_add", "saturating_sub", "count_ones", "leading_zeros"),
    }
)
_VALUES = frozenset({"lit", "struct", "cast", "binary", "array", "repeat", "tuple", "unary"})


def _gives_value(call: Expr) -> bool:
    """Whether a function certainly gives no reference: a number's, a known one, or one of the crate that says so."""
    callee = call.callee
    if callee is None or callee.kind != "path":
        return False
    of, _, function = callee.path.rpartition("::")
    if of in _INTEGERS:
        return function in ("from", "from_be", "from_le")
    path = resolve(call.file, callee.path, call.item)
    if path is None:
        return callee.path == "std::process::id"
    if path in _GIVE_NUMBERS or path.startswith(
        ("aya_ebpf::helpers::bpf_ktime_get", "aya_bpf::helpers::bpf_ktime_get")
    ):
        return True
    item = item_of(call.file, path)
    if item is None or item.kind != "fn" or item.generic or not item.type:
        return False
    return item.type.strip("() ").isidentifier() and item.type != "Self"


_GIVE_NUMBERS = frozenset(
    {
        "std::process::id",
        *(
            f"{crate}::helpers::{name}"
            for crate in ("aya_ebpf", "aya_bpf")
            for name in (
                "bpf_get_current_pid_tgid",
                "bpf_get_current_uid_gid",
                "bpf_get_smp_processor_id",
                "bpf_get_prandom_u32",
                "bpf_get_current_cgroup_id",
            )
        ),
    }
)


def by_value(expr: Expr) -> bool:  # noqa: PLR0911 - one return a kind
    """Whether an argument is certainly no reference: a literal, a struct, arithmetic, a local declared as a value."""
    if expr.kind == "paren":
        return expr.inner is not None and by_value(expr.inner)
    if expr.kind == "unary":
        return expr.op in ("-", "!") or (expr.op == "*" and expr.inner is not None)
    if expr.literal in ("str", "bytes", "cstr"):
        return False
    if expr.kind in _VALUES:
        return True
    if expr.kind == "method":
        return expr.name in _NUMBERS_OF
    if expr.kind == "call":
        return _gives_value(expr)
    if expr.kind == "field":
        owner = type_of(expr.receiver)
        item = item_of(expr.file, owner.path) if owner is not None else None
        if item is None or item.kind != "struct" or item.generic:
            return False
        return any(one.name == expr.name and one.type.lstrip("[").startswith(_INTEGERS) for one in item.params)
    if expr.kind != "path":
        return False
    found = binding(expr) if "::" not in expr.path else None
    if found is not None:
        if found.type:
            generic = found.item is not None and found.item.generic
            return not generic and not found.type.startswith(("&", "*", "impl ", "Box<", "_"))
        return found.kind == "let" and found.let is not None and found.let.init is not None and by_value(found.let.init)
    path = resolve(expr.file, expr.path, expr.item)
    item = item_of(expr.file, path) if path is not None else None
    return item is not None and item.kind == "const" and not item.type.startswith("&")


def borrow_edits(ctx: CheckContext, expr: Expr) -> list[Edit]:
    """`x` -> `&x`, with brackets where `&` would bind tighter."""
    if expr.kind in ("cast", "binary"):
        return [
            replace(ctx, expr.file, expr.start, expr.start, "&("),
            replace(ctx, expr.file, expr.end, expr.end, ")"),
        ]
    return [replace(ctx, expr.file, expr.start, expr.start, "&")]
