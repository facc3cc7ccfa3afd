"""The graph of one body's control flow: nodes in the order of evaluation, made in one walk. Asked through `flow.py`."""

from __future__ import annotations

from bpfsmith.source.rust import Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.source.rust import Expr

__all__ = ["ASSIGNS", "Exit", "Graph", "apart", "children"]

_MAX_EXPRS = 2000
_MAX_DEPTH = 160
_PANICS = frozenset({"panic", "unreachable", "todo", "unimplemented", "compile_error"})
_MAY_PANIC = frozenset({"assert", "assert_eq", "assert_ne", "debug_assert", "debug_assert_eq", "debug_assert_ne"})
_NEVER = frozenset({"exit", "abort", "unreachable_unchecked", "exit_group", "panic_any"})
ASSIGNS = frozenset({"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="})
_COMPARES_BOOL = frozenset({"&&", "||"})


class Exit:
    """A way out of a function: `kind` is tail, return, try or panic; `expr` what leaves."""

    __slots__ = ("expr", "kind")

    def __init__(self, expr: Expr, kind: str) -> None:
        self.expr = expr
        self.kind = kind

    def __repr__(self) -> str:
        return f"Exit({self.kind} {self.expr.text[:40]!r})"


def children(expr: Expr) -> list[Expr]:  # noqa: PLR0911 - one return a kind
    """The operands of an expression in the order in which they are evaluated; branches and bodies are not operands."""
    kind = expr.kind
    if kind in ("call", "macro"):
        callee = expr.callee
        return [callee, *expr.args] if callee is not None else expr.args
    if kind in ("method", "field"):
        receiver = expr.receiver
        args = expr.args if kind == "method" else []
        return [receiver, *args] if receiver is not None else args
    if kind in ("binary", "index", "repeat"):
        left, right = expr.operands
        both = (right, left) if kind == "binary" and expr.op in ASSIGNS else (left, right)
        return [one for one in both if one is not None]
    if kind == "struct":
        file = expr.file
        spread = file.expr(expr.fields[2])
        return [*(one for _, one in expr.struct_fields if one is not None), *([spread] if spread is not None else [])]
    if kind in ("array", "tuple", "other"):
        return [expr.file.exprs[at] for at in expr.fields[0] if at >= 0]
    if kind == "range":
        return [expr.file.exprs[at] for at in expr.fields[:2] if at >= 0]
    inner = expr.inner
    return [inner] if inner is not None else []


def apart(expr: Expr) -> bool:
    """A closure or an `async` block: its body runs some other time."""
    return expr.kind == "closure" or (expr.kind == "block" and bool(expr.fields[0] & 2))


class Graph:
    """Nodes are numbers, 0 the entry. Node of an expression: the moment at which it has its value.

    `known` is False where the body was not read to its end.
    """

    __slots__ = ("at", "enter", "exits", "expr", "held", "known", "marks", "pred", "succ")

    def __init__(self, root: Expr | None) -> None:
        self.succ: list[list[int]] = [[]]
        self.pred: list[list[int]] = [[]]
        self.expr: list[Expr | None] = [None]
        self.marks: dict[int, tuple[Expr, bool]] = {}  # nodes at which a condition is known to hold or not
        self.exits: dict[int, Exit] = {}
        self.at: dict[int, int] = {}  # expression -> its node
        self.held: dict[int, int] = {}  # condition -> node at which it holds; `let` by its offset, negative
        self.enter: dict[int, int] = {}  # branch or body -> node before it
        self.known = False
        if root is None or _count(root) > _MAX_EXPRS:
            return
        try:
            ends = _Builder(self).run(root)
        except _TooDeep:
            return
        tail = root.tail if root.kind == "block" and root.tail is not None else root
        if ends:
            self.exits[self.node(ends)] = Exit(tail, "tail")
        self.known = True

    def node(self, before: Iterable[int], expr: Expr | None = None) -> int:
        at = len(self.succ)
        self.succ.append([])
        self.pred.append([])
        self.expr.append(expr)
        for one in before:
            self.link(one, at)
        if expr is not None:
            self.at[expr.id] = at
        return at

    def link(self, one: int, other: int) -> None:
        if other not in self.succ[one]:
            self.succ[one].append(other)
            self.pred[other].append(one)


def _count(root: Expr) -> int:
    count = 0
    for _ in root.within():
        count += 1
        if count > _MAX_EXPRS:
            break
    return count


class _TooDeep(Exception):
    """Deeper than anyone writes."""


class _Loop:
    """Where `break` and `continue` of a loop, or of a labelled block, go."""

    __slots__ = ("ends", "head", "label")

    def __init__(self, label: str, head: int) -> None:
        self.label = label
        self.head = head  # -1: a block
        self.ends: list[int] = []


class _Builder:
    """Walks a body once; every step takes the nodes that come before and gives those that come after."""

    __slots__ = ("_depth", "_graph", "_loops", "_tries")

    def __init__(self, made: Graph) -> None:
        self._graph = made
        self._loops: list[_Loop] = []
        self._tries: list[list[int]] = []  # ends of `try` blocks
        self._depth = 0

    def run(self, root: Expr) -> list[int]:
        return self._block(root, [0]) if root.kind == "block" else self.walk(root, [0])

    def walk(self, expr: Expr, before: list[int]) -> list[int]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _TooDeep
        try:
            return self._walk(expr, before)
        finally:
            self._depth -= 1

    def _all(self, exprs: Iterable[Expr], before: list[int]) -> list[int]:
        for one in exprs:
            before = self.walk(one, before)
        return before

    def _done(self, expr: Expr, before: list[int]) -> list[int]:
        return [self._graph.node(before, expr)] if before else []

    def _leave(self, expr: Expr, kind: str, before: list[int]) -> None:
        if before:
            self._graph.exits[self._graph.node(before)] = Exit(expr, kind)

    def _walk(self, expr: Expr, before: list[int]) -> list[int]:  # noqa: PLR0911, PLR0912 - one branch a kind
        kind = expr.kind
        if kind == "closure":
            return self._done(expr, before)
        if kind == "block":
            return self._done(expr, self._block(expr, before) if not apart(expr) else before)
        if kind == "if":
            condition, then, other = expr.branches
            yes, no = self.condition(condition, before) if condition is not None else (before, before)
            ends = self._branch(then, yes)
            ends = [*ends, *(self._branch(other, no) if other is not None else no)]
            return self._done(expr, ends)
        if kind == "match":
            return self._match(expr, before)
        if kind in ("loop", "while", "for"):
            return self._loop(expr, before)
        if kind == "return":
            inner = expr.inner
            ends = self.walk(inner, before) if inner is not None else before
            self._leave(expr, "return", self._done(expr, ends))
            return []
        if kind in ("break", "continue"):
            return self._jump(expr, before)
        if kind == "try":
            ends = self._all(children(expr), before)
            if self._tries:
                self._tries[-1].extend(ends)
            else:
                self._leave(expr, "try", ends)
            return self._done(expr, ends)
        if kind in ("binary", "let") and (kind == "let" or expr.op in _COMPARES_BOOL):
            yes, no = self.condition(expr, before)
            return self._done(expr, [*yes, *no]) if expr.id not in self._graph.at else [*yes, *no]
        ends = self._all(children(expr), before)
        if kind == "macro":
            return self._macro(expr, ends)
        ends = self._done(expr, ends)
        if kind == "call" and expr.callee is not None and expr.callee.path.rpartition("::")[2] in _NEVER:
            self._leave(expr, "panic", ends)
            return []
        return ends

    def _macro(self, expr: Expr, before: list[int]) -> list[int]:
        name = expr.path.rpartition("::")[2]
        ends = self._done(expr, before)
        if name in _PANICS:
            self._leave(expr, "panic", ends)
            return []
        if name == "bail":
            self._leave(expr, "return", ends)
            return []
        if name in _MAY_PANIC:
            self._leave(expr, "panic", ends)
        elif name == "ensure":
            self._leave(expr, "return", ends)
        return ends

    def _branch(self, expr: Expr | None, before: list[int]) -> list[int]:
        """A branch that is entered from `before`."""
        if expr is None or not before:
            return before
        enter = self._graph.node(before)
        self._graph.enter[expr.id] = enter
        return self.walk(expr, [enter])

    def condition(self, expr: Expr, before: list[int]) -> tuple[list[int], list[int]]:
        """(where it holds, where it does not), both marked."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _TooDeep
        try:
            return self._condition(expr, before)
        finally:
            self._depth -= 1

    def _condition(  # noqa: PLR0911 - one return a kind
        self, expr: Expr, before: list[int]
    ) -> tuple[list[int], list[int]]:
        inner = expr.inner
        left, right = expr.operands if expr.kind == "binary" else (None, None)
        if expr.kind == "paren" and inner is not None:
            return self.condition(inner, before)
        if expr.kind == "unary" and expr.op == "!" and inner is not None:
            yes, no = self.condition(inner, before)
            return no, yes
        if expr.op in _COMPARES_BOOL and left is not None and right is not None:
            yes, no = self.condition(left, before)
            if expr.op == "&&":
                yes, failed = self.condition(right, yes)
                return yes, [*no, *failed]
            more, no = self.condition(right, no)
            return [*yes, *more], no
        ends = self._done(expr, self._all(children(expr), before)) if expr.kind == "let" else self.walk(expr, before)
        if not ends:
            return [], []
        if expr.literal == "bool":
            return (ends, []) if expr.text == "true" else ([], ends)
        then, other = self._graph.node(ends), self._graph.node(ends)
        self._graph.marks[then] = (expr, True)
        self._graph.marks[other] = (expr, False)
        self._graph.held[expr.id] = then
        return [then], [other]

    def _match(self, expr: Expr, before: list[int]) -> list[int]:
        scrutinee = expr.file.expr(expr.fields[0])
        if scrutinee is not None:
            before = self.walk(scrutinee, before)
        ends: list[int] = []
        ways = before
        for arm in expr.fields[1]:
            if not ways:
                break
            guard, result = expr.file.expr(arm[3]), expr.file.expr(arm[4])
            chosen = [self._graph.node(ways)]
            if guard is not None:
                chosen, failed = self.condition(guard, chosen)
                always = expr.file.text[arm[0] : arm[1]].strip() == "_" or (arm[2] == [expr.file.text[arm[0] : arm[1]]])
                ways = failed if always else [*ways, *failed]
            ends.extend(self._branch(result, chosen))
        return self._done(expr, ends)

    def _loop(self, expr: Expr, before: list[int]) -> list[int]:
        if expr.kind == "for":
            over = expr.file.expr(expr.fields[3])
            if over is not None:
                before = self.walk(over, before)
        if not before:
            return []
        head = self._graph.node(before)
        loop = _Loop(_label(expr), head)
        yes: list[int] = [head]
        no: list[int] = []
        if expr.kind == "while":
            condition = expr.expr_of_condition()
            if condition is not None:
                yes, no = self.condition(condition, yes)
        elif expr.kind == "for":
            no = [head]
        self._loops.append(loop)
        ends = self._branch(expr.body, yes)
        self._loops.pop()
        for one in ends:
            self._graph.link(one, head)
        return self._done(expr, [*no, *loop.ends])

    def _jump(self, expr: Expr, before: list[int]) -> list[int]:
        inner = expr.inner
        ends = self._done(expr, self.walk(inner, before) if inner is not None else before)
        words = expr.text.split(maxsplit=2)
        label = words[1].rstrip(";,") if len(words) > 1 and words[1].startswith("'") else ""
        for loop in reversed(self._loops):
            if (label and loop.label == label) or (not label and loop.head >= 0):
                if expr.kind == "break":
                    loop.ends.extend(ends)
                elif loop.head >= 0:
                    for one in ends:
                        self._graph.link(one, loop.head)
                return []
        raise _TooDeep  # a jump to nowhere: the text is broken

    def _block(self, expr: Expr, before: list[int]) -> list[int]:
        flags = expr.fields[0]
        labelled = _Loop(_label(expr), -1) if flags & 16 else None
        if labelled is not None:
            self._loops.append(labelled)
        if flags & 8:
            self._tries.append([])
        for one in expr.statements:
            if not before:
                break
            before = self._let(one, before) if isinstance(one, Let) else self.walk(one, before)
        if flags & 8:
            before = [*before, *self._tries.pop()]
        if labelled is not None:
            self._loops.pop()
            before = [*before, *labelled.ends]
        return before

    def _let(self, let: Let, before: list[int]) -> list[int]:
        init, other = let.init, let.other
        if init is not None:
            before = self.walk(init, before)
        if not before:
            return before
        bound = self._graph.node(before)
        self._graph.held[-let.start - 1] = bound
        if other is not None and init is not None:
            self._graph.marks[bound] = (init, True)
            self._branch(other, before)
        return [bound]


def _label(expr: Expr) -> str:
    text = expr.text
    return text.partition(":")[0].strip() if text.startswith("'") else ""
