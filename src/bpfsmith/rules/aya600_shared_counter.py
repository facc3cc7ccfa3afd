"""All CPUs count packets in one place.

## What it does
Finds `+=` through a pointer to an entry of an `Array` at a constant index, in a function that a program for packets
(XDP, classifiers, socket filters, ..) or for a busy tracepoint runs. Per-CPU arrays are what should be there.

## Why is this bad
Every CPU writes the same cache line, which travels between them: with two CPUs each addition took 3.9 times as long
as with one, with an atomic one up to 4.2 times, with a per-CPU array about as long as before (0.8 to 1.1 ns; Linux
6.18). The counts are wrong besides: the addition is a load, an add and a store.

## Example
```rust
#[map]
static PACKETS: Array<u64> = Array::with_max_entries(1, 0);

if let Some(packets) = PACKETS.get_ptr_mut(0) {
    unsafe { *packets += 1 };
}
```

## Use instead
```rust
#[map]
static PACKETS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
```

## Fix
Display: `PerCpuArray` here and in user space, where the values of the CPUs are added up.

## Kernels
All: per-CPU arrays came with 4.6.

## Source
Measured on Linux 6.18, two CPUs of one virtual machine: take the ratios, other machines differ.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import is_constant
from bpfsmith.rules._hot import hot
from bpfsmith.rules._kernel_code import code_files, counts, lookup
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _errors_only(change: Expr) -> bool:
    """In a closure, or an arm for `Err` or `None`: it does not run for every packet."""
    for at in change.ancestors():
        if at.kind == "closure":
            return True
        if at.kind == "match" and any(
            value is not None
            and value.start <= change.start < value.end
            and any(
                one.strip().startswith(("Err", "Result::Err", "None", "Option::None")) for one in pattern.split("|")
            )
            for pattern, _, value in at.arms
        ):
            return True
        if at.kind == "if":
            condition = at.expr_of_condition()
            if condition is not None and condition.text.replace(" ", "").startswith(("letErr", "letNone")):
                return True
    return False


class SharedCounter(SourceRule):
    severity = "warning"
    group = "performance"
    phase = "silent"
    words = ("get_ptr_mut",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "get_ptr_mut"):
            done: set[tuple[int, str]] = set()
            for change in file.of_kind("binary"):
                if change.op != "+=":
                    continue
                at = change.operands[0]
                while at is not None and at.kind in ("field", "index", "paren"):
                    at = at.inner if at.kind == "paren" else at.receiver
                if at is None or at.kind not in ("unary", "path"):
                    continue
                found = lookup(at)
                if found is None or found.kind != "Array" or found.expr.name != "get_ptr_mut":
                    continue
                item = change.item
                if item is None or found.key is None or not is_constant(found.key) or (item.id, found.name) in done:
                    continue
                busy = hot(item)
                if busy is None or _errors_only(change) or not counts(change):
                    continue
                done.add((item.id, found.name))
                yield self.finding(
                    ctx,
                    f"all CPUs count in one entry of `{found.short}` {busy.what}: counts get lost, each waits",
                    span=covered(ctx, change),
                    fixes=[Fix("display", "make it a `PerCpuArray`, and add the CPUs up in user space")],
                )


RULE = SharedCounter()
