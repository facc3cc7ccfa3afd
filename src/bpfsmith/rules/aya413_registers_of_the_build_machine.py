"""The kernel crate reads registers of the machine that builds it, and runs on another.

## What it does
Finds scripts and CI files that build the user side for another architecture (`cargo build --target aarch64-..`) in a
project whose kernel side reads arguments or results of kprobes and uprobes, is not built by aya-build, and is never
told the architecture: no `AYA_BPF_TARGET_ARCH` and no `bpf_target_arch` anywhere.

## Why is this bad
A BPF target has no registers of its own to name: aya-ebpf picks the layout of `pt_regs` when it is compiled, by
`AYA_BPF_TARGET_ARCH` or `--cfg bpf_target_arch`, else by the machine that compiles. Built on x86-64 for arm64,
`ctx.arg(0)` reads offset 112 (`rdi`) where the first argument lies at 0: some other register, without any error.

## Example
```sh
cargo +nightly build --release --target bpfel-unknown-none -Z build-std=core
cargo build --release --target aarch64-unknown-linux-musl
```

## Use instead
```sh
AYA_BPF_TARGET_ARCH=aarch64 cargo +nightly build --release --target bpfel-unknown-none -Z build-std=core
cargo build --release --target aarch64-unknown-linux-musl
```

## Fix
Display: build the kernel crate once for each architecture with the variable set, or let aya-build do it.

## Kernels
All.

## Source
aya-build, `emit_bpf_target_arch_cfg`; aya-ebpf, `args.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import command_span
from bpfsmith.rules._rust import called_on, covered
from bpfsmith.source.scripts import builds, commands
from bpfsmith.source.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_CONTEXTS = frozenset({"aya_ebpf::programs::ProbeContext", "aya_ebpf::programs::RetProbeContext"})
_WORDS = ("AYA_BPF_TARGET_ARCH", "bpf_target_arch")
_OTHERS = ("aarch64-unknown-linux", "riscv64gc-unknown-linux", "s390x-unknown-linux", "armv7-unknown-linux")


def _register(crate: Crate) -> Expr | None:
    for file in crate.files:
        for call in file.methods("arg", "ret"):
            if called_on(call, _CONTEXTS):
                return call
    return None


class RegistersOfTheBuildMachine(SourceRule):
    severity = "warning"
    group = "build"
    phase = "silent"
    words = ("ProbeContext", "RetProbeContext")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        cross = [one for one in commands(project, *_OTHERS) if "cargo" in one.text and "--target" in one.text]
        kernel = [crate for crate in project.of_role("kernel") if crate.binaries()]
        if not cross or not kernel or self._told(project):
            return
        # A machine of that kind builds for itself.
        if commands(project, "runs-on: ubuntu-24.04-arm", "-arm", "arm64", "matrix"):
            return
        read = next((found for crate in kernel if (found := _register(crate)) is not None), None)
        if read is None:
            return
        one = cross[0]
        target = next(word for word in _OTHERS if word in one.text)
        yield self.finding(
            ctx,
            f"built for {target.partition('-')[0]}, but the kernel side has the registers of the machine that builds",
            span=command_span(ctx, one, target),
            labels=[Label(covered(ctx, read), "a register by its place")],
            fixes=[Fix("display", "set `AYA_BPF_TARGET_ARCH` when the kernel crate is built")],
        )

    def _told(self, project: Project) -> bool:
        made = builds(project)
        if made.with_aya_build or made.mention(*_WORDS) or commands(project, *_WORDS):
            return True
        by_hand = made.own or commands(project, "bpfel-unknown-none", "xtask")
        if not by_hand:
            return True  # nobody says how it is built
        folders = {project.root, *(crate.folder for crate in project.all_crates)}
        return any(
            settings.env(_WORDS[0]) or any(flags.has(_WORDS[1]) for flags in settings.rustflags())
            for settings in (Settings(folder, project.root) for folder in folders)
        )


RULE = RegistersOfTheBuildMachine()
