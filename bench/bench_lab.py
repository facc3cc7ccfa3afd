"""The lab: first verdicts on prepared kernels, further programs, preparing a kernel; beside a QEMU boot per run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import _machines
import _objects
from _measure import BPFSMITH, CACHE, ROOT, Bar, CannotMeasure, Case, Row, Sample, main, note, process, side_by_side

sys.path[:0] = [str(ROOT / "tests/corpus"), str(ROOT / "tests")]

OURS = "bpfsmith verify"
PLAIN = "QEMU boot per run, libbpf 1.7 inside"
MATRIX = ("5.10", "6.1", "6.12", "6.18", "7.3")
ONE = "6.12"
PROGRAMS = 60  # of one object, for what each further one costs
COMMAND = [BPFSMITH] if Path(BPFSMITH).exists() else [sys.executable, "-m", "bpfsmith"]


def cases(n: int) -> Sequence[Case]:
    """Tables of verdicts, of programs, and of preparing."""
    try:
        small, many = _programs(1), _programs(PROGRAMS)
    except CannotMeasure as error:
        raise SystemExit(str(error)) from None
    kernels = _prepared()
    five = ",".join(kernels)
    verdicts = side_by_side(
        {
            f"`{OURS} small.o --kernels {ONE}`": partial(_verify, small, ONE),
            f"{PLAIN}, {ONE}": partial(_plain, small, [ONE]),
            f"`{OURS} small.o --kernels` of {len(kernels)}": partial(_verify, small, five),
            f"{PLAIN}, {len(kernels)} kernels": partial(_plain, small, kernels),
        },
        max(3, n // 3),
    )
    further = _further(many, max(3, n // 3))
    theirs = next((row for row in further if row.subject.startswith("libbpf")), None)
    bars = []
    if theirs is not None:
        bars = [Bar(OURS, "per program", theirs.spread("wall")[1] + 30)]
    prepare = side_by_side({"`bpfsmith lab add`, a downloaded package": _prepare()}, 3)
    return [
        *_machines.cases(max(3, n // 3)),
        Case(
            "The first verdict on kernels that are prepared",
            verdicts,
            [
                Bar(f"`{OURS} small.o --kernels {ONE}`", "process", 1000),
                Bar(f"`{OURS} small.o --kernels` of {len(kernels)}", "process", 2500),
            ],
            "The machines' own CPU time is counted where their processes are waited for.",
        ),
        Case(
            f"Each further program of an object of {PROGRAMS}, on {ONE}",
            further,
            bars,
            "libbpf's own time is taken in the same guest: open, prepare, load. Ours is what a caller waits for.",
        ),
        Case(
            "Preparing a kernel", prepare, [Bar("`bpfsmith lab add`, a downloaded package", "process", 15000)], _disk()
        ),
    ]


# ------------------------------------------------------------ objects and kernels


def _prepared() -> list[str]:
    from bpfsmith import lab
    from bpfsmith.lab import store

    names = [name for name in MATRIX if name in {one.name for one in store.all()}]
    if ONE not in names:
        raise SystemExit(f"no kernel {ONE} is prepared: run `bpfsmith lab get`")
    for name in names:  # their templates are made by the first use, which is not what is measured
        lab.open(name).close()
    return names


def _programs(number: int) -> Path:
    """One object of so many small programs that share a map, which every kernel takes."""
    text = [
        "#include <linux/bpf.h>",
        "#include <bpf/bpf_helpers.h>",
        "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); }"
        ' counts SEC(".maps");',
        'char LICENSE[] SEC("license") = "GPL";',
    ]
    text += [
        f'SEC("xdp") int p{at}(struct xdp_md *ctx) {{ __u32 key = {at % 8}; __u64 *value = '
        "bpf_map_lookup_elem(&counts, &key); if (value) *value += 1; return XDP_PASS; }"
        for at in range(number)
    ]
    return _objects._compile("\n".join(text), f"lab{number}")


# ------------------------------------------------------------ one verdict


def _verify(path: Path, kernels: str) -> dict[str, Sample]:
    return process([*COMMAND, "verify", str(path), "--kernels", kernels])


def _plain(path: Path, kernels: list[str]) -> dict[str, Sample]:
    """Boots each kernel as the lab prepared it, with nothing but what libbpf needs, two at a time."""
    initrd = _initrd(path)
    start, used = time.perf_counter(), os.times()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for said in pool.map(lambda name: _boot(name, initrd), kernels):
            if "\tafter\t" not in said:
                raise CannotMeasure(f"no verdict: {said[-200:]!r}")
    now = os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    return {"process": Sample((time.perf_counter() - start) * 1e3, cpu * 1e3)}


def _boot(name: str, initrd: Path) -> str:
    from bpfsmith.lab import store

    words = [
        "qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "max,la57=off", "-m", "256", "-nodefaults",
        "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", store.find(name).vmlinux, "-initrd", initrd,
        "-append", "console=ttyS0 panic=-1 quiet no_timer_check",
    ]  # fmt: skip
    try:
        done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"kernel {name} does not end") from None
    return done.stdout.decode(errors="replace")


def _initrd(path: Path) -> Path:
    from bpfsmith.lab.cpio import Archive

    init = CACHE / "lab_init"
    source = ROOT / "bench/peers/lab_init.c"
    if not init.exists() or init.stat().st_mtime < source.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["cc", "-O1", "-w", "-static", source, "-o", init], capture_output=True, check=False)
        if done.returncode:
            raise CannotMeasure("no static C programs can be built here")
    archive = Archive()
    for folder in ("dev", "proc", "sys"):
        archive.folder(folder)
    archive.file("init", init.read_bytes(), 0o755)
    archive.file("judge", _judge().read_bytes(), 0o755)
    archive.file("object.o", path.read_bytes())
    made = CACHE / "lab_plain.cpio"
    made.write_bytes(archive.done())
    return made


def _judge() -> Path:
    import guest_ref
    from libbpf_ref import CannotBuild

    try:
        return guest_ref.build()
    except CannotBuild as error:
        raise CannotMeasure(str(error)) from None


# ------------------------------------------------------------ further programs


def _further(path: Path, n: int) -> list[Row]:
    import guest_ref

    import bpfsmith
    from bpfsmith import kernel, lab, verdict
    from bpfsmith.lab import store

    obj = bpfsmith.read(path)
    with lab.open(ONE) as guest:

        def ours() -> dict[str, Sample]:
            wall, cpu = time.perf_counter(), time.process_time()
            with kernel.through(guest.door, guest.kernel):
                for program in obj.programs:
                    if verdict.judge(obj, program).verdict != "accepted":
                        raise CannotMeasure(f"`{program.name}` is not accepted")
            used, passed = time.process_time() - cpu, time.perf_counter() - wall
            return {"per program": Sample(passed * 1e3 / PROGRAMS, used * 1e3 / PROGRAMS)}

        def theirs() -> dict[str, Sample]:
            asked = [(path, at) for at in range(PROGRAMS)]
            said = [one for _, one in guest_ref._ask(guest, store.find(ONE), asked)]
            if any(one.stage != "after" for one in said):
                raise CannotMeasure("libbpf does not load it")
            micros = sorted(one.micros for one in said)[len(said) // 2]
            return {"per program": Sample(micros / 1e3, micros / 1e3)}

        ours()  # what is made once per guest
        return side_by_side({"libbpf 1.7 in the guest": theirs, OURS: ours}, n)


# ------------------------------------------------------------ preparing


def _prepare() -> Callable[[], dict[str, Sample]]:
    """`lab add` of the package `lab get` would fetch, into an empty store."""
    packages = CACHE / "lab_packages"

    def once() -> dict[str, Sample]:
        files = sorted(packages.glob("*.deb")) or _download(packages)
        with tempfile.TemporaryDirectory(prefix="bpfsmith-bench-") as folder:
            words = [*COMMAND, "lab", "add", *map(str, files), "--name", "bench"]
            was = os.environ.get("BPFSMITH_CACHE")
            os.environ["BPFSMITH_CACHE"] = folder
            try:
                return process(words)
            finally:
                os.environ.pop("BPFSMITH_CACHE")
                if was is not None:
                    os.environ["BPFSMITH_CACHE"] = was

    return once


def _download(folder: Path) -> list[Path]:
    """The package of kernel 6.12, by this machine's apt."""
    from bpfsmith.lab import store

    folder.mkdir(parents=True, exist_ok=True)
    release = store.find(ONE).release
    for name in (f"linux-image-{release}-unsigned", f"linux-image-{release}"):
        with suppress(OSError):
            subprocess.run(["apt-get", "-qq", "download", name], cwd=folder, capture_output=True, check=False)
        found = sorted(folder.glob("*.deb"))
        if found:
            return found
    raise CannotMeasure(f"apt does not offer the package of {release}")


def _disk() -> str:
    """What each prepared kernel takes."""
    from bpfsmith.lab import store

    sizes = []
    for one in (one for one in store.all() if one.name in MATRIX):
        templates = [(path.name, store.size_of(str(path))) for path in Path(one.folder, "templates").glob("*")]
        base = max((size for name, size in templates if name.startswith("base-256-")), default=0)
        kernel = store.size_of(one.folder) - sum(size for _, size in templates)
        sizes.append(f"{one.name} {(kernel + base) / 1e6:.0f} MB")
    note("vimto cannot be had here: the Go proxy does not hand out its module")
    said = "each image or size of guest that is used besides adds a template of 80 to 150 MB"
    return f"Disk per kernel with the template of `verify`: {', '.join(sizes)} (bar: 250 MB); {said}."


if __name__ == "__main__":
    main("lab", cases)
