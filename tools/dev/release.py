"""`./dev wheel`: the wheel a user gets, and the proof that it works where no compiler is."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import installed
from shell import ROOT, capture, fail, relative, run, say

MOST_BYTES = 12_000_000
FIXTURE = ROOT / "tests/fixtures/count_packets.bpf.o"


def build_and_prove() -> Path:
    """Builds into `dist/`, checks size and content, installs it into a fresh environment and runs it there."""
    installed.make()
    wheel = installed.build_wheel(ROOT / "dist")
    size = wheel.stat().st_size
    say(f"  {relative(str(wheel))}: {size / 1e6:.2f} MB")
    if size >= MOST_BYTES:
        fail(f"the wheel has {size:,} bytes; {MOST_BYTES:,} are the limit")
    if "-abi3-" not in wheel.name:
        fail(f"`{wheel.name}` is not an abi3 wheel")
    names = zipfile.ZipFile(wheel).namelist()
    agent = f"bpfsmith/lab/_agent/{platform.machine()}"
    for part in ("bpfsmith/_native.abi3.so", "bpfsmith/_native.pyi", "bpfsmith/py.typed", agent):
        if names.count(part) != 1:
            fail(f"the wheel has `{part}` {names.count(part)} times, not once")
    with tempfile.TemporaryDirectory() as folder:
        prove(wheel, Path(folder))
    return wheel


def prove(wheel: Path, folder: Path) -> None:
    """Installs and runs the wheel with nothing but a Python: no index, no compiler in PATH, another folder."""
    home = folder / "venv"
    run([sys.executable, "-m", "venv", home], quiet=True)
    run([home / "bin/python", "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-index", wheel])
    bare = {"PATH": str(home / "bin"), "HOME": str(folder), "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    if any(shutil.which(tool, path=bare["PATH"]) for tool in ("cc", "clang", "rustc", "cargo")):
        fail("a compiler is in the PATH of the proof")
    said = capture([home / "bin/bpfsmith", "--version"], env=bare).strip()
    agent = next(home.glob(f"lib/python3*/site-packages/bpfsmith/lab/_agent/{platform.machine()}"))
    status = subprocess.run([agent], env=bare, check=False, stderr=subprocess.DEVNULL).returncode
    if status != 2:  # it says how it is used
        fail(f"the guest agent of the wheel does not run: it ended with {status}")
    say(f"  bpfsmith --version: {said or 'nothing'}")
    if not said:
        fail("the installed command does not start")
    done = subprocess.run(
        [home / "bin/bpfsmith", "check", "--format", "concise", FIXTURE], env=bare, cwd=folder, capture_output=True,
        text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    say(f"  bpfsmith check: exit {done.returncode}, {done.stdout.strip().splitlines()[:1]}")
    if done.returncode != 1:  # the fixture has a mistake, and it is found
        fail(f"check ended with {done.returncode}, not 1: {done.stderr.strip()}")
