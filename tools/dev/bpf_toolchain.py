#!/usr/bin/env python3
"""The toolchain for Aya kernel crates without nightly: Debian's rustc with a prebuilt `core` for BPF, and bpf-linker.

    bpf_toolchain.py install          gets what is missing (root on Debian)
    bpf_toolchain.py env              prints what to export, for a shell
    bpf_toolchain.py build DIR        builds the kernel crate in DIR (more words go to cargo)

bpf-linker is built once against the LLVM of that rustc and kept in `${XDG_CACHE_HOME:-~/.cache}/bpfsmith/tools`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import apt
import rust
from rust import Rust
from shell import CACHE, Failed, Missing, capture, run

TOOLS = CACHE / "tools"
BPF_LINKER = "0.13.0"
RECIPE = "python3 tools/dev/bpf_toolchain.py install"
# Line info and BTF for maps and functions; the linker writes BTF only when told.
FLAGS = ("-Cdebuginfo=2", "-Clink-arg=--btf")


def find() -> Rust | None:
    """The newest compiler that can build for BPF as it is."""
    able = [candidate for candidate in rust.toolchains() if candidate.has_bpf]
    return max(able, key=lambda candidate: candidate.version, default=None)


def linker() -> Path | None:
    """bpf-linker of the cache, or another one in PATH."""
    folders = [TOOLS / "bin", *(Path(name) for name in os.environ.get("PATH", "").split(os.pathsep) if name)]
    return next((folder / "bpf-linker" for folder in folders if os.access(folder / "bpf-linker", os.X_OK)), None)


def missing() -> str:
    """What of the toolchain is not here, as one clause; empty when all is."""
    lacking = []
    if find() is None:
        lacking.append("no rustc with a `core` for bpfel-unknown-none")
    if linker() is None:
        lacking.append("no bpf-linker")
    return " and ".join(lacking)


def env() -> dict[str, str]:
    """The variables with which `cargo build --target bpfel-unknown-none` works in a kernel crate. Raises `Missing`."""
    compiler, link = find(), linker()
    if compiler is None or link is None:
        raise Missing(missing(), RECIPE)
    return {
        **compiler.env,
        "RUSTC_BOOTSTRAP": "1",  # aya-ebpf uses `asm_experimental_arch`
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(FLAGS),
        "PATH": os.pathsep.join([str(link.parent), os.environ.get("PATH", os.defpath)]),
    }


def install() -> None:
    """Gets compiler and linker where they are missing; fast when nothing is. Raises `Missing`."""
    if find() is None:
        names = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"]
        apt.install(names, "no rustc with a `core` for bpfel-unknown-none")
        rust.toolchains.cache_clear()
    compiler = find()
    if compiler is None:
        raise Missing("no rustc with a `core` for bpfel-unknown-none", "apt-get install libstd-rust-web-dev-bpf")
    if linker() is not None:
        return
    prefix = Path(f"/usr/lib/llvm-{compiler.llvm}")
    if not (prefix / "include/llvm-c").exists() or not (prefix / "lib/libPolly.a").exists():
        libraries = [f"llvm-{compiler.llvm}-dev", f"libpolly-{compiler.llvm}-dev"]
        others = ["zlib1g-dev", "libzstd-dev", "libxml2-dev", "g++"]
        apt.install([*libraries, *others], f"no LLVM {compiler.llvm} to build bpf-linker with")
    command = [
        str(rust.for_host().cargo), "install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--quiet",
        "--no-default-features", "--features", f"llvm-{compiler.llvm}", "--root", str(TOOLS),
    ]  # fmt: skip
    # Not into the checkout's target folder: nothing there would be used again.
    own = {"LLVM_PREFIX": str(prefix), "CARGO_TARGET_DIR": str(CACHE / "build/bpf-linker"), **rust.for_host().env}
    own.pop("CARGO")
    about = "compiles bpf-linker, once, 1 to 2 minutes"
    run(command, env=own, path=[prefix / "bin"], quiet=True, about=about)
    if linker() is None:
        raise Missing(f"`{TOOLS}/bin/bpf-linker` was not made")


def build(folder: Path, *words: str, target: str = "bpfel-unknown-none", target_dir: Path | None = None) -> None:
    """Runs `cargo build --release` for BPF in `folder`. Raises `Missing` and `subprocess.CalledProcessError`."""
    own = {**os.environ, **env()}
    if target_dir is not None:
        own["CARGO_TARGET_DIR"] = str(target_dir)
    command = [own["CARGO"], "build", "--release", "--target", target, *words]
    subprocess.run(command, cwd=folder, env=own, check=True, stdin=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=["install", "env", "build", "version"])
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    options, words = parser.parse_known_args()
    try:
        match options.what:
            case "install":
                install()
            case "env":
                print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in env().items()))
            case "build":
                build(options.folder, *words)
            case "version":
                print(capture([linker() or "bpf-linker", "--version"]).strip())
    except Missing as error:
        print(f"bpf_toolchain: {error}", file=sys.stderr)
        return 3
    except (Failed, subprocess.CalledProcessError) as error:
        print(f"bpf_toolchain: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
