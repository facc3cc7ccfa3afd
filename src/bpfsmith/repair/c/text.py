"""A C function as an edit sees it: tokens, the statement a line is in, what the function returns when it fails.

There is no C parser here: what is understood is what stands on the line and in the function's own braces.
"""

from __future__ import annotations

import re
from collections import Counter

from bpfsmith.model.finding import Edit, Span
from bpfsmith.repair.report import FAILING_BRANCH, UNSURE_BRANCH, Candidate
from bpfsmith.repair.rust.spot import TRACING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground

__all__ = ["Failing", "Function", "after", "before", "checked", "functions", "replace", "visible"]

_HEAD = re.compile(r"^[A-Za-z_][^;{}#]*?\b([A-Za-z_]\w*)\s*\([^;{}]*\)\s*\{", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])'", re.DOTALL)
_NEUTRAL = {
    "xdp": "XDP_PASS", "sched_cls": "0", "sched_act": "0", "cgroup_skb": "1", "cgroup_sock": "1",
    "cgroup_sock_addr": "1",
    "cgroup_device": "1", "cgroup_sysctl": "1", "cgroup_sockopt": "1", "sk_lookup": "1", "sk_skb": "1", "sk_msg": "1",
}  # fmt: skip


def blanked(text: str) -> str:
    """The text with comments and strings as spaces, so that offsets stay."""
    return _COMMENT.sub(lambda one: re.sub(r"[^\n]", " ", one[0]), text)


# Conditions of something that failed, or is none of the program's business; `x == 6` and `ttl > 1` decide otherwise.
_FAILS = re.compile(r"!\s*[\w(=]|\bNULL\b|end\b|<=?\s*0|\bsizeof\b|>=?\s*[A-Z_]{2,}")


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

    __slots__ = ("end", "ground", "head", "line", "lines", "name", "path", "plain", "start", "text")

    def __init__(self, ground: Ground, path: str, line: int) -> None:
        self.ground = ground
        self.path = path
        self.line = line
        self.text = ground.text(path)
        self.plain = blanked(self.text)
        self.lines = [0]
        at = self.text.find("\n")
        while at >= 0:
            self.lines.append(at + 1)
            at = self.text.find("\n", at + 1)
        self.start = self.end = 0
        self.name = self.head = ""
        here = self.lines[line - 1] if line <= len(self.lines) else len(self.text)
        upto = self.lines[line] if line < len(self.lines) else len(self.text)
        for one in _HEAD.finditer(self.plain):
            if one[1] in ("if", "for", "while", "switch", "do"):
                continue
            close = closing(self.plain, one.end() - 1)
            if one.start() < upto and here <= close:
                self.start, self.end, self.name, self.head = one.end(), close, one[1], one[0]

    @property
    def known(self) -> bool:
        return bool(self.name)

    @property
    def body(self) -> str:
        return self.plain[self.start : self.end]

    @property
    def shown(self) -> str:
        """The line's text, comments blanked."""
        end = self.lines[self.line] if self.line < len(self.lines) else len(self.plain)
        return self.plain[self.lines[self.line - 1] : end]

    def statement(self, line: int | None = None) -> int:
        """The offset at which the statement of a line begins: where another one may stand before it. The head of a
        branch without braces belongs to its statement."""
        at = self.lines[(line or self.line) - 1]
        at = max(at, self.start)
        # back to what ends the statement before
        depth = 0
        while at > self.start:
            before = self.plain[at - 1]
            if before == ")":
                depth += 1
            elif before == "(":
                depth -= 1
            elif depth <= 0 and before in ";{}":
                break
            at -= 1
        while at < self.end and self.plain[at].isspace():
            at += 1
        return at

    def indent(self, offset: int) -> str:
        """The white space of the line an offset is on."""
        start = self.text.rfind("\n", 0, offset) + 1
        line = self.text[start:offset]
        return line[: len(line) - len(line.lstrip())]

    def span(self, start: int, end: int) -> Span:
        """Characters of the file as a span."""
        line, column = self._position(start)
        end_line, end_column = self._position(end)
        return Span(self.path, line, column, end_line, end_column)

    def _position(self, offset: int) -> tuple[int, int]:
        line = self.text.count("\n", 0, offset) + 1
        return line, offset - self.lines[line - 1] + 1

    def failing(self) -> Failing | None:
        """What its failure branches return; what it always returns; what takes no part."""
        head = self.head[: self.head.find(self.name)]
        if re.search(r"\bvoid\s*$", head):
            return Failing("", "the function returns nothing")
        found = Counter(
            " ".join(one[2].split())
            for one in re.finditer(
                r"\bif\s*(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))\s*\{?\s*return\b([^;]*);", self.body
            )
            if _FAILS.search(one[1].replace("->", "."))
        )
        if found:
            text, count = found.most_common(1)[0]
            return Failing(
                text, f"as {'once' if count == 1 else f'{count} times'} in this function where a check fails"
            )
        goto = re.search(r"\bif\s*\([^;{}]*\)\s*\{?\s*goto\s+(\w+)\s*;", self.body)
        if goto:
            return Failing("", "as another check of this function", f"goto {goto[1]};")
        every = {" ".join(one.split()) for one in re.findall(r"\breturn\b([^;]*);", self.body)}
        plain = {one for one in every if re.fullmatch(r"-?\w+", one) and not one.islower()}
        if len(every) == 1 and plain:
            return Failing(next(iter(plain)), "the function returns nothing else")
        if "*" in head:
            return Failing("NULL" if "NULL" in self.plain else "0", "the function returns a pointer")
        neutral = _NEUTRAL.get(self.ground.program.type or "", "0") if self.name == self.ground.program.name else "0"
        word = {"0": ("TC_ACT_OK", "0"), "1": ("SK_PASS", "1")}.get(neutral, (neutral,))
        said = next((one for one in word if one in every), None)
        if said is None and self.ground.program.type == "xdp" and self.name == self.ground.program.name:
            said = "XDP_PASS" if "XDP_PASS" in self.plain else None
        sure = said is not None or (self.ground.program.type or "") in TRACING
        why = "it takes no part, and the function has no other failure branch"
        return Failing(said or neutral, why, certain=sure)


def closing(text: str, at: int) -> int:
    """The offset of the bracket that closes the one at `at`; the end of the text without one."""
    pairs = {"{": "}", "(": ")", "[": "]"}
    opened, closed = text[at], pairs[text[at]]
    depth = 0
    for offset in range(at, len(text)):
        if text[offset] == opened:
            depth += 1
        elif text[offset] == closed:
            depth -= 1
            if depth == 0:
                return offset
    return len(text)


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
    if first is None or not re.search(rf"[\w*]\s+\**\s*{first[1]}\s*(?:[=;,\[]|__attr)", function.body):
        return True
    return re.search(rf"\b{first[1]}\b", function.plain[function.start : offset]) is not None


def before(function: Function, offset: int, lines: list[str]) -> Edit:
    """Lines put before a statement, indented as it is."""
    space = function.indent(offset)
    text = "".join(f"{one}\n{space}" for one in lines)
    return Edit(function.span(offset, offset), text)


def replace(function: Function, start: int, end: int, text: str) -> Edit:
    """Puts something else in the place of characters."""
    return Edit(function.span(start, end), text)


def guarded(
    function: Function, offset: int, conditions: list[str], fails: Failing, ahead: list[str] | None = None
) -> Edit:
    """`if (..) return ..;` before a statement, after other lines."""
    tab = "\t" if "\t" in function.indent(offset) or not function.indent(offset) else "    "
    lines = list(ahead or [])
    for one in conditions:
        lines += [f"if ({one})", f"{tab}{fails.statement}"]
    return before(function, offset, lines)


def checked(kind: str, edits: list[Edit], message: str, fails: Failing) -> Candidate:
    """A check whose failing branch does what `fails` says."""
    returns = fails.text or fails.statement.removesuffix(";")
    return Candidate(kind, edits, message, FAILING_BRANCH if fails.certain else UNSURE_BRANCH, returns, fails.why)


def after(function: Function, offset: int, lines: list[str]) -> Edit:
    """Lines put behind the statement that begins at an offset."""
    end = function.plain.find(";", offset) + 1
    space = function.indent(offset)
    return Edit(function.span(end, end), "".join(f"\n{space}{one}" for one in lines))
