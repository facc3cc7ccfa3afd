"""An LSM program is attached without looking whether BPF is among the active security modules.

## What it does
Finds `attach` of LSM programs in crates that never read the list of active modules (`/sys/kernel/security/lsm`).

## Why is this bad
The kernel runs LSM programs only when `bpf` stands in `CONFIG_LSM` or `lsm=` of its command line; several
distributions leave it out. Loading and attaching succeed all the same, and the program is never called: a policy that
protects nothing.

## Example
```rust
guard.load("file_open", &btf)?;
guard.attach()?;
```

## Use instead
```rust
let active = std::fs::read_to_string("/sys/kernel/security/lsm")?;
anyhow::ensure!(active.trim().split(',').any(|one| one == "bpf"), "boot with lsm=..,bpf");
guard.load("file_open", &btf)?;
guard.attach()?;
```

## Fix
Display: read `/sys/kernel/security/lsm`, and refuse to start without `bpf` in it.

## Kernels
From 5.7 on, which brought LSM programs.

## Source
`aya/src/programs/lsm.rs`; kernel documentation, `bpf/prog_lsm.rst`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import on, says
from bpfsmith.rules._rust import covered, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class LsmMayBeOff(SourceRule):
    severity = "note"
    group = "attach"
    phase = "silent"
    words = ("Lsm",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            if not file.has("Lsm") or says(file.crate, "security/lsm", "kernel/security", "CONFIG_LSM"):
                continue
            for call in on(file, ("attach",), {"aya::programs::Lsm"}):
                yield self.finding(
                    ctx,
                    "this succeeds where `bpf` is no active security module, and the program never runs",
                    span=covered(ctx, call),
                    fixes=[Fix("display", "look for `bpf` in `/sys/kernel/security/lsm` before")],
                )
                break


RULE = LsmMayBeOff()
