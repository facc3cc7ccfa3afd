"""Runs the reference program: what libbpf makes of objects, for `test_link.py`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from build_corpus import home


class RefMap(NamedTuple):
    """A map as libbpf would create it."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    map_extra: int
    pinned: bool


class RefProgram(NamedTuple):
    """A program as libbpf would load it; the slots are in the host's byte order.

    `type` and `attach_type` are libbpf's words for what it makes of the section (`unspec` when nothing; the attach
    type of a program that has none reads as number 0's word). `lines` are (slot, line, column, file, text), the last
    two as string offsets, and `functions` (slot, type id); both empty when libbpf passes none.
    """

    name: str
    section: str
    type: str
    attach_type: str
    lines: list[tuple[int, ...]]
    functions: list[tuple[int, ...]]
    insns: bytes


class RefObject(NamedTuple):
    """One object: `stage` is `ok`, or what failed (`open`, `prepare`) with libbpf's first warning in `why`.

    `btf` is what the kernel would be given; None when that did not come to pass."""

    stage: str
    why: str
    maps: list[RefMap]
    programs: list[RefProgram]
    btf: bytes | None


class CannotBuild(Exception):
    """The reference program does not build here; says what is missing."""


def build() -> Path:
    """The program, built on first use into the cache. Needs cargo, a C compiler, libelf's and zlib's headers."""
    script = Path(__file__).with_name("build.sh")
    out = subprocess.run([script, home() / "libbpf_ref"], capture_output=True, text=True, check=False)
    if out.returncode:
        last = out.stderr.strip().splitlines()[-1:]
        raise CannotBuild(
            f"no libbpf reference ({' '.join(last)}): `apt-get install gcc libelf-dev zlib1g-dev` gets it"
        )
    return Path(out.stdout.strip())


def read(paths: list[Path], kernel_btf: Path, lacks: str = "") -> dict[Path, RefObject]:
    """libbpf's view of each object against one kernel, whose BTF `lacks` kinds (`ref.c` has the words)."""
    out = subprocess.run(
        [build(), kernel_btf, lacks], input="\n".join(map(str, paths)).encode(), capture_output=True, check=True
    )
    found: dict[Path, RefObject] = {}
    maps: list[RefMap] = []
    programs: list[RefProgram] = []
    btf: bytes | None = None
    for line in out.stdout.decode(errors="replace").splitlines():
        kind, *fields = line.split("\t")
        if kind == "M":
            name, number, _word, key, value, entries, flags, extra, pinned, _internal = fields
            sizes = int(key), int(value), int(entries)
            maps.append(RefMap(name, int(number), *sizes, int(flags), int(extra), pinned == "1"))
        elif kind == "P":
            name, section, _autoload, prog_type, attach_type, _number, lines_text, starts, insns = fields
            lines = [tuple(map(int, one.split(":"))) for one in lines_text.split()]
            functions = [tuple(map(int, one.split(":"))) for one in starts.split()]
            slots = bytes.fromhex(insns)
            programs.append(RefProgram(name, section, prog_type, attach_type, lines, functions, slots))
        elif kind == "B":
            btf = bytes.fromhex(fields[0])
        elif kind == "O":
            found[Path(fields[0])] = RefObject(fields[1], fields[2], maps, programs, btf)
            maps, programs, btf = [], [], None
    return found


# What a static libelf needs besides itself differs between Debian's releases.
_STATIC = (["-lelf", "-lz"], ["-lelf", "-lz", "-lzstd"], ["-lelf", "-lz", "-lzstd", "-llzma", "-lbz2"])


def compiled(source: Path, name: str, *, wrapped: tuple[str, ...] = (), static: bool = False) -> Path:
    """The C program `source` on the libbpf that `build` fetched, as `name` in the cache, anew when the source changed.
    `wrapped`: functions of libbpf and libc that it replaces (`__wrap_...`); `static`: it runs anywhere. Raises
    `CannotBuild`."""
    build()
    folder = home() / "libbpf_ref"
    binary = folder / name
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
    options = ["-O1", "-w", *(f"-Wl,--wrap={one}" for one in wrapped), *(["-static"] if static else [])]
    for libraries in _STATIC if static else _STATIC[:1]:
        command: list[str | Path] = ["cc", *options, *include, *sources, *libraries, "-o", scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            break
    else:
        raise CannotBuild(f"`{source.name}` does not build: {done.stderr.strip().splitlines()[-1:]}")
    scratch.replace(binary)
    return binary
