"""The lab's guest agent: a static executable per architecture in `src/bpfsmith/lab/_agent`, which the wheel carries.

For this machine it is built with the C library that is here. For guests of another architecture it is built too where
the compiler has that target's standard library (`rustup target add aarch64-unknown-linux-musl`): no other tool is
needed, for Rust brings the C library (musl) and the linker for it.
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
from pathlib import Path

import apt
import rust
from shell import ROOT, capture, fail, run, say

FOLDER = ROOT / "src/bpfsmith/lab/_agent"
TARGET = ROOT / "target/agent"
# As `uname -m` says it -> the number of the machine in an ELF file.
ARCHES = {"x86_64": 62, "aarch64": 183}
# Not position independent: PID 1 of a machine without a loader needs no relocating.
FLAGS = ("-Ctarget-feature=+crt-static", "-Crelocation-model=static")
OTHER = ("-Clinker=rust-lld", "-Clink-self-contained=yes")


def build() -> list[Path]:
    """Builds it for this machine, and for others as far as possible. Cargo finds out that nothing changed. Raises
    `Missing`."""
    compiler = rust.for_host()
    if not Path(capture(["cc", "-print-file-name=libc.a"]).strip()).is_absolute():
        apt.install(["libc6-dev"], "no `libc.a`, which the lab's guest agent is linked with")
    own = platform.machine()
    made = [_one(compiler, own, f"{own}-unknown-linux-gnu", FLAGS)]
    for arch in ARCHES:
        triple = f"{arch}-unknown-linux-musl"
        if arch in others(compiler):
            made.append(_one(compiler, arch, triple, FLAGS + OTHER))
        elif arch != own and (FOLDER / arch).exists():
            say(f"  no guest agent for {arch}: `rustup target add {triple}` makes it possible")
            (FOLDER / arch).unlink()  # of another state of the sources
    return made


def others(compiler: rust.Rust) -> list[str]:
    """Architectures but this machine's that the compiler can build for."""

    def has(arch: str) -> bool:
        return any(compiler.sysroot.glob(f"lib/rustlib/{arch}-unknown-linux-musl/lib/libstd-*.rlib"))

    return [arch for arch in ARCHES if arch != platform.machine() and has(arch)]


def _one(compiler: rust.Rust, arch: str, triple: str, flags: tuple[str, ...]) -> Path:
    run(
        [compiler.cargo, "build", "--profile", "agent", "--locked", "-p", "bpfsmith-agent", "--target", triple],
        env={**compiler.env, "CARGO_TARGET_DIR": str(TARGET), "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)},
        quiet=True,
        about=f"compiles the lab's guest agent for {arch}, half a minute the first time",
    )
    made = TARGET / triple / "agent/bpfsmith-agent"
    if not _is_static(made.read_bytes(), arch):
        fail(f"`{made}` is no static executable for {arch}")
    FOLDER.mkdir(exist_ok=True)
    there = FOLDER / arch
    if there.exists() and there.read_bytes() == made.read_bytes():
        return there  # templates of guests that have it stay good
    # Replaced as a whole: machines may be running below the old one.
    new = FOLDER / f".{arch}.{os.getpid()}"
    shutil.copyfile(made, new)
    new.chmod(0o755)
    new.rename(there)
    return there


def _is_static(data: bytes, arch: str) -> bool:
    """Whether it is an ELF executable of that machine that names no loader (no PT_INTERP)."""
    if data[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", data, 18)[0] != ARCHES[arch]:
        return False
    start, size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    return all(struct.unpack_from("<I", data, start + at * size)[0] != 3 for at in range(count))
