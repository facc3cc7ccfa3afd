"""The statements of a C file: which functions there are, and the tree of statements in one.

Comments, strings and preprocessor lines are spaces to it, so that offsets stay. What it does not understand is a
statement up to the next semicolon: macros of any form pass.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Body", "Node", "blanked", "bodies", "closing", "opening", "split", "tree"]

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\\\n]|\\\r?\n|\\.)*", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_]\w*")
_HEADED = frozenset({"if", "for", "while", "switch"})
# Macros that wrap the name of a program and its arguments.
_WRAPS = re.compile(r"BPF_(?:PROG2?|KPROBE|KRETPROBE|UPROBE|URETPROBE|USDT|KSYSCALL|KPROBE_SYSCALL|STRUCT_OPS\w*)")
_NOT_NAMES = frozenset({"__attribute__", "__attribute", "SEC", "__declspec", "_Alignas", "__aligned", "section"})


def _spaces(one: re.Match[str]) -> str:
    return re.sub(r"[^\r\n]", " ", one[0])


def blanked(text: str) -> str:
    """The text with comments and strings as spaces, so that offsets stay."""
    return _COMMENT.sub(_spaces, text)


def undirected(plain: str) -> str:
    """With preprocessor lines as spaces too."""
    return _DIRECTIVE.sub(_spaces, plain)


_PAIRS = {"{": "}", "(": ")", "[": "]"}


def closing(text: str, at: int) -> int:
    """The offset of the bracket that closes the one at `at`; the end of the text without one."""
    opened, closed = text[at], _PAIRS[text[at]]
    depth = 0
    for one in re.compile(f"[{re.escape(opened + closed)}]").finditer(text, at):
        depth += 1 if one[0] == opened else -1
        if depth == 0:
            return one.start()
    return len(text)


def opening(text: str, at: int) -> int:
    """The offset of the bracket that the one at `at` closes; -1 without one."""
    closed = text[at]
    opened = {")": "(", "]": "[", "}": "{"}[closed]
    depth = 0
    for number in range(at, -1, -1):
        depth += (text[number] == closed) - (text[number] == opened)
        if depth == 0:
            return number
    return -1


def split(text: str) -> list[str]:
    """The parts of a list between commas that no bracket holds, without the spaces around them."""
    out, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            out.append(text[start:at].strip())
            start = at + 1
    return [*out, text[start:].strip()]


class Body:
    """A function: `name` as the program is called, `head` the text up to its brace, `start` and `end` of what its
    braces hold, `begin` where its head begins."""

    __slots__ = ("begin", "end", "head", "name", "start", "word")

    def __init__(self, name: str, word: str, begin: int, start: int, end: int, head: str) -> None:
        self.name = name
        self.word = word  # what stands before the parameters: the name, or a macro
        self.begin = begin
        self.start = start
        self.end = end
        self.head = head


def bodies(plain: str) -> Iterator[Body]:
    """The functions that a file defines. `plain`: `blanked` text."""
    text = undirected(plain)
    begin = at = 0
    while True:
        one = re.compile(r"[;{}]").search(text, at)
        if one is None:
            return
        at = one.end()
        if one[0] != "{":
            begin = at
            continue
        close = closing(text, one.start())
        named = _named(text, begin, one.start())
        if named is not None:
            word, opened = named
            name = word
            if _WRAPS.fullmatch(word):
                first = _WORD.search(text, opened)
                name = first[0] if first is not None else word
            while begin < one.start() and text[begin].isspace():
                begin += 1
            yield Body(name, word, begin, one.end(), close, text[begin : one.end()])
            begin = close + 1
        at = close + 1


def _named(text: str, begin: int, brace: int) -> tuple[str, int] | None:
    """The word before the parameters of a function whose body opens at `brace`, and where they open."""
    at = brace
    while True:
        head = text[begin:at].rstrip()
        trailing = re.search(r"\)\s*((?:[A-Za-z_]\w*\s*)*)$", head)
        if trailing is None:
            return None
        close = begin + trailing.start()
        opened = opening(text, close)
        if opened <= begin:
            return None
        word = re.search(r"([A-Za-z_]\w*)\s*$", text[begin:opened])
        if word is None:
            return None
        if word[1] not in _NOT_NAMES:
            return (word[1], opened) if text[begin : begin + word.start()].strip() or _WRAPS.match(word[1]) else None
        at = begin + word.start()


class Node:
    """A statement from `start` to `end`. `kind`: `block`, `if`, `for`, `while`, `do`, `switch`, `loop` (a macro that
    heads a statement), `label`, `return`, `goto`, `break`, `continue`, `plain`; `head`: what its parentheses hold;
    `parts`: the statements in it (of an `if`: that of its branch and that of its `else`)."""

    __slots__ = ("end", "head", "kind", "parent", "parts", "start")

    def __init__(self, kind: str, start: int, end: int, parent: Node | None) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.head: tuple[int, int] | None = None
        self.parts: list[Node] = []
        self.parent = parent

    @property
    def bare(self) -> bool:
        """Whether it is what a branch or loop does, without braces."""
        return self.parent is not None and self.parent.kind not in ("block", "top") and self.kind != "block"

    def walk(self) -> Iterator[Node]:
        """It and all that it holds, in the order of the text."""
        yield self
        for one in self.parts:
            yield from one.walk()

    def at(self, offset: int) -> Node:
        """The innermost statement that an offset is in."""
        for one in self.parts:
            if one.start <= offset < one.end:
                return one.at(offset)
        return self

    def __repr__(self) -> str:
        return f"<{self.kind} {self.start}..{self.end}>"


def tree(plain: str, start: int, end: int) -> Node:
    """The statements between the braces of a function."""
    return _Parser(undirected(plain), end).block(start)


class _Parser:
    __slots__ = ("end", "text")

    def __init__(self, text: str, end: int) -> None:
        self.text = text
        self.end = end

    def block(self, start: int) -> Node:
        top = Node("top", start, self.end, None)
        at = self._skip(start)
        while at < self.end:
            made = self._statement(at, top)
            top.parts.append(made)
            at = self._skip(max(made.end, at + 1))
        return top

    def _skip(self, at: int) -> int:
        while at < self.end and self.text[at].isspace():
            at += 1
        return at

    def _statement(self, at: int, parent: Node, depth: int = 0) -> Node:  # noqa: PLR0911 - one return a kind
        text = self.text
        if depth > 200 or at >= self.end:
            return Node("plain", at, max(at, self.end), parent)
        if text[at] == "{":
            made = Node("block", at, min(closing(text, at) + 1, self.end), parent)
            inner = self._skip(at + 1)
            while inner < made.end - 1:
                one = self._statement(inner, made, depth + 1)
                made.parts.append(one)
                inner = self._skip(max(one.end, inner + 1))
            return made
        word = _WORD.match(text, at)
        name = word[0] if word is not None else ""
        if word is not None:
            after = self._skip(word.end())
            if name in _HEADED and text[after : after + 1] == "(":
                return self._headed(name, at, after, parent, depth)
            if name == "do":
                return self._do(at, after, parent, depth)
            if name in ("case", "default") or (text[after : after + 1] == ":" and name not in ("public",)):
                colon = self._colon(at)
                return Node("label", at, colon + 1, parent)
            if text[after : after + 1] == "(" and name not in _NOT_NAMES:
                behind = self._skip(closing(text, after) + 1)
                if text[behind : behind + 1] == "{" or (
                    re.match(r"[A-Za-z_]", text[behind : behind + 1])
                    and re.match(r"bpf_(?:for|repeat)|\w*for_?each\w*", name)
                ):
                    return self._headed("loop", at, after, parent, depth)
        kind = name if name in ("return", "goto", "break", "continue") else "plain"
        return Node(kind, at, self._semicolon(at), parent)

    def _headed(self, name: str, at: int, opened: int, parent: Node, depth: int) -> Node:
        close = closing(self.text, opened)
        made = Node(name, at, min(close + 1, self.end), parent)
        made.head = (opened + 1, close)
        inner = self._skip(close + 1)
        made.parts.append(self._statement(inner, made, depth + 1))
        made.end = made.parts[0].end
        if name == "if":
            behind = self._skip(made.end)
            word = _WORD.match(self.text, behind)
            if word is not None and word[0] == "else" and behind < self.end:
                other = self._statement(self._skip(word.end()), made, depth + 1)
                made.parts.append(other)
                made.end = other.end
        return made

    def _do(self, at: int, after: int, parent: Node, depth: int) -> Node:
        made = Node("do", at, after, parent)
        made.parts.append(self._statement(after, made, depth + 1))
        behind = self._skip(made.parts[0].end)
        opened = self.text.find("(", behind)
        if self.text[behind : behind + 5] == "while" and 0 <= opened < self.end:
            close = closing(self.text, opened)
            made.head = (opened + 1, close)
            behind = close + 1
        made.end = self._semicolon(behind)
        return made

    def _colon(self, at: int) -> int:
        """The colon that ends a label: not one of a `?:`."""
        asked = 0
        for number in range(at, self.end):
            letter = self.text[number]
            asked += letter == "?"
            if letter == ":":
                if not asked:
                    return number
                asked -= 1
            elif letter in ";{}":
                break
        return self.end - 1

    def _semicolon(self, at: int) -> int:
        """Behind the semicolon that ends a statement; a brace that no bracket holds ends it too."""
        text, number = self.text, at
        while number < self.end:
            letter = text[number]
            if letter in "([{":
                number = closing(text, number)
            elif letter == ";":
                return number + 1
            elif letter == "}":
                return number
            number += 1
        return self.end
