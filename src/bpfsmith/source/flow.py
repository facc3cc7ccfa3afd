"""Control flow inside one function: what comes before what, what holds where, which ways lead out.

    flow = flow_of(item)              # or flow(item); made once for a function and kept with its file
    flow.before(test, use)            # on every way to `use`, `test` was evaluated

Closures and `async` blocks are run by someone else at some other time: what is inside counts as evaluated where the
closure stands, as far as it may be, and as never certain; two places in one closure have the closure's own flow.

A function that is too big or too deep is not read: `known` is False, and every question is answered with no.
"""

from __future__ import annotations

from bpfsmith.source._graph import ASSIGNS, Exit, Graph, apart, children
from bpfsmith.source.rust import Expr, Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfsmith.source.rust import Item, SourceFile

__all__ = ["Exit", "Flow", "children", "flow", "ignored"]


def flow(item: Item) -> Flow:
    """The flow of a function's body."""
    key = ("flow", item.id)
    found: Flow | None = item.file.cache.get(key)
    if found is None:
        found = item.file.cache[key] = Flow(item.file, item.expr)
    return found


class Flow:
    """The flow of one body. Places are expressions; a `let` statement is the moment its names are bound.

    The moment of `if let` is that at which it turned out true.
    """

    __slots__ = ("_at", "_exits", "_expr", "_file", "_graph", "_pred", "_rank", "_root", "_single", "_succ", "known")

    def __init__(self, file: SourceFile, root: Expr | None) -> None:
        self._file = file
        self._root = root
        graph = self._graph = Graph(root)
        self._succ, self._pred, self._expr, self._at, self._exits = (
            graph.succ, graph.pred, graph.expr, graph.at, graph.exits,
        )  # fmt: skip
        self._single: dict[int, int] = {}  # immediate dominators
        self._rank: dict[int, int] = {}
        self.known = graph.known
        if graph.known:
            self._dominators()

    def _dominators(self) -> None:
        """Immediate dominators (Cooper, Harvey, Kennedy) of what can be reached."""
        order: list[int] = []
        seen = {0}
        stack = [(0, iter(self._succ[0]))]
        while stack:
            at, nexts = stack[-1]
            for one in nexts:
                if one not in seen:
                    seen.add(one)
                    stack.append((one, iter(self._succ[one])))
                    break
            else:
                order.append(at)
                stack.pop()
        order.reverse()
        rank = self._rank = {at: number for number, at in enumerate(order)}
        single = self._single = {0: 0}
        changed = True
        while changed:
            changed = False
            for at in order[1:]:
                new = -1
                for one in self._pred[at]:
                    if one in single:
                        new = one if new < 0 else self._meet(one, new, rank)
                if single.get(at) != new:
                    single[at] = new
                    changed = True

    def _meet(self, one: int, other: int, rank: dict[int, int]) -> int:
        while one != other:
            while rank[one] > rank[other]:
                one = self._single[one]
            while rank[other] > rank[one]:
                other = self._single[other]
        return one

    # Asking.

    def _place(self, what: Expr | Let, *, after: bool) -> int | None:
        """The node of a place; of something in a closure the closure's. `after`: where a `let` holds."""
        if not self.known:
            return None
        if isinstance(what, Let):
            return self._graph.held.get(-what.start - 1)
        if after and what.kind == "let" and what.id in self._graph.held:
            return self._graph.held[what.id]
        at = self._at.get(what.id)
        if at is not None:
            return at
        outer = what.parent
        while outer is not None:
            if apart(outer) and outer.id in self._at:
                return self._at[outer.id]
            outer = outer.parent
        return None

    def _inside(self, one: Expr | Let, other: Expr | Let) -> Flow | None:
        """The flow of the closure that both are in, if there is one within this body; self when there is none."""
        first, second = self._closure(one), self._closure(other)
        if first is None or first != second:
            return self
        key = ("flow of closure", first.id)
        found: Flow | None = self._file.cache.get(key)
        if found is None:
            body = first.body if first.kind == "closure" else first
            found = self._file.cache[key] = Flow(self._file, body)
        return found

    def _closure(self, what: Expr | Let) -> Expr | None:
        at: Expr | None = what.block if isinstance(what, Let) else what.parent
        while at is not None and at != self._root:
            if apart(at):
                return at
            at = at.parent
        return None

    def before(self, a: Expr | Let, b: Expr | Let) -> bool:
        """Whether every way to `b` evaluates `a` first."""
        own = self._inside(a, b)
        if own is not self:
            return own is not None and own.before(a, b)
        first, second = self._place(a, after=True), self._place(b, after=False)
        if first is None or second is None or first == second or self._closure(a) is not None:
            return False
        return self._dominates(first, second)

    def _dominates(self, one: int, other: int) -> bool:
        if one not in self._single or other not in self._single:
            return False
        while self._rank[other] > self._rank[one]:
            other = self._single[other]
        return one == other

    def may_follow(self, a: Expr | Let, b: Expr | Let) -> bool:
        """Whether some way evaluates `b` after `a`, in another round of a loop too."""
        own = self._inside(a, b)
        if own is not self:
            return own is not None and own.may_follow(a, b)
        first, second = self._place(a, after=True), self._place(b, after=False)
        return first is not None and second is not None and second in self._reach(first, self._succ, -1)

    def _reach(self, start: int, steps: list[list[int]], stop: int) -> set[int]:
        """What is reached from `start` (it only by a loop), not looking past `stop`."""
        seen: set[int] = set()
        pending = list(steps[start])
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            if at != stop:
                pending.extend(steps[at])
        return seen

    def between(self, a: Expr | Let, b: Expr | Let) -> Iterator[Expr]:
        """What may be evaluated after `a` and before `b`, in order of the text; a closure's content with it.

        Ways that evaluate `a` once more in between are not followed beyond that.
        """
        own = self._inside(a, b)
        if own is not self:
            if own is not None:
                yield from own.between(a, b)
            return
        first, second = self._place(a, after=True), self._place(b, after=False)
        if first is None or second is None:
            return
        after = self._reach(first, self._succ, first)
        if second not in after:
            return
        around = after & self._reach(second, self._pred, first)
        around.discard(first)
        found = []
        for at in around:
            expr = self._expr[at]
            if expr is not None and (at != second or at in self._succ_loop(second, after)):
                found.append(expr)
        for expr in sorted(found, key=lambda one: (one.start, -one.end)):
            if apart(expr):
                yield from expr.within()
            else:
                yield expr

    def _succ_loop(self, second: int, after: set[int]) -> set[int]:
        """`second` itself when it may come again without `a` in between."""
        return {second} if second in self._reach(second, self._succ, -1) and second in after else set()

    def exits(self) -> list[Exit]:
        """All ways out that can be reached, in order of the text."""
        found = [leave for at, leave in self._exits.items() if at in self._single]
        return sorted(found, key=lambda one: (one.expr.start, one.expr.end))

    def escape(self, start: Expr | Let, stops: Iterable[Expr | Let], *, panics: bool = False) -> Exit | None:
        """The first way out that is reached right after `start` without passing one of `stops`; None without one.

        `start` may be a branch or an arm's result: then from its beginning. Panics count only where asked for.
        """
        stopped = {self._place(one, after=False) for one in stops}
        first = None
        if isinstance(start, Expr):
            first = self._graph.enter.get(start.id)
        if first is None:
            first = self._place(start, after=True)
        if first is None:
            return None
        seen: set[int] = set()
        pending = [first] if first not in stopped else []
        found: list[Exit] = []
        while pending:
            at = pending.pop()
            for one in self._succ[at]:
                if one in seen or one in stopped:
                    continue
                seen.add(one)
                leave = self._exits.get(one)
                if leave is not None and (panics or leave.kind != "panic"):
                    found.append(leave)
                pending.append(one)
        return min(found, key=lambda one: (one.expr.start, one.expr.end)) if found else None

    def reached(self, expr: Expr | Let) -> bool:
        """Whether any way leads there."""
        at = self._place(expr, after=False)
        return at is not None and at in self._single

    def conditions(self, expr: Expr | Let) -> list[tuple[Expr, bool]]:
        """Conditions that certainly hold (True) or do not (False) when `expr` is evaluated, outermost first.

        Of `if`, `while`, guards, early returns, `&&` and `||`; `if let` gives the `let`, `let .. else` what it takes
        apart, with True. Left out is what names a local that is assigned to in between.
        """
        inner = self._closure(expr)
        at = self._place(expr, after=False)
        out: list[tuple[Expr, bool]] = []
        if at is None or at not in self._single:
            return out
        node = at
        while True:
            mark = self._graph.marks.get(node)
            if mark is not None and not self._changed(mark[0], node, at):
                out.append(mark)
            if node == 0:
                break
            node = self._single[node]
        out.reverse()
        if inner is not None:
            own = self._inside(expr, expr)
            if own is not None and own is not self:
                out.extend(own.conditions(expr))
        return out

    def _changed(self, condition: Expr, start: int, end: int) -> bool:
        names = {one.path for one in condition.within() if one.kind == "path" and "::" not in one.path}
        around = self._reach(start, self._succ, start) & self._reach(end, self._pred, start)
        for at in around:
            expr = self._expr[at]
            if expr is None:
                continue
            changed: Expr | None = None
            if expr.kind == "binary" and expr.op in ASSIGNS:
                changed = expr.operands[0]
            elif expr.kind == "ref" and expr.fields[0]:
                changed = expr.inner
            while changed is not None and changed.kind in ("field", "index", "paren", "unary"):
                changed = changed.receiver if changed.kind in ("field", "index") else changed.inner
            if changed is not None and changed.kind == "path" and changed.path in names:
                return True
        return False


def ignored(expr: Expr) -> bool:  # noqa: PLR0911 - one return a way
    """Whether the value is certainly thrown away: a statement, `let _ =`, `.ok();`, `drop(..)`."""
    outer = expr.parent
    while outer is not None:
        kind = outer.kind
        if kind == "block":
            if outer.tail != expr:
                return _statement(outer, expr)
        elif kind == "if":
            if outer.expr_of_condition() == expr:
                return False
        elif kind == "match":
            if outer.fields[0] == expr.id or any(arm[3] == expr.id for arm in outer.fields[1]):
                return False
        elif kind == "method":
            if outer.name != "ok" or outer.receiver != expr:
                return False
        elif kind == "call":
            callee = outer.callee
            return callee is not None and callee != expr and callee.path.rpartition("::")[2] == "drop"
        elif kind != "paren":
            return False
        expr, outer = outer, outer.parent
    return False


def _statement(block: Expr, expr: Expr) -> bool:
    for one in block.statements:
        if isinstance(one, Let):
            if one.init == expr:
                return one.pattern == "_"
        elif one == expr:
            return True
    return False
