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
from bpfsmith.rules._sets import LOGS, minor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.versions import VersionRange


class AyaLogForAnotherAya(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.crates:
            aya, log = crate.version("aya"), crate.version("aya-log")
            have = minor(aya)
            if aya is None or log is None or have not in LOGS:
                continue
            fitting = LOGS[have]
            made_for = _made_for(log)
            if made_for is None or made_for == have:
                continue
            help_ = (
                f"use aya-log {fitting} with aya {aya}"
                if fitting
                else f"no aya-log is made for aya {aya}: use another aya"
            )
            yield self.finding(
                ctx,
                f"aya-log {log} is made for aya {made_for[0]}.{made_for[1]}, not for {aya}",
                span=manifest_span(ctx, crate, "aya-log"),
                fixes=[Fix("display", help_)],
            )


def _made_for(log: VersionRange) -> tuple[int, int] | None:
    """The aya that all of these aya-logs require; None when they differ, or are newer than what is known."""
    found = {aya for aya, since in LOGS.items() if since is not None and log.may_reach(since, _next(since))}
    return found.pop() if len(found) == 1 and not log.at_least("0.5.0") else None


def _next(since: str) -> str:
    """Where the aya-logs for the following aya begin."""
    starts = [one for one in LOGS.values() if one is not None]
    at = starts.index(since) + 1
    return starts[at] if at < len(starts) else "0.5.0"


RULE = AyaLogForAnotherAya()
