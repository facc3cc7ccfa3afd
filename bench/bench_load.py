"""Loading objects into the kernel: a small XDP program, one with CO-RE, one of 200 programs; beside peers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import _objects
import _peers
from _measure import Bar, CannotMeasure, Case, Row, Sample, Samples, main, process, python, reporting, side_by_side

OURS = "bpfsmith"
AGAIN = 10
# What a first load imports, so that the time of the load is that of the load.
IMPORTED = """
import bpfsmith, bpfsmith.kernel._door, bpfsmith.kernel._live, bpfsmith.model.object, bpfsmith.read._join
import bpfsmith._native, bpfsmith.run.load
"""
LOAD = """
begin()
loaded = bpfsmith.load(sys.argv[1])
mark("first")
loaded.close()
for left in range(int(sys.argv[2]), 0, -1):
    begin()
    loaded = bpfsmith.load(sys.argv[1])
    if left == 1:
        mark("again")
    loaded.close()
"""
WHOLE = "import sys, bpfsmith\nbpfsmith.load(sys.argv[1]).close()\n"
# Python's own byte code is kept as for an installed package, whatever this shell says.
CODE = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": ""}


def cases(n: int) -> Sequence[Case]:
    """A table per object, and one of whole processes."""
    if os.geteuid():
        raise SystemExit("loading needs root")
    os.environ.update(CODE)
    try:
        objects = {"xdp": _objects.compiled("load_xdp"), "core": _objects.compiled("load_core"), "big": _objects.big()}
    except CannotMeasure as error:
        raise SystemExit(str(error)) from None
    peers = _peers.available(_peers.family("load"))
    xdp = _loads(objects["xdp"], peers, 2 * n)
    core = _loads(objects["core"], peers, n)
    big = _loads(objects["big"], peers, n, again=1)
    return [
        Case(
            "An XDP program and its map: open and load, the first time in a process and the tenth time after",
            xdp,
            [Bar(OURS, "first", _least(xdp, "libbpf 1.7, C", "first") * 1.2)],
        ),
        Case(
            "A program with ten kinds of CO-RE relocations",
            core,
            [
                Bar(OURS, "first", _least(core, "libbpf 1.7, C", "first")),
                Bar(OURS, "again", _least(xdp, OURS, "again") + 1),
            ],
        ),
        Case(
            "200 programs, 100 maps, 4,000 CO-RE relocations",
            big,
            [Bar(OURS, "first", _least(big, "libbpf 1.7, C", "first"))],
            "Nearly all of it is the kernel verifying.",
        ),
        _processes(objects["xdp"], peers, 2 * n),
    ]


def _loads(path: Path, peers: dict[str, str], n: int, again: int = AGAIN) -> list[Row]:
    subjects: dict[str, Callable[[], Samples]] = {OURS: python(IMPORTED + LOAD, str(path), str(again))}
    for name, program in peers.items():
        subjects[name] = partial(reporting, [program, str(path), str(again)])
    rows = side_by_side(subjects, n)
    return sorted(rows, key=lambda row: ("first", "again").index(row.metric))


def _least(rows: Sequence[Row], subject: str, metric: str) -> float:
    """The median of a row, for bars that follow a peer; nothing is asked where it could not be measured."""
    found = [row for row in rows if (row.subject, row.metric) == (subject, metric)]
    return round(found[0].spread("wall")[1], 2) if found else float("inf")


def _processes(path: Path, peers: dict[str, str], n: int) -> Case:
    """Whole processes that load and unload the XDP object."""
    bare = "python3 -c pass"
    subjects: dict[str, Callable[[], Samples]] = {
        f"{OURS}: python3, load, close": partial(process, [sys.executable, "-c", WHOLE, str(path)]),
        bare: partial(process, [sys.executable, "-c", "pass"]),
    }
    for name, program in peers.items():
        subjects[name] = partial(process, [program, str(path)])
    rows = side_by_side(subjects, n)
    base = next(row for row in rows if row.subject == bare)
    beyond = [
        Sample(one.wall - two.wall, one.cpu - two.cpu) for one, two in zip(rows[0].samples, base.samples, strict=True)
    ]
    rows.insert(1, Row(f"{OURS}, beyond `{bare}`", "process", beyond))
    return Case(
        "The same as a whole process: CPU time",
        rows,
        [Bar(rows[1].subject, "process", 15, "cpu")],
        f"Peak of memory: {_peak(WHOLE, str(path)):.1f} MiB, of which Python itself {_peak('pass'):.1f} (bar: 60).",
    )


def _peak(code: str, *words: str) -> float:
    """MiB a fresh Python that runs `code` had at most."""
    told = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    done = subprocess.run([sys.executable, "-c", code + told, *words], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


if __name__ == "__main__":
    main("load", cases)
