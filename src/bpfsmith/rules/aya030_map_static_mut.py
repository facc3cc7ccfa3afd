"""A map is declared `static mut`.

## What it does
Finds `static mut` under `#[map]` or `#[btf_map]` in kernel crates on aya-ebpf.

## Why is this bad
Maps are `Sync` and all their methods take `&self`, so `mut` adds nothing but `unsafe` around every use; in edition
2024 a reference to a `static mut` is an error (`static_mut_refs`).

## Example
```rust
#[map]
static mut FLOWS: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);
```

## Use instead
```rust
#[map]
static FLOWS: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);
```

## Fix
Safe: deletes `mut`; an `unsafe` block around a use may become unnecessary.

## Kernels
All.

## Source
aya-template, change 59; rustc's lint `static_mut_refs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import kernel_files, maps, place, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile


def _allowed(file: SourceFile) -> bool:
    """The crate lets references to `static mut` through, or takes raw ones."""
    for one in file.crate.files if file.crate is not None else [file]:
        if "&raw mut" in one.text or "addr_of_mut!" in one.text:
            return True
        if any(attr.path in ("allow", "expect", "warn") and "static_mut_refs" in attr.args for attr in one.attrs):
            return True
    return False


class MapStaticMut(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            new = file.crate is not None and file.crate.dependency("aya-ebpf") is not None
            for item, _ in maps(file):
                if not item.mutable or not new:
                    continue
                start = file.text.find("mut", item.start, item.name_start)
                if start < 0:
                    continue
                refused = file.crate is not None and file.crate.edition >= 2024 and not _allowed(file)
                why = "does not compile in edition 2024" if refused else "needs `unsafe` for nothing"
                yield self.finding(
                    ctx,
                    f"the map `{item.name}` is `static mut`: every use {why}, maps are shared as they are",
                    span=place(ctx, file, start, item.name_end),
                    severity="error" if refused else None,
                    fixes=[Fix("safe", "delete `mut`", [replace(ctx, file, start, item.name_start, "")])],
                )


RULE = MapStaticMut()
