"""The size of a map that is reused from its pin is set anew at each start.

## What it does
Finds `map_max_entries` with a size that is not constant for a map that is pinned by name: with `map_pin_path` in the
same chain, or declared `pinned` in the workspace's kernel crates.

## Why is this bad
A pinned map outlives the program and is reused at the next start, with the size it was made with. When the configured
size has changed in between, aya up to 0.15 takes the old map without a word, and your setting has no effect; from
0.16 on it refuses to load: "cannot reuse pinned map `M`: max_entries is 1024, expected 4096".

## Example
```rust
let mut ebpf = EbpfLoader::new()
    .map_pin_path("SESSIONS", Path::new("/sys/fs/bpf/app/sessions"))
    .map_max_entries("SESSIONS", config.sessions)
    .load(OBJECT)?;
```

## Use instead
```rust
let pin = format!("/sys/fs/bpf/app/sessions-{}", config.sessions); // a pin for each size
```

## Fix
Display: put the size into the pin's name, or remove the pin when the size has changed.

## Kernels
All.

## Source
`aya/src/maps/mod.rs`, `create_pinned_by_name` of 0.14 and 0.16; both seen.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import number
from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._rust import LOADER, covered, kernel_files, maps, user_files
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile


class PinnedMapResized(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "silent"
    words = ("map_max_entries", "set_max_entries")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        pinned: set[str] | None = None
        for file in user_files(project):
            for call in file.methods("map_max_entries", "set_max_entries"):
                name = call.args[0].string if len(call.args) == 2 else None
                known = type_of(call.receiver)
                if name is None or known is None or known.path not in LOADER or file.in_test(call.item):
                    continue
                if number(call.args[1]) is not None or _constant(call.args[1]) or file.has("remove_file", "unlink"):
                    continue
                if pinned is None:
                    pinned = set(_pinned(project))
                if name not in pinned and name not in _named(file):
                    continue
                strict = file.crate is not None and file.crate.at_least("aya", "0.16.0")
                yield self.finding(
                    ctx,
                    f"`{name}` is reused from its pin: "
                    + ("with another size loading fails" if strict else "a size that has changed has no effect"),
                    span=covered(ctx, call.args[1]),
                    fixes=[Fix("display", "put the size into the pin's name, or remove the pin when it has changed")],
                )


def _constant(size: Expr) -> bool:
    """A constant by its name, or what belongs to this machine."""
    return any(one.kind == "path" and one.path.rpartition("::")[2].isupper() for one in size.within()) or any(
        one.kind == "path" and "cpus" in one.path for one in size.within()
    )


def _named(file: SourceFile) -> set[str]:
    """Maps that the loader pins under a path."""
    return {call.args[0].string or "" for call in file.methods("map_pin_path") if len(call.args) == 2}


def _pinned(project: Project) -> Iterator[str]:
    """Maps that say in the kernel crate that they are pinned."""
    for file in kernel_files(project):
        if not file.has("pinned", "pin_by_name"):
            continue
        for item, attr in maps(file):
            given = {one.name: one.value for one in arguments(file, attr)}
            made = item.expr
            by_name = made is not None and made.kind == "call" and made.callee is not None
            if "pin_by_name" in given or (by_name and made is not None and "::pinned" in made.text.partition("(")[0]):
                yield given.get("name") or item.name


RULE = PinnedMapResized()
