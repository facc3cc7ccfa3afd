"""A kernel crate depends on a crate that needs the standard library.

## What it does
Finds, among the plain dependencies of a kernel crate, crates that are for user space only: `aya` and `aya-log`, async
runtimes, logging front ends, command line parsers, wrappers of system calls, what needs a heap; and crates that need
`std` unless their default features are off (`serde`, `thiserror`, `hex`, ..), left with them. Optional, build and dev
dependencies and those under `[target.*]` are left alone.

## Why is this bad
BPF targets have no `std`: the build ends in "can't find crate for `std`", in the dependency's name, not yours.

## Example
```toml
[dependencies]
aya-ebpf = "0.2"
anyhow = "1"
tokio = { version = "1", features = ["full"] }
```

## Use instead
```toml
[dependencies]
aya-ebpf = "0.2"
aya-log-ebpf = "0.2"
```

## Fix
Display: move it to the user-side crate, or switch its default features off.

## Kernels
All.

## Source
Rust, platform support: `bpfel-unknown-none` is `no_std`; the crates' own manifests.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import manifest_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_USER = frozenset(
    {
        *("aya", "aya-log", "aya-build", "tokio", "async-std", "smol", "clap", "structopt", "argh", "env_logger"),
        *("tracing-subscriber", "simplelog", "nix", "reqwest", "hyper", "mio", "rayon", "signal-hook", "ctrlc"),
        *("anyhow", "serde_json", "bytes", "eyre", "color-eyre"),
        *("procfs", "libbpf-rs", "redbpf", "netlink-packet-core", "rtnetlink", "tempfile", "walkdir", "num_cpus"),
    }
)
# Without their default features they are `no_std`.
_STD_BY_DEFAULT = frozenset({"serde", "thiserror", "either", "hex", "memchr", "rand"})


class DependencyNeedsStd(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            for one in crate.dependencies:
                if one.kind != "normal" or one.optional or one.target or one.path:
                    continue
                if one.package in _USER:
                    message = f"`{one.package}` is for user space and needs `std`, which BPF targets do not have"
                    help_ = "move it to the user-side crate"
                elif one.package in _STD_BY_DEFAULT and one.default_features:
                    message = f"`{one.package}` needs `std` with its default features, and BPF targets have none"
                    help_ = "add `default-features = false`, or move it to the user-side crate"
                else:
                    continue
                yield self.finding(
                    ctx, message, span=manifest_span(ctx, crate, one.package), fixes=[Fix("display", help_)]
                )


RULE = DependencyNeedsStd()
