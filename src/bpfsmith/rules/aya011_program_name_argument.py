"""A program macro with `name = ".."`: programs are called like their functions.

## What it does
Finds `name` in the macros of programs, but for `tracepoint`, where it is the name of the tracepoint, and `map`. For
releases of aya-ebpf, not for checkouts of unknown age.

## Why is this bad
It does not compile. Pages from before 2024 write it so.

## Example
```rust
#[xdp(name = "firewall")]
pub fn xdp_firewall(ctx: XdpContext) -> u32 { .. }
```

## Use instead
```rust
#[xdp]
pub fn firewall(ctx: XdpContext) -> u32 { .. }
```

## Fix
Safe where function and name are the same; else unsafe: the function is renamed. In `lsm`, `fentry` and others the
argument got a name of its own (`hook`, `function`, `tracepoint`).

## Kernels
All.

## Source
aya, `aya/BREAKING-CHANGES.md`; aya-ebpf-macros, `src/args.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments, without
from bpfsmith.rules._rust import kernel_files, place, programs, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

# What the same word is called now, where it named what to attach to.
_RENAMED = {
    "btf_tracepoint": "function",
    "fentry": "function",
    "fexit": "function",
    "lsm": "hook",
    "raw_tracepoint": "tracepoint",
}


class ProgramNameArgument(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.1.0"):
            for item, macro, attr in programs(file):
                one = next((arg for arg in arguments(file, attr) if arg.name == "name"), None)
                if one is None or macro in ("tracepoint", "map", "btf_map"):
                    continue
                value = one.value or ""
                edits = [replace(ctx, file, *without(file, attr, one), "")]
                fix = Fix("safe", "leave it out", edits)
                other = _RENAMED.get(macro)
                if other is not None:
                    fix = Fix("unsafe", f"write `{other}`", [replace(ctx, file, one.start, one.start + 4, other)])
                elif value != item.name and value.isidentifier():
                    edits.append(Edit(place(ctx, file, item.name_start, item.name_end), value))
                    fix = Fix("unsafe", f"leave it out, and call the function `{value}`", edits)
                elif value != item.name:
                    fix = Fix("unsafe", f"leave it out, and load `{item.name}`", edits)
                yield self.finding(
                    ctx,
                    f"`#[{macro}]` takes no `name`: the program is called like its function, `{item.name}`",
                    span=place(ctx, file, one.start, one.end),
                    program=item.name,
                    fixes=[fix],
                )


RULE = ProgramNameArgument()
