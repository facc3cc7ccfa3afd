#!/usr/bin/env python3
"""Builds both sides of the example workspaces; tests and `prebuilt.py` stand on it.

    examples.py               builds all, says where the objects are

All share one target folder in the cache, so that Aya is compiled once. `packet-counter` and its broken twin leave their
objects under the same name there, which is why each is copied away while the folder is locked.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import bpf_toolchain
import rust
from shell import CACHE, ROOT, Failed, Missing, environment

EXAMPLES = ROOT / "examples"
NAMES = ("packet-counter", "packet-counter-broken")
SHARED = CACHE / "build/examples"
TARGET = "bpfel-unknown-none"
PROGRAM = "packet-counter"


class KernelSide(NamedTuple):
    """One object: the workspace in `examples/`, the cargo package and the file it makes."""

    workspace: str
    package: str
    program: str


TOOLBOX = ("cgroup-traffic", "local-redirect", "syscall-latency", "tc-mark", "tcp-states")
OBJECTS = (
    *(KernelSide(name, f"{PROGRAM}-ebpf", PROGRAM) for name in NAMES),
    *(KernelSide("toolbox", name, name) for name in TOOLBOX),
    KernelSide("rejected", "dns-guard", "dns-guard"),
)


@contextmanager
def locked() -> Generator[None]:
    """Nobody else builds there meanwhile."""
    SHARED.mkdir(parents=True, exist_ok=True)
    with (SHARED / "bpfsmith.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kernel_side(workspace: Path, target_dir: Path, package: str = f"{PROGRAM}-ebpf", program: str = PROGRAM) -> Path:
    """Builds a kernel crate and leaves its object in `target_dir` as cargo would. Raises `Missing`,
    `subprocess.CalledProcessError`."""
    words = ("--locked", "--quiet", "--package", package)
    release = SHARED / TARGET / "release"
    with locked():
        bpf_toolchain.build(workspace, *words, target_dir=SHARED)
        if str(workspace).encode() not in (release / program).read_bytes():
            # Cargo takes the crate of another checkout, built into the same folder, for this one.
            for known in (release / ".fingerprint").glob(f"{package}-*"):
                shutil.rmtree(known)
            bpf_toolchain.build(workspace, *words, target_dir=SHARED)
        return _keep(release / program, target_dir / TARGET / "release" / program)


def user_side(workspace: Path, built: Path, target_dir: Path) -> Path:
    """Builds the user crate around the object `built`, unoptimised, and leaves the command in `target_dir`. Raises
    `Missing` and `Failed`."""
    compiler = rust.for_host()
    own = {**environment(compiler.env), "CARGO_TARGET_DIR": str(SHARED), "PACKET_COUNTER_OBJECT": str(built)}
    with locked():
        # Warnings are part of the broken twin: shown only when it does not build at all.
        done = subprocess.run(
            [compiler.cargo, "build", "--locked", "--quiet"], cwd=workspace, env=own, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"`{workspace}` does not build\n{done.stdout}")
        return _keep(SHARED / "debug" / PROGRAM, target_dir / "debug" / PROGRAM)


def _keep(made: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, to)
    shutil.copymode(made, to)
    return to


def main() -> int:
    try:
        for side in OBJECTS:
            out = SHARED / "kept" / side.workspace
            built = kernel_side(EXAMPLES / side.workspace, out, side.package, side.program)
            command = [str(user_side(EXAMPLES / side.workspace, built, out))] if side.workspace in NAMES else []
            print(f"{side.workspace}: {', '.join([str(built), *command])}")
    except Missing as error:
        print(f"examples: {error}", file=sys.stderr)
        return 3
    except (Failed, subprocess.CalledProcessError) as error:
        print(f"examples: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
