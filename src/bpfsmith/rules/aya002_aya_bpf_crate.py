"""A kernel crate depends on `aya-bpf`, the name `aya-ebpf` had before its first release.

## What it does
Finds a dependency on `aya-bpf` in a manifest; the paths that start with `aya_bpf` follow from it.

## Why is this bad
The crate was renamed to `aya-ebpf` in 2024. Nothing is published under the old name, a git dependency no longer finds
it, and no fix will ever arrive there.

## Example
```toml
aya-bpf = { git = "https://github.com/aya-rs/aya" }
```

## Use instead
```toml
aya-ebpf = "0.1.1"
```

## Fix
Display: change the dependency, then `aya_bpf` to `aya_ebpf` and `BpfContext` to `EbpfContext` in the sources.

## Kernels
All.

## Source
aya, `ebpf/aya-ebpf/CHANGELOG.md`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import manifest_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class AyaBpfCrate(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.crates:
            wanted = crate.dependency("aya-bpf")
            # A checkout beside the project may really be called so.
            if wanted is None or wanted.path is not None:
                continue
            yield self.finding(
                ctx,
                "`aya-bpf` was renamed to `aya-ebpf` before its first release and is not maintained",
                span=manifest_span(ctx, crate, "aya-bpf"),
                fixes=[Fix("display", "depend on `aya-ebpf`, and write `aya_ebpf` and `EbpfContext` in the sources")],
            )


RULE = AyaBpfCrate()
