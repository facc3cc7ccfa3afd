"""bpf-linker is installed with a feature that it no longer has.

## What it does
Finds `cargo install bpf-linker --features rust-llvm-N` (or `llvm-20` and below), without a version below 0.11, in
scripts, CI files, Dockerfiles and READMEs.

## Why is this bad
bpf-linker 0.11 dropped the proxy to the LLVM inside rustc and LLVM 20: Cargo ends with "the package `bpf-linker` does
not have these features", in CI on the day the newer release comes out and for every newcomer who follows the README.

## Example
```sh
cargo install bpf-linker --no-default-features --features rust-llvm-22
```

## Use instead
```sh
cargo install bpf-linker
```

## Fix
Display: leave the features out (then LLVM 23 must be installed), take a prebuilt binary, or name `--version 0.10.4`.

## Kernels
All.

## Source
bpf-linker 0.13, `Cargo.toml`: the features are `llvm-21`, `llvm-22` and `llvm-23`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import command_span
from bpfsmith.rules._linker import installs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class BpfLinkerFeatureGone(SourceRule):
    severity = "warning"
    group = "build"
    phase = "link"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for one in installs(project):
            if one.gone:
                yield self.finding(
                    ctx,
                    f"bpf-linker has no feature `{one.gone}` since 0.11: this does not install",
                    span=command_span(ctx, one.command, one.gone),
                    fixes=[Fix("display", "leave the feature out, or name `--version 0.10.4`")],
                )


RULE = BpfLinkerFeatureGone()
