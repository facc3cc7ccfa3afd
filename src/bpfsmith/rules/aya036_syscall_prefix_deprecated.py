"""`syscall_prefix`, which is deprecated.

## What it does
Finds calls of `aya::util::syscall_prefix` where aya is 0.12.0 or newer.

## Why is this bad
The compiler warns. A 64-bit kernel that also runs 32-bit programs has several functions for one system call, and a
probe on the one of this prefix does not see the others.

## Example
```rust
probe.attach(format!("{}openat", syscall_prefix()?), 0)?;
```

## Use instead
```rust
tracepoint.attach("syscalls", "sys_enter_openat")?; // all of them
```

## Fix
Display: attach to the tracepoint, or to every name there is.

## Kernels
All.

## Source
aya, `src/util.rs` (`#[deprecated]` since 0.12).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, covered, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class SyscallPrefixDeprecated(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.12.0"):
            for call in file.of_kind("call"):
                callee = call.callee
                if callee is None or callee.kind != "path" or compat(file, call.item, call.start):
                    continue
                if (
                    callee.path.endswith("syscall_prefix")
                    and resolve(file, callee.path, call.item) == "aya::util::syscall_prefix"
                ):
                    yield self.finding(
                        ctx,
                        "`syscall_prefix` is deprecated: a kernel may have several functions for one system call",
                        span=covered(ctx, callee),
                        fixes=[
                            Fix("display", "attach to the tracepoint `syscalls/sys_enter_..`, which sees all of them")
                        ],
                    )


RULE = SyscallPrefixDeprecated()
