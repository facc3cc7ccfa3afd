"""Ring buffers: draining a full one, keeping up with a producer, mixed records, typed objects; beside libbpf, aya and
cilium/ebpf. Needs root, numpy and clang. Nanoseconds per event."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import _peers
from _measure import CACHE, CannotMeasure, main, note

OURS = "bpfsmith"
SIZE = 256 << 20
LIVE = 512 << 20
ROUNDS = 3  # in each process

CODE = """
import sys, threading, time
import numpy
from bpfsmith.run.load import load
from bpfsmith import kernel

what, path, rounds, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
name = {"mixed": "mixed", "live": "live"}.get(what.partition(",")[0], "fill")
repeat = {"mixed": size // 56 // 64, "live": 10_000_000 // 64}.get(name, size // 40 // 64)
if what == "objects":
    repeat = 2_000_000 // 64
with load(path, select=name) as bpf:
    ring, program, packet = bpf.maps["ring"], bpf.programs[name], bytes(64)
    total, options = 0, {"timeout": 0.0}
    if what == "live":
        options = {"timeout": 5.0}
    if what == "live, latency=0":
        options = {"timeout": 5.0, "latency": 0.0}
    if what == "drain, copy=False":
        options["copy"] = False
    if name == "mixed":
        ring.record = {1: "struct small", 2: "struct middle", 3: "struct large"}
        ring.select = "kind"
    else:
        ring.record = "struct record"

    def produce():
        kernel.call("BPF_PROG_TEST_RUN", prog_fd=program.fd.fileno(), data_in=packet, data_size_in=64, repeat=repeat)

    def columns(batch):
        return [batch] if isinstance(batch, numpy.ndarray) else batch.values()

    last = -1
    for _ in range(rounds):
        count, thread = 0, threading.Thread(target=produce)
        ring.poll(0)
        if name == "live":
            begun = time.perf_counter_ns()
            thread.start()
        else:
            produce()  # in this thread, as the peers do
            begun = time.perf_counter_ns()
        if what == "objects":
            for event in ring.events(timeout=0.0):
                count += 1
            total += event.seq
        elif name == "live":
            goal = repeat * 64
            for batch in ring.batches(**options):
                numbers = batch["seq"]
                assert numbers[0] == last + 1
                last = int(numbers[-1])
                total += int(numbers.sum())
                count += len(batch)
                if count >= goal:
                    break
        else:
            for batch in ring.batches(**options):
                for column in columns(batch):
                    total += int(column["seq"].sum())
                count += len(batch)
        passed = time.perf_counter_ns() - begun
        batch = column = numbers = None  # lent memory goes back
        if name == "live":
            thread.join()
        assert count == repeat * 64, (count, repeat * 64)
        print(what, count, passed, sep="\\t", flush=True)
"""

Samples = dict[tuple[str, str], list[float]]


class Table:
    """Nanoseconds per event, least and median, and events per second; with what must not be exceeded."""

    def __init__(self, title: str, rows: Samples, bars: Mapping[tuple[str, str], Callable[[Samples], float]]) -> None:
        self.title, self.rows, self.bars = title, rows, bars

    def lines(self) -> Iterator[str]:
        """Markdown."""
        yield f"**{self.title}**"
        yield ""
        yield "| subject | what | n | ns per event | million per s | bar, ns | met |"
        yield "|---|---|---:|---:|---:|---:|---|"
        for key, values in self.rows.items():
            low, middle = min(values), statistics.median(values)
            cells = [
                key[0],
                key[1],
                str(len(values)),
                f"{low:.2f} / {middle:.2f}",
                f"{1e3 / low:.1f} / {1e3 / middle:.1f}",
            ]
            bar = self.bars.get(key)
            if bar is None:
                cells += ["", ""]
            else:
                most = bar(self.rows)
                cells += [f"{most:.2f}", "yes" if middle <= most else "least only" if low <= most else "**no**"]
            yield "| " + " | ".join(cells) + " |"


def _build_c(name: str) -> str:
    """A peer over libbpf 1.7, as the crate `libbpf-sys` vendors it."""
    source, out = _peers._source(name)
    binary = out / "peer"
    if binary.exists():
        return str(binary)
    fetched = _peers.libbpf().parent / "fetch"
    import json

    packages = json.loads(_peers._run(["cargo", "metadata", "--format-version", "1"], fetched))["packages"]
    manifest = next(one["manifest_path"] for one in packages if one["name"] == "libbpf-sys")
    vendored = Path(manifest).parent / "libbpf"
    includes = [
        f"-I{folder}" for folder in (fetched.parent / "include", vendored / "include", vendored / "include/uapi")
    ]
    files = [str(source / "peer.c"), *map(str, sorted((vendored / "src").glob("*.c")))]
    compiler = os.environ.get("CC", "cc")
    _peers._run([compiler, "-O2", "-w", *includes, *files, "-lelf", "-lz", "-lpthread", "-o", "peer.new"], out)
    return str((out / "peer.new").rename(binary))


def _build_rust(name: str) -> str:
    source, out = _peers._source(name)
    binary = out / f"release/peer-{name}"
    if not binary.exists():
        _peers._run(["cargo", "build", "--release", "--locked", "--quiet"], source, CARGO_TARGET_DIR=str(out))
    return str(binary)


def _build_go(name: str) -> str:
    source, out = _peers._source(name)
    binary = out / f"peer-{name}"
    if not binary.exists():
        _peers._run(["go", "build", "-o", str(binary), "."], source)
    return str(binary)


def _object(size: int) -> str:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/corpus"))
    from toolchain import clangs  # type: ignore[import-not-found]

    found = clangs()
    if not found:
        raise CannotMeasure("no clang that compiles BPF")
    source = Path(__file__).resolve().parent / "peers/ring.bpf.c"
    out = CACHE / "objects" / f"ring-{size}.bpf.o"
    out.parent.mkdir(parents=True, exist_ok=True)
    machine = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    flags = ["-O2", "-g", "-mcpu=v3", "--target=bpf", machine, f"-DRING_SIZE={size}"]
    done = subprocess.run(
        [found[-1].path, *flags, "-c", source, "-o", out], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotMeasure(done.stderr.strip()[:200])
    return str(out)


def _run(command: Sequence[str]) -> dict[str, list[float]]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise CannotMeasure(f"`{Path(command[0]).name}` ended with {done.returncode}: {last[0][:160]}")
    out: dict[str, list[float]] = {}
    for line in done.stdout.splitlines():
        what, count, passed = line.split("\t")
        out.setdefault(what, []).append(float(passed) / int(count))
    return out


def _ours(what: str, path: str, size: int) -> dict[str, list[float]]:
    return _run([sys.executable, "-c", CODE, what, path, str(ROUNDS), str(size)])


def _side_by_side(subjects: Mapping[str, list[Callable[[], dict[str, list[float]]]]], n: int) -> Samples:
    """Each in turn, `n` times."""
    rows: Samples = {}
    lost: set[str] = set()
    for _ in range(n):
        for name, runs in subjects.items():
            if name in lost:
                continue
            try:
                for once in runs:
                    for what, values in once().items():
                        rows.setdefault((name, what), []).extend(values)
            except (CannotMeasure, OSError) as error:
                note(f"{name} is left out: {error}")
                lost.add(name)
    return {key: rows[key] for name in subjects for key in rows if key[0] == name}


def cases(n: int) -> list[Table]:
    """Each peer runs `ROUNDS` times in each of `n` processes."""
    if os.geteuid() != 0:
        raise SystemExit("needs root: run `sudo ./dev bench ring`")
    n = max(1, n // ROUNDS)
    peers: dict[str, str] = {}
    for name, build, folder in (
        ("libbpf 1.7", _build_c, "ring-libbpf"),
        ("aya 0.14", _build_rust, "ring-aya"),
        ("cilium/ebpf 0.22", _build_go, "ring-cilium"),
    ):
        try:
            peers[name] = build(folder)
        except (CannotMeasure, OSError) as error:
            note(f"{name} is not built: {error}")
    full, live = _object(SIZE), _object(LIVE)

    def others(what: str, path: str, size: int) -> dict[str, list[Callable[[], dict[str, list[float]]]]]:
        words = [what, path, str(ROUNDS), str(size)]
        return {name: [partial(_run, [program, *words])] for name, program in peers.items()}

    def ours(path: str, size: int, *what: str) -> dict[str, list[Callable[[], dict[str, list[float]]]]]:
        return {OURS: [partial(_ours, one, path, size) for one in what]}

    def libbpf(what: str, factor: float = 1.0) -> Callable[[Samples], float]:
        return lambda rows: factor * statistics.median(rows.get(("libbpf 1.7", what), [float("nan")]))

    return [
        Table(
            "Draining a full ring of 256 MiB, 32-byte records into numpy, one column summed",
            _side_by_side(ours(full, SIZE, "drain", "drain, copy=False") | others("drain", full, SIZE), n),
            {(OURS, "drain, copy=False"): libbpf("drain")},
        ),
        Table(
            "Keeping up with a producer: 10 million events, every number looked at",
            _side_by_side(ours(live, LIVE, "live", "live, latency=0") | others("live", live, LIVE), n),
            {(OURS, "live"): lambda rows: min(libbpf("live", 0.5)(rows), 1e3 / 20)},
        ),
        Table(
            "Draining records of three lengths, by type, into numpy",
            _side_by_side(ours(full, SIZE, "mixed") | others("mixed", full, SIZE), n),
            {(OURS, "mixed"): lambda rows: 1e3 / 5},  # noqa: ARG005
        ),
        Table(
            "Typed Python objects, one per event",
            _side_by_side(ours(full, SIZE, "objects"), n),
            {(OURS, "objects"): lambda rows: 1e3 / 1.5},  # noqa: ARG005
        ),
    ]


if __name__ == "__main__":
    main("ring", cases)  # type: ignore[arg-type]
