"""A cgroup program attached without a mode, which aya wants since 0.13.

## What it does
Finds `attach(cgroup)` on cgroup and sock_ops programs (`attach(cgroup, type)` on `CgroupSkb`) where aya is 0.13.0 or
newer.

## Why is this bad
It does not compile: the last argument is a `CgroupAttachMode`.

## Example
```rust
program.attach(cgroup, CgroupSkbAttachType::Egress)?;
```

## Use instead
```rust
program.attach(cgroup, CgroupSkbAttachType::Egress, CgroupAttachMode::Single)?;
```

## Fix
Safe: `Single` is what the call did before.

## Kernels
All.

## Source
aya, pull request 985.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, place, replace, user_files
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

# Arguments of `attach` before the mode came.
_ARGUMENTS = {
    "aya::programs::CgroupSkb": 2,
    **{
        f"aya::programs::{name}": 1
        for name in ("CgroupDevice", "CgroupSock", "CgroupSockAddr", "CgroupSockopt", "CgroupSysctl", "SockOps")
    },
}


class CgroupAttachWithoutMode(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.13.0"):
            for call in file.of_kind("method"):
                if call.name != "attach" or len(call.args) not in (1, 2):
                    continue
                known = type_of(call.receiver)
                if known is None or _ARGUMENTS.get(known.path) != len(call.args) or compat(file, call.item, call.start):
                    continue
                last = call.args[-1].end
                edit = replace(ctx, file, last, last, ", aya::programs::CgroupAttachMode::Single")
                yield self.finding(
                    ctx,
                    f"`{known.name}::attach` takes a `CgroupAttachMode` since aya 0.13",
                    span=place(ctx, file, call.fields[2], call.end),
                    fixes=[Fix("safe", "pass `CgroupAttachMode::Single`", [edit])],
                )


RULE = CgroupAttachWithoutMode()
