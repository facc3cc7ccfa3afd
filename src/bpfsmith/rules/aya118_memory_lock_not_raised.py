"""Kernels before 5.11 are asked for, and nobody raises the limit of locked memory.

## What it does
Finds crates with aya up to 0.13.1 that load objects and never set `RLIMIT_MEMLOCK`, where `--kernels` (or the
configuration) names a kernel before 5.11.

## Why is this bad
Those kernels count the memory of maps and programs against `RLIMIT_MEMLOCK`, 64 KiB by default: creating a map fails
with `EPERM` ("Operation not permitted"), as root too. From 5.11 on memory is counted by cgroup, and aya 0.14 raises
the limit itself where it must.

## Example
```rust
let mut ebpf = Ebpf::load(OBJECT)?;
```

## Use instead
```rust
let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
let mut ebpf = Ebpf::load(OBJECT)?;
```

## Fix
Display: call `setrlimit` before loading, or use aya 0.14.

## Kernels
Before 5.11.

## Source
`aya/CHANGELOG.md`, 0.13.2; kernel, the commits around 4b9113045bf7 (Linux 5.11).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import says
from bpfsmith.rules._object import on as on_kernels
from bpfsmith.rules._rust import EBPF, LOADER, covered, user_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile


class MemoryLockNotRaised(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "load"
    asks = "kernels"
    words = ("Ebpf", "EbpfLoader", "Bpf", "BpfLoader")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        missing = ctx.kernels.missing_before("5.11")
        if not ctx.kernels.specified or not missing:
            return
        done = set()
        for file in user_files(project, before="0.13.2"):
            crate = file.crate
            if crate is None or crate.folder in done or says(crate, "MEMLOCK", "Memlock", "memlock", "rlimit"):
                continue
            loaded = _loaded(file)
            if loaded is None:
                continue
            done.add(crate.folder)
            yield self.finding(
                ctx,
                f"creating maps fails with `EPERM` on {on_kernels(missing)}: nobody raises `RLIMIT_MEMLOCK`",
                span=covered(ctx, loaded),
                kernels=missing,
                fixes=[Fix("display", "call `setrlimit` with `RLIMIT_MEMLOCK` before")],
            )


def _loaded(file: SourceFile) -> Expr | None:
    for call in file.calls("load", "load_file"):
        path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
        if path is not None and path.rpartition("::")[0] in EBPF and not file.in_test(call.item):
            return call
    for call in file.methods("load", "load_file"):
        known = type_of(call.receiver)
        if known is not None and known.path in LOADER and not file.in_test(call.item):
            return call
    return None


RULE = MemoryLockNotRaised()
