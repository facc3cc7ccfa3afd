"""A program is looked up by its section or by a name that no program has.

## What it does
Finds string literals in `program(..)` and `program_mut(..)` of an `Ebpf` that contain a `/`, or that differ slightly
from the name of a program in the workspace's kernel crates while no program has that name. aya 0.12 or newer.

## Why is this bad
Since 0.12 programs are named by their function. The lookup gives `None`, and the usual `unwrap` after it panics at
run time.

## Example
```rust
let program: &mut KProbe = ebpf.program_mut("kprobe/do_exit").unwrap().try_into()?;
```

## Use instead
```rust
let program: &mut KProbe = ebpf.program_mut("do_exit").unwrap().try_into()?;
```

## Fix
Safe where a kernel crate of the workspace has a program of that name, else display.

## Kernels
All.

## Source
aya, `aya/BREAKING-CHANGES.md`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import EBPF, called_on, covered, programs, replace, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


def _known(project: Project) -> set[str] | None:
    """Names of the programs written in the kernel crates; None when macros may make more."""
    names: set[str] = set()
    for crate in project.all_crates:
        if crate.role != "kernel":
            continue
        for file in crate.files:
            if any(item.kind in ("macro", "macro_rules") for item in file.items):
                return None
            names.update(item.name for item, _, _ in programs(file))
    return names or None


class ProgramLookedUpBySection(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from difflib import get_close_matches

        known = _known(project)
        for file in user_files(project, since="0.12.0"):
            for call in file.of_kind("method"):
                if call.name not in ("program", "program_mut") or len(call.args) != 1 or not called_on(call, EBPF):
                    continue
                name = call.args[0].string
                if name is None or (known is not None and name in known):
                    continue
                short = name.rpartition("/")[2]
                close = [short] if short in (known or ()) else get_close_matches(name, known or (), 1, 0.8)
                if "/" not in name and not close:
                    continue  # an object made from other sources
                hint = f"no program is called `{name}`"
                if "/" in name:
                    hint = "since aya 0.12 a program is named by its function, not by its section"
                fix = Fix("display", "write the name of the program's function")
                if close:
                    edit = replace(ctx, file, call.args[0].start, call.args[0].end, f'"{close[0]}"')
                    fix = Fix("safe" if close[0] == short else "unsafe", f"look up `{close[0]}`", [edit])
                yield self.finding(
                    ctx,
                    f"`{call.name}({call.args[0].text})` gives `None`: {hint}",
                    span=covered(ctx, call.args[0]),
                    fixes=[fix],
                )


RULE = ProgramLookedUpBySection()
