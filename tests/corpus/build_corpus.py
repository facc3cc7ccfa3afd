#!/usr/bin/env python3
"""Builds the corpus of real BPF objects that tests read: `build_corpus.py [--full] [--where]`.

Kernel selftests of two Debian kernel sources against those kernels' own BTF (never the running kernel's), by three
versions of clang, both endiannesses, several instruction set versions; objects linked by `bpftool gen object`; and the
objects that Debian's packages ship. All of it lands in `${XDG_CACHE_HOME:-~/.cache}/bpfsmith/corpus/<recipe>/`:

    manifest.json                     what is there and how it was made, and what did not build and why
    obj/<group>/<variant>/<name>.o    selftests-6.12/clang22-bpfel-v3/test_l4lb.bpf.o
    btf/6.1.btf  btf/6.12.btf         BTF of Debian's cloud kernels of those series
    vmlinux/<series>/vmlinux.h        the same in C
    src/<series>/                     the part of the kernel source that was compiled (GPL: test input, never committed)

Without `--full` only a fixed sample is compiled. Nothing is built twice; an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from debian_archive import Archive, Missing
from kernel_image import BadImage, btf
from kernel_tree import SERIES, prepare_tree
from toolchain import Clang, bpftool, clangs

RECIPE = "1"  # what decides the objects changes: count up, and every machine builds anew
OLDEST_CLANG = 14
# Packages that ship BPF objects as files. ir-keytable's use legacy map definitions and old clang.
PACKAGES = ("libxdp1", "xdp-tools", "xdp-tests", "ir-keytable")
# What the kernel's own tests link statically from several objects (`LINKED_SKELS` of their Makefile).
LINKED = {
    "linked_funcs": ("linked_funcs1", "linked_funcs2"),
    "linked_vars": ("linked_vars1", "linked_vars2"),
    "linked_maps": ("linked_maps1", "linked_maps2"),
    "test_static_linked": ("test_static_linked1", "test_static_linked2"),
}
# Of 1000 sources, how many are in the sample: as the newest clang builds them for bpfel v3, and in every other variant.
SAMPLE_SHARE, SAMPLE_SHARE_OF_VARIANTS = 80, 12


class Job(NamedTuple):
    """One object to compile."""

    group: str
    variant: str
    series: str
    source: str  # relative to the corpus folder
    compiler: Clang
    target: str
    cpu: str
    main: bool  # the variant that has every source

    @property
    def path(self) -> str:
        return f"obj/{self.group}/{self.variant}/{Path(self.source).stem}.bpf.o"

    @property
    def in_sample(self) -> bool:
        most = SAMPLE_SHARE if self.main else SAMPLE_SHARE_OF_VARIANTS
        return share(f"{self.group}/{Path(self.source).stem}") < most


def share(name: str) -> int:
    """0..999, by name alone: the same choice on every machine and whatever else is in the corpus."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % 1000


def home() -> Path:
    """bpfsmith's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bpfsmith"


def where() -> Path:
    """The corpus folder of this recipe, there or not."""
    return home() / "corpus" / f"v{RECIPE}"


def plan(corpus: Path, compilers: list[Clang]) -> Iterator[Job]:
    """Every object of the whole corpus. The newest clang builds everything; variants take a share of the sources."""
    newest, others = compilers[-1], _two_others(compilers)
    for series in SERIES:
        progs = corpus / "src" / series / "tools/testing/selftests/bpf/progs"
        group = f"selftests-{series}"
        variants: list[tuple[Clang, str, str, int]] = [
            (newest, "bpfel", "v3", 1000),
            (newest, "bpfel", "v4", 250),
            (newest, "bpfel", "v2", 150),
            (newest, "bpfeb", "v3", 250),
            *((clang, "bpfel", "v3", 250) for clang in others),
        ]
        for source in sorted(progs.glob("*.c")):
            relative = str(source.relative_to(corpus))
            for clang, target, cpu, most in variants:
                if cpu == "v4" and clang.major < 18:
                    continue
                # The lowest shares are in every variant, so that one source can be compared across compilers.
                if share(f"{group}/{source.stem}") < most:
                    variant = f"clang{clang.major}-{target}-{cpu}"
                    yield Job(group, variant, series, relative, clang, target, cpu, most == 1000)


def _two_others(compilers: list[Clang]) -> list[Clang]:
    """The oldest and the middle one besides the newest."""
    rest = compilers[:-1]
    return rest if len(rest) <= 2 else [rest[0], rest[len(rest) // 2]]


def flags(corpus: Path, job: Job) -> list[str]:
    """The kernel's own flags for its BPF tests, but for warnings, which are not ours to fix."""
    tree = corpus / "src" / job.series
    tests = tree / "tools/testing/selftests/bpf"
    name = Path(job.source).stem
    extra = ["-fno-inline"] if name in ("test_l4lb_noinline", "test_xdp_noinline") else []
    atomics = [] if job.cpu == "v2" else ["-DENABLE_ATOMICS_TESTS"]
    endian = "-mbig-endian" if job.target == "bpfeb" else "-mlittle-endian"
    return [
        "-O2", "-g", f"--target={job.target}", f"-mcpu={job.cpu}", endian, "-w", "-std=gnu11", "-fno-strict-aliasing",
        "-D__TARGET_ARCH_x86", *atomics, *extra,
        f"-I{corpus / 'shim'}", f"-I{corpus / 'vmlinux' / job.series}", f"-I{tree / 'libbpf'}",
        f"-I{tests}", f"-I{tests / 'progs'}", f"-I{tree / 'tools/include/uapi'}", f"-I{tree / 'uapi'}",
        "-idirafter", "/usr/include/x86_64-linux-gnu", "-idirafter", "/usr/include",
        # One corpus on every machine: no path of this one in BTF or DWARF.
        f"-ffile-prefix-map={corpus}=.", "-fdebug-compilation-dir=.",
    ]  # fmt: skip


def compile_one(corpus: Path, job: Job) -> dict[str, Any]:
    """Builds one object unless it is there; a failure is kept beside it, so that it is not tried again."""
    target = corpus / job.path
    refused = target.with_suffix(".failed")
    reason = ""
    if refused.exists():
        reason = refused.read_text()
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        command = [str(job.compiler.path), *flags(corpus, job), "-c", job.source, "-o", str(partial)]
        try:
            done = subprocess.run(
                command, cwd=corpus, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=300
            )
            failed, said = done.returncode != 0, done.stderr
        except subprocess.TimeoutExpired:
            failed, said = True, "error: no end after 300 s"
        if failed:
            errors = [line for line in said.splitlines() if "error:" in line or "fatal" in line]
            reason = (errors or said.strip().splitlines() or ["no message"])[0]
            refused.write_text(reason)
            partial.unlink(missing_ok=True)
        else:
            partial.replace(target)
    return _row(
        corpus, job.path, group=job.group, source=job.source, series=job.series, reason=reason, sample=job.in_sample,
        compiler=f"clang {job.compiler.version}", target=job.target, cpu=job.cpu,
    )  # fmt: skip


def _row(corpus: Path, path: str, *, group: str, sample: bool, reason: str = "", **about: str) -> dict[str, Any]:
    size = 0 if reason else (corpus / path).stat().st_size
    return {"path": path, "group": group, "ok": not reason, "reason": reason, "bytes": size, "sample": sample, **about}


def link_some(corpus: Path, tool: Path, variant: str, series: str) -> Iterator[dict[str, Any]]:
    """Objects that `bpftool gen object` linked from several."""
    for name, parts in LINKED.items():
        inputs = [corpus / f"obj/selftests-{series}/{variant}/{part}.bpf.o" for part in parts]
        if not all(path.exists() for path in inputs):
            continue
        path = f"obj/linked-{series}/{variant}/{name}.bpf.o"
        target = corpus / path
        reason = ""
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            command = [str(tool), "gen", "object", str(partial), *map(str, inputs)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            else:
                partial.replace(target)
        yield _row(
            corpus, path, group=f"linked-{series}", series=series, reason=reason, sample=True, compiler="bpftool"
        )


def packaged(corpus: Path, archive: Archive) -> Iterator[dict[str, Any]]:
    """BPF objects out of Debian's packages, found by content."""
    for package in PACKAGES:
        target = corpus / "obj" / f"debian-{package}" / "shipped"
        if not target.exists():
            unpacked = corpus / f".unpack-{package}"
            archive.unpack(package, unpacked)
            partial = corpus / f".partial-{package}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for path in sorted(unpacked.rglob("*")):
                if path.is_file() and not path.is_symlink() and is_bpf(path):
                    shutil.copyfile(path, partial / path.name)
            shutil.rmtree(unpacked)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
        for path in sorted(target.iterdir()):
            name = str(path.relative_to(corpus))
            yield _row(corpus, name, group=f"debian-{package}", sample=True, source=package, compiler="as shipped")


def is_bpf(path: Path) -> bool:
    """Whether the file is an ELF object for machine 247, BPF."""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return False
    return int.from_bytes(head[18:20], "big" if head[5] == 2 else "little") == 247


def kernel_btf(corpus: Path, archive: Archive, tool: Path, series: str) -> str:
    """Puts `btf/<series>.btf` and `vmlinux.h` there; returns the kernel package's version."""
    plain, header = corpus / f"btf/{series}.btf", corpus / f"vmlinux/{series}/vmlinux.h"
    version = corpus / f"btf/{series}.version"
    if not version.exists():
        plain.parent.mkdir(parents=True, exist_ok=True)
        header.parent.mkdir(parents=True, exist_ok=True)
        name = archive.newest(rf"linux-image-{series}\.[0-9]+[-+][0-9a-z]+-cloud-amd64".replace(".", r"\.", 1))
        unpacked = corpus / f".unpack-{name}"
        package_version = archive.unpack(name, unpacked)
        (image,) = unpacked.glob("boot/vmlinuz-*")
        plain.write_bytes(btf(image))
        shutil.rmtree(unpacked)
        with header.open("w") as out:
            subprocess.run([tool, "btf", "dump", "file", plain, "format", "c"], stdout=out, check=True)
        version.write_text(f"{name} {package_version}")
    return version.read_text()


def shim(corpus: Path) -> None:
    """glibc's headers ask for the 32-bit stubs where `__x86_64__` is not defined, as on the BPF target."""
    stubs = corpus / "shim/gnu/stubs-32.h"
    stubs.parent.mkdir(parents=True, exist_ok=True)
    stubs.touch()


def build(*, full: bool, say: bool = True) -> Path:
    """Brings the sample or the whole corpus up to date and returns its folder. Raises `Missing`."""
    corpus = where()
    corpus.mkdir(parents=True, exist_ok=True)
    with (corpus / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # parallel test workers wait for the one that builds
        kept = manifest(corpus)
        if kept and (kept["full"] or not full):
            return corpus
        start = time.monotonic()

        def tell(text: str) -> None:
            if say:
                print(f"corpus: {time.monotonic() - start:4.0f} s  {text}", file=sys.stderr, flush=True)

        compilers = [clang for clang in clangs() if clang.major >= OLDEST_CLANG]
        if not compilers:
            raise Missing(f"no clang {OLDEST_CLANG} or newer", "apt-get install clang")
        archive, tool = Archive(home()), bpftool(home())
        shim(corpus)
        packages: dict[str, str] = {}
        for series in SERIES:
            tell(f"Linux {series}: BTF and headers")
            packages[f"btf {series}"] = kernel_btf(corpus, archive, tool, series)
            packages[f"source {series}"] = prepare_tree(corpus / "src" / series, archive, series)
        jobs = [job for job in plan(corpus, compilers) if full or job.in_sample or _is_linked(job)]
        tell(f"{len(jobs)} objects with clang {', '.join(str(clang.major) for clang in compilers)}")
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            rows = list(pool.map(lambda job: compile_one(corpus, job), jobs))
        variant = f"clang{compilers[-1].major}-bpfel-v3"
        for series in SERIES:
            rows += link_some(corpus, tool, variant, series)
        rows += packaged(corpus, archive)
        _write_manifest(corpus, rows, packages, full=full)
        good = sum(row["ok"] for row in rows)
        tell(f"{good} of {len(rows)} objects are in {corpus}")
    return corpus


def _is_linked(job: Job) -> bool:
    names = {part for parts in LINKED.values() for part in parts}
    return job.main and Path(job.source).stem in names


def _write_manifest(corpus: Path, rows: Iterable[dict[str, Any]], packages: dict[str, str], *, full: bool) -> None:
    text = json.dumps({"version": 1, "full": full, "packages": packages, "objects": list(rows)}, indent=1)
    partial = corpus / ".manifest.partial"
    partial.write_text(text)
    partial.replace(corpus / "manifest.json")


def manifest(corpus: Path) -> dict[str, Any] | None:
    """What `manifest.json` says, None before the first complete run."""
    try:
        found: dict[str, Any] = json.loads((corpus / "manifest.json").read_text())
    except FileNotFoundError:
        return None
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="all objects, not the sample")
    parser.add_argument("--where", action="store_true", help="only print the folder")
    options = parser.parse_args()
    if options.where:
        print(where())
        return 0
    try:
        corpus = build(full=options.full)
    except (Missing, BadImage, subprocess.CalledProcessError) as error:
        command = getattr(error, "command", "")
        print(f"corpus: {error}" + (f"; `{command}` gets it" if command else ""), file=sys.stderr)
        return 3
    print(corpus)
    return 0


if __name__ == "__main__":
    sys.exit(main())
