"""A global that need not exist, and does not: its value is ignored without a word.

## What it does
Finds `override_global(name, value, false)` (and `set_global`) where no `static` of the kernel crate, nor of the crates
it shares, has the name: where one has nearly the same name, or where the project has a single kernel program file.

## Why is this bad
With `false` a name that is not found is no error: the program runs with the value it was compiled with.

## Example
```rust
EbpfLoader::new().override_global("TARGT_PID", &pid, false) // the kernel crate has TARGET_PID
```

## Use instead
```rust
EbpfLoader::new().override_global("TARGET_PID", &pid, true)
```

## Fix
Unsafe where there is a global of nearly the same name: that name, and `true`. Else display.

## Kernels
All.

## Source
aya, `aya/BREAKING-CHANGES.md`; `aya-obj/src/relocation.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import LOADER, called_on, covered, replace, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


def _globals(project: Project) -> set[str] | None:
    """The names of all statics that may be in the object; None when macros may make more."""
    names: set[str] = set()
    for crate in project.all_crates:
        if crate.role not in ("kernel", "common"):
            continue
        for file in crate.files:
            if any(item.kind in ("macro", "macro_rules") for item in file.items):
                return None
            for item in file.items:
                if item.kind == "static":
                    names.add(item.name)
                    for attr in item.attrs:
                        if attr.path == "export_name":
                            names.add(attr.args.lstrip("= ").strip('"'))
    return names or None


class OptionalGlobalMisspelt(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from difflib import get_close_matches

        known = _globals(project)
        if known is None:
            return
        alone = sum(len(crate.binaries()) for crate in project.all_crates if crate.role == "kernel") == 1
        for file in user_files(project):
            for call in file.of_kind("method"):
                if call.name not in ("set_global", "override_global") or len(call.args) != 3:
                    continue
                name, flag = call.args[0].string, call.args[2]
                if name is None or name in known or flag.text != "false" or not called_on(call, LOADER):
                    continue
                close = get_close_matches(name, sorted(known), 1, 0.8)
                if not close and not (alone and known):
                    continue
                fix = Fix(
                    "display", "name a global of the kernel crate, and pass `true` so that a misspelt one is an error"
                )
                if close:
                    edits = [
                        replace(ctx, file, call.args[0].start, call.args[0].end, f'"{close[0]}"'),
                        replace(ctx, file, flag.start, flag.end, "true"),
                    ]
                    fix = Fix("unsafe", f"set `{close[0]}`, and pass `true` so that a misspelt name is an error", edits)
                yield self.finding(
                    ctx,
                    f"the kernel crate has no global `{name}`, and with `false` its value is ignored without a word",
                    span=covered(ctx, call.args[0]),
                    fixes=[fix],
                )


RULE = OptionalGlobalMisspelt()
