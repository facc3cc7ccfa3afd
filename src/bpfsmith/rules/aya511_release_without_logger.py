"""The project is locked to aya 0.15, which was replaced after a day.

## What it does
Reports aya 0.15 in a crate that depends on it directly.

## Why is this bad
aya 0.15.0 came out on 27 October 2026 and 0.16.0 on the 28th. No aya-log was made for 0.15 (0.3 wants 0.14, 0.4 wants
0.16), and fixes go to 0.16: `nr_cpus` changed its type once more, and pinned maps are compared before they are reused.

## Example
```toml
aya = "0.15"
```

## Use instead
```toml
aya = "0.16"
```

## Fix
Display: move on to 0.16, or stay with 0.14, which needs Rust 1.87 only.

## Kernels
All.

## Source
Release dates and requirements in the crates' index, November 2026.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import dependency_span
from bpfsmith.rules._sets import minor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class ReleaseWithoutLogger(SourceRule):
    severity = "note"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        said = set()
        for crate in project.crates:
            one = crate.dependency("aya")
            if one is None or minor(crate.version("aya")) != (0, 15):
                continue
            span = dependency_span(ctx, crate, one)
            if (span.path, span.line) in said:
                continue
            said.add((span.path, span.line))
            yield self.finding(
                ctx,
                "aya 0.15 was replaced by 0.16 after a day, and no aya-log goes with it",
                span=span,
                fixes=[Fix("display", "use aya 0.16, or 0.14 for compilers older than 1.98")],
            )


RULE = ReleaseWithoutLogger()
