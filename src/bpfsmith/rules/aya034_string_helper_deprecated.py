"""A helper that reads a string and says only its length; it is deprecated.

## What it does
Finds calls of `bpf_probe_read_str`, `bpf_probe_read_user_str` and `bpf_probe_read_kernel_str` of `aya_ebpf::helpers`.

## Why is this bad
The compiler warns. The length it gives counts the terminating zero, and using it as an index is one more check for the
verifier; `bpf_probe_read_str` does not even say which memory it reads, and fails on machines where user and kernel
addresses overlap.

## Example
```rust
let length = unsafe { bpf_probe_read_user_str(name, &mut buffer)? };
```

## Use instead
```rust
let name: &[u8] = unsafe { bpf_probe_read_user_str_bytes(name, &mut buffer)? };
```

## Fix
Display: the new helpers give the bytes, not their number.

## Kernels
All; the `user` and `kernel` forms came with Linux 5.5.

## Source
aya-ebpf, `src/helpers.rs` (`#[deprecated]`).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, covered, kernel_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_USER, _KERNEL = "`bpf_probe_read_user_str_bytes`", "`bpf_probe_read_kernel_str_bytes`"
_NEW = {
    f"{crate}::helpers::{old}": new
    for crate in ("aya_ebpf", "aya_bpf")
    for old, new in (
        ("bpf_probe_read_str", f"{_USER} or {_KERNEL}"),
        ("bpf_probe_read_user_str", _USER),
        ("bpf_probe_read_kernel_str", _KERNEL),
    )
}


class StringHelperDeprecated(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.of_kind("call"):
                callee = call.callee
                if callee is None or not callee.path.endswith("_str"):
                    continue
                new = _NEW.get(resolve(file, callee.path, call.item) or "")
                if new is None or compat(file, call.item, call.start):
                    continue
                yield self.finding(
                    ctx,
                    f"`{callee.path.rpartition('::')[2]}` is deprecated, {new} gives the bytes it read",
                    span=covered(ctx, callee),
                    fixes=[Fix("display", f"use {new}")],
                )


RULE = StringHelperDeprecated()
