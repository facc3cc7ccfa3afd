"""What is on the block list passes, and the rest is dropped; or the other way round.

## What it does
Finds an `if` on whether a map (or a function of the crate) that is named for blocking (`BLOCKLIST`, `DENIED`,
`is_banned`) has something, whose yes is `XDP_PASS`, `TC_ACT_OK` or `SK_PASS` and whose no is `XDP_DROP`,
`TC_ACT_SHOT` or `SK_DROP`; and one named for allowing with the two exchanged.

## Why is this bad
`SK_DROP` is 0 and `SK_PASS` is 1, `XDP_DROP` is 1 and `TC_ACT_OK` is 0: who thinks in numbers, or copies from another
program type, gets them the wrong way round. The program loads, and does the opposite of what its map is called.

## Example
```rust
if unsafe { BLOCKLIST.get(&source) }.is_some() {
    return sk_action::SK_PASS;
}
sk_action::SK_DROP
```

## Use instead
```rust
if unsafe { BLOCKLIST.get(&source) }.is_some() {
    return sk_action::SK_DROP;
}
sk_action::SK_PASS
```

## Fix
Display: exchange the two verdicts, or rename the map.

## Kernels
All.

## Source
Linux, `include/uapi/linux/bpf.h`: `enum sk_action`, `enum xdp_action`; `pkt_cls.h`: `TC_ACT_*`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._meaning import function, kernel_map, leaves, verdict
from bpfsmith.rules._rust import covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_PASS = frozenset({"XDP_PASS", "TC_ACT_OK", "TC_ACT_PIPE", "SK_PASS"})
_DROP = frozenset({"XDP_DROP", "TC_ACT_SHOT", "SK_DROP"})
_DENY = frozenset(
    {"block", "blocked", "blocklist", "blacklist", "deny", "denied", "denylist", "ban", "banned", "forbidden"}
)
_ALLOW = frozenset({"allow", "allowed", "allowlist", "whitelist", "permitted", "trusted"})
_NEGATIONS = frozenset({"not", "no", "un", "non", "is_not"})
_LOOKUPS = ("get", "get_ptr", "get_ptr_mut")


def _named(name: str) -> str | None:
    words = set(name.lower().split("_"))
    if words & _NEGATIONS or bool(words & _DENY) == bool(words & _ALLOW):
        return None
    return "deny" if words & _DENY else "allow"


def _asked(condition: Expr | None) -> tuple[str, str] | None:
    """(what it is named for, name) of a condition that says that something is in a map, or a function says yes."""
    at = condition
    if at is not None and at.kind == "let":
        pattern = at.file.text[at.fields[0] : at.fields[1]]
        if not pattern.startswith("Some("):
            return None
        at = at.inner
    elif at is not None and at.kind == "method" and at.name == "is_some" and not at.args:
        at = at.receiver
    elif at is None or at.kind != "call":
        return None
    while at is not None and at.kind in ("block", "paren"):
        at = at.tail if at.kind == "block" else at.inner
    if at is None:
        return None
    if at.kind == "method" and at.name in _LOOKUPS:
        found = kernel_map(at)
        name = found[0] if found is not None else ""
    elif at.kind == "call":
        item = function(at)
        name = item.name if item is not None and item.type == "bool" else ""
    else:
        return None
    meant = _named(name)
    return (meant, name) if meant is not None else None


def _verdicts(expr: Expr | None) -> list[tuple[str, Expr]]:
    """The verdicts that a branch ends with, as its value or returned."""
    if expr is None:
        return []
    ends = leaves(expr)
    last = expr.statements[-1] if expr.kind == "block" and expr.statements else expr
    if getattr(last, "kind", "") == "return":
        ends = leaves(last.inner) if last.inner is not None else []  # type: ignore[union-attr]
    return [(name, one) for one in ends if (name := verdict(one)) is not None]


class VerdictsSwapped(SourceRule):
    severity = "warning"
    group = "meaning"
    phase = "silent"
    words = ("XDP_DROP", "TC_ACT_SHOT", "SK_DROP")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has(*self.words):
                continue
            for expr in file.of_kind("if"):
                condition, then, other = expr.branches
                asked = _asked(condition)
                if asked is None or file.in_test(expr.item):
                    continue
                yes = _verdicts(then)
                no = _verdicts(other) if other is not None else self._after(expr)
                if len(yes) != 1 or len(no) != 1:
                    continue
                (first, place), (second, against) = yes[0], no[0]
                wrong = _PASS if asked[0] == "deny" else _DROP
                right = _DROP if asked[0] == "deny" else _PASS
                if first not in wrong or second not in right:
                    continue
                yield self.finding(
                    ctx,
                    f"what is in `{asked[1]}` gets `{first}`, what is not gets `{second}`: not what its name says",
                    span=covered(ctx, place),
                    labels=[Label(covered(ctx, against), "and the rest this")],
                    fixes=[Fix("display", "exchange the two verdicts, or rename what is asked")],
                )

    @staticmethod
    def _after(expr: Expr) -> list[tuple[str, Expr]]:
        """What follows an `if` that returns: the tail of its block, when that is next."""
        block = expr.parent
        if block is None or block.kind != "block" or block.tail is None:
            return []
        statements = block.statements
        if len(statements) < 2 or statements[-2] != expr or statements[-1] != block.tail:
            return []
        return _verdicts(block.tail)


RULE = VerdictsSwapped()
