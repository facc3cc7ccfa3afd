"""A crate of the project uses another aya than the crate it is linked into.

## What it does
Follows path dependencies from each user crate, and compares the aya that each of them is locked to.

## Why is this bad
Both versions are built, and their types have nothing to do with each other: `unsafe impl aya::Pod for Flow` in the
common crate is not the `Pod` that the user crate's `HashMap` asks for ("the trait bound `Flow: Pod` is not
satisfied"), and an `Ebpf` cannot be handed over ("expected `aya::Ebpf`, found `Ebpf`").

## Example
```toml
# user
aya = "0.14"
# common
aya = { version = "0.13", optional = true }
```

## Use instead
```toml
[workspace.dependencies]
aya = "0.14"
```

## Fix
Display: name the version once, in `[workspace.dependencies]`, and inherit it.

## Kernels
All.

## Source
Cargo book, dependency resolution: releases that are not compatible are built side by side.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import dependency_span, other_copies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class TwoVersionsOfAya(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        said = set()
        for crate in project.of_role("user"):
            mine = crate.dependency("aya")
            for other, theirs in other_copies(project, crate, "aya"):
                if mine is None or other.folder in said:
                    continue
                said.add(other.folder)
                yield self.finding(
                    ctx,
                    f"`{other.name}` uses aya {other.version('aya')}, `{crate.name}` uses {crate.version('aya')}: their"
                    " types and traits are different ones",
                    span=dependency_span(ctx, other, theirs),
                    labels=[Label(dependency_span(ctx, crate, mine), f"the aya of `{crate.name}`")],
                    fixes=[Fix("display", "name the version once, in `[workspace.dependencies]`")],
                )


RULE = TwoVersionsOfAya()
