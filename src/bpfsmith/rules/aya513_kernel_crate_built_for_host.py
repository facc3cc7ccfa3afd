"""A plain `cargo build` builds the kernel crate for this machine.

## What it does
Finds workspaces with a kernel crate among their members (one with `#![no_main]` and a panic handler of its own) that
have no `default-members`, or name the kernel crate there, and no configuration that sets a BPF target.

## Why is this bad
`cargo build` in the workspace's folder takes every member, for the host: "unwinding panics are not supported without
std", "`#[panic_handler]` function required" or, with `panic = "abort"`, an undefined `main`. It works as long as
everyone remembers `--package`.

## Example
```toml
[workspace]
members = ["counter", "counter-common", "counter-ebpf"]
```

## Use instead
```toml
[workspace]
members = ["counter", "counter-common", "counter-ebpf"]
default-members = ["counter", "counter-common"]
```

## Fix
Display: list the other crates in `default-members`.

## Kernels
All.

## Source
Cargo book, `default-members`; the Aya template since 2024 has it.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import key_span, root_text
from bpfsmith.source.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project


def _freestanding(crate: Crate) -> bool:
    """Whether a binary of it certainly has no `main` for a host: `no_main`, and a panic handler for every target."""
    for file in crate.files:
        if file.path != file.root or not any(attr.path == "no_main" for attr in file.file_attrs()):
            continue
        for attr in file.attrs_named("panic_handler"):
            item = file.item_at(attr.owner) if attr.on_item else None
            if item is not None and item.kind == "fn":
                return "".join(file.gates(item)).replace(" ", "") in ("", "(not(test))")
    return False


class KernelCrateBuiltForHost(SourceRule):
    severity = "note"
    group = "build"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from os.path import relpath

        from bpfsmith.source.tree import matches, strings

        for crate in project.of_role("kernel"):
            space = crate.space
            if crate.workspace == crate.folder or space is None or "package" in space or not _freestanding(crate):
                continue
            table = space.get("workspace")
            defaults = strings(table.get("default-members")) if isinstance(table, dict) else []
            relative = relpath(crate.folder, crate.workspace)
            if defaults and not any(matches(relative, one) for one in defaults):
                continue
            users = [one for one in project.all_crates if one.workspace == crate.workspace and one.role == "user"]
            if not users or Settings(crate.workspace, project.root).target is not None:
                continue
            path, text = root_text(crate)
            yield self.finding(
                ctx,
                f"`cargo build` here builds `{crate.name}` for this machine, where it has no `main`",
                span=key_span(ctx, path, text, "default-members" if defaults else "members", "workspace"),
                fixes=[Fix("display", "list the crates for this machine in `default-members`")],
            )


RULE = KernelCrateBuiltForHost()
