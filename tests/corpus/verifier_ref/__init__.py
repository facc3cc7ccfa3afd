"""Runs the verifier's reference program: the stack depths the running kernel finds, for `test_stack.py`. Needs root."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import libbpf_ref
from build_corpus import home


class Depths(NamedTuple):
    """One program the kernel took: bytes per function, each rounded up to 8 (6.8 and later)."""

    path: Path
    program: str
    functions: list[int]


def build() -> Path:
    """The program, built on first use on the libbpf that `libbpf_ref` fetched. Raises its `CannotBuild`."""
    libbpf_ref.build()
    folder = home() / "libbpf_ref"
    source, binary = Path(__file__).with_name("depth.c"), folder / "verifier_depth"
    if binary.exists() and binary.stat().st_mtime >= source.stat().st_mtime:
        return binary
    told = subprocess.run(
        ["cargo", "metadata", "--format-version", "1"], cwd=folder / "fetch", capture_output=True, text=True, check=True
    ).stdout
    manifests = [one["manifest_path"] for one in json.loads(told)["packages"] if one["name"] == "libbpf-sys"]
    libbpf = Path(manifests[0]).parent / "libbpf"
    include = [f"-I{path}" for path in (folder / "include", libbpf / "include", libbpf / "include/uapi")]
    scratch = binary.with_suffix(f".{os.getpid()}")
    sources = [source, *sorted((libbpf / "src").glob("*.c"))]
    command: list[str | Path] = ["cc", "-O1", "-w", *include, *sources, "-lelf", "-lz", "-o", scratch]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise libbpf_ref.CannotBuild(f"no verifier reference: {done.stderr.strip().splitlines()[-1:]}")
    scratch.replace(binary)
    return binary


def depths(paths: Iterable[Path]) -> Iterator[Depths]:
    """What the running kernel's verifier finds, program by program."""
    told = subprocess.run([build()], input="\n".join(map(str, paths)), capture_output=True, text=True, check=True)
    for line in told.stdout.splitlines():
        path, program, numbers = line.split("\t")
        yield Depths(Path(path), program, [int(number) for number in numbers.split("+")])
