"""A kernel program has no panic handler.

## What it does
Looks for `#[panic_handler]` in a kernel crate with a binary and in the crates it depends on by path; a dependency
whose name contains `panic` counts as one.

## Why is this bad
A `no_std` binary does not compile without: "`#[panic_handler]` function required, but not found".

## Example
```rust
#![no_std]
#![no_main]
// programs
```

## Use instead
```rust
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
```

## Fix
Safe: appends a handler that loops.

## Kernels
All.

## Source
The Rustonomicon, "`#[panic_handler]`".
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import place, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_HANDLER = """
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
"""


class PanicHandlerMissing(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        by_folder = {crate.folder: crate for crate in project.all_crates}
        for crate in project.of_role("kernel"):
            roots = [file for file in crate.files if file.path == file.root and file.path.endswith("/src/main.rs")]
            if not roots or not roots[0].no_std or any("panic" in one.package for one in crate.dependencies):
                continue
            used = [by_folder[one.path] for one in crate.dependencies if one.path in by_folder]
            handled = any(
                attr.path == "panic_handler" or (attr.path == "cfg_attr" and "panic_handler" in attr.args)
                for one in [crate, *used]
                for file in one.files
                for attr in file.attrs
            )
            hidden = any(item.kind == "macro" for file in crate.files for item in file.items)
            if handled or hidden or any(note.kind == "syntax" for note in roots[0].notes):
                continue
            file = roots[0]
            end = len(file.text)
            yield self.finding(
                ctx,
                f"`{crate.name}` has no `#[panic_handler]`, without which a `no_std` binary does not compile",
                span=place(ctx, file, 0, len(file.text.partition("\n")[0])),
                fixes=[Fix("safe", "add a panic handler", [replace(ctx, file, end, end, _HANDLER)])],
            )


RULE = PanicHandlerMissing()
