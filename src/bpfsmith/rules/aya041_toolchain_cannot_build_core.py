"""The toolchain that the kernel crate is built with cannot build `core` for BPF.

## What it does
Finds kernel crates whose `core` has to be built (`[unstable] build-std` or aya-build) with a toolchain that is stable
by name: a `rust-toolchain(.toml)` for a crate that is built without aya-build, or `Toolchain::Custom("stable")` in the
build script. Silent where `RUSTC_BOOTSTRAP` is set anywhere in the project.

## Why is this bad
rustup has no prebuilt `core` for `bpfel-unknown-none`, so it is built from source, and `-Z build-std` is for nightly
compilers: "the option `Z` is only accepted on the nightly compiler", or "can't find crate for `core`".

## Example
```toml
# probes-ebpf/rust-toolchain.toml
[toolchain]
channel = "stable"
```

## Use instead
```toml
[toolchain]
channel = "nightly"
components = ["rust-src"]
```

## Fix
Display: a nightly channel with `rust-src`; or `RUSTC_BOOTSTRAP=1`, or a distribution's compiler that ships `core` for
BPF.

## Kernels
All.

## Source
aya-build, `build_ebpf`: `-Z build-std=core` on nightly and with `RUSTC_BOOTSTRAP` only; rustc book, platform support
(tier 3).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Span
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered
from bpfsmith.source.names import resolve
from bpfsmith.source.scripts import builds, commands
from bpfsmith.source.settings import Settings, find_toolchain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_FIX = Fix("display", 'take a nightly channel with `components = ["rust-src"]`, or set `RUSTC_BOOTSTRAP=1`')


class ToolchainCannotBuildCore(SourceRule):
    severity = "error"
    group = "build"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        made = builds(project)
        kernel = project.of_role("kernel")
        if not kernel or made.mention("RUSTC_BOOTSTRAP") or commands(project, "RUSTC_BOOTSTRAP"):
            return
        if any(Settings(crate.folder, project.root).env("RUSTC_BOOTSTRAP") for crate in project.all_crates):
            return
        for crate in made.with_aya_build:
            script = made.scripts[crate.folder]
            if crate not in project.crates:
                continue
            for call in script.calls("Custom"):
                path = resolve(script, call.callee.path, call.item) if call.callee is not None else None
                channel = call.args[0].string if call.args else None
                stable = channel is not None and (channel.startswith(("stable", "beta")) or channel[:1].isdigit())
                if path == "aya_build::Toolchain::Custom" and stable:
                    yield self.finding(
                        ctx,
                        f"`{channel}` cannot build `core` for BPF, which rustup does not ship",
                        span=covered(ctx, call),
                        fixes=[_FIX],
                    )
        if made.with_aya_build:
            return  # asks for nightly by name, whatever the file says
        seen = set()
        for crate in kernel:
            chosen = find_toolchain(crate.folder, project.root)
            if chosen is None or not chosen.stable or chosen.path in seen:
                continue
            if not Settings(crate.folder, project.root).build_std or commands(project, "+nightly"):
                continue
            if made.mention("nightly"):
                continue
            seen.add(chosen.path)
            yield self.finding(
                ctx,
                f"`{chosen.channel}` cannot build `core` for `{crate.name}`: `build-std` needs a nightly compiler",
                span=Span(ctx.shown(chosen.path), chosen.line, 1, chosen.line, 2),
                fixes=[_FIX],
            )


RULE = ToolchainCannotBuildCore()
