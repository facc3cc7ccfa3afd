"""The result of a tail call used, which has none since aya-ebpf 0.2.

## What it does
Finds `tail_call(..)` of a `ProgramArray` with `?`, `is_err`, a `match` or a pattern around it where aya-ebpf is 0.2.0
or newer.

## Why is this bad
It does not compile. A tail call that succeeds does not come back, so the code after it is what runs when it failed.

## Example
```rust
let result = unsafe { STAGES.tail_call(&ctx, 1) };
if result.is_err() {
    return XDP_PASS;
}
```

## Use instead
```rust
unsafe { STAGES.tail_call(&ctx, 1) };
XDP_PASS // it failed
```

## Fix
Display: move what happens on failure behind the call.

## Kernels
All.

## Source
aya, commit 8edfe49; aya-ebpf 0.2.1, `src/maps/program_array.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import called_on, compat, covered, kernel_files
from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_ARRAYS = frozenset({"aya_ebpf::maps::ProgramArray", "aya_ebpf::btf_maps::ProgramArray"})
_ASKS = frozenset({"is_err", "is_ok", "ok", "err", "map_err", "map", "unwrap", "expect", "unwrap_err", "unwrap_or"})


def _used(call: Expr) -> bool:  # noqa: PLR0911 - one return a use
    """Whether anything is done with the result that only a `Result` allows."""
    at, parent = call, call.parent
    while parent is not None and (
        parent.kind == "paren" or (parent.kind == "block" and parent.is_unsafe and parent.tail == at)
    ):
        at, parent = parent, parent.parent
    if parent is None:
        return False
    if parent.kind == "try":
        return True
    if parent.kind == "method":
        return parent.receiver == at and parent.name in _ASKS
    if parent.kind == "match":
        return parent.fields[0] == at.id and any(pattern.startswith(("Ok", "Err")) for pattern, _, _ in parent.arms)
    if parent.kind == "let":
        return call.file.text[parent.fields[0] : parent.fields[1]].startswith(("Ok", "Err"))
    let = next((one for one in parent.lets if one.init == at), None)
    if let is None:
        return False
    if let.pattern.startswith(("Ok", "Err")):
        return True
    asked = (one.parent for one in mentions(let))
    return any(one is not None and (one.kind == "try" or one.name in _ASKS) for one in asked)


class TailCallResult(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.2.0"):
            for call in file.of_kind("method"):
                if call.name != "tail_call" or not called_on(call, _ARRAYS) or not _used(call):
                    continue
                if compat(file, call.item, call.start):
                    continue
                yield self.finding(
                    ctx,
                    "`tail_call` has no result since aya-ebpf 0.2: if it comes back at all, it failed",
                    span=covered(ctx, call),
                    fixes=[Fix("display", "make it a statement, and write what happens on failure behind it")],
                )


RULE = TailCallResult()
