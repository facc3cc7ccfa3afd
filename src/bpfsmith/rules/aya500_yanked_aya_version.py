"""The lock file holds a version of the Aya family that was yanked.

## What it does
Looks up the locked versions of Aya's crates: aya 0.13.2, aya-obj 0.2.2 and 0.4.0, aya-ebpf 0.1.2, aya-log-ebpf 0.1.1
and aya-log-common 0.1.16 were withdrawn.

## Why is this bad
A yanked version had a defect its authors did not want anyone to build on, and a project without this lock file cannot
get it any more: your build and everyone else's differ.

## Example
```toml
[[package]]
name = "aya"
version = "0.13.2"
```

## Use instead
```toml
[[package]]
name = "aya"
version = "0.13.1"
```

## Fix
Display: `cargo update --package aya --precise 0.13.1`, or move on to a newer release.

## Kernels
All.

## Source
The crates.io index (`yanked`), 2026-11-22.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Span
from bpfsmith.read.overlay import text_of
from bpfsmith.rules._base import SourceRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

# (crate, yanked version) -> a version to use instead.
_YANKED = {
    ("aya", "0.13.2"): "0.13.1",
    ("aya-obj", "0.2.2"): "0.2.1",
    ("aya-obj", "0.4.0"): "0.3.0",
    ("aya-ebpf", "0.1.2"): "0.1.1",
    ("aya-log-ebpf", "0.1.1"): "0.1.0",
    ("aya-log-common", "0.1.16"): "0.1.15",
}


_MAX_LOCK = 16 << 20  # bytes


def _line(path: str, name: str, version: str) -> int:
    """The line of the version in the lock file."""
    try:
        lines = text_of(path, _MAX_LOCK).split("\n")
    except OSError:
        return 1
    for number, line in enumerate(lines, 1):
        if line.startswith(f'version = "{version}"') and number > 1 and lines[number - 2] == f'name = "{name}"':
            return number
    return 1


class YankedAyaVersion(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        seen = set()
        for crate in project.crates:
            lock = crate.lock
            if lock.path is None or lock.path in seen:
                continue
            seen.add(lock.path)
            for (name, version), instead in _YANKED.items():
                for one in lock.packages.get(name, ()):
                    if one.version != version or not (one.source or "").startswith("registry+"):
                        continue
                    yield self.finding(
                        ctx,
                        f"{name} {version} was yanked",
                        span=Span(ctx.shown(lock.path), _line(lock.path, name, version), 1, 0, 12 + len(version)),
                        fixes=[
                            Fix(
                                "display",
                                f"run `cargo update --package {name} --precise {instead}`, or use a newer release",
                            )
                        ],
                    )


RULE = YankedAyaVersion()
