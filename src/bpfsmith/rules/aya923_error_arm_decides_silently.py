"""What a filter cannot read passes it, or is dropped, and nothing counts how often.

## What it does
Looks at XDP and classifier programs that hand on to a function which drops some packets and may fail (`Result`,
`Option`), and at the verdict for its failure: a constant that lets the packet pass, or drops it, without a counter,
an event or a line in the log. `XDP_ABORTED` is left out, since the kernel has a tracepoint for it.

## Why is this bad
The failure is a packet that is too short, or that the bounds checks did not expect. A filter that passes those is got
past by whoever finds such a packet; one that drops them loses traffic that nobody finds again. Both may be right.
Without a number nobody can tell.

## Example
```rust
match try_filter(&ctx) {
    Ok(action) => action,
    Err(()) => xdp_action::XDP_PASS,
}
```

## Use instead
```rust
Err(()) => {
    count(Reason::Unreadable);
    xdp_action::XDP_PASS
}
```

## Fix
Display: count it, in a per-CPU array.

## Kernels
All. For XDP, `XDP_ABORTED` and the tracepoint `xdp:xdp_exception` do as well.

## Source
Linux, `trace_xdp_exception` (`include/trace/events/xdp.h`).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._meaning import function, verdict
from bpfsmith.rules._rust import covered, kernel_files, programs
from bpfsmith.source.calls import graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

_PASS = frozenset({"XDP_PASS", "TC_ACT_OK", "TC_ACT_PIPE", "TC_ACT_UNSPEC"})
_DROP = frozenset({"XDP_DROP", "TC_ACT_SHOT"})
_COUNT = {
    "xdp": "count it (`PerCpuArray`), or answer `XDP_ABORTED`, which has a tracepoint",
    "classifier": "count it (`PerCpuArray`), or send an event",
}


def _failed(item: Item) -> Iterator[tuple[Expr, Expr]]:
    """(call that may fail, what is answered then)."""
    if item.expr is None:
        return
    for expr in item.expr.within("match", "method"):
        if expr.kind == "match":
            called = expr.file.expr(expr.fields[0])
            for pattern, _, result in expr.arms:
                if pattern.startswith(("Err(", "None")) and called is not None and result is not None:
                    yield called, result
        elif expr.kind == "method" and expr.name == "unwrap_or" and len(expr.args) == 1 and expr.receiver is not None:
            yield expr.receiver, expr.args[0]


class ErrorArmDecidesSilently(SourceRule):
    severity = "note"
    group = "meaning"
    phase = "silent"
    words = ("xdp_action", "XDP_PASS", "TC_ACT_OK", "TC_ACT_PIPE", "TC_ACT_SHOT")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has(*self.words) or file.crate is None:
                continue
            for item, macro, _ in programs(file):
                if macro not in ("xdp", "classifier"):
                    continue
                for called, answer in _failed(item):
                    callee = function(called) if called.kind == "call" else None
                    given = verdict(answer)
                    if callee is None or given not in _PASS | _DROP:
                        continue
                    if not callee.type.lstrip().startswith(("Result", "Option")):
                        continue
                    dropped = self._dropped(graph(file.crate, file).reached([callee]))
                    if dropped is None:
                        continue
                    said = "passes the filter" if given in _PASS else "is dropped"
                    yield self.finding(
                        ctx,
                        f"what `{callee.name}` fails on {said}, and nothing counts it",
                        span=covered(ctx, answer),
                        program=item.name,
                        labels=[Label(covered(ctx, dropped), "it drops packets here")],
                        fixes=[Fix("display", _COUNT[macro])],
                    )

    @staticmethod
    def _dropped(items: list[Item]) -> Expr | None:
        for item in items:
            for expr in item.expr.within("path") if item.expr is not None else ():
                if verdict(expr) in _DROP:
                    return expr
        return None


RULE = ErrorArmDecidesSilently()
