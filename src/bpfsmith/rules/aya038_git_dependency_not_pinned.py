"""A crate of Aya comes from git, and nothing says which revision.

## What it does
Finds dependencies on Aya's crates with `git = ..` (or a `branch`) that name neither `rev` nor `tag`: a note, and a
warning when there is no lock file that would hold on to one.

## Why is this bad
The next `cargo update`, or the first build on another machine without your lock file, takes whatever the branch is by
then. Between 0.14 and 0.16 alone more than thirty public functions changed their form; the crates are also released on
their own, so half of the family may be newer than the other half.

## Example
```toml
aya = { git = "https://github.com/aya-rs/aya" }
```

## Use instead
```toml
aya = "0.14"
```

## Fix
Display: name a release (`aya = "0.14"`), or a `rev`, the same one for every crate of the family.

## Kernels
All.

## Source
Cargo book, specifying dependencies from git repositories; the Aya template of 2022 to 2025 wrote such lines.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import dependency_span, family

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class GitDependencyNotPinned(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        said = set()
        for crate, one in family(project):
            if one.git is None or one.rev or one.tag:
                continue
            if crate.lock.path is not None and one.package not in crate.lock.packages:
                continue  # patched away, or a lock file of something else
            span = dependency_span(ctx, crate, one)
            if (span.path, span.line) in said:
                continue
            said.add((span.path, span.line))
            locked = crate.lock.path is not None
            where = f"branch `{one.branch}`" if one.branch else "the newest commit"
            yield self.finding(
                ctx,
                f"`{one.package}` is {where} of its repository: "
                + ("`cargo update` jumps to another Aya" if locked else "each fresh build may get another Aya"),
                span=span,
                severity="note" if locked else None,
                fixes=[Fix("display", "name a release, or the same `rev` for every crate of Aya")],
            )


RULE = GitDependencyNotPinned()
