"""`aya-log-ebpf` belongs to another release of `aya-ebpf`.

## What it does
Compares the locked versions of aya-ebpf and aya-log-ebpf in each kernel crate.

## Why is this bad
Each aya-log-ebpf is made for one aya-ebpf. With another one the kernel crate contains aya-ebpf twice; it compiles,
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
from bpfsmith.rules._rust import manifest_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class AyaLogEbpfForAnotherAyaEbpf(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "link"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            ebpf, log = crate.version("aya-ebpf"), crate.version("aya-log-ebpf")
            if ebpf is None or log is None or not ebpf.exact or not log.exact or ebpf.low[:2] == log.low[:2]:
                continue
            if max(ebpf.low, log.low) >= (0, 4, 0):
                continue  # newer than what this rule knows
            yield self.finding(
                ctx,
                f"aya-log-ebpf {log} is made for aya-ebpf {log.low[0]}.{log.low[1]}, not for {ebpf}",
                span=manifest_span(ctx, crate, "aya-log-ebpf"),
                fixes=[Fix("display", f"use aya-log-ebpf {ebpf.low[0]}.{ebpf.low[1]}")],
            )


RULE = AyaLogEbpfForAnotherAyaEbpf()
