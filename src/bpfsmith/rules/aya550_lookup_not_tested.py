"""The result of a map lookup is used without a test.

## What it does
Finds `unwrap_unchecked` on a map's `get`, `get_ptr` or `get_ptr_mut`, directly or through a local that nothing tests
with `is_some` or `is_none`, and branches for `None` that are `unreachable_unchecked`, in kernel crates.

## Why is this bad
A lookup may find nothing, and the verifier knows: "R0 invalid mem access 'map_value_or_null'". The compiler left the
test out because it was told that it is not needed. Arrays at a constant index pass on 6.18 and later, and on no
earlier kernel.

## Example
```rust
let stats = unsafe { STATS.get_ptr_mut(0).unwrap_unchecked() };
```

## Use instead
```rust
let Some(stats) = STATS.get_ptr_mut(0) else { return 0 };
```

## Fix
Display: `let .. else`, or `?`. The test costs one instruction.

## Kernels
All.

## Source
Reproduced on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import is_constant
from bpfsmith.rules._kernel_code import MapCall, code_files, counts, local, lookup
from bpfsmith.rules._rust import covered, place
from bpfsmith.source.flow import flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _tested(call: Expr) -> bool:
    """Whether a test of the local the result is in certainly comes before."""
    receiver = call.receiver
    if receiver is None or local(receiver) is None:
        return False
    item = call.item
    if item is None:
        return True
    paths = flow(item)
    if not paths.known:
        return True
    return any(receiver.text in condition.text for condition, _ in paths.conditions(call))


def _promised(expr: Expr | None) -> Expr | None:
    """`unreachable_unchecked()` as all that a branch does."""
    while expr is not None and expr.kind in ("block", "paren"):
        expr = (expr.tail if not expr.fields[1] else None) if expr.kind == "block" else expr.inner
    if expr is not None and expr.kind == "call" and expr.callee is not None:
        return expr if expr.callee.path.rpartition("::")[2] == "unreachable_unchecked" else None
    return None


class LookupNotTested(SourceRule):
    severity = "error"
    group = "unsafe"
    phase = "verify"
    words = ("unwrap_unchecked", "unreachable_unchecked")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *self.words):
            for call in file.methods("unwrap_unchecked"):
                found = lookup(call.receiver) if call.receiver is not None else None
                if found is None or not counts(call) or _tested(call):
                    continue
                yield self._found(ctx, call, call.fields[2], found)
            if not file.has("unreachable_unchecked"):
                continue
            for match in file.of_kind("match"):
                scrutinee = file.expr(match.fields[0])
                found = lookup(scrutinee) if scrutinee is not None else None
                for pattern, _, result in match.arms:
                    promise = _promised(result) if pattern.strip() in ("None", "_") else None
                    if found is not None and promise is not None and counts(match):
                        yield self._found(ctx, promise, promise.start, found)

    def _found(self, ctx: CheckContext, call: Expr, start: int, found: MapCall) -> Finding:
        always = found.kind in ("Array", "PerCpuArray") and found.key is not None and is_constant(found.key)
        return self.finding(
            ctx,
            f"the lookup in `{found.short}` may find nothing, and the verifier refuses its use without a test",
            span=place(ctx, call.file, start, call.end) if start != call.start else covered(ctx, call),
            severity="warning" if always else None,
            fixes=[Fix("display", "use `let .. else` or `?`: the test is one instruction")],
        )


RULE = LookupNotTested()
