"""`aya-log-ebpf` belongs to another release of `aya-ebpf`.

## What it does
Compares the versions of aya-ebpf and aya-log-ebpf in each kernel crate, and its aya-ebpf with that of the project's
crates that are linked into it.

## Why is this bad
Each aya-log-ebpf is made for one aya-ebpf. With another one the object contains aya-ebpf twice; it compiles,
and bpf-linker stops with "Linking globals named 'memcpy': symbol multiply defined!".

## Example
```toml
aya-ebpf = "0.3"
aya-log-ebpf = "0.2"
```

## Use instead
```toml
aya-ebpf = "0.3"
aya-log-ebpf = "0.3"
```

## Fix
Display: 0.1 goes with 0.1, 0.2 with 0.2, 0.3 with 0.3.

## Kernels
All.

## Source
Requirements in aya-log-ebpf's manifests on crates.io; reproduced with aya-ebpf 0.3 and aya-log-ebpf 0.2.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import dependency_span, other_copies
from bpfsmith.rules._rust import manifest_span
from bpfsmith.rules._sets import minor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project


class AyaLogEbpfForAnotherAyaEbpf(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "link"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            yield from self._shared(project, crate, ctx)
            ebpf, log = minor(crate.version("aya-ebpf")), minor(crate.version("aya-log-ebpf"))
            if ebpf is None or log is None or ebpf == log or max(ebpf, log) >= (0, 4):
                continue  # from 0.4 on: newer than what this rule knows
            yield self.finding(
                ctx,
                f"aya-log-ebpf {crate.version('aya-log-ebpf')} is made for aya-ebpf {log[0]}.{log[1]},"
                f" not for {crate.version('aya-ebpf')}",
                span=manifest_span(ctx, crate, "aya-log-ebpf"),
                fixes=[Fix("display", f"use aya-log-ebpf {ebpf[0]}.{ebpf[1]}")],
            )

    def _shared(self, project: Project, crate: Crate, ctx: CheckContext) -> Iterator[Finding]:
        for other, theirs in other_copies(project, crate, "aya-ebpf"):
            yield self.finding(
                ctx,
                f"`{other.name}` brings aya-ebpf {other.version('aya-ebpf')} into `{crate.name}`, which uses"
                f" {crate.version('aya-ebpf')}: two copies do not link",
                span=dependency_span(ctx, other, theirs),
                fixes=[Fix("display", "name the version once, in `[workspace.dependencies]`")],
            )


RULE = AyaLogEbpfForAnotherAyaEbpf()
