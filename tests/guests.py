"""What tests of machines ask this machine: which processes and files a lab left, and small faults made on purpose."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

TOKEN = "BPFSMITH_TEST_TOKEN"


def marked(token: str) -> list[int]:
    """Processes of this machine, ours excepted, that were started with the token in their environment."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                environment = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if f"{TOKEN}={token}".encode() in environment.split(b"\0"):
                found.append(int(name))
    return found


def children(pid: int | None = None) -> list[int]:
    """Descendants of a process (ours), zombies too."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                after = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(after[1]), []).append(int(name))
    found: list[int] = []
    todo = [pid or os.getpid()]
    while todo:
        own = parents.get(todo.pop(), [])
        found += own
        todo += own
    return found


def until(what: str, limit: float = 30.0) -> Iterator[None]:
    """`for _ in until("it is gone"): if gone: break`; fails after the limit (seconds)."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        yield
        time.sleep(0.02)
    raise AssertionError(f"not within {limit:g} s: {what}")


def descriptors() -> dict[str, str]:
    """Our open descriptors, as the kernel names them."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def files(folder: Path) -> dict[str, int]:
    """Everything below a folder: path -> size."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def resident() -> int:
    """Our memory, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) >> 10
    return 0


def cache_of_its_own(folder: Path, kernel_folder: Path, templates: bool = False) -> Path:
    """A cache with one prepared kernel; its large files are links to those of the user's cache. `templates`: with
    copies of those that were made there."""
    own = folder / "lab/kernels" / kernel_folder.name
    own.mkdir(parents=True)
    for path in kernel_folder.iterdir():
        if path.name == "kernel.json":
            shutil.copy(path, own)
        elif path.name == "templates":
            if templates:
                subprocess.run(["cp", "-a", "--sparse=always", path, own], check=True)
        else:
            (own / path.name).symlink_to(path)
    return own
