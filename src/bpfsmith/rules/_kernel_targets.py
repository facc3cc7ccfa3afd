"""What the rules of `kernel-layout` share about programs: what each is attached to, what it asks its context for."""

from __future__ import annotations

from bpfsmith.rules._rust import compat
from bpfsmith.source.aya import model
from bpfsmith.source.aya.values import strings
from bpfsmith.source.calls import graph
from bpfsmith.source.layout import constant
from bpfsmith.source.types import parse_type, split_args, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Span
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._kernel_types import Types
    from bpfsmith.source.aya import KernelProgram, Pair
    from bpfsmith.source.calls import Program
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile

__all__ = [
    "SAID", "Aim", "Ask", "aims", "asks", "number", "programs_by_item", "severity_of", "type_asked", "within",
]  # fmt: skip

# Macro -> (the method that says the target, the attribute's argument for each of its arguments).
SAID: dict[str, tuple[str, tuple[str, ...]]] = {
    "kprobe": ("attach", ("function",)),
    "kretprobe": ("attach", ("function",)),
    "tracepoint": ("attach", ("category", "name")),
    "raw_tracepoint": ("attach", ("tracepoint",)),
    "btf_tracepoint": ("load", ("function",)),
    "fentry": ("load", ("function",)),
    "fexit": ("load", ("function",)),
    "lsm": ("load", ("hook",)),
    "lsm_cgroup": ("load", ("hook",)),
}
_CONTEXTS = {
    "ProbeContext": ("kprobe",),
    "FEntryContext": ("fentry",),
    "FExitContext": ("fexit",),
    "LsmContext": ("lsm", "lsm_cgroup"),
    "BtfTracePointContext": ("btf_tracepoint",),
    "RawTracePointContext": ("raw_tracepoint",),
    "TracePointContext": ("tracepoint",),
}
_OPTIONS = ("Option", "Result")
_KEEPS = frozenset(
    {"unwrap", "expect", "ok_or", "ok_or_else", "ok", "map_err", "unwrap_unchecked", "unwrap_or", "unwrap_or_default"}
)


class Aim:
    """One thing that a program is attached to: `name`, for tracepoints with `category`; `file`, `start`, `end` is where
    that is written, `literal` whether it is a string that can be replaced there, quotes included."""

    __slots__ = ("category", "end", "file", "literal", "name", "offset", "program", "start")

    def __init__(
        self, program: KernelProgram, name: str, category: str, where: tuple[SourceFile, int, int], literal: bool
    ) -> None:
        self.program = program
        self.name = name
        self.category = category
        self.file, self.start, self.end = where
        self.literal = literal
        self.offset = False  # a probe within the function, where its arguments are gone

    def __repr__(self) -> str:
        return f"Aim({self.program.name} at {self.name})"

    def span(self, ctx: CheckContext) -> Span:
        return self.file.span(self.start, self.end).replace(path=ctx.shown(self.file.path))


class Ask:
    """`ctx.arg(n)` and the like: the call, and what the programs that reach it are attached to."""

    __slots__ = ("aims", "call", "macro")

    def __init__(self, call: Expr, macro: str, aims: list[Aim]) -> None:
        self.call = call
        self.macro = macro
        self.aims = aims


def aims(project: Project) -> list[Aim]:
    """What the programs of a project are attached to, as far as that is written: by the user side, else by their
    attributes."""
    key = "kernel-aims"
    known: list[Aim] | None = project.cache.get(key)
    if known is None:
        made = model(project)
        checked = {crate.folder for crate in project.crates}
        known = []
        for kernel in made.kernels:
            pairs = [pair for pair in made.pairs if kernel in pair.kernels]
            for program in kernel.programs:
                if program.macro in SAID and program.file.crate is not None:
                    known.extend(_of_program(program, pairs))
        known = [
            one
            for one in known
            if one.file.crate is not None
            and one.file.crate.folder in checked
            and not compat(one.program.file, one.program.item, one.program.item.start)
            and not compat(one.file, None, one.start)
        ]
        project.cache[key] = known
    return known


def _of_program(program: KernelProgram, pairs: list[Pair]) -> Iterator[Aim]:
    method, names = SAID[program.macro]
    found: dict[tuple[str, str], Aim] = {}
    computed = False
    for pair in pairs:
        if len(pair.program(program.name)) != 1:
            return
        for use in pair.program_uses:
            if use.names is None or program.name not in use.names:
                continue
            computed = computed or use.escapes
            for call in use.calls:
                if call.name != method or len(call.args) < len(names):
                    continue
                if len(use.names) != 1:
                    computed = True  # one of several programs: which target is whose is not told
                    continue
                said = _said(call, names)
                if said is None:
                    computed = True
                    continue
                for category, name, where in said:
                    literal = where.string is not None and where.text.startswith('"')
                    one = Aim(program, name, category, (where.file, where.start, where.end), literal)
                    one.offset = program.macro == "kprobe" and len(call.args) > 1 and call.args[1].integer != 0
                    found.setdefault((category, name), one)
    if not found and not computed and all(program.attrs.get(one) for one in names):
        name = program.attrs[names[-1]]
        category = program.attrs[names[0]] if len(names) > 1 else ""
        attr, file = program.attr, program.file
        at = file.text.find(f'"{name}"', attr.start, attr.end)
        where_at = (file, at, at + len(name) + 2) if at >= 0 else (file, attr.start, attr.end)
        one = Aim(program, name, category, where_at, at >= 0)
        one.offset = "offset" in program.attrs
        found[category, name] = one
    yield from found.values()


def _said(call: Expr, names: tuple[str, ...]) -> list[tuple[str, str, Expr]] | None:
    """(category, name, where the name is written) of an attaching call."""
    last = call.args[len(names) - 1]
    said = strings(last)
    if said is None:
        return None
    category = ""
    if len(names) > 1:
        first = strings(call.args[0])
        if first is None or len(first) != 1:
            return None
        category = next(iter(first))
    return [(category, one, last) for one in sorted(said)]


def programs_by_item(project: Project) -> dict[tuple[str, int], list[Aim]]:
    """The aims by the function that is the program."""
    out: dict[tuple[str, int], list[Aim]] = {}
    for one in aims(project):
        out.setdefault((one.program.file.path, one.program.item.id), []).append(one)
    return out


def asks(project: Project, method: str, *macros: str) -> Iterator[Ask]:
    """The calls of a method of the contexts of these programs, in functions of which every program that reaches them
    has a known target."""
    by_item = programs_by_item(project)
    if not by_item:
        return
    wanted = {name: of for name, of in _CONTEXTS.items() if set(of) & set(macros)}
    for crate in project.crates:
        if crate.role != "kernel":
            continue
        for file in crate.files:
            for call in file.methods(method):
                item = call.item
                if item is None or file.in_test(item) or compat(file, item, call.start):
                    continue
                owner = type_of(call.receiver)
                if owner is None or owner.name not in wanted or not owner.path.startswith(("aya_ebpf::", "aya_bpf::")):
                    continue
                found = _reaching(graph(crate, file).programs_of(item), wanted[owner.name], by_item)
                if found:
                    yield Ask(call, found[0].program.macro, found)


def _reaching(programs: list[Program], macros: tuple[str, ...], by_item: dict[tuple[str, int], list[Aim]]) -> list[Aim]:
    found: list[Aim] = []
    for program in programs:
        if program.macro not in macros:
            continue
        of_it = by_item.get((program.item.file.path, program.item.id))
        if not of_it:
            return []
        found.extend(of_it)
    return found


def number(expr: Expr | None) -> int | None:
    """The value of a literal or constant argument."""
    if expr is None:
        return None
    if expr.integer is not None:
        return expr.integer
    if expr.kind == "path" and "::" not in expr.path and not expr.path.isupper() and expr.path.lower() == expr.path:
        return None  # a local
    return constant(expr.file, expr.text, expr.item)


def type_asked(call: Expr) -> str:
    """The type that `ctx.arg::<T>(0)` gives, where it is written: there, at the `let`, or by the cast around it."""
    start, end = call.fields[4], call.fields[5]
    text = call.file.text[start:end].strip() if end > start >= 0 else ""
    text = text.removeprefix("::").strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip()
    parent = call.parent
    if parent is not None and parent.kind == "cast" and parent.cast_type.lstrip().startswith("*"):
        return parent.cast_type.strip()
    if text and text != "_":
        return text
    return within(_let_type(call))


def _let_type(call: Expr) -> str:
    """The type of the `let` that is given the value, through `?`, unwrapping and `unsafe { }`, or of the function."""
    child = call
    for at in call.ancestors():
        if at.kind == "block":
            for let in at.lets:
                if let.init == child:
                    return let.type
            if at.tail != child:
                return ""
            if at.item is not None and at.item.expr == at:
                return at.item.type
        elif at.kind == "method":
            if at.receiver != child or at.name not in _KEEPS:
                return ""
        elif at.kind not in ("paren", "try"):
            return ""
        child = at
    return ""


def within(text: str) -> str:
    """`Option<T>` -> `T`."""
    parsed = parse_type(text) if text else None
    if parsed is not None and parsed[0].rpartition("::")[2] in _OPTIONS and parsed[1]:
        return split_args(text.strip().partition("<")[2].rstrip()[:-1])[0]
    return "" if text.strip() == "_" else text.strip()


def severity_of(wrong: list[Types], severity: str = "error") -> str:
    """What was asked for is meant: as severe as it is. Of the running kernel alone nobody said that it counts."""
    if severity == "error" and all(one.live for one in wrong):
        return "warning"
    return severity
