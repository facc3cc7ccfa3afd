"""`?` on what `Ebpf::map` or `program` gives, which is an `Option` since aya 0.12.

## What it does
Finds `map(..)?`, `map_mut(..)?`, `take_map(..)?`, `program(..)?` and `program_mut(..)?` on an `Ebpf` in functions that
return a `Result`, where aya is 0.12.0 or newer.

## Why is this bad
It does not compile: "the `?` operator can only be used on `Result`s, not `Option`s". Pages older than 2024 write it so.

## Example
```rust
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCKED")?)?;
```

## Use instead
```rust
let map = ebpf.map_mut("BLOCKED").ok_or_else(|| anyhow!("no map `BLOCKED`"))?;
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(map)?;
```

## Fix
Display: which error the function returns is yours to say (`ok_or`, or `context` of anyhow).

## Kernels
All.

## Source
aya, `aya/BREAKING-CHANGES.md`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import EBPF, called_on, cited, compat, covered, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_LOOKUPS = frozenset({"map", "map_mut", "take_map", "program", "program_mut"})


def _in_result(expr: Expr) -> bool:
    """Whether `?` here leaves a function that certainly returns a `Result`."""
    item = expr.item
    if item is None or item.kind != "fn" or any(one.kind == "closure" for one in expr.ancestors()):
        return False
    if any(one.kind == "block" and one.fields[0] & 10 for one in expr.ancestors()):  # async and try blocks
        return False
    return item.type.partition("<")[0].strip().rpartition("::")[2] == "Result"


class OptionUsedAsResult(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.12.0"):
            for question in file.of_kind("try"):
                call = question.inner
                if call is None or call.kind != "method" or call.name not in _LOOKUPS or len(call.args) != 1:
                    continue
                if not _in_result(question) or not called_on(call, EBPF) or compat(file, call.item, call.start):
                    continue
                name = call.args[0].text
                yield self.finding(
                    ctx,
                    f"`{call.name}` gives an `Option` since aya 0.12, `?` cannot turn it into an error",
                    span=covered(ctx, question),
                    fixes=[Fix("display", f"write `.ok_or(..)?`, or {cited(f'.context({name})?')} with anyhow")],
                )


RULE = OptionUsedAsResult()
