"""Finds the compilers and tools that tests use; nothing is assumed about names or versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from debian_archive import Archive, Missing


class Clang(NamedTuple):
    """One clang that has the BPF back end."""

    major: int
    version: str
    path: Path


@cache
def clangs() -> list[Clang]:
    """Every clang found in PATH and in `/usr/lib/llvm-*`, one per major version, oldest first."""
    candidates: list[Path] = []
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder:
            candidates += [*sorted(Path(folder).glob("clang-[0-9]*")), Path(folder) / "clang"]
    candidates += sorted(Path("/usr/lib").glob("llvm-*/bin/clang"))
    found: dict[int, Clang] = {}
    for path in candidates:
        if not re.fullmatch(r"clang(-\d+)?", path.name) or not os.access(path, os.X_OK):
            continue
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        match = re.search(r"clang version ((\d+)[.\d]*)", said)
        if match and int(match[2]) not in found and _has_bpf(path):
            found[int(match[2])] = Clang(int(match[2]), match[1], path.resolve())
    return [found[major] for major in sorted(found)]


def _has_bpf(clang: Path) -> bool:
    said = subprocess.run([clang, "--print-targets"], capture_output=True, text=True, check=False).stdout
    return " bpfel " in said


def llvm_tool(name: str, major: int | None = None) -> Path | None:
    """`llvm-objdump` and its kind: of the given major version, or the newest."""
    wanted = [clang.major for clang in reversed(clangs())] if major is None else [major]
    for number in wanted:
        for path in (Path(f"/usr/lib/llvm-{number}/bin/{name}"), shutil.which(f"{name}-{number}")):
            if path and os.access(path, os.X_OK):
                return Path(path)
    if major is None and (plain := shutil.which(name)):
        return Path(plain)
    return None


def bpftool(home: Path) -> Path:
    """bpftool from PATH, `/usr/sbin`, or unpacked from Debian's package into the cache. Raises `Missing`."""
    kept = home / "tools/bpftool/usr/sbin/bpftool"
    for path in (shutil.which("bpftool"), "/usr/sbin/bpftool", kept):
        if path and os.access(path, os.X_OK):
            return Path(path)
    if not shutil.which("dpkg"):
        raise Missing("no `bpftool`", "apt-get install bpftool")
    native = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    Archive(home / "native", native).unpack("bpftool", home / "tools/bpftool")
    return kept
