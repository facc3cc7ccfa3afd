"""The pinned Rust toolchain is older than what the locked Aya needs.

## What it does
Compares a numbered channel in `rust-toolchain(.toml)` with the versions in use: aya 0.15 and aya-ebpf 0.3 need 1.98,
aya 0.14 and aya-ebpf 0.2 need 1.87. Named channels (`stable`, `nightly`) say nothing. The same for `FROM rust:1.85` in
a Dockerfile that builds the project, and, as a warning, for `rust-version` in the manifest.

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
from bpfsmith.rules._cargo import command_span, key_span, root_text
from bpfsmith.rules._sets import RUST
from bpfsmith.source.scripts import builds, commands
from bpfsmith.source.settings import find_toolchain
from bpfsmith.source.versions import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project


class RustTooOld(SourceRule):
    severity = "error"
    group = "build"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        seen = set()
        for crate in project.crates:
            chosen = find_toolchain(crate.folder, project.root)
            yield from self._declared(crate, ctx)
            if chosen is None or chosen.channel is None or chosen.path in seen or _elsewhere(project, crate):
                continue
            found = _needed(crate, chosen.channel)
            if found is not None:
                seen.add(chosen.path)
                package, rust = found
                yield self.finding(
                    ctx,
                    f"{package} {crate.version(package)} needs Rust {rust},"
                    f" the toolchain is pinned to {chosen.channel}",
                    span=Span(ctx.shown(chosen.path), chosen.line, 1, chosen.line, 2),
                    fixes=[Fix("display", f"pin {rust} or newer, or use an older {package}")],
                )
        yield from self._images(project, ctx)

    def _declared(self, crate: Crate, ctx: CheckContext) -> Iterator[Finding]:
        """`rust-version`, which promises more than the dependencies keep."""
        found = _needed(crate, crate.rust_version) if crate.rust_version is not None else None
        if found is None or crate.broken:
            return
        path, text = crate.manifest, crate.text
        package_table = crate.data.get("package")
        if isinstance(package_table, dict) and isinstance(package_table.get("rust-version"), dict):
            path, text = root_text(crate)
        package, rust = found
        yield self.finding(
            ctx,
            f"`rust-version` promises {crate.rust_version}, but {package} {crate.version(package)} needs Rust {rust}",
            span=key_span(ctx, path, text, "rust-version", "package", "workspace.package"),
            severity="warning",
            fixes=[Fix("display", f'write `rust-version = "{rust}"`')],
        )

    def _images(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        """`FROM rust:1.85` in a Dockerfile that builds a crate of the project."""
        user = [crate for crate in project.of_role("user") if find_toolchain(crate.folder, project.root) is None]
        images = [one for one in commands(project, "FROM") if one.text.upper().startswith("FROM ")]
        for one in images:
            image = next((word for word in one.text.split()[1:] if not word.startswith("--")), "")
            name, _, tag = image.rpartition("/")[2].partition(":")
            made = any(other.path == one.path and "cargo build" in other.text for other in commands(project, "cargo"))
            if name != "rust" or not made or any("rustup" in other.text for other in commands(project, "rustup")):
                continue
            needed = [found for crate in user if (found := _needed(crate, tag.partition("-")[0])) is not None]
            if user and len(needed) == len(user):
                package, rust = needed[0]
                yield self.finding(
                    ctx,
                    f"{package} {user[0].version(package)} needs Rust {rust}, the image has {tag.partition('-')[0]}",
                    span=command_span(ctx, one, image),
                    fixes=[Fix("display", f"use `rust:{rust}` or newer")],
                )


def _needed(crate: Crate, rust: str) -> tuple[str, str] | None:
    """(crate, the Rust it needs) where that is newer than `rust`; None for channels without a number."""
    version = parse_version(rust) if rust[:1].isdigit() else None
    if version is None:
        return None
    for package, since, needs in RUST:
        wanted = parse_version(needs)
        if crate.at_least(package, since) and wanted is not None and version < wanted:
            return package, needs
    return None


def _elsewhere(project: Project, crate: Crate) -> bool:
    """A kernel crate that aya-build builds with a nightly compiler of its own, and nothing else builds."""
    if crate.role != "kernel" or not builds(project).with_aya_build:
        return False
    return not any(one.path == crate.folder for other in project.all_crates for one in other.dependencies)


RULE = RustTooOld()
