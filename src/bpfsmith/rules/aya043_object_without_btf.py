"""The kernel crate needs BTF, and nothing makes the linker write it.

## What it does
Finds kernel crates with `#[btf_map]` in a project that is built by Cargo for a BPF target and not by aya-build,
where no configuration, build script, xtask, CI file or README has the linker option `--btf`.

## Why is this bad
bpf-linker writes `.BTF` and `.BTF.ext` only with `--btf`. Without, aya stops at the first map of section `.maps`:
"error parsing BPF object: no BTF parsed for object"; and the verifier's log shows no source lines.

## Example
```toml
# .cargo/config.toml
[build]
target = "bpfel-unknown-none"
```

## Use instead
```toml
[build]
target = "bpfel-unknown-none"
rustflags = ["-C", "debuginfo=2", "-C", "link-arg=--btf"]
```

## Fix
Display: add the two flags to the BPF target's `rustflags`, or build with aya-build, which passes them.

## Kernels
All.

## Source
bpf-linker, README; reproduced with aya 0.14 and 0.16: an object with `#[btf_map]` and no `.BTF`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import maps, place
from bpfsmith.source.scripts import builds, commands
from bpfsmith.source.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


def _told(project: Project) -> bool:
    """Whether anything in the project speaks of the option, or could pass it from outside."""
    made = builds(project)
    if made.with_aya_build or made.own or made.mention("--btf", "RUSTFLAGS"):
        return True
    if commands(project, "--btf", "RUSTFLAGS", "aya-build", "xtask"):
        return True
    # Someone else's build: without any word on how it is done nothing is certain.
    by_cargo = [one for one in commands(project, "cargo") if "build" in one.text]
    for crate in project.all_crates:
        settings = Settings(crate.folder, project.root)
        if any(flags.has("--btf") for flags in settings.rustflags()):
            return True
        if crate.role == "kernel" and not (settings.target or "").startswith("bpf"):
            targets = [one for one in by_cargo if "-unknown-none" in one.text]
            if not targets:
                return True
    return False


class ObjectWithoutBtf(SourceRule):
    severity = "error"
    group = "build"
    phase = "load"
    words = ("btf_map",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            if not crate.binaries() or crate.broken:
                continue
            first = next(
                (
                    (file, item, attr)
                    for file in crate.files
                    if file.has("btf_map")
                    for item, attr in maps(file)
                    if attr.path.rpartition("::")[2] == "btf_map"
                ),
                None,
            )
            if first is None or _told(project):
                continue
            file, item, attr = first
            yield self.finding(
                ctx,
                f"`{item.name}` is described by BTF, and nothing tells bpf-linker to write any: no `link-arg=--btf`",
                span=place(ctx, file, attr.start, attr.end),
                fixes=[Fix("display", "add `-C debuginfo=2 -C link-arg=--btf` to the `rustflags` of the BPF target")],
            )


RULE = ObjectWithoutBtf()
