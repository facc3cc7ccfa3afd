"""The logger needs ring buffers, which some of the kernels asked for do not have.

## What it does
With `--kernels`, finds `EbpfLogger::init(..)` of aya-log 0.3 or newer where one of them is older than 5.8, and kernel
crates that log with aya-log-ebpf 0.2 or newer.

## Why is this bad
Since then the messages go through a ring buffer, `AYA_LOGS`, which is created with the object: on an older kernel
nothing of it loads, "failed to create map `AYA_LOGS`: Invalid argument", whether or not a message is ever written.

## Example
```toml
aya-log-ebpf = "0.2"   # and --kernels 5.4..
```

## Use instead
```toml
aya-log-ebpf = "0.1"   # with aya-log 0.2, aya 0.13: a perf event array
```

## Fix
Display: stay with the set of 2024 (aya 0.13, aya-log 0.2.1, aya-log-ebpf 0.1), or build without logging for them.

## Kernels
Ring buffers exist since Linux 5.8.

## Source
aya-log-ebpf 0.2, `AYA_LOGS: RingBuf`; kernel commit 457f44363a88.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import dependency_span
from bpfsmith.rules._logger import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class LoggerNeedsRingBuffer(SourceRule):
    severity = "error"
    group = "logging"
    phase = "load"
    asks = "kernels"
    words = ("trace", "debug", "info", "warn", "error", "log")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        missing = ctx.kernels.missing_before("5.8")
        if not missing:
            return
        for crate in project.of_role("kernel"):
            one = crate.dependency("aya-log-ebpf")
            if one is None or not crate.at_least("aya-log-ebpf", "0.2.0") or next(logs(crate), None) is None:
                continue
            yield self.finding(
                ctx,
                f"aya-log-ebpf {crate.version('aya-log-ebpf')} logs to a ring buffer, which needs Linux 5.8:"
                " the object does not load",
                span=dependency_span(ctx, crate, one),
                kernels=missing,
                fixes=[Fix("display", "use aya-log-ebpf 0.1 with its set, or leave logging out for old kernels")],
            )


RULE = LoggerNeedsRingBuffer()
