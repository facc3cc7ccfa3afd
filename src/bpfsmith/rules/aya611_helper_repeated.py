"""A helper is asked twice for what does not change while the program runs.

## What it does
Finds two calls of `bpf_get_current_comm`, `bpf_get_current_uid_gid`, `bpf_get_current_cgroup_id`,
`bpf_get_current_task` or `bpf_get_current_pid_tgid` in one function, the first on every path to the second.

## Why is this bad
The task does not change under a program, and neither do these: 28.4 ns for the name, 24 for user and group, 18.7 for
the cgroup, 5.7 for process and thread each time (Linux 6.18).

## Example
```rust
let uid = bpf_get_current_uid_gid() as u32;
let gid = (bpf_get_current_uid_gid() >> 32) as u32;
```

## Use instead
```rust
let both = bpf_get_current_uid_gid();
let (uid, gid) = (both as u32, (both >> 32) as u32);
```

## Fix
Display: keep what the first call gave.

## Kernels
All.

## Source
Measured on Linux 6.18: take the ratios.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts, spelled
from bpfsmith.rules._rust import covered
from bpfsmith.source.flow import flow
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_HELPERS = (
    *("bpf_get_current_comm", "bpf_get_current_uid_gid", "bpf_get_current_cgroup_id", "bpf_get_current_task"),
    *("bpf_get_current_task_btf", "bpf_get_current_pid_tgid"),
)


class HelperRepeated(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = _HELPERS

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *_HELPERS):
            rows: dict[tuple[int, str], list[Expr]] = {}
            for call in file.calls(*spelled(file, *_HELPERS)):
                item = call.item
                path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
                if item is None or path is None or not path.startswith(("aya_ebpf::", "aya_bpf::")):
                    continue
                rows.setdefault((item.id, path), []).append(call)
            for (at, path), calls in rows.items():
                item = file.item_at(at)
                if item is None or len(calls) < 2 or not counts(calls[0]):
                    continue
                calls.sort(key=lambda one: one.start)
                paths = flow(item)
                again = next((one for one in calls[1:] if paths.known and paths.before(calls[0], one)), None)
                if again is not None:
                    yield self.finding(
                        ctx,
                        f"`{path.rpartition('::')[2]}` gives what it gave before: the task is the same",
                        span=covered(ctx, again),
                        labels=[Label(covered(ctx, calls[0]), "first")],
                        fixes=[Fix("display", "keep what the first call gave")],
                    )


RULE = HelperRepeated()
