"""A program is taken as an extension, and the loader was not told that it is one.

## What it does
Finds programs of the workspace's kernel crates that are converted to `Extension` in crates that never call
`EbpfLoader::extension`.

## Why is this bad
No macro of aya-ebpf makes extensions: such a program is written as what it replaces (`#[xdp]`, say), and the loader
has to be told by name. Without it the program is an XDP program, the conversion fails with "unexpected program type",
and loading it as a replacement is impossible.

## Example
```rust
let mut ebpf = Ebpf::load(OBJECT)?;
let patch: &mut Extension = ebpf.program_mut("patch").unwrap().try_into()?;
```

## Use instead
```rust
let mut ebpf = EbpfLoader::new().extension("patch").load(OBJECT)?;
let patch: &mut Extension = ebpf.program_mut("patch").unwrap().try_into()?;
```

## Fix
Display: load with `EbpfLoader::extension`.

## Kernels
From 5.6 on, which brought extensions.

## Source
`aya/src/bpf.rs`, `extensions`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import let_type
from bpfsmith.rules._rust import EBPF, called_on, covered, kernel_files, programs, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class ExtensionNotMarked(SourceRule):
    severity = "error"
    group = "attach"
    phase = "load"
    words = ("Extension",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        known: set[str] | None = None
        for file in user_files(project):
            crate = file.crate
            if crate is None or not file.has("Extension"):
                continue
            if any(True for one in crate.files for _ in one.methods("extension")):
                continue
            if known is None:
                known = {item.name for one in kernel_files(project) for item, _, _ in programs(one)}
            for call in file.methods("program_mut", "take_program"):
                name = call.args[0].string if len(call.args) == 1 else None
                if name not in known or not called_on(call, EBPF) or file.in_test(call.item):
                    continue
                block = next((one for one in call.ancestors() if one.kind == "block"), None)
                let = next((one for one in block.lets if one.start <= call.start < one.end), None) if block else None
                type_ = let_type(let) if let is not None else None
                if type_ is None or type_.path not in (
                    "aya::programs::Extension",
                    "aya::programs::extension::Extension",
                ):
                    continue
                yield self.finding(
                    ctx,
                    f"`{name}` is no extension unless the loader is told so: the conversion fails",
                    span=covered(ctx, call),
                    fixes=[Fix("display", f'load with `EbpfLoader::new().extension("{name}")`')],
                )


RULE = ExtensionNotMarked()
