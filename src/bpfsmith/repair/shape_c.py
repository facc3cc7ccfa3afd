"""Is a changed C file the old one with failing branches in it, and nothing else?

The new text must be the old one, token for token, but for statements of few known forms that were put in: tests whose
branch only leaves, barriers for the compiler, fresh locals that hold what is read next, bytes that are set to zero,
what gives something back before a way out. Each test is then looked at by itself: its condition, what it returns, and
whether what it tests is used whenever the program comes past it.
"""

from __future__ import annotations

import re
from collections import Counter

from bpfsmith.repair.tested import (
    CALL,
    LEAVES,
    NO_CALLS,
    PROBE,
    TOKEN,
    Guard,
    Text,
    check,
    judged,
    parts,
    used_at,
    within,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfsmith.repair.c.reader import Body, Node
    from bpfsmith.repair.report import Candidate

__all__ = ["Guard", "c", "guards"]

_BARRIER = re.compile(
    r'(?:asm|__asm__)\s*(?:volatile|__volatile__)\s*\(\s*""\s*:\s*"\+r"\s*\(\s*\w+\s*\)\s*\)\s*;'
    r"|barrier_var\s*\(\s*\w+\s*\)\s*;"
)
_GIVES_BACK = re.compile(
    r"bpf_\w*(?:release|discard|submit|unlock|destroy|drop|(?<!out)put|enable|restore)\w*\s*\([^;{}]*\)\s*;"
)
_UNLOCKS = re.compile(r"bpf_\w*(?:unlock|enable|restore)")
_FRESH = re.compile(r"(?:const\s+|unsigned\s+|struct\s+)*(?:__auto_type|\w+)[\s*]+(\w+)\s*=\s*([^;]+);")
_TYPED = re.compile(r"__typeof__\s*\((.+)\)\s*(\w+)\s*;", re.DOTALL)


def c(old: str, new: str, done: Sequence[Candidate] = (), type_: str | None = None, entry: str = "") -> str | None:
    """None when it is so; else what is new besides, as a sentence.
    `type_`, `entry`: of the program and its function."""
    return guards(old, new, done, type_, entry)[1]


def guards(
    old: str, new: str, done: Sequence[Candidate] = (), type_: str | None = None, entry: str = ""
) -> tuple[list[Guard], str | None]:
    """The tests that were put in, and what is wrong with them or new besides."""
    before, after = Text(old), Text(new)
    kinds = {one.kind for one in done}
    found, wrong = _Match(before, after, kinds).run()
    if wrong is not None:
        return [], wrong
    for one in found:
        wrong = judged(one, before, after, type_, entry)
        if wrong is not None:
            return found, wrong
    return found, None


class _Match:
    """Walks through both texts; what only the new one has must be of a form that is known."""

    def __init__(self, before: Text, after: Text, kinds: set[str]) -> None:
        self.before = before
        self.after = after
        self.kinds = kinds
        self.known = set(before.tokens)
        self.locals = {  # function -> the words in it
            one.name: set(re.findall(r"[A-Za-z_]\w*", before.plain[one.begin : one.end])) for one in before.bodies
        }
        self.tests = _tests(before)  # what was tested before
        self.now = _tests(after)
        self.reason = ""
        self.index = {offset: at for at, offset in enumerate(after.offsets)}
        self.fresh: dict[str, list[list[str]]] = {}
        self.skips: dict[int, tuple[int, Guard | None]] = {}  # token -> (the one behind what may be new, its test)
        self.braces: set[int] = set()
        self.returns: dict[int, Guard] = {}
        for node, body in after.nodes():
            self._statement(node, body)

    def run(self) -> tuple[list[Guard], str | None]:
        old, new = self.before.tokens, self.after.tokens
        came: dict[tuple[int, int], tuple[tuple[int, int], Guard | None]] = {(0, 0): ((0, 0), None)}
        stack = [(0, 0)]
        far = 0
        while stack:
            here = stack.pop()
            i, j = here
            far = max(far, j)
            if i == len(old) and j == len(new):
                return self._path(came, here), None
            for to, guard in self._steps(i, j):
                if to not in came:
                    came[to] = here, guard
                    stack.append(to)
        said = " ".join(new[far : far + 8])
        return [], self.reason or f"`{said[:60]}` is more than an added check"

    def _steps(  # noqa: PLR0912 - one branch a form
        self, i: int, j: int
    ) -> Iterator[tuple[tuple[int, int], Guard | None]]:
        old, new = self.before.tokens, self.after.tokens
        if j >= len(new):
            return
        here = new[j]
        if j in self.skips:
            end, guard = self.skips[j]
            yield (i, end), guard
        if (
            "unreachable" in self.kinds
            and here == "return"
            and old[i : i + 4] == ["__builtin_unreachable", "(", ")", ";"]
        ):
            yield (i + 4, new.index(";", j) + 1), self.returns.get(j)
        if "unreachable" in self.kinds and here == "if" and i < len(old):
            trapped = self._trapped(i, j)
            if trapped is not None:
                yield trapped
        if "conjunct" in self.kinds:
            end = self._operand(j)
            if end:
                yield (i, end), None
        if j in self.braces:
            yield (i, j + 1), None
        for text in self.fresh.get(here, ()):
            if old[i : i + len(text)] == text:
                yield (i + len(text), j + 1), None
        if here == "=" and i < len(old) and old[i] == ";":
            for zero in (["=", "{", "}"], ["=", "{", "0", "}"], ["=", "0"]):
                if new[j : j + len(zero) + 1] == [*zero, ";"] and self._declares(j):
                    yield (i, j + len(zero)), None
        if "size" in self.kinds and here == "*" and new[j - 2 : j] == ["sizeof", "("] and new[j + 2 : j + 3] == [")"]:
            yield (i, j + 1), None
        if i < len(old) and old[i] == here:
            yield (i + 1, j + 1), None

    def _path(
        self, came: dict[tuple[int, int], tuple[tuple[int, int], Guard | None]], at: tuple[int, int]
    ) -> list[Guard]:
        out = []
        while at != (0, 0):
            at, guard = came[at]
            if guard is not None:
                out.append(guard)
        return out[::-1]

    def _declares(self, at: int) -> bool:
        """Whether the `=` at a token belongs to a declaration: two words in a row stand before the name."""
        start = at
        while start > 0 and self.after.tokens[start - 1] not in ";{}":
            start -= 1
        said = self.after.tokens[start:at]
        return len(said) > 1 and said[0].isidentifier() and (said[1].isidentifier() or said[1] == "*")

    def _skip(self, node: Node, guard: Guard | None = None) -> None:
        start = self.index.get(node.start)
        if start is None:
            return
        end = start
        while end < len(self.after.offsets) and self.after.offsets[end] < node.end:
            end += 1
        self.skips[start] = end, guard

    def _statement(self, node: Node, body: Body) -> None:
        """What may be new: kept by the token it begins with."""
        text = self.after.of(node)
        if node.kind == "if" and len(node.parts) == 1 and node.head is not None:
            leave = self._leave(node.parts[0])
            if leave is not None:
                condition = self.after.kept[node.head[0] : node.head[1]]
                wrong = self._wrong(condition, body)
                if "".join(condition.split()) in self.tests and wrong is not None:
                    pass
                elif wrong is None:
                    said = " ".join(self.after.of(leave).rstrip(";").split())
                    self._skip(node, Guard(node, condition, said, body))
                elif not self.reason:
                    self.reason = wrong
            elif "release" in self.kinds and self._given_where_it_is(node) and self._before_a_way_out(node):
                self._skip(node)
        elif node.kind == "if" and "release" in self.kinds and self._gives(node.parts[1]):
            self._otherwise(node)
        elif node.kind == "plain":
            self._plain(node, text, body)
        elif node.kind == "return" and "unreachable" in self.kinds:
            self.returns[self.index[node.start]] = Guard(node, "", " ".join(text.rstrip(";").split()), body)
        elif (
            node.kind == "return"
            and node.end >= body.end - 1 - len(self.after.plain[node.end : body.end])
            and not (self.after.plain[node.end : body.end].strip())
        ):
            self._last(node, body)
        elif node.kind == "block" and node.parent is not None and node.parent.kind not in ("block", "top"):
            self._wrapped(node, body)

    def _trapped(self, i: int, j: int) -> tuple[tuple[int, int], Guard | None] | None:
        """`BUG_ON(c);`, a macro that traps when `c` holds, as `if (c) return ..;` with the same condition."""
        old, new = self.before.tokens, self.after.tokens
        name = old[i]
        define = rf"^[ \t]*#[ \t]*define[ \t]+{re.escape(name)}\(\s*(\w+)\s*\)((?:[^\n\\]|\\\n)*)"
        made = re.search(define, self.before.text, re.MULTILINE) if name.isidentifier() else None
        if made is None or not re.search(
            rf"if\s*\(\s*\(?\s*{made[1]}\s*\)?\s*\).*__builtin_(?:trap|unreachable)", made[2]
        ):
            return None
        size, depth = 1, 0
        while i + size < len(old) and j + size < len(new) and old[i + size] == new[j + size]:
            depth += (old[i + size] == "(") - (old[i + size] == ")")
            size += 1
            if depth == 0:
                break
        if depth or old[i + size : i + size + 1] != [";"] or new[j + size : j + size + 1] != ["return"]:
            return None
        return (i + size + 1, new.index(";", j + size) + 1), self.returns.get(j + size)

    def _operand(self, at: int) -> int:  # noqa: PLR0911 - one return a reason
        """Behind `good &&` or `bad ||` that was put into the condition of a test right before the use; 0 elsewhere."""
        new, offsets = self.after.tokens, self.after.offsets
        depth, end = 0, at
        while end < len(new) and end < at + 60:
            depth += (new[end] in "([") - (new[end] in ")]")
            if depth < 0 or new[end] in (";", "{", "}", "?"):
                return 0
            if depth == 0 and new[end] in ("&&", "||"):
                break
            end += 1
        else:
            return 0
        if end == at or new[at - 1] not in ("(", "&&", "||"):
            return 0
        node, body = self._if_at(offsets[at])
        if node is None or body is None or node.head is None:
            return 0
        test = self.after.kept[offsets[at] : offsets[end]].strip()
        if self._wrong(test, body) is not None and not self._good(test):
            return 0
        good = self._good(test)
        if good != (new[end] == "&&") or (not good and "&&" in self._level(at)):
            return 0
        return end + 1 if used_at(test, node, offsets[end] + 2, body, self.after) else 0

    def _good(self, test: str) -> bool:
        """Whether a test holds where nothing is wrong: `p`, `p != NULL`, `x <= end`, `i < n`; it calls nothing."""
        if _works(test):
            return False
        plain = test.strip().replace("->", ".")
        return (
            re.fullmatch(r"[A-Za-z_][\w.]*", plain) is not None
            or re.fullmatch(r"[A-Za-z_][\w.]*\s*!=\s*(?:NULL|0)", plain) is not None
            or (
                re.fullmatch(r"[^<>=!&|]+<=?[^<>=!&|]+", plain) is not None and re.search(r"<=?\s*[01]$", plain) is None
            )
        )

    def _level(self, at: int) -> list[str]:
        """The operators that stand beside a token, in no bracket of their own."""
        out: list[str] = []
        for step in (-1, 1):
            depth, number = 0, at
            while 0 <= number < len(self.after.tokens):
                token = self.after.tokens[number]
                opens = token in ("(", "[") if step > 0 else token in (")", "]")
                closes = token in (")", "]") if step > 0 else token in ("(", "[")
                depth += opens - closes
                if depth < 0 or token in (";", "{", "}"):
                    break
                if depth == 0 and token in ("&&", "||"):
                    out.append(token)
                number += step
        return out

    def _if_at(self, offset: int) -> tuple[Node | None, Body | None]:
        for node, body in self.after.nodes():
            if node.kind == "if" and node.head is not None and node.head[0] <= offset < node.head[1]:
                return node, body
        return None, None

    def _leave(self, node: Node) -> Node | None:
        """The way out that is all of a branch, but for what it gives back."""
        while node.kind == "block":
            rest = [one for one in node.parts if not _GIVES_BACK.fullmatch(self.after.of(one))]
            if len(rest) != 1 or node.parts[-1] is not rest[0]:
                return None
            node = rest[0]
        return node if node.kind in LEAVES else None

    def _gives(self, node: Node) -> bool:
        """Whether all that a statement does is to give something back."""
        if node.kind == "block":
            return bool(node.parts) and all(self._gives(one) for one in node.parts)
        return node.kind == "plain" and _GIVES_BACK.fullmatch(self.after.of(node)) is not None

    def _given_where_it_is(self, node: Node) -> bool:
        """`if (x) release(x);`"""
        assert node.head is not None
        name = self.after.plain[node.head[0] : node.head[1]].strip()
        given = self.after.of(node.parts[0])
        return name.isidentifier() and self._gives(node.parts[0]) and re.search(rf"\(\s*{name}\b", given) is not None

    def _otherwise(self, node: Node) -> None:
        """`else` behind a test that had none, which only gives something back."""
        start = self.index.get(node.parts[1].start)
        if start is not None and self.after.tokens[start - 1] == "else":
            self._skip(node.parts[1])
            self.skips[start - 1] = self.skips.pop(start)

    def _last(self, node: Node, body: Body) -> None:
        """A way out where the function ran off its end."""
        found = self.before.body(body.name)
        if found is not None and not (found[1].parts and found[1].parts[-1].kind in LEAVES):
            self._skip(node)

    def _wrapped(self, node: Node, body: Body) -> None:
        """Braces around one statement and what was put before it."""
        own = [one for one in node.parts if not self._insertion(one, body)]
        if len(own) == 1 and len(node.parts) > 1:
            last = max(at for at, offset in enumerate(self.after.offsets) if offset < node.end)
            self.braces |= {self.index[node.start], last}

    def _insertion(self, node: Node, body: Body) -> bool:
        text = self.after.of(node)
        if node.kind == "if":
            head = _head(self.after, node)
            return (
                len(node.parts) == 1
                and self.now[head] > self.tests[head]
                and (self._leave(node.parts[0]) is not None or self._given_where_it_is(node))
            )
        return node.kind == "plain" and (
            _BARRIER.fullmatch(text) is not None
            or _GIVES_BACK.fullmatch(text) is not None
            or self._new_local(text, body)
        )

    def _unknown(self, name: str, body: Body) -> bool:
        """Whether a local's name is new to the function."""
        return name not in self.locals.get(body.name, self.known)

    def _new_local(self, text: str, body: Body) -> bool:
        typed, found = _TYPED.fullmatch(text), _FRESH.fullmatch(text)
        name = typed[2] if typed is not None else found[1] if found is not None else ""
        return bool(name) and self._unknown(name, body)

    def _plain(self, node: Node, text: str, body: Body) -> None:  # noqa: PLR0911 - one return a form
        if _BARRIER.fullmatch(text):
            self._skip(node)
            return
        if _GIVES_BACK.fullmatch(text):
            if "release" in self.kinds and self._before_a_way_out(node):
                if (
                    "discard" in text
                    and node.parent is not None
                    and node.parent.kind == "top"
                    and "submit" not in (self.before.plain[body.begin : body.end])
                ):
                    self.reason = "what was reserved would never be submitted"
                    return
                self._skip(node)
            return
        typed = _TYPED.fullmatch(text)
        if typed is not None and self._unknown(typed[2], body) and self._next(node, typed[2], body):
            self._skip(node)
            self.fresh.setdefault(typed[2], []).append(_tokens(typed[1]))
            return
        fresh = _FRESH.fullmatch(text)
        if fresh is not None and self._unknown(fresh[1], body):
            if self._next(node, fresh[1], body, once=bool(_works(fresh[2]))):
                self._skip(node)
                self.fresh.setdefault(fresh[1], []).append(_tokens(fresh[2]))
            return
        zeroed = re.fullmatch(
            r"(?:__builtin_)?memset\s*\(\s*&?\s*(\w+)\s*,\s*0\s*,\s*sizeof\s*\(\s*\1\s*\)\s*\)\s*;", text
        )
        if zeroed is not None and _just_declared(self.after, node, zeroed[1], body):
            self._skip(node)
            return
        again = re.fullmatch(r"(\w+)\s*=\s*([^;=]+);", text)
        if again is None:
            return
        if "full-socket" in self.kinds and re.fullmatch(rf"bpf_sk_fullsock\s*\(\s*{again[1]}\s*\)", again[2].strip()):
            self._skip(node)
        elif "re-derive" in self.kinds and not [one for one in CALL.findall(again[2]) if one not in NO_CALLS]:
            wanted = _tokens(f"{again[1]} = {again[2]}")
            was = self.before.tokens
            if any(was[at : at + len(wanted)] == wanted for at in range(len(was) - len(wanted) + 1)):
                self._skip(node)

    def _next(self, node: Node, name: str, body: Body, *, once: bool = False) -> bool:
        """Whether the name of a fresh local stands, tests and the like apart, in the very next statement only; `once`:
        there once, before anything else is called or changed, whatever the statement finds."""
        parent = node.parent
        if parent is None:
            return False
        rest = parent.parts[parent.parts.index(node) + 1 :]
        while rest and self._insertion(rest[0], body):
            rest = rest[1:]
        if not rest:
            return False
        word = re.compile(rf"(?<![\w.>]){re.escape(name)}\b")
        uses = [one.start() + rest[0].start for one in word.finditer(self.after.plain[rest[0].start : rest[0].end])]
        if not uses or word.search(self.after.plain[rest[0].end : body.end]):
            return False
        return not once or (
            len(uses) == 1
            and not _works(self.after.plain[rest[0].start : uses[0]])
            and within(rest[0], uses[0], self.after, "")
        )

    def _before_a_way_out(self, node: Node) -> bool:
        """What is given back is given back right before the function is left, or begun again."""
        parent = node.parent
        if parent is None:
            return False
        rest = parent.parts[parent.parts.index(node) + 1 :]
        while rest and _GIVES_BACK.fullmatch(self.after.of(rest[0])):
            rest = rest[1:]
        if not rest:
            # What is locked may be worked with behind a branch's end.
            return parent.kind == "top" or _UNLOCKS.search(self.after.of(node)) is None
        following = rest[0]
        text = self.after.of(following)
        return (
            following.kind in LEAVES
            or re.search(r"\bbpf_(?:iter_\w+_new|tail_call\w*|throw|\w*reserve_dynptr)\s*\(", text) is not None
        )

    def _wrong(  # noqa: PLR0911 - one return a reason
        self, condition: str, body: Body
    ) -> str | None:
        """What is wrong with the condition of a test."""
        shown = " ".join(condition.split())[:60]
        plain = re.sub(r"\"[^\"]*\"", "", condition)
        words = [one for one in re.findall(r"[A-Za-z_]\w*", plain) if one not in NO_CALLS]
        if not any(one in self.known or one in self.fresh for one in words):
            return f"`{shown}` tests nothing of the program's"
        if re.search(r"\+\+|--|(?<![=!<>])=(?!=)", plain):
            return f"`{shown}` changes something"
        probe = PROBE.fullmatch(condition.strip())
        if probe is not None and self._unknown(probe[1], body):
            for text in (f"*{probe[2]}", probe[2].strip().removeprefix("&")):
                self.fresh.setdefault(probe[1], []).append(_tokens(text))
            return None
        calls = {one for one in CALL.findall(plain) if one not in NO_CALLS}
        for name in set(re.findall(r"[A-Za-z_]\w*", plain)):
            made = re.search(rf"^[ \t]*#[ \t]*define[ \t]+{name}\b(?:\([^)]*\))?(.*)$", self.before.text, re.MULTILINE)
            if made is not None and re.search(r"\+\+|--|[^=!<>]=[^=]|\bbpf_\w+\s*\(", made[1]):
                return f"`{name}` in `{shown}` does something each time"
            if made is not None:
                calls.discard(name)
        if calls:
            return f"a call of `{min(calls)}` is new"
        for part in parts(condition, "||"):
            if "in-range" in self.kinds and re.fullmatch(r"\s*\w+\s*[<>]\s*-?\d+\s*", part):
                continue
            if not check(part):
                return f"`{' '.join(part.split())[:60]}` is no check of a pointer, index or length"
        return None


def _head(text: Text, node: Node) -> str:
    return "".join(text.plain[node.head[0] : node.head[1]].split()) if node.head is not None else ""


def _tests(text: Text) -> Counter[str]:
    """The conditions of the tests of a text."""
    return Counter(_head(text, node) for node, _ in text.nodes() if node.kind == "if")


def _works(text: str) -> bool:
    """Whether computing something calls or changes anything."""
    calls = {one for one in CALL.findall(text) if one not in (*NO_CALLS, "return", "while", "switch", "for")}
    return bool(calls) or re.search(r"\+\+|--|(?<![=!<>])=(?!=)", text) is not None


def _tokens(text: str) -> list[str]:
    return [one[0] for one in TOKEN.finditer(text)]


def _just_declared(text: Text, node: Node, name: str, body: Body) -> bool:
    """Whether a local is declared in the function, and not named between that and a statement."""
    found = None
    for one in re.finditer(rf"\b{re.escape(name)}\b", text.plain[body.start : node.start]):
        found = one
    if found is None:
        return False
    head = text.plain[body.start : body.start + found.start()]
    line = re.split(r"[;{}]", head)[-1]
    return re.fullmatch(r"\s*(?:(?:const|volatile|unsigned|struct|union)\s+)*\w+\s*", line) is not None and bool(
        line.strip()
    )
