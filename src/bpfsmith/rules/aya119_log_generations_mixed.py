"""User and kernel side log through different generations of aya-log.

## What it does
Compares the aya-log of the user crate with the aya-log-ebpf of the kernel crate, where both sides
really log.

## Why is this bad
aya-log-ebpf 0.1 writes to a perf event array, 0.2 and newer to a ring buffer, and aya-log reads one or the other (0.3
and newer: the ring buffer). Mixed, the object does not load: `InvalidMapType`, or the map `AYA_LOGS` is not found.

## Example
```toml
# user
aya-log = "0.3"
# kernel
aya-log-ebpf = "0.1"
```

## Use instead
```toml
# user
aya-log = "0.3"
# kernel
aya-log-ebpf = "0.2"
```

## Fix
Display: aya-log 0.2 goes with aya-log-ebpf 0.1; 0.3 and newer with 0.2 and newer.

## Kernels
All.

## Source
aya, `aya-log/CHANGELOG.md`; aya-template#87.
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
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project


def _logs(crate: Crate, name: str) -> bool:
    """Whether the crate's code names the logging crate at all."""
    for file in crate.files:
        if any(use.path.partition("::")[0] == name for use in file.uses):
            return True
        if any(path.startswith(f"{name}::") for _, path, _, _ in file.paths):
            return True
        if any(one.path.startswith(f"{name}::") for one in file.of_kind("path", "macro")):
            return True
    return False


class LogGenerationsMixed(SourceRule):
    severity = "error"
    group = "logging"
    phase = "load"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        users = [crate for crate in project.all_crates if crate.role == "user" and _logs(crate, "aya_log")]
        for kernel in project.of_role("kernel"):
            below = kernel.version("aya-log-ebpf")
            if below is None or not _logs(kernel, "aya_log_ebpf"):
                continue
            for user in users:
                above = user.version("aya-log")
                if above is None:
                    continue
                newer = above.at_least("0.3.0") and below.below("0.2.0")
                if not newer and not (above.below("0.3.0") and below.at_least("0.2.0")):
                    continue
                yield self.finding(
                    ctx,
                    f"aya-log-ebpf {below} and aya-log {above} of `{user.name}` do not understand each other",
                    span=manifest_span(ctx, kernel, "aya-log-ebpf"),
                    fixes=[Fix("display", "aya-log 0.2 goes with aya-log-ebpf 0.1; 0.3 and newer with 0.2 and newer")],
                )
                break


RULE = LogGenerationsMixed()
