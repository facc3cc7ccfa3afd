#!/usr/bin/env python3
"""Makes the committed objects `examples/*/prebuilt/*.bpf.o`, with which `check` and `inspect` show something where no
BPF toolchain is. Paths of this machine are left out: sources are named from the workspace's root, crates as
`/registry/src/NAME-VERSION`.

    prebuilt.py [WORKSPACE...]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import bpf_toolchain
from examples import EXAMPLES, OBJECTS, TARGET, KernelSide
from shell import CACHE, Failed, Missing

# A folder of its own: these flags change every crate.
BUILD = CACHE / "build/prebuilt"
LIMIT = 200_000  # bytes


def where(side: KernelSide) -> Path:
    """The committed object of one example."""
    return EXAMPLES / side.workspace / "prebuilt" / f"{side.program}.bpf.o"


def make(side: KernelSide) -> Path:
    """Builds and copies one. Raises `Missing`, `Failed` and `subprocess.CalledProcessError`."""
    workspace = EXAMPLES / side.workspace
    own = {**os.environ, **bpf_toolchain.env(), "CARGO_TARGET_DIR": str(BUILD)}
    remap = {str(workspace): "", str(workspace) + "/": "", **{str(folder): "/registry/src" for folder in _registries()}}
    flags = [own["CARGO_ENCODED_RUSTFLAGS"], *(f"--remap-path-prefix={old}={new}" for old, new in remap.items())]
    own["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(flags)
    command = [
        own["CARGO"], "build", "--release", "--locked", "--target", TARGET, "--package", side.package,
    ]  # fmt: skip
    subprocess.run(command, cwd=workspace, env=own, check=True, stdin=subprocess.DEVNULL)
    made = BUILD / TARGET / "release" / side.program
    if left := traces(made.read_bytes()):
        raise Failed(f"`{made}` names folders of this machine: {', '.join(left)}")
    if made.stat().st_size > LIMIT:
        raise Failed(f"`{made}` has {made.stat().st_size} bytes, more than {LIMIT}")
    to = where(side)
    to.parent.mkdir(exist_ok=True)
    shutil.copyfile(made, to)
    return to


def _registries() -> list[Path]:
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return sorted((home / "registry/src").glob("*/"))


def traces(content: bytes) -> list[str]:
    """Absolute paths in an object, other than to the compiler's library; and folders of this machine anywhere."""
    found = {piece.decode(errors="replace") for piece in content.split(b"\0") if _PATH.match(piece)}
    own = {folder for folder in (str(Path.home()), str(EXAMPLES.parent)) if folder.encode() in content}
    return sorted({text for text in found if not text.startswith(_LIBRARY)} | own)


_PATH = re.compile(rb"/[\w.+-]{2,}/[\w.+-]")
_LIBRARY = ("/rustc/", "/usr/src/rustc", "/registry/src/")


def main() -> int:
    try:
        known = {side.workspace for side in OBJECTS}
        wanted = set(sys.argv[1:]) or known
        if unknown := wanted - known:
            print(f"prebuilt: no such workspace: {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
        for side in OBJECTS:
            if side.workspace in wanted:
                print(make(side))
    except Missing as error:
        print(f"prebuilt: {error}", file=sys.stderr)
        return 3
    except (Failed, subprocess.CalledProcessError) as error:
        print(f"prebuilt: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
