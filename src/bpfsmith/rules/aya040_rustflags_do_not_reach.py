"""Compiler flags that are meant for the kernel crate never reach it.

## What it does
Finds `rustflags` of `.cargo/config.toml` for a BPF target (or BPF-only ones under `[build]`, such as
`link-arg=--btf` or `bpf_target_arch`), in a project whose kernel crates are built by aya-build alone.

## Why is this bad
aya-build sets `CARGO_ENCODED_RUSTFLAGS`, and Cargo takes flags from one place only: with that variable set it does not
look at the configuration. The build succeeds and the flags are simply not there: no `-C target-cpu=v3`, no
`--cfg` of yours, no linker option.

## Example
```toml
[target.bpfel-unknown-none]
rustflags = ["-C", "target-cpu=v3"]
```

## Use instead
```toml
[profile.release.package.counter-ebpf]
opt-level = 3
codegen-units = 1
```

## Fix
Display: use Cargo profiles for what they can say and features for what `--cfg` was for, or build the crate yourself.

## Kernels
All.

## Source
aya-build 0.1.3 and 0.2, `build_ebpf`; Cargo book, `build.rustflags`: four mutually exclusive sources.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Span
from bpfsmith.rules._base import SourceRule
from bpfsmith.source.scripts import builds, commands
from bpfsmith.source.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

# aya-build passes these itself: nothing is lost.
_SAME = ("debuginfo=2", "link-arg=--btf", "link-args=--btf", "-g")
_BPF_ONLY = ("link-arg=--btf", "bpf_target_arch", "target-cpu=v1", "target-cpu=v2", "target-cpu=v3", "target-cpu=v4")


def _left(flags: list[str]) -> list[str]:
    """The flags that aya-build does not pass by itself, `-C x` as one."""
    out = []
    at = 0
    while at < len(flags):
        flag = flags[at]
        if flag in ("-C", "--cfg", "-Z", "-L", "-A", "-W", "-D") and at + 1 < len(flags):
            at += 1
            flag += f" {flags[at]}"
        at += 1
        if not flag.endswith(_SAME) and not flag.startswith(("-A", "-W", "-D")):
            out.append(flag)
    return out


class RustflagsDoNotReach(SourceRule):
    severity = "warning"
    group = "build"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        made = builds(project)
        builders = made.with_aya_build
        if not builders or made.own or not all(one.at_least("aya-build", "0.1.3") for one in builders):
            return
        if any("cargo" in one.text for one in commands(project, "unknown-none", "build-std")):
            return  # built by hand as well, where the flags count
        seen = set()
        for folder in dict.fromkeys([project.root, *(crate.folder for crate in project.of_role("kernel"))]):
            for one in Settings(folder, project.root).rustflags():
                if (one.path, one.line) in seen:
                    continue
                seen.add((one.path, one.line))
                bpf = one.key.startswith("bpfe") or ("cfg(" in one.key and '"bpf"' in one.key)
                flags = _left(one.flags)
                if not bpf:
                    flags = [flag for flag in flags if any(word in flag for word in _BPF_ONLY)]
                if not flags:
                    continue
                yield self.finding(
                    ctx,
                    f"`{flags[0]}` does not reach the kernel crate: aya-build sets the flags and Cargo reads no others",
                    span=Span(ctx.shown(one.path), one.line, 1, one.line, 10),
                    fixes=[Fix("display", "say it in a Cargo profile or a feature, or build the crate yourself")],
                )


RULE = RustflagsDoNotReach()
