"""A verdict is computed and thrown away.

## What it does
Finds a `match` or `if` whose branches are verdicts (`XDP_DROP`, `TC_ACT_SHOT`, `SK_DROP`, also in `Ok(..)`) or the
result of the function that decides, and whose value nobody uses: a `;` stands after it, or `let _ =` before it. Also
the call of a function of the crate that only gives verdicts.

## Why is this bad
The program goes on to the constant that follows, and returns that for every packet. It loads, it runs, it counts and
logs, and it filters nothing.

## Example
```rust
match try_filter(&ctx) {
    Ok(action) => action,
    Err(()) => xdp_action::XDP_ABORTED,
};
xdp_action::XDP_PASS
```

## Use instead
```rust
match try_filter(&ctx) {
    Ok(action) => action,
    Err(()) => xdp_action::XDP_ABORTED,
}
```

## Fix
Display: make it the value of the function, or `return` it.

## Kernels
All. `xdp-loader stats` and `tc -s filter show` show that nothing is dropped.

## Source
Rust reference, "Expression statements": the value of an expression before `;` is dropped.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._meaning import VERDICTS, function, leaves, verdict
from bpfsmith.rules._packet import LOGS
from bpfsmith.rules._rust import cited, covered, kernel_files, place, programs
from bpfsmith.source.flow import ignored
from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, Let, SourceFile


# Programs whose result says what happens.
_DECIDE = frozenset(
    {
        *(
            "xdp",
            "classifier",
            "cgroup_skb",
            "cgroup_sock",
            "cgroup_sock_addr",
            "cgroup_sockopt",
            "cgroup_sysctl",
            "lsm",
        ),
        *("sk_msg", "sk_lookup", "sock_ops", "socket_filter", "stream_parser", "stream_verdict", "cgroup_device"),
    }
)


def _gives(item: Item | None) -> set[str]:
    """The verdicts a function returns; none where it may return anything else that is no error."""
    if item is None or item.expr is None:
        return set()
    found = set()
    ends = [*leaves(item.expr), *(one.inner for one in item.expr.within() if one.kind == "return")]
    for one in ends:
        for leaf in leaves(one):
            known = verdict(leaf)
            if known is not None:
                found.add(known)
            elif leaf.kind != "call" or leaf.callee is None or leaf.callee.path != "Err":
                return set()
    return found


def _deciding(crate: Crate) -> list[str]:
    """The names of a crate's functions that give an integer and name a verdict."""
    if not crate.files:
        return []
    cache = crate.files[0].cache
    if "deciding" not in cache:
        names = set()
        for file in crate.files:
            for path in file.path_exprs(*VERDICTS):
                item = path.item
                if item is not None and item.kind == "fn" and any(one in item.type for one in ("u32", "i32", "c_int")):
                    names.add(item.name)
        cache["deciding"] = sorted(names)
    found: list[str] = cache["deciding"]
    return found


_NUMBERS = ("u32", "i32", "c_int", "i64")


def _let(block: Expr, path: Expr) -> Let | None:
    """The `let` of a block that takes one of two branches in which a path is."""
    let = next((one for one in block.lets if one.start <= path.start < one.end), None)
    if let is None or let.name is None or let.init is None or let.pattern.startswith("mut "):
        return None
    return let if let.init.kind in ("if", "match") else None


def _shown(use: Expr) -> bool:
    """Whether a value only goes into a log line or into a struct here."""
    at = use
    while at.parent is not None and at.parent.kind in ("paren", "cast", "ref", "unary"):
        at = at.parent
    outer = at.parent
    if outer is None:
        return False
    if outer.kind == "struct":
        held = outer.parent
        return held is not None and held.kind in ("block", "ref") and held.tail != outer
    return outer.kind == "macro" and outer.path.rpartition("::")[2] in LOGS


class VerdictThrownAway(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = (
        "xdp_action",
        "XDP_DROP",
        "XDP_PASS",
        "TC_ACT_SHOT",
        "TC_ACT_OK",
        "TC_ACT_PIPE",
        "SK_DROP",
        "SK_PASS",
        *_DECIDE,
    )

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has(*self.words, *_DECIDE):
                continue
            for expr in file.of_kind("match", "if"):
                if self._outermost(expr) and ignored(expr) and not file.in_test(expr.item):
                    yield from self._branches(ctx, expr)
            yield from self._held(ctx, file)
            if file.crate is None:
                continue
            deciding = _deciding(file.crate)
            for call in file.calls(*deciding):
                if call.callee is None or call.callee.kind != "path" or not ignored(call):
                    continue
                given = _gives(function(call))
                if len(given) > 1 and not file.in_test(call.item):
                    yield self.finding(
                        ctx,
                        f"the verdict of {cited(call.callee.text)} ({', '.join(sorted(given))}) is thrown away",
                        span=covered(ctx, call),
                        fixes=[Fix("display", "return it, or use it")],
                    )

    def _held(self, ctx: CheckContext, file: SourceFile) -> Iterator[Finding]:
        """A local that is one verdict or another, is logged or written to an event, and nothing more."""
        done: set[int] = set()
        for path in file.path_exprs(*VERDICTS):
            for block in path.ancestors():
                let = _let(block, path) if block.kind == "block" else None
                if let is None or let.init is None or let.init.id in done:
                    continue
                done.add(let.init.id)
                known = [verdict(one) for one in leaves(let.init)]
                item = path.item
                if item is None or file.in_test(item) or not any(one in item.type for one in _NUMBERS):
                    continue
                names = sorted({one for one in known if one is not None})
                if None in known or len(names) < 2 or not all(map(_shown, mentions(let))):
                    continue
                yield self.finding(
                    ctx,
                    f"`{let.name}` is the verdict ({', '.join(names)}) and is never returned: what follows is",
                    span=place(ctx, file, let.pattern_start, let.pattern_start + len(let.pattern)),
                    fixes=[Fix("display", f"return `{let.name}`")],
                )

    @staticmethod
    def _outermost(expr: Expr) -> bool:
        if expr.kind == "if" and expr.branches[2] is None:
            return False  # has no value
        parent = expr.parent
        return parent is not None and parent.kind == "block"

    @staticmethod
    def _result(expr: Expr, ends: list[Expr]) -> bool:
        """`match try_it(ctx) { Ok(ret) => ret, Err(_) => 1 };` in a program itself."""
        item = expr.item
        if expr.kind != "match" or item is None or not ends or item.expr is None or expr.parent != item.expr:
            return False
        if not any(one.id == item.id and macro in _DECIDE for one, macro, _ in programs(expr.file)):
            return False
        called = expr.file.expr(expr.fields[0])
        if called is None or called.kind != "call":
            return False
        bound = {name for _, names, _ in expr.arms for name in names}
        passed = False
        for one in ends:
            at: Expr | None = one
            while at is not None and at.kind in ("cast", "paren"):
                at = at.inner
            if at is None or (at.integer is None and (at.kind != "path" or at.path not in bound)):
                return False
            passed = passed or at.kind == "path"
        return passed

    def _branches(self, ctx: CheckContext, expr: Expr) -> Iterator[Finding]:
        ends = leaves(expr)
        found = sorted({one for one in map(verdict, ends) if one is not None})
        # A branch that is a statement has no value: then none of the others has one either.
        if not found and self._result(expr, ends):
            found = ["the result of the match"]
        if not found or any(one.kind in ("for", "while", "loop") for one in ends):
            return
        yield self.finding(
            ctx,
            f"this `{expr.kind}` gives a verdict ({', '.join(found)}) that is thrown away: what follows is returned",
            span=covered(ctx, expr),
            fixes=[Fix("display", "make it the value of the function (no `;`, nothing after it), or write `return`")],
        )


RULE = VerdictThrownAway()
