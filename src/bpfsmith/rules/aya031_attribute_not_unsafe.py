"""`no_mangle`, `link_section` and `export_name` must be written `unsafe(..)` in edition 2024.

## What it does
Finds `#[no_mangle]`, `#[link_section = ..]` and `#[export_name = ..]` without `unsafe(..)` in crates of edition 2024.

## Why is this bad
They do not compile in that edition: "unsafe attribute used without unsafe".

## Example
```rust
#[link_section = "license"]
#[no_mangle]
static LICENSE: [u8; 4] = *b"GPL\\0";
```

## Use instead
```rust
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\\0";
```

## Fix
Safe.

## Kernels
All.

## Source
Rust 2024 edition guide, "Unsafe attributes"; `aya-ebpf-macros` expands to the unsafe form.
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


class AttributeNotUnsafe(SourceRule):
    severity = "error"
    group = "build"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in project.files("kernel", "common", "user"):
            if file.crate is None or file.crate.edition < 2024:
                continue
            for attr in file.attrs:
                if attr.path not in ("no_mangle", "link_section", "export_name") or attr.unsafe_ or attr.inner:
                    continue
                text = file.text[attr.start : attr.end]
                start = attr.start + text.index(attr.path)
                end = attr.end - 1
                inner = file.text[start:end].strip()
                yield self.finding(
                    ctx,
                    f"`{attr.path}` must be written `unsafe(..)` in edition 2024",
                    span=place(ctx, file, attr.start, attr.end),
                    fixes=[
                        Fix("safe", f"write `#[unsafe({inner})]`", [replace(ctx, file, start, end, f"unsafe({inner})")])
                    ],
                )


RULE = AttributeNotUnsafe()
