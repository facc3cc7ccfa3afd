"""`AsyncPerfEventArray` does not exist any more.

## What it does
Finds `aya::maps::AsyncPerfEventArray` (also under `maps::perf`) and the features `async_tokio` and `async_std` where
aya is 0.14.0 or newer.

## Why is this bad
They were removed: the code does not compile, Cargo refuses the features.

## Example
```rust
use aya::maps::perf::AsyncPerfEventArray;
```

## Use instead
```rust
use aya::maps::RingBuf; // in a tokio::io::unix::AsyncFd of your own
```

## Fix
Display: put a `PerfEventArrayBuffer` or a `RingBuf` into an `AsyncFd` of your runtime.

## Kernels
All.

## Source
aya, `aya/CHANGELOG.md` (listed under 0.13.2).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, manifest_span, mentions, place, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_NAMES = frozenset({"aya::maps::AsyncPerfEventArray", "aya::maps::AsyncPerfEventArrayBuffer"})


class AsyncPerfEventArrayRemoved(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        fix = Fix(
            "display", "wait on the map with your runtime's `AsyncFd` around a `RingBuf` or `PerfEventArrayBuffer`"
        )
        for file in user_files(project, since="0.14.0"):
            found = [one for one in mentions(file, _NAMES) if not compat(file, one.item, one.start)]
            for one in [one for one in found if one.use] or found[:1]:
                yield self.finding(
                    ctx,
                    f"`{one.path.rpartition('::')[2]}` was removed, aya 0.14 has no asynchronous maps",
                    span=place(ctx, file, one.start, one.end),
                    fixes=[fix],
                )
        for crate in project.crates:
            wanted = crate.dependency("aya")
            gone = {"async_tokio", "async_std"} & set(wanted.features) if wanted is not None else set()
            if gone and crate.at_least("aya", "0.14.0"):
                yield self.finding(
                    ctx,
                    f"aya 0.14 has no feature `{min(gone)}`",
                    span=manifest_span(ctx, crate, "aya"),
                    fixes=[fix],
                )


RULE = AsyncPerfEventArrayRemoved()
