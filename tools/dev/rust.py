"""Chooses the Rust toolchain by version, wherever it stands: rustup, Debian's, another."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import apt
from shell import ROOT, Missing, capture


class Rust(NamedTuple):
    """One compiler with the cargo beside it."""

    rustc: Path
    cargo: Path
    version: tuple[int, int]
    llvm: int
    sysroot: Path

    @property
    def env(self) -> dict[str, str]:
        """What makes cargo use this compiler and no other."""
        return {"RUSTC": str(self.rustc), "CARGO": str(self.cargo)}

    @property
    def has_bpf(self) -> bool:
        """Whether a prebuilt `core` for BPF is there, so that no nightly and no rust-src is needed."""
        return any(self.sysroot.glob("lib/rustlib/bpfel-unknown-none/lib/libcore-*.rlib"))


def minimum() -> tuple[int, int]:
    """The `rust-version` of the workspace."""
    text = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


@cache
def toolchains() -> tuple[Rust, ...]:
    """Every compiler in PATH, `~/.cargo/bin` and `/usr/bin`, in that order, each once."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), str(Path.home() / ".cargo/bin"), "/usr/bin"]
    found: dict[Path, Rust] = {}
    for folder in folders:
        rustc, cargo = Path(folder) / "rustc", Path(folder) / "cargo"
        if not (folder and os.access(rustc, os.X_OK) and os.access(cargo, os.X_OK)):
            continue
        said = capture([rustc, "-vV"])
        version = re.search(r"^release: (\d+)\.(\d+)", said, re.MULTILINE)
        llvm = re.search(r"^LLVM version: (\d+)", said, re.MULTILINE)
        sysroot = Path(capture([rustc, "--print", "sysroot"]).strip() or "/nonexistent")
        if version and llvm:
            row = Rust(rustc, cargo, (int(version[1]), int(version[2])), int(llvm[1]), sysroot)
            found.setdefault(sysroot.resolve(), row)
    return tuple(found.values())


def for_host() -> Rust:
    """The first compiler new enough for our crates; Debian's is installed where there is none. Raises `Missing`."""
    wanted = minimum()
    for rust in toolchains():
        if rust.version >= wanted:
            break
    else:
        rust = _from_debian(wanted)
    if not shutil.which("cc"):
        apt.install(["gcc", "libc6-dev"], "no `cc`, which Rust links with")
    return rust


def _from_debian(wanted: tuple[int, int]) -> Rust:
    text = f"rustc >= {wanted[0]}.{wanted[1]}"
    here = ", ".join(f"{rust.version[0]}.{rust.version[1]}" for rust in toolchains())
    what = f"no {text}" + (f" (found {here})" if here else "")
    # `rustc-web` follows what Firefox needs, so it is new on stable releases too.
    for suffix in ("-web", "", *sorted(_versioned(), reverse=True)):
        version = re.match(r"(\d+)\.(\d+)", apt.candidate(f"rustc{suffix}"))
        if version and (int(version[1]), int(version[2])) >= wanted:
            apt.install([f"rustc{suffix}", f"cargo{suffix}"], what)
            break
    else:
        raise Missing(what, "rustup toolchain install stable")
    toolchains.cache_clear()
    for rust in toolchains():
        if rust.version >= wanted:
            return rust
    raise Missing(f"{what} even after installing `rustc{suffix}`")


def _versioned() -> list[str]:
    return [name.removeprefix("rustc") for name in apt.matching(r"rustc-[0-9.]+") or apt.matching("rustc-web")]
