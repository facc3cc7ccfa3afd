"""A C function as an edit sees it: the statements of a line, what the function returns when it fails, and how something
is put before a statement: with braces where it is all that a branch does."""

from __future__ import annotations

import re
from collections import Counter

from bpfsmith.model.finding import Edit, Span
from bpfsmith.repair.c.callers import asked_for, predicate
from bpfsmith.repair.c.reader import Node, blanked, bodies, closing, split, tree
from bpfsmith.repair.failures import FILTER, agree, deciding, giver, ways
from bpfsmith.repair.report import FAILING_BRANCH, UNSURE_BRANCH, Candidate
from bpfsmith.repair.rust.spot import TRACING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground

__all__ = [
    "Failing", "Function", "after", "before", "blanked", "checked", "closing", "fresh", "functions",
    "replace", "split", "until", "visible",
]  # fmt: skip

_NEUTRAL = {
    "xdp": "XDP_PASS", "sched_cls": "0", "sched_act": "0", "cgroup_skb": "1", "cgroup_sock": "1",
    "cgroup_sock_addr": "1",
    "cgroup_device": "1", "cgroup_sysctl": "1", "cgroup_sockopt": "1", "sk_lookup": "1", "sk_skb": "1", "sk_msg": "1",
}  # fmt: skip

_OWN = frozenset({"if", "for", "while", "switch", "loop"})


class Failing:
    """What a function returns when it fails: `statement`; `why` that was chosen."""

    __slots__ = ("certain", "statement", "text", "why")

    def __init__(self, text: str, why: str, statement: str = "", *, certain: bool = True) -> None:
        self.certain = certain
        self.text = text
        self.why = why
        self.statement = statement or (f"return {text};" if text else "return;")


class Function:
    """`line` (from 1) of a function of a file: `body` is its text with comments blanked, from offset `start`."""

    __slots__ = ("_top", "end", "eol", "ground", "head", "line", "lines", "name", "path", "plain", "start", "text")

    def __init__(self, ground: Ground, path: str, line: int) -> None:
        self.ground = ground
        self.path = path
        self.line = line
        self.text = ground.text(path)
        self.plain = blanked(self.text)
        self.eol = "\r\n" if "\r\n" in self.text else "\n"
        self.lines = [0]
        at = self.text.find("\n")
        while at >= 0:
            self.lines.append(at + 1)
            at = self.text.find("\n", at + 1)
        self.start = self.end = 0
        self.name = self.head = ""
        self._top: Node | None = None
        here = self.lines[line - 1] if line <= len(self.lines) else len(self.text)
        upto = self.lines[line] if line < len(self.lines) else len(self.text)
        for one in bodies(self.plain):
            if one.begin < upto and here <= one.end:
                self.start, self.end, self.name, self.head = one.start, one.end, one.name, one.head

    @property
    def known(self) -> bool:
        return bool(self.name)

    @property
    def body(self) -> str:
        return self.plain[self.start : self.end]

    @property
    def top(self) -> Node:
        """Its statements."""
        if self._top is None:
            self._top = tree(self.plain, self.start, self.end)
        return self._top

    def own(self, line: int | None = None) -> list[Node]:
        """The statements that a line has a part of: of one with a head only the head counts."""
        number = line or self.line
        first, last = self.lines[number - 1], self.lines[number] if number < len(self.lines) else len(self.text)
        return [one for one in self.top.walk() if _begin(one) < last and first < until(one) and _does(one)]

    @property
    def first(self) -> int:
        """The offset at which `shown` begins."""
        return min((_begin(one) for one in self.own()), default=self.lines[self.line - 1])

    @property
    def shown(self) -> str:
        """The text of the line's statements, whole, comments blanked."""
        found = self.own()
        if not found:
            last = self.lines[self.line] if self.line < len(self.lines) else len(self.plain)
            return self.plain[self.lines[self.line - 1] : last]
        return self.plain[self.first : max(until(one) for one in found)]

    def statement(self, line: int | None = None, name: str = "") -> int:
        """The offset at which the statement of a line begins: where another one may stand before it. `name`: of several
        on the line the one that uses it, behind where it is set."""
        found = self.own(line)
        if not found:
            return self._near(self.lines[(line or self.line) - 1])
        chosen = found[0]
        if name and len(found) > 1:
            uses = [one for one in found if _uses(self.plain[_begin(one) : until(one)], name)]
            chosen = uses[0] if uses else chosen
        return chosen.start

    def holder(self, offset: int) -> Node:
        """The innermost statement at an offset."""
        return self.top.at(offset)

    def _near(self, offset: int) -> int:
        at = max(offset, self.start)
        while at < self.end and self.plain[at].isspace():
            at += 1
        return at

    def indent(self, offset: int) -> str:
        """The white space of the line an offset is on."""
        start = self.text.rfind("\n", 0, offset) + 1
        line = self.text[start:offset]
        return line[: len(line) - len(line.lstrip())]

    @property
    def tab(self) -> str:
        """What one step of indentation is."""
        found = re.search(r"^([ \t]+)\S", self.body if "\n" in self.body else self.plain, re.MULTILINE)
        return "\t" if found is None or "\t" in found[1] else "  " if len(found[1]) < 4 else "    "

    def span(self, start: int, end: int) -> Span:
        """Characters of the file as a span."""
        line, column = self._position(start)
        end_line, end_column = self._position(end)
        return Span(self.path, line, column, end_line, end_column)

    def line_of(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def _position(self, offset: int) -> tuple[int, int]:
        line = self.line_of(offset)
        return line, offset - self.lines[line - 1] + 1

    def failing(self, sort: str = "", name: str = "", given: str = "") -> Failing:
        """What the line's loop does where a check fails; outside of loops what the function does. `sort`: of the check,
        one of `failures`; `name`: of the pointer that is tested, or what has `given` it."""
        given = given or (giver(name, self.plain, self.start, self.first + len(self.shown)) if name else "")
        return self._round(sort, given) or self.leaving(sort, given)

    def failing_at(self, offset: int, sort: str = "", name: str = "") -> Failing:
        """`failing` of another statement of the function."""
        return Function(self.ground, self.path, self.line_of(offset)).failing(sort, name)

    def leaving(  # noqa: PLR0911 - one return a kind
        self, sort: str = "", given: str = ""
    ) -> Failing:
        """What the function's failure branches return; what it always returns; what takes no part."""
        head = self.head[: self.head.find(self.name)]
        if re.search(r"\bvoid\s*$", head):
            return Failing("", "the function returns nothing")
        entry = self.name == self.ground.program.name
        errors = not (entry and (self.ground.program.type or "").startswith("sched_"))
        found = ways(self.top, self.plain, self.start, self.end, errors=errors)
        found = [one for one in found if one.node.kind in ("return", "goto")]
        near = deciding(found, frozenset({sort} - {""}), frozenset({given} - {""}))
        here = self.lines[self.line - 1]
        if near:
            value, count = Counter(one.value for one in near).most_common(1)[0]
            alike = [one for one in found if one.value == value and one.sorts != {FILTER}] or near
            chosen = [one for one in alike if one.node.start < here][-1:] or alike[:1]
            said = f"{chosen[0].said};"
            if not agree(near):
                why = "its checks of that kind do not agree on what to return"
                return Failing(said.removeprefix("return").strip(" ;"), why, said, certain=False)
            if said.startswith("goto"):
                return Failing("", "as another check of this function", said)
            most = Counter(one.said for one in near if one.value == value).most_common(1)[0][0]
            text = most if most.startswith("return") else chosen[0].said
            times = "once" if count == 1 else f"{count} times"
            return Failing(text.removeprefix("return").strip(), f"as {times} in this function where a check fails")
        gotos = [one for one in self.top.walk() if (way := _way_out(one)) is not None and way.kind == "goto"]
        if gotos:
            before = [one for one in gotos if one.start < here]
            way = _way_out(before[-1] if before else gotos[0])
            assert way is not None
            said = " ".join(self.plain[way.start : way.end].split())
            return Failing("", "as another check of this function", said)
        every = {" ".join(one.split()) for one in re.findall(r"\breturn\b([^;]*);", self.body)}
        plain = {one for one in every if re.fullmatch(r"-?\w+", one) and not one.islower()}
        if len(every) == 1 and plain:
            return Failing(next(iter(plain)), "the function returns nothing else")
        if "*" in head:
            return Failing("NULL" if "NULL" in self.plain else "0", "the function returns a pointer")
        if re.search(r"\b(?:bool|_Bool)\s*$", head):
            return Failing("false" if "bool" in head else "0", "what cannot be looked at is not so")
        if self.name != self.ground.program.name and predicate(self.name, self.plain, self.start, self.end):
            return Failing("0", "what cannot be looked at is not so")
        asked = asked_for(self.name, self.plain) if self.name != self.ground.program.name else ""
        if asked:
            return Failing(asked, "its callers ask for that")
        filters = {one.said.removeprefix("return").strip() for one in found}
        if entry and len(filters) == 1 and (only := next(iter(filters))) and re.fullmatch(r"-?[A-Z0-9_]+", only):
            sure = (self.ground.program.type or "") in TRACING
            why = "the function has no other failure branch, and that is what it returns for what it leaves alone"
            return Failing(only, why, certain=sure)
        neutral = _NEUTRAL.get(self.ground.program.type or "", "0") if self.name == self.ground.program.name else "0"
        word = {"0": ("TC_ACT_OK", "0"), "1": ("SK_PASS", "1")}.get(neutral, (neutral,))
        said = next((one for one in word if one in every), "")
        if not said and self.ground.program.type == "xdp" and self.name == self.ground.program.name:
            said = "XDP_PASS" if "XDP_PASS" in self.plain else ""
        sure = bool(said) or (self.ground.program.type or "") in TRACING
        why = "it takes no part, and the function has no other failure branch"
        return Failing(said or neutral, why, certain=sure)

    def _round(self, sort: str, given: str) -> Failing | None:
        """What ends a round of the loop that the line is in: as its other failing branches, else the next round."""
        found = self.own()
        inner = found[0] if found else self.holder(self._near(self.lines[self.line - 1]))
        loop = inner.parent
        switched = False
        while loop is not None and loop.kind not in ("for", "while", "do", "loop"):
            switched = switched or loop.kind == "switch"
            loop = loop.parent
        if loop is None:
            return None
        kinds = ("return", "goto", "continue", *(() if switched else ("break",)))
        tests = [
            way for way in ways(loop, self.plain, self.start, self.end)
            if way.node.kind in kinds and _loop_of(way.node) is loop
        ]  # fmt: skip
        near = deciding(tests, frozenset({sort} - {""}), frozenset({given} - {""}))
        said = Counter(f"{way.said};" for way in near)
        if not said and loop.kind in ("while", "do"):
            # What counts the rounds stands in the loop itself: the next round would be this one again.
            if switched:
                return None
            return Failing("", "the loop has no other failure branch: its end", "break;")
        if not said:
            return Failing("", "the loop has no other failure branch: the next round", "continue;")
        statement = said.most_common(1)[0][0]
        text = statement.removeprefix("return").strip(" ;") if statement.startswith("return") else ""
        return Failing(text, "as where another check of this loop fails", statement, certain=agree(near))


def _loop_of(node: Node) -> Node | None:
    """The loop whose rounds a `break` or `continue` there is about."""
    one = node.parent
    while one is not None and one.kind not in ("for", "while", "do", "loop"):
        one = one.parent
    return one


def _does(one: Node) -> bool:
    return one.kind not in ("block", "top", "label") and one.start < one.end


def _begin(one: Node) -> int:
    """Of `do .. while (..)` the part that belongs to a line of its own is its end."""
    return one.parts[-1].end if one.kind == "do" and one.parts else one.start


def until(one: Node) -> int:
    """Where what belongs to a statement itself ends: of one with a head the head."""
    return one.head[1] + 1 if one.kind in _OWN and one.head is not None else one.end


def _way_out(one: Node, kinds: tuple[str, ...] = ("return", "goto")) -> Node | None:
    """The `return` or `goto` that is all an `if` does, or that its branch ends with."""
    if one.kind != "if" or not one.parts:
        return None
    body = one.parts[0]
    last = body.parts[-1] if body.kind == "block" and body.parts else body
    few = body.kind != "block" or len(body.parts) <= 3
    return last if few and last.kind in kinds else None


def _uses(text: str, name: str) -> bool:
    """Whether a statement reads a name: not only sets or declares it."""
    word = re.escape(name)
    if re.fullmatch(rf"[\w\s]+[\s*]\s*{word}\s*;", text.strip()):
        return False
    rest = re.sub(rf"(?<![\w.>]){word}\s*=(?!=)", "", text, count=1)
    return re.search(rf"(?<![\w.>]){word}\b", rest) is not None


def functions(ground: Ground) -> Iterator[Function]:
    """The lines that matter, each in its function, the cause's first."""
    seen = set()
    for path, line in [*ground.places(), *ground.callers()]:
        if (path, line) in seen:
            continue
        seen.add((path, line))
        found = Function(ground, path, line)
        if found.known:
            yield found


def visible(function: Function, name: str, offset: int) -> bool:
    """Whether the local or parameter that an expression begins with is declared before an offset; globals are."""
    first = re.match(r"\W*(\w+)", name)
    if first is None:
        return True
    word = rf"(?<![\w.>]){first[1]}\b"
    if not re.search(rf"(?<!struct )(?<!union ){word}", function.head + function.body):
        return False  # another function's
    if not re.search(rf"[\w*,]\s*[\s*]\s*{first[1]}\s*(?:[=;,\[]|__attr)", function.body):
        return True
    return re.search(word, function.plain[function.start : offset]) is not None or (
        re.search(word, function.head) is not None
    )


def before(function: Function, offset: int, lines: list[str]) -> list[Edit]:
    """Lines put before the statement that begins at an offset, indented as it is; with braces around both where the
    statement is all that a branch or loop does."""
    node = function.holder(offset)
    while node.parent is not None and node.parent.start == offset and node.parent.kind not in ("block", "top"):
        node = node.parent
    eol = function.eol
    if node.start != offset or not node.bare or node.parent is None:
        space = function.indent(offset)
        if function.text[function.text.rfind("\n", 0, offset) + 1 : offset].strip():
            # Another statement stands before it on the line.
            return [Edit(function.span(offset, offset), f"{eol}{space}{f'{eol}{space}'.join(lines)}{eol}{space}")]
        return [Edit(function.span(offset, offset), "".join(f"{one}{eol}{space}" for one in lines))]
    outer = function.indent(node.parent.start)
    gap = len(function.text[:offset].rstrip())
    own = "\n" in function.text[gap:offset]
    inner = function.indent(offset) if own else outer + function.tab
    start = offset
    if len(function.plain[:offset].rstrip()) == gap:  # no comment between
        start = gap
    text = f" {{{eol}{inner}" if start == gap else f"{{{eol}{inner}"
    text += "".join(f"{one}{eol}{inner}" for one in lines)
    return [
        Edit(function.span(start, offset), text),
        Edit(function.span(node.end, node.end), f"{eol}{outer}}}"),
    ]


def replace(function: Function, start: int, end: int, text: str) -> Edit:
    """Puts something else in the place of characters."""
    return Edit(function.span(start, end), text)


def checked(kind: str, edits: list[Edit], message: str, fails: Failing) -> Candidate:
    """A check whose failing branch does what `fails` says."""
    returns = fails.text or fails.statement.removesuffix(";")
    return Candidate(kind, edits, message, FAILING_BRANCH if fails.certain else UNSURE_BRANCH, returns, fails.why)


def after(function: Function, offset: int, lines: list[str]) -> Edit:
    """Lines put behind the statement that begins at an offset."""
    node = function.holder(offset)
    end = node.end if node.start == offset else function.plain.find(";", offset) + 1
    space = function.indent(offset)
    return Edit(function.span(end, end), "".join(f"{function.eol}{space}{one}" for one in lines))


def fresh(function: Function, name: str) -> str:
    """A name that the file has not got yet."""
    made, number = name, 2
    while re.search(rf"\b{made}\b", function.text):
        made, number = f"{name}{number}", number + 1
    return made
