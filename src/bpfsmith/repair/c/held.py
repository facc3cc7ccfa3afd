"""On which ways out of a C function something is still held: a walk over its statements.

What is followed is one thing that one call took: held, given back, or never there (null). Loops are walked once, and a
`goto` brings what it holds to its label. What it cannot follow it leaves alone.
"""

from __future__ import annotations

import re

from bpfsmith.repair.c.reader import closing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.repair.c.reader import Node
    from bpfsmith.repair.c.text import Function

__all__ = ["Leak", "Taken", "leaks"]

_FREE, _HELD = "free", "held"
_State = frozenset[str]
_NOTHING: _State = frozenset()


class Taken:
    """`name` as the source says it ("" where a section has none), taken by the call at `start`; `ends`: functions that
    give it back; `plain`: whether they are told by their name alone."""

    __slots__ = ("closes", "name", "start", "takes")

    def __init__(self, name: str, start: int, takes: str, ends: tuple[str, ...], *, plain: bool = False) -> None:
        self.name = name
        self.start = start
        word = re.escape(name)
        self.takes = re.compile(takes)
        given = r"" if plain or not name else rf"(?:[^;()]*[,\s&(])?{word}\b(?!\s*(?:->|\.|\[))"
        self.closes = re.compile(rf"\b(?:{'|'.join(ends)})\s*\(\s*{given}") if ends else None


class Leak:
    """A way out on which it is held: `at` is a statement before which it is to be given back (`where` "before"), a
    branch at whose end ("end"), or an `if` without an `else` that needs one ("else"). `maybe`: it may be null there."""

    __slots__ = ("at", "maybe", "where")

    def __init__(self, at: Node, where: str = "before", *, maybe: bool = False) -> None:
        self.at = at
        self.where = where
        self.maybe = maybe

    def __repr__(self) -> str:
        return f"<Leak {self.where} {self.at}>"


def leaks(function: Function, taken: Taken) -> list[Leak]:
    """The ways out that forget it; empty where it is given back on all, or that cannot be told."""
    walk = _Walk(function, taken)
    out = walk.several(function.top.parts, frozenset({_FREE}))
    if _HELD in out and function.top.parts and not walk.leaks:
        last = function.top.parts[-1]
        walk.leave(function.top if last.kind != "return" else last, out, "end")
    return walk.leaks


class _Walk:
    def __init__(self, function: Function, taken: Taken) -> None:
        self.function = function
        self.plain = function.plain
        self.taken = taken
        self.leaks: list[Leak] = []
        self.gotos: dict[str, _State] = {}
        self.joins: list[Leak] = []  # branches that still hold what another gave back
        self.breaks: list[_State] = []
        self.entries: list[_State] = []
        self.loops: list[tuple[int, int]] = []
        self.maybe = False

    def several(self, nodes: list[Node], state: _State) -> _State:
        for one in nodes:
            state = self.one(one, state)
        return state

    def one(self, node: Node, state: _State) -> _State:  # noqa: PLR0911 - one branch a kind of statement
        kind = node.kind
        if kind == "label":
            word = re.match(r"\w+", self.plain[node.start : node.end])
            name = word[0] if word is not None else ""
            if name in ("case", "default"):
                return state | (self.entries[-1] if self.entries else _NOTHING)
            return state | self.gotos.get(name, _NOTHING)
        if not state:
            return state
        if kind == "block":
            return self.several(node.parts, state)
        if kind == "if" and node.head is not None:
            return self._if(node, state)
        if kind in ("for", "while", "loop", "do", "switch"):
            return self._loop(node, state)
        if kind in ("return", "goto", "break", "continue"):
            return self._out(node, state)
        return self.events(node, node.start, node.end, state)

    def events(self, node: Node, start: int, end: int, state: _State) -> _State:
        """What a stretch of text does, in its order."""
        text = self.plain[start:end]
        found = [(one.start(), "take") for one in self.taken.takes.finditer(text)]
        if self.taken.closes is not None:
            found += [(one.start(), "close") for one in self.taken.closes.finditer(text)]
        for _, what in sorted(found):
            if what == "take":
                if _HELD in state:
                    self.leave(node, state)
                state = frozenset({_HELD})
                self.maybe = False
            else:
                state = frozenset({_FREE})
        if re.search(r"\bbpf_throw\s*\(", text) and _HELD in state:
            self.leave(node, state)
            return _NOTHING
        return state

    def leave(self, node: Node, state: _State, where: str = "before") -> None:
        """A way out is reached with it."""
        if _FREE not in state:
            self.leaks.append(Leak(node, where, maybe=self.maybe))
        elif self.joins:
            fresh = [one for one in self.joins if all(one.at is not other.at for other in self.leaks)]
            self.leaks += fresh
        elif self.maybe:
            self.leaks.append(Leak(node, where, maybe=True))

    def _if(self, node: Node, state: _State) -> _State:
        assert node.head is not None
        state = self.events(node, *node.head, state)
        yes, no = self._split(" ".join(self.plain[slice(*node.head)].split()), state)
        was = self.maybe
        one = self.one(node.parts[0], yes)
        maybe, self.maybe = self.maybe, was
        other = self.one(node.parts[1], no) if len(node.parts) > 1 else no
        self.maybe = maybe or self.maybe
        released = self.taken.closes
        if released is not None and one and other and one != other:
            # Only one branch gave it back: the other has to.
            for state_of, at in ((one, 0), (other, 1)):
                if state_of == {_HELD}:
                    if at < len(node.parts):
                        self.joins.append(Leak(node.parts[at], "end"))
                    elif released.search(self.plain, node.parts[0].start, node.parts[0].end):
                        self.joins.append(Leak(node, "else"))
        return one | other

    def _split(self, text: str, state: _State) -> tuple[_State, _State]:
        """What holds where a condition is true, and where it is not."""
        name = re.escape(self.taken.name)
        if not self.taken.name or self.taken.name.startswith("&"):
            return state, state
        made = re.search(rf"\(\s*{name}\s*=(?!=)", text)
        if made is not None:
            close = closing(text, made.start())
            text = text[: made.start()] + self.taken.name + text[close + 1 :]
        free: _State = frozenset({_FREE})
        null = rf"(?:!\s*{name}|{name}\s*==\s*(?:NULL|0|\(void \*\)\s*0)|(?:NULL|0)\s*==\s*{name})"
        there = rf"(?:{name}|{name}\s*!=\s*(?:NULL|0)|(?:NULL|0)\s*!=\s*{name})"
        if re.fullmatch(rf"\(*\s*{null}\s*\)*|unlikely\s*\(\s*{null}\s*\)", text):
            return free, state
        if re.fullmatch(rf"\(*\s*{there}\s*\)*|likely\s*\(\s*{there}\s*\)", text):
            return state, free
        if re.match(rf"\(*\s*{null}\s*\)*\s*\|\|", text):
            self.maybe = True
            return state | free, state
        if re.match(rf"\(*\s*{there}\s*\)*\s*&&", text):
            return state, state | free
        return state, state

    def _loop(self, node: Node, state: _State) -> _State:
        before = state
        if node.head is not None:
            state = self.events(node, *node.head, state)
        breaks: list[_State] = []
        self.breaks.append(_NOTHING)
        if node.kind == "switch":
            self.entries.append(state)
            out = self.several(node.parts, _NOTHING if node.parts and node.parts[0].parts else state)
            if node.parts and node.parts[0].kind == "block":
                out = out if out else self.several(node.parts[0].parts, _NOTHING)
            self.entries.pop()
            return out | self.breaks.pop() | (_NOTHING if "default" in self.plain[node.start : node.end] else state)
        self.loops.append((node.start, node.end))
        out = self.several(node.parts, state)
        if _HELD in out and self._inside(node):
            body = node.parts[-1]
            self.leave(body, out, "end")
            out = frozenset({_FREE})
        self.loops.pop()
        breaks.append(self.breaks.pop())
        return before | out | breaks[0]

    def _lost(self, node: Node) -> bool:
        """Whether a `break` leaves a loop that it was taken in, and nothing behind that gives it back."""
        loop = node.parent
        while loop is not None and loop.kind not in ("for", "while", "do", "loop", "switch"):
            loop = loop.parent
        if loop is None or loop.kind == "switch" or not self._inside(loop) or self.taken.closes is None:
            return False
        return self.taken.closes.search(self.plain, loop.end, self.function.end) is None

    def _inside(self, node: Node) -> bool:
        """Whether it is taken in a loop."""
        return node.start <= self.taken.start < node.end

    def _out(self, node: Node, state: _State) -> _State:
        state = self.events(node, node.start, node.end, state)
        text = " ".join(self.plain[node.start : node.end].split())
        if node.kind == "break":
            if _HELD in state and self._lost(node):
                self.leave(node, state)
                state = frozenset({_FREE})
            if self.breaks:
                self.breaks[-1] |= state
            return _NOTHING
        if node.kind == "continue":
            start, end = self.loops[-1] if self.loops else (0, 0)
            if _HELD in state and start <= self.taken.start < end:
                self.leave(node, state)
            return _NOTHING
        if node.kind == "goto":
            name = text.removeprefix("goto").strip(" ;")
            label = re.search(rf"\b{re.escape(name)}\s*:", self.plain[self.function.start : self.function.end])
            rest = self.plain[self.function.start + label.end() : self.function.end] if label is not None else ""
            if _HELD in state and (self.taken.closes is None or not self.taken.closes.search(rest)):
                self.leave(node, state)
                state = frozenset({_FREE})
            self.gotos[name] = self.gotos.get(name, _NOTHING) | state
            return _NOTHING
        given = re.fullmatch(rf"return \(?\s*(?:\([^()]*\)\s*)?{re.escape(self.taken.name)}\s*\)?;", text)
        if _HELD in state and not (self.taken.name and given):
            self.leave(node, state)
        return _NOTHING
