"""A cgroup program returns 0 on every path, which denies everything.

## What it does
Follows the value of `cgroup_sysctl`, `cgroup_sockopt`, `cgroup_sock_addr`, `cgroup_skb`, `cgroup_sock` and
`cgroup_device` programs through helper functions and `match`, where every path that is no error returns the constant
0. A name or a comment that says so (`deny`, `drop`, `block`, ..) makes it deliberate.

## Why is this bad
In cgroup programs 1 allows and 0 denies: callers get `EPERM`, packets are dropped. The examples in Aya's template and
documentation end in `Ok(0)`.

## Example
```rust
#[cgroup_sysctl]
pub fn watch(ctx: SysctlContext) -> i32 {
    match try_watch(ctx) { Ok(ret) => ret, Err(ret) => ret }
}
fn try_watch(ctx: SysctlContext) -> Result<i32, i32> { Ok(0) }
```

## Use instead
```rust
fn try_watch(ctx: SysctlContext) -> Result<i32, i32> { Ok(1) }
```

## Fix
Unsafe: writes 1, which allows what was denied.

## Kernels
All.

## Source
aya-template, `main.rs`; kernel documentation `prog_cgroup_sockopt.rst`, `prog_cgroup_sysctl.rst`.
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._verdicts import always_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_MACROS = frozenset(
    {"cgroup_sysctl", "cgroup_sockopt", "cgroup_sock_addr", "cgroup_skb", "cgroup_sock", "cgroup_device"}
)


class CgroupDeniesEverything(SourceRule):
    severity = "warning"
    group = "programs"
    phase = "silent"
    supersedes_in_program = ("OBJ013",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        yield from always_zero(self, project, ctx, _MACROS, "in a cgroup program 0 denies", "return 1 to allow", "1")


RULE = CgroupDeniesEverything()
