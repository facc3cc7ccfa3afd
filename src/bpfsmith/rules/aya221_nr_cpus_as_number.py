"""`nr_cpus` gives a `NonZeroU32` since aya 0.16, not a `usize`.

## What it does
Finds the result of `aya::util::nr_cpus` cast with `as`, used as the length of `vec![..; n]` or as the end of a range,
directly or through a `let`, where aya is 0.16.0 or newer.

## Why is this bad
It does not compile: "expected `usize`, found `NonZero<u32>`", or E0605 for `as`.

## Example
```rust
let cpus = nr_cpus()?;
let counters = vec![0; cpus];
```

## Use instead
```rust
let cpus = nr_cpus()?.get() as usize;
let counters = vec![0; cpus];
```

## Fix
Safe: adds `.get() as usize` where the number is made, if all its uses are as a number.

## Kernels
All.

## Source
aya 0.16.0, `aya/src/util.rs`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, covered, replace, user_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _as_number(value: Expr) -> bool:
    """Cast, the length of a `vec!` or array, an end of a range."""
    parent = value.parent
    if parent is None:
        return False
    if parent.kind == "macro":
        return parent.path == "vec" and len(parent.args) == 2 and parent.args[1] == value
    if parent.kind == "repeat":
        return parent.operands[1] == value
    return parent.kind in ("cast", "range")


def _let_used_as_number(value: Expr) -> bool:
    parent = value.parent
    if parent is None or parent.kind != "block":
        return False
    let = next((one for one in parent.lets if one.init == value), None)
    if let is None:
        return False
    if let.type == "usize":
        return True
    used = list(mentions(let))
    return bool(used) and all(_as_number(one) for one in used)


class NrCpusAsNumber(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.16.0"):
            for call in file.of_kind("call"):
                callee = call.callee
                if callee is None or callee.kind != "path" or not callee.path.endswith("nr_cpus"):
                    continue
                if resolve(file, callee.path, call.item) != "aya::util::nr_cpus" or compat(file, call.item, call.start):
                    continue
                value = call
                while value.parent is not None and value.parent.stripped() == call:
                    value = value.parent
                if value == call:
                    continue  # still a `Result`
                if not (_as_number(value) or _let_used_as_number(value)):
                    continue
                direct = _as_number(value)
                text = (
                    ".get()"
                    if direct and value.parent is not None and value.parent.kind == "cast"
                    else ".get() as usize"
                )
                yield self.finding(
                    ctx,
                    "`nr_cpus` gives a `NonZeroU32` since aya 0.16, not a `usize`",
                    span=covered(ctx, value),
                    fixes=[Fix("safe", f"write `{text}` after it", [replace(ctx, file, value.end, value.end, text)])],
                )


RULE = NrCpusAsNumber()
