"""The pinned Rust toolchain is older than what the locked Aya needs.

## What it does
Compares a numbered channel in `rust-toolchain(.toml)` with the locked versions: aya 0.15 and aya-ebpf 0.3 need 1.98,
aya 0.14 and aya-ebpf 0.2 need 1.87. Named channels (`stable`, `nightly`) say nothing.

## Why is this bad
Cargo refuses to build: "aya@0.16.0 requires rustc 1.98.0". Aya's notes of 0.14 say 1.85; its manifest says 1.87.

## Example
```toml
[toolchain]
channel = "1.85"
```

## Use instead
```toml
[toolchain]
channel = "1.87"
```

## Fix
Display: raise the channel, or use an older Aya.

## Kernels
All.

## Source
`rust-version` of the crates in the crates.io index.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Span
from bpfsmith.rules._base import SourceRule
from bpfsmith.source.cargo import toolchain, toolchain_file
from bpfsmith.source.versions import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

# (crate, from this version on, the Rust it needs), newest first.
_NEEDS = (
    ("aya", "0.15.0", "1.98"),
    ("aya-ebpf", "0.3.0", "1.98"),
    ("aya", "0.14.0", "1.87"),
    ("aya-ebpf", "0.2.0", "1.87"),
)


def _line(path: str, channel: str) -> int:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError:
        return 1
    return next((number for number, line in enumerate(lines, 1) if channel in line), 1)


class RustTooOld(SourceRule):
    severity = "error"
    group = "build"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        seen = set()
        for crate in project.crates:
            path, channel = toolchain_file(crate.folder), toolchain(crate.folder)
            version = parse_version(channel) if channel is not None and channel[:1].isdigit() else None
            if path is None or channel is None or version is None or path in seen:
                continue
            for package, since, rust in _NEEDS:
                wanted = parse_version(rust)
                if crate.at_least(package, since) and wanted is not None and version < wanted:
                    seen.add(path)
                    line = _line(path, channel)
                    yield self.finding(
                        ctx,
                        f"{package} {crate.version(package)} needs Rust {rust}, the toolchain is pinned to {channel}",
                        span=Span(ctx.shown(path), line, 1, line, 2),
                        fixes=[Fix("display", f"pin {rust} or newer, or use an older {package}")],
                    )
                    break


RULE = RustTooOld()
