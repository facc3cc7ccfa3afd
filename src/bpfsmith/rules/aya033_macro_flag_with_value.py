"""A flag of a program macro written with a value.

## What it does
Finds `frags = ".."`, `sleepable = ".."` and `multi = ".."` in program macros. For releases of aya-ebpf, not for
checkouts of unknown age.

## Why is this bad
It does not compile: "invalid argument". Until 2023 a value was wanted.

## Example
```rust
#[xdp(frags = "true")]
```

## Use instead
```rust
#[xdp(frags)]
```

## Fix
Safe: the flag alone for `"true"`, nothing for `"false"`.

## Kernels
All.

## Source
aya, commits 376c4864 and c72aab5f.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments, without
from bpfsmith.rules._rust import kernel_files, place, programs, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class MacroFlagWithValue(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.1.0"):
            for item, macro, attr in programs(file):
                for one in arguments(file, attr):
                    if one.name not in ("frags", "sleepable", "multi") or one.value is None:
                        continue
                    fix = Fix("display", f"write `{one.name}`, or leave it out")
                    if one.value == "true":
                        fix = Fix("safe", f"write `{one.name}`", [replace(ctx, file, one.start, one.end, one.name)])
                    elif one.value == "false":
                        fix = Fix("safe", "leave it out", [replace(ctx, file, *without(file, attr, one), "")])
                    yield self.finding(
                        ctx,
                        f"`{one.name}` of `#[{macro}]` is a flag without a value",
                        span=place(ctx, file, one.start, one.end),
                        program=item.name,
                        fixes=[fix],
                    )


RULE = MacroFlagWithValue()
