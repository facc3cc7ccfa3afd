"""A tracing program returns a verdict that nobody reads.

## What it does
Follows the value of kprobe, uprobe, tracepoint, raw tracepoint, BTF tracepoint, fentry, fexit and perf event programs
through helper functions and `match`, and finds results that are meant to refuse something: `-EPERM`, `-EACCES`, a
verdict of XDP or TC, a negative number in a function whose name says `deny`, `reject` and the like.

## Why is this bad
Aya's macros throw the value away and return 0, since these programs only watch: the traced function runs all the same.

## Example
```rust
#[kprobe]
pub fn block_exec(ctx: ProbeContext) -> i32 {
    if is_forbidden(&ctx) { -EPERM } else { 0 }
}
```

## Use instead
```rust
#[lsm(hook = "bprm_check_security")]
pub fn block_exec(ctx: LsmContext) -> i32 {
    if is_forbidden(&ctx) { -EPERM } else { 0 }
}
```

## Fix
Display: an LSM program can refuse; a tracing program can at most send a signal (`bpf_send_signal`, Linux 5.3).

## Kernels
All.

## Source
`aya-ebpf-macros`, every tracing macro ends in `return 0`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import cited, covered, kernel_files, programs
from bpfsmith.rules._verdicts import outcomes, verdict_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_MACROS = frozenset(
    {
        *("kprobe", "kretprobe", "uprobe", "uretprobe", "tracepoint", "raw_tracepoint", "btf_tracepoint"),
        *("fentry", "fexit", "perf_event"),
    }
)
# Not `drop` or `block`: names of tracepoints are full of them.
_WORDS = ("deny", "forbid", "reject", "refuse", "disallow", "prevent")
_REFUSALS = frozenset({"EPERM", "EACCES"})


def _meant(expr: Expr, value: int, name: str) -> bool:
    """Whether a constant result is meant to refuse something."""
    if value < 0 and any(one.kind == "path" and one.path.rpartition("::")[2] in _REFUSALS for one in expr.within()):
        return True
    return bool(verdict_name(expr)) or (value < 0 and any(word in name.lower() for word in _WORDS))


class TracingReturnIgnored(SourceRule):
    severity = "warning"
    group = "programs"
    phase = "silent"
    words = tuple(sorted(_MACROS))

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for item, macro, _ in programs(file):
                if macro not in _MACROS or item.expr is None:
                    continue
                for one in outcomes(item):
                    if one.kind == "err" or not one.value or not _meant(one.expr, one.value, item.name):
                        continue
                    yield self.finding(
                        ctx,
                        f"{cited(one.expr.text)} has no effect: what a `{macro}` program returns is thrown away",
                        span=covered(ctx, one.expr),
                        program=item.name,
                        fixes=[Fix("display", "refuse in an LSM program, or send a signal with `bpf_send_signal`")],
                    )
                    break


RULE = TracingReturnIgnored()
