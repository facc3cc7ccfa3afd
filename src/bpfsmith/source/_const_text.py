"""The value of a constant expression as written: numbers, names, arithmetic, `as`, brackets and blocks of one value."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["evaluate"]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0x[0-9a-fA-F_]+|0b[01_]+|0o[0-7_]+|\d[\d_]*)(?P<suffix>[iu](?:8|16|32|64|128|size))?"
    r"|(?P<byte>b'(?:[^'\\]|\\.)')|(?P<name>(?:::)?[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)*)|(?P<op><<|>>|::|[-+*/%&|^(){}<>!,;.]))"
)
_LEVELS = (("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))
_MAX = 1 << 128


class _Stop(Exception):
    """Not a value we can tell."""


class _Reader:
    __slots__ = ("at", "depth", "name", "text")

    def __init__(self, text: str, name: Callable[[str, str], int | None]) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.name = name

    def peek(self) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            return ("end", "") if not self.text[self.at :].strip() else ("bad", "")
        return str(match.lastgroup), match[0].strip()

    def take(self) -> re.Match[str]:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            raise _Stop
        self.at = match.end()
        return match

    def sum(self, level: int = 0) -> int:
        self.depth += 1
        if self.depth > 200:
            raise _Stop
        value = self.sum(level + 1) if level + 1 < len(_LEVELS) else self.cast()
        while self.peek()[0] == "op" and self.peek()[1] in _LEVELS[level]:
            op = self.take()[0].strip()
            right = self.sum(level + 1) if level + 1 < len(_LEVELS) else self.cast()
            value = _apply(op, value, right)
        self.depth -= 1
        return value

    def cast(self) -> int:
        value = self.one()
        while self.peek() == ("name", "as"):
            self.take()
            kind = self.take()
            name = (kind["name"] or "").strip()
            bits = {"usize": 64, "isize": 64}.get(name) or (int(name[1:]) if name[1:].isdigit() else 0)
            if not bits or name[:1] not in ("u", "i"):
                raise _Stop
            value &= (1 << bits) - 1
            if name[0] == "i" and value >> (bits - 1):
                value -= 1 << bits
        return value

    def one(self) -> int:
        kind, text = self.peek()
        if kind in ("number", "suffix"):
            match = self.take()
            digits = match["number"].replace("_", "")
            return int(digits, 0) if not digits.isdigit() else int(digits)
        if kind == "byte":
            inner = self.take()["byte"][2:-1]
            if len(inner) == 1:
                return ord(inner)
            raise _Stop
        if text in ("(", "{"):
            self.take()
            value = self.sum()
            if self.take()[0].strip() != {"(": ")", "{": "}"}[text]:
                raise _Stop
            return value
        if text == "-":
            self.take()
            return -self.one()
        if kind == "name":
            return self.named(re.sub(r"\s", "", self.take()["name"]))
        raise _Stop

    def named(self, path: str) -> int:
        arguments = ""
        rest = self.text[self.at :].lstrip()
        if rest.startswith("::"):
            start = self.text.index("<", self.at)
            depth = 0
            for at in range(start, len(self.text)):
                depth += {"<": 1, ">": -1}.get(self.text[at], 0)
                if depth == 0:
                    arguments = self.text[start + 1 : at]
                    self.at = at + 1
                    break
            else:
                raise _Stop
        if self.peek()[1] == "(":
            self.take()
            if self.take()[0].strip() != ")" or not arguments:
                raise _Stop
        elif arguments:
            raise _Stop
        head, _, last = path.rpartition("::")
        if last in ("MAX", "MIN", "BITS") and head[1:].isdigit() and head[0] in "iu":
            bits = int(head[1:])
            if last == "BITS":
                return bits
            if head[0] == "u":
                return (1 << bits) - 1 if last == "MAX" else 0
            return (1 << (bits - 1)) - 1 if last == "MAX" else -(1 << (bits - 1))
        value = self.name(path, arguments)
        if value is None:
            raise _Stop
        return value


def _apply(op: str, left: int, right: int) -> int:
    if op in ("/", "%"):
        if right == 0:
            raise _Stop
        quotient = abs(left) // abs(right)
        quotient = quotient if (left < 0) == (right < 0) else -quotient
        return quotient if op == "/" else left - right * quotient
    if op in ("<<", ">>"):
        if not 0 <= right < 128:
            raise _Stop
        return left << right if op == "<<" else left >> right
    value = {"+": left + right, "-": left - right, "*": left * right, "&": left & right, "|": left | right}.get(op)
    if value is None:
        value = left ^ right
    if abs(value) > _MAX:
        raise _Stop
    return value


def evaluate(text: str, name: Callable[[str, str], int | None]) -> int | None:
    """The value of `text`; `name` answers for paths (with their type arguments: `size_of`, `T`)."""
    if text.isdigit() and len(text) < 20:
        return int(text)
    reader = _Reader(text, name)
    try:
        value = reader.sum()
    except (_Stop, ValueError, RecursionError):
        return None
    return value if reader.peek()[0] == "end" else None
