"""`aya-log` belongs to another release of `aya`.

## What it does
Compares the locked versions of aya and aya-log in each crate that depends on both.

## Why is this bad
Each aya-log is made for one aya. With another one Cargo builds aya twice, and passing your `Ebpf` to
`EbpfLogger::init` does not compile: "expected `aya::bpf::Ebpf`, found `Ebpf`", "multiple different versions of crate
`aya`".

## Example
```toml
aya = "0.14"
aya-log = "0.4"
```

## Use instead
```toml
aya = "0.14"
aya-log = "0.3"
```

## Fix
Display: sets that belong together are 0.13 with 0.2.1, 0.14 with 0.3, 0.16 with 0.4; there is none for 0.15.

## Kernels
All.

## Source
Requirements in aya-log's manifests on crates.io; reproduced with aya 0.14 and aya-log 0.4.
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

# aya-log from this version on -> the aya it requires; the newest entry that fits counts.
_SETS = (("0.4.0", "0.16"), ("0.3.0", "0.14"), ("0.2.1", "0.13"), ("0.2.0", "0.12"))


class AyaLogForAnotherAya(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.crates:
            aya, log = crate.version("aya"), crate.version("aya-log")
            if aya is None or log is None or not aya.exact or not log.exact:
                continue
            wanted = next((required for since, required in _SETS if log.at_least(since)), None)
            if wanted is None or log.at_least("0.5.0"):
                continue
            major, minor = wanted.split(".")
            if aya.at_least(wanted) and aya.below(f"{major}.{int(minor) + 1}"):
                continue
            fitting = next((since for since, required in _SETS if aya.at_least(required)), None)
            if fitting is not None and aya.at_least("0.15.0") and aya.below("0.16.0"):
                fitting = None
            help_ = (
                f"use aya-log {fitting} with aya {aya}"
                if fitting
                else f"no aya-log is made for aya {aya}: use another aya"
            )
            yield self.finding(
                ctx,
                f"aya-log {log} is made for aya {wanted}, not for {aya}",
                span=manifest_span(ctx, crate, "aya-log"),
                fixes=[Fix("display", help_)],
            )


RULE = AyaLogForAnotherAya()
