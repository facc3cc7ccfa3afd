"""The lab's guest agent: a static executable per architecture in `src/bpfsmith/lab/_agent`, which the wheel carries."""

from __future__ import annotations

import os
import platform
import shutil
import struct
from pathlib import Path

import apt
import rust
from shell import ROOT, capture, fail, run

FOLDER = ROOT / "src/bpfsmith/lab/_agent"
TARGET = ROOT / "target/agent"
# Not position independent: PID 1 of a machine without a loader needs no relocating.
FLAGS = ("-Ctarget-feature=+crt-static", "-Crelocation-model=static")


def build() -> Path:
    """Builds it for this machine. Cargo finds out by itself that nothing changed. Raises `Missing`."""
    arch = platform.machine()
    compiler = rust.for_host()
    if not Path(capture(["cc", "-print-file-name=libc.a"]).strip()).is_absolute():
        apt.install(["libc6-dev"], "no `libc.a`, which the lab's guest agent is linked with")
    triple = f"{arch}-unknown-linux-gnu"
    run(
        [compiler.cargo, "build", "--profile", "agent", "--locked", "-p", "bpfsmith-agent", "--target", triple],
        env={**compiler.env, "CARGO_TARGET_DIR": str(TARGET), "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(FLAGS)},
        quiet=True,
        about="compiles the lab's guest agent, half a minute the first time",
    )
    made = TARGET / triple / "agent/bpfsmith-agent"
    if not _is_static(made.read_bytes()):
        fail(f"`{made}` is no static executable")
    FOLDER.mkdir(exist_ok=True)
    # Replaced as a whole: machines may be running below the old one.
    new = FOLDER / f".{arch}.{os.getpid()}"
    shutil.copyfile(made, new)
    new.chmod(0o755)
    new.rename(FOLDER / arch)
    return FOLDER / arch


def _is_static(data: bytes) -> bool:
    """Whether it is an ELF executable of 64 bits that names no loader (no PT_INTERP)."""
    if data[:5] != b"\x7fELF\x02":
        return False
    start, size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    return all(struct.unpack_from("<I", data, start + at * size)[0] != 3 for at in range(count))
