"""A line of a Rust function as an edit sees it: its statement, its indentation, and how the function fails."""

from __future__ import annotations

from collections import Counter

from bpfsmith.model.finding import Edit
from bpfsmith.repair.rust.failures import Leaving, otherwise, telling, unlike
from bpfsmith.source.rust import Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfsmith.repair.ground import Ground
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = [
    "Failing",
    "Spot",
    "before",
    "edit",
    "everywhere",
    "failing",
    "guard",
    "indent",
    "spots",
    "statement",
    "transparent",
    "type_is_number",
]

# What a program does that takes no part: nothing is dropped, denied or changed.
NEUTRAL = {
    "xdp": "aya_ebpf::bindings::xdp_action::XDP_PASS",
    "sched_cls": "0",
    "sched_act": "0",
    "socket_filter": "0",
    "cgroup_skb": "1",
    "cgroup_sock": "1",
    "cgroup_sock_addr": "1",
    "cgroup_device": "1",
    "cgroup_sysctl": "1",
    "cgroup_sockopt": "1",
    "sk_lookup": "1",
    "sk_skb": "1",
    "sk_msg": "1",
    "flow_dissector": "0",
    "lsm": "0",
}


# What these return says nothing to the kernel that a person would miss.
TRACING = frozenset({"kprobe", "tracepoint", "raw_tracepoint", "perf_event", "tracing", "raw_tracepoint_writable"})


class Spot:
    """`line` of `file`, in the function `item`."""

    __slots__ = ("file", "first", "item", "last", "line")

    def __init__(self, file: SourceFile, line: int, item: Item) -> None:
        self.file = file
        self.line = line
        self.item = item
        lines = file.native.lines()
        self.first = lines[line - 1]
        self.last = lines[line] if line < len(lines) else len(file.text)

    def exprs(self, *kinds: str) -> Iterator[Expr]:
        """Expressions of the function that begin on the line, those of statements around it left out."""
        body = self.item.expr
        if body is not None:
            for one in body.within(*kinds):
                if self.first <= one.start < self.last:
                    yield one

    def around(self, *kinds: str) -> Iterator[Expr]:
        """Expressions that touch the line but do not hold more than its statement, innermost last."""
        body = self.item.expr
        if body is None:
            return
        for one in body.within(*kinds):
            if one.start < self.last and one.end > self.first and one != body:
                yield one

    def __repr__(self) -> str:
        return f"<Spot {self.file.path}:{self.line} in {self.item.name}>"


def spots(ground: Ground) -> Iterator[Spot]:
    """The lines that matter, the cause's first, at last those that the symptom's function was inlined into."""
    seen: set[tuple[str, int]] = set()
    for path, line in [*ground.places(), *ground.callers()]:
        if (path, line) in seen:
            continue
        seen.add((path, line))
        file = ground.source(path)
        if file is None or not 1 <= line <= len(file.native.lines()):
            continue
        item = _function(file, line)
        if item is not None and not _handler(item):
            yield Spot(file, line, item)


def everywhere(ground: Ground) -> Iterator[Spot]:
    """The first line of each function of the user's, where no line is known: the program's own first."""
    found = []
    for path in ground.files:
        file = ground.source(path)
        if file is None or (file.crate is not None and file.crate.role not in ("kernel", "common")):
            continue
        for item in file.items_of_kind("fn"):
            if item.expr is not None and not _handler(item):
                found.append((item.name != ground.program.name, Spot(file, file.position(item.expr.start)[0], item)))
    found.sort(key=lambda one: one[0])
    for _, spot in found:
        yield spot


def _handler(item: Item) -> bool:
    return any(attr.path == "panic_handler" for attr in item.attrs)


def _function(file: SourceFile, line: int) -> Item | None:
    lines = file.native.lines()
    start, end = lines[line - 1], lines[line] if line < len(lines) else len(file.text)
    found = [one for one in file.items_of_kind("fn") if one.expr is not None and one.start < end and one.end > start]
    return min(found, key=lambda one: one.end - one.start, default=None)


# ------------------------------------------------------------ edits


def edit(file: SourceFile, start: int, end: int, text: str) -> Edit:
    """Replaces characters of a file."""
    return Edit(file.span(start, end), text)


def statement(expr: Expr) -> Expr | Let:
    """The statement an expression is in, of the innermost block whose statement may have another one before it."""
    at: Expr = expr
    block = at.parent
    while block is not None:
        if block.kind == "block":
            for one in block.statements:
                held = one.init if isinstance(one, Let) else one
                inside = (one.start <= expr.start and expr.end <= one.end) or held == at
                if inside and not transparent(block):
                    return one
        at, block = block, block.parent
    return expr


def transparent(block: Expr) -> bool:
    """`unsafe { one expression }`: what is put before it goes before the statement around."""
    parent = block.parent
    asked = parent is not None and parent.kind in ("if", "match") and parent.fields[0] == block.id
    return (
        parent is not None
        and block.tail is not None
        and not block.fields[1]
        and not block.label
        and (asked or parent.kind not in ("if", "match", "closure", "loop", "while", "for"))
        and not _is_body(block)
    )


def _is_body(block: Expr) -> bool:
    item = block.item
    return item is not None and item.expr == block


def indent(file: SourceFile, offset: int) -> str:
    """The white space its line begins with."""
    line, _ = file.position(offset)
    start = file.native.lines()[line - 1]
    text = file.text[start:offset]
    return text[: len(text) - len(text.lstrip())]


def before(file: SourceFile, place: Expr | Let, lines: list[str]) -> Edit:
    """Lines put before a statement, indented as it is."""
    space = indent(file, place.start)
    return edit(file, place.start, place.start, "".join(f"{one}\n{space}" for one in lines))


# ------------------------------------------------------------ how a function fails


class Failing:
    """`text`: the expression it returns when it fails (`Err(())`, `None`, `0`), "" for a function that returns nothing;
    `kind`: result, option, value or nothing; `why`: how it was chosen; `certain`: other failure branches return the
    same; `edits`: what lets the function fail at all, `texts` what its callers return then."""

    __slots__ = ("certain", "edits", "error", "kind", "text", "texts", "why")

    def __init__(
        self, text: str, kind: str, why: str, *, certain: bool, error: str = "", edits: Sequence[Edit] = (),
        texts: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.text = text
        self.kind = kind
        self.why = why
        self.certain = certain
        self.error = error  # what stands in `Err(..)`
        self.edits = tuple(edits)
        self.texts = tuple(texts) or (text,)

    @property
    def statement(self) -> str:
        return f"return {self.text};" if self.text else "return;"

    def __repr__(self) -> str:
        return f"<Failing {self.statement} {self.why}>"


def failing(  # noqa: PLR0911 - one return a kind of function
    item: Item, ground: Ground | None = None, at: Expr | None = None, sort: str = ""
) -> Failing | None:
    """What a function returns when something fails; None when that cannot be told."""
    body = item.expr
    if body is None:
        return None
    if at is not None and any(one.kind == "closure" for one in at.ancestors()):
        return None  # `return` would leave the closure
    type_ = "".join(item.type.split())
    head = type_.partition("<")[0].rpartition("::")[2]
    if head == "Result" or type_.endswith("Result") or (head.endswith("Result") and "<" in type_):
        return _of_result(body, type_, sort)
    alias = next((one for one in item.file.items_named(head) if one.kind == "type"), None)
    if alias is not None and "Result<" in "".join(alias.type.split()):
        return _of_result(body, "".join(alias.type.split()), sort)
    if head == "Option":
        return Failing("None", "option", "the function returns an `Option`", certain=True)
    if not type_ or type_ == "()":
        return Failing("", "nothing", "the function returns nothing", certain=True)
    if type_ == "!":
        return None
    return _of_value(item, body, ground, sort)


def _of_result(body: Expr, type_: str, sort: str = "") -> Failing | None:
    said = Counter(
        one.args[0].text
        for one in body.within("call")
        if one.callee is not None and one.callee.path == "Err" and len(one.args) == 1 and _plain(one.args[0])
    )
    said.update(
        one.args[0].text
        for one in body.within("method")
        if one.name == "ok_or" and len(one.args) == 1 and _plain(one.args[0])
    )
    if said:
        text, count = said.most_common(1)[0]
        near = [one for one in telling(body, frozenset({sort} - {""})) if one.text.startswith("Err(")]
        near = [one for one in near if one.text[4:-1] in said]
        if near:
            text, count = Counter(one.text[4:-1] for one in near).most_common(1)[0]
        sure = unlike(body, frozenset({sort} - {""}), f"Err({text})") is None
        return Failing(f"Err({text})", "result", f"as {_times(count)} in this function", certain=sure, error=text)
    error = type_.rpartition(",")[2].removesuffix(">") if "," in type_ else ""
    text = "()" if error == "()" else "1" if error in _NUMBERS else ""
    if text:
        return Failing(f"Err({text})", "result", "the function hands errors on by `?`", certain=True, error=text)
    return None  # an error type of its own, and no error to copy


_NUMBERS = frozenset({"i8", "i16", "i32", "i64", "isize", "u8", "u16", "u32", "u64", "usize", "c_long", "c_int"})


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _plain(expr: Expr) -> bool:
    """A constant or unit: what can be said anywhere."""
    if expr.kind in ("lit", "tuple", "unary", "cast", "paren"):
        return all(one.kind in ("lit", "tuple", "unary", "cast", "paren", "path") for one in expr.within()) and not any(
            one.kind == "path" and one.path.islower() and "::" not in one.path for one in expr.within("path")
        )
    if expr.kind != "path":
        return False
    last = expr.path.rpartition("::")[2]
    return "::" in expr.path or last[:1].isupper()


def _of_value(  # noqa: PLR0911 - one return a kind
    item: Item, body: Expr, ground: Ground | None, sort: str = ""
) -> Failing | None:
    returns = [one for one in body.within("return") if one.inner is not None and not _in_closure(one, body)]
    failures: Counter[str] = Counter()
    plain = {Leaving(frozenset(), one.inner.text).value for one in returns if one.inner and _plain(one.inner)}
    for match in body.within("match"):
        for pattern, _, result in match.arms:
            if (
                result is not None
                and pattern.strip().startswith(("Err(", "None"))
                and (leaf := _leaf(result)) is not None
            ):
                failures[leaf.text] += 1
    for one in body.within("method"):
        if one.name in ("unwrap_or",) and len(one.args) == 1 and _plain(one.args[0]) and body.tail == one:
            failures[one.args[0].text] += 1
    if near := [one for one in telling(body, frozenset({sort} - {""})) if one.value in plain]:
        text, count = Counter(one.text for one in near).most_common(1)[0]
        why = f"as {_times(count)} in this function where something fails"
        return Failing(text, "value", why, certain=len({one.value for one in near}) == 1)
    if failures:
        text, count = failures.most_common(1)[0]
        return Failing(text, "value", f"as {_times(count)} in this function where something fails", certain=True)
    filters = {one.text for one in otherwise(body) if one.value in plain}
    if len(filters) == 1:
        why = "the function has no other failure branch, and that is what it returns for what it leaves alone"
        tracing = ground is not None and ground.program.type in TRACING
        return Failing(next(iter(filters)), "value", why, certain=tracing)
    texts = {one.text for one in _results(body)} | {one.inner.text for one in returns if one.inner is not None}
    if len(texts) == 1:
        only = next(iter(_results(body)), None) or returns[0].inner
        if only is not None and _plain(only):
            return Failing(only.text, "value", "the function returns nothing else", certain=True)
    kind = ground.program.type if ground is not None else None
    names = [item.name, *(ground.program.subprograms if ground is not None else [])]
    if ground is not None and item.name == ground.program.name and kind is not None and names:
        neutral = NEUTRAL.get(kind, "0")
        word = neutral.rpartition("::")[2]
        said = next((text for text in texts if text == word or text.endswith(f"::{word}")), None)
        return Failing(
            said or neutral, "value", f"{word} takes no part, and the function has no other failure branch",
            certain=said is not None or kind in TRACING,
        )  # fmt: skip
    if type_is_number(item):
        return Failing("0", "value", "the function has no other failure branch", certain="0" in texts)
    return None


def type_is_number(item: Item) -> bool:
    """Whether a function returns an integer."""
    return item.type.strip() in _NUMBERS


def _in_closure(one: Expr, body: Expr) -> bool:
    for outer in one.ancestors():
        if outer == body:
            return False
        if outer.kind == "closure":
            return True
    return False


def _leaf(expr: Expr) -> Expr | None:
    while expr.kind == "block" and expr.tail is not None and not expr.fields[1]:
        expr = expr.tail
    if expr.kind == "return":
        return expr.inner if expr.inner is not None and _plain(expr.inner) else None
    return expr if _plain(expr) else None


def _results(expr: Expr) -> Iterator[Expr]:
    """What a block gives: its tail, through branches."""
    if expr.kind == "block":
        if expr.tail is not None:
            yield from _results(expr.tail)
    elif expr.kind == "if":
        for one in expr.branches[1:]:
            if one is not None:
                yield from _results(one)
    elif expr.kind == "match":
        for _, _, one in expr.arms:
            if one is not None:
                yield from _results(one)
    elif expr.kind not in ("return", "loop"):
        yield expr


def guard(file: SourceFile, place: Expr | Let, condition: str, fails: Failing) -> Edit:
    """`if condition { return .. }` before a statement."""
    return before(file, place, [f"if {condition} {{", f"    {fails.statement}", "}"])
