"""bpf-linker is installed for an older LLVM than the compiler's.

## What it does
Finds `cargo install bpf-linker --no-default-features --features llvm-N` (N up to 21) in scripts, CI files, Dockerfiles
and READMEs of a project whose kernel crates are built with a nightly that is not dated: aya-build's default, or
`channel = "nightly"`.

## Why is this bad
The compiler hands its linker LLVM bitcode, and an LLVM reads bitcode of its own age or older. Nightly compilers have
LLVM 22 or newer: bpf-linker then stops with "Invalid record (Producer: 'LLVM22..' Reader: 'LLVM 21..')".

## Example
```sh
cargo install bpf-linker --no-default-features --features llvm-20
```

## Use instead
```sh
cargo install bpf-linker --no-default-features --features llvm-23
```

## Fix
Display: install it for the newest LLVM, or as a prebuilt binary, whenever the compiler is updated.

## Kernels
All.

## Source
bpf-linker, README and `Cargo.toml` (`llvm-21` to `llvm-23` in 0.13); bpf-linker#220 and #354.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import command_span
from bpfsmith.rules._linker import installs
from bpfsmith.source.scripts import builds
from bpfsmith.source.settings import find_toolchain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_NIGHTLY_LLVM = 22  # of nightly compilers since spring 2026; it only grows


def _undated(project: Project) -> bool:
    made = builds(project)
    if made.with_aya_build:
        return not any(made.scripts[crate.folder].has("Custom") for crate in made.with_aya_build)
    kernel = [crate for crate in project.all_crates if crate.role == "kernel"]
    chosen = [find_toolchain(crate.folder, project.root) for crate in kernel]
    return bool(chosen) and all(one is not None and one.channel == "nightly" for one in chosen)


class BpfLinkerOlderThanCompiler(SourceRule):
    severity = "warning"
    group = "build"
    phase = "link"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if not project.of_role("kernel"):
            return
        for one in installs(project):
            if one.llvm is None or one.llvm >= _NIGHTLY_LLVM or one.gone or not _undated(project):
                continue
            yield self.finding(
                ctx,
                f"bpf-linker with LLVM {one.llvm} cannot read what a nightly compiler writes (LLVM 22 or newer)",
                span=command_span(ctx, one.command, f"llvm-{one.llvm}"),
                fixes=[Fix("display", "use the feature of the newest LLVM, or a prebuilt bpf-linker")],
            )


RULE = BpfLinkerOlderThanCompiler()
