"""Builds peers into the user's cache on first use, each from the sources in `bench/peers/`; needs the network once.

A peer that cannot be built raises `CannotMeasure` with the reason; tests never need one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _measure import CACHE, CannotMeasure, note

HERE = Path(__file__).resolve().parent / "peers"
LIBBPF_SYS = "=1.7.0"  # only for its copy of libbpf 1.7
FETCH = f"""\
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[dependencies]
libbpf-sys = {{ version = "{LIBBPF_SYS}", default-features = false }}
[workspace]
"""


def _run(command: list[str], cwd: Path, **env: str) -> str:
    if not shutil.which(command[0]):
        raise CannotMeasure(f"no `{command[0]}` on this machine")
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=os.environ | env
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise CannotMeasure(f"`{' '.join(command[:3])}` failed: {(said or ['no message'])[-1].strip()[:160]}")
    return done.stdout


def _source(name: str) -> tuple[Path, Path]:
    """The peer's sources, and the folder of the cache they are built in, which their content names."""
    digest = hashlib.sha256(LIBBPF_SYS.encode())
    for path in sorted(path for path in (HERE / name).rglob("*") if path.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    out = CACHE / f"{name}-{digest.hexdigest()[:12]}"
    out.mkdir(parents=True, exist_ok=True)
    return HERE / name, out


def libbpf(name: str = "libbpf", *flags: str) -> Path:
    """libbpf 1.7 as the `libbpf-sys` crate vendors it, -O2, with the program in `bench/peers/NAME`."""
    source, out = _source(name)
    binary = out / "peer"
    if binary.exists():
        return binary
    fetch = out / "fetch"
    (fetch / "src").mkdir(parents=True, exist_ok=True)
    (fetch / "src/lib.rs").touch()
    (fetch / "Cargo.toml").write_text(FETCH)
    packages = json.loads(_run(["cargo", "metadata", "--format-version", "1"], fetch))["packages"]
    manifest = next(one["manifest_path"] for one in packages if one["name"] == "libbpf-sys")
    vendored = Path(manifest).parent / "libbpf"
    headers = out / "include"
    (headers / "bpf").mkdir(parents=True, exist_ok=True)
    for header in (vendored / "src").glob("*.h"):
        shutil.copy(header, headers / "bpf")
    includes = [f"-I{folder}" for folder in (headers, vendored / "include", vendored / "include/uapi")]
    files = [str(source / "peer.c"), *map(str, sorted((vendored / "src").glob("*.c")))]
    compiler = os.environ.get("CC", "cc")
    _run([compiler, "-O2", "-w", *includes, *files, *flags, "-lelf", "-lz", "-o", "peer.new"], out)
    return (out / "peer.new").rename(binary)


def aya(name: str = "aya") -> Path:
    """aya, or aya-obj, what it reads objects with, by cargo in release mode."""
    source, out = _source(name)
    binary = out / f"release/peer-{name}"
    if not binary.exists():
        _run(["cargo", "build", "--release", "--locked", "--quiet"], source, CARGO_TARGET_DIR=str(out))
    return binary


def cilium(name: str = "cilium") -> Path:
    """cilium/ebpf by go."""
    source, out = _source(name)
    binary = out / f"peer-{name}"
    if not binary.exists():
        _run(["go", "build", "-o", str(binary), "."], source)
    return binary


def pyelftools() -> Path:
    """A folder for `sys.path` with pyelftools, the Python reader of ELF and DWARF."""
    out = CACHE / "pyelftools"
    if not (out / "elftools").is_dir():
        _run([sys.executable, "-m", "pip", "-q", "install", "--target", str(out), "pyelftools==0.32"], CACHE)
    return out


PEERS = {
    # bpf(2) is answered by a stand-in: reading objects needs no privilege.
    "libbpf 1.7": partial(libbpf, "libbpf", "-Wl,--wrap=syscall"),
    "aya-obj 0.3 (aya 0.14)": aya,
    "cilium/ebpf 0.22": cilium,
}


def family(prefix: str) -> dict[str, Callable[[], Path]]:
    """The three peers whose programs are in `bench/peers/PREFIX-*`, for `available`."""
    return {
        "libbpf 1.7, C": partial(libbpf, f"{prefix}-libbpf"),
        "aya 0.14": partial(aya, f"{prefix}-aya"),
        "cilium/ebpf 0.22": partial(cilium, f"{prefix}-cilium"),
    }


def available(peers: dict[str, Callable[[], Path]] | None = None) -> dict[str, str]:
    """The programs of all peers that build here, by shown name; why others do not is said below the tables."""
    CACHE.mkdir(parents=True, exist_ok=True)
    found: dict[str, str] = {}
    for name, build in (PEERS if peers is None else peers).items():
        path = _or_note(name, build)
        if path is not None:
            found[name] = str(path)
    return found


def _or_note(name: str, build: Callable[[], Path]) -> Path | None:
    try:
        return build()
    except (CannotMeasure, OSError) as error:
        note(f"{name} is not built: {error}")
        return None
