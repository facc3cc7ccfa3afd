"""`CgroupAttachMode::AllowMultiple` and `AllowOverride` are refused where the kernel attaches by link.

## What it does
Finds the two modes where the kernels asked for contain 5.7 or newer.

## Why is this bad
From Linux 5.7 Aya attaches cgroup programs by `bpf_link`, which takes no such flags: `bpf_link_create` fails with
`EINVAL`. Links always allow several programs.

## Example
```rust
program.attach(&cgroup, CgroupAttachMode::AllowMultiple)?;
```

## Use instead
```rust
program.attach(&cgroup, CgroupAttachMode::Single)?;
```

## Fix
Safe where all kernels asked for are 5.7 or newer (`--kernels`), else unsafe: before, `Single` is exclusive.

## Kernels
5.7 and newer: commit af6eea57437a ("bpf: Implement bpf_link-based cgroup BPF program attachment").

## Source
aya, issues 1078 and 1060; reproduced on Linux 6.18.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, mentions, place, replace, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_NAMES = ("AllowMultiple", "AllowOverride")
_MODES = frozenset({f"aya::programs::CgroupAttachMode::{mode}" for mode in _NAMES})


class CgroupModeRefused(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "attach"
    words = _NAMES

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        before = ctx.kernels.missing_before("5.7")
        affected = tuple(one for one in ctx.kernels.series if one not in before)
        if ctx.kernels.specified and not affected:
            return
        for file in user_files(project):
            given = [(one.start, one.end) for one in file.of_kind("path") if one.path.endswith(_NAMES)]
            for one in mentions(file, _MODES):
                if not any(start <= one.start < end for start, end in given):
                    continue  # an import, or a pattern that only looks at it
                # A version test around it means that the author knows.
                if one.use or compat(file, one.item, one.start) or "KernelVersion" in file.text:
                    continue
                safe = "safe" if ctx.kernels.specified and not before else "unsafe"
                yield self.finding(
                    ctx,
                    f"`{one.path.rpartition('::')[2]}` is refused (`EINVAL`) from Linux 5.7 on, which attaches by link",
                    span=place(ctx, file, one.start, one.end),
                    kernels=affected if before else (),
                    fixes=[Fix(safe, "use `Single`", [replace(ctx, file, one.start, one.end, "Single")])],
                )


RULE = CgroupModeRefused()
