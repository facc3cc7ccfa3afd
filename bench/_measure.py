"""What all measurements share: watches, runs side by side, tables, and writing them into docs/performance.md.

Every subject of a case is run in turn, `n` rounds, so that whatever else the machine does falls on all of them alike.
A sample is (wall ms, CPU ms, peak MiB); a subject yields one or several named samples per run. Times inside a process
are taken by the process itself; times of processes are those the kernel accounts to it.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/performance.md"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bpfsmith" / "bench"
BPFSMITH = str(Path(sys.executable).parent / "bpfsmith")


class Sample(NamedTuple):
    """One run: milliseconds of wall clock and of CPU, and the peak of resident memory in MiB where a process ran."""

    wall: float
    cpu: float
    peak: float = 0.0


Samples = Mapping[str, Sample]


class CannotMeasure(Exception):
    """A peer or an input is not to be had here, and why."""


def process(command: Sequence[str], *, metric: str = "process", exits: Sequence[int] = (0,)) -> dict[str, Sample]:
    """One run of a process from start to end, output thrown away."""
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], list(command), os.environ, file_actions=null)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status) not in exits:
        raise CannotMeasure(f"`{' '.join(command)[:80]}` ended with {os.waitstatus_to_exitcode(status)}")
    # Until exec the child is accounted our own memory: less than that is not known.
    peak = used.ru_maxrss if used.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss else 0
    return {metric: Sample(wall * 1e3, (used.ru_utime + used.ru_stime) * 1e3, peak / 1024)}


def reporting(command: Sequence[str]) -> dict[str, Sample]:
    """One run of a process that times itself: lines of `metric<TAB>wall us<TAB>cpu us`."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise CannotMeasure(f"`{Path(command[0]).name}` ended with {done.returncode}: {last[0][:160]}")
    rows = (line.split("\t") for line in done.stdout.splitlines())
    return {metric: Sample(float(wall) / 1e3, float(cpu) / 1e3) for metric, wall, cpu in rows}


def python(code: str, *words: str) -> Callable[[], dict[str, Sample]]:
    """A fresh Python that runs `code`, in which `mark("metric")` reports the time since the last `begin()`."""
    return lambda: reporting([sys.executable, "-c", _WATCH + code, *words])


_WATCH = """
import gc, sys, time
gc.disable()
def begin():
    global wall, cpu
    wall, cpu = time.perf_counter(), time.process_time()
def mark(metric):
    used, passed = time.process_time() - cpu, time.perf_counter() - wall
    print(metric, passed * 1e6, used * 1e6, sep="\\t")
"""


def inside(work: Callable[[], object], metric: str = "work") -> Callable[[], dict[str, Sample]]:
    """Work in this process."""

    def once() -> dict[str, Sample]:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        used, passed = time.process_time() - cpu, time.perf_counter() - wall
        return {metric: Sample(passed * 1e3, used * 1e3)}

    return once


class Row(NamedTuple):
    """All samples of one subject and metric."""

    subject: str
    metric: str
    samples: list[Sample]

    def spread(self, field: str) -> tuple[float, float]:
        """Smallest and median."""
        values = [getattr(sample, field) for sample in self.samples]
        return min(values), statistics.median(values)


def side_by_side(subjects: Mapping[str, Callable[[], Samples]], n: int) -> list[Row]:
    """Runs each subject in turn, `n` rounds; a subject that cannot be measured is left out with its reason said."""
    rows: dict[tuple[str, str], Row] = {}
    left = dict(subjects)
    for _ in range(n):
        for name, once in list(left.items()):
            try:
                samples = once()
            except (CannotMeasure, OSError) as error:
                note(f"{name} is left out: {error}")
                del left[name]
                continue
            for metric, sample in samples.items():
                rows.setdefault((name, metric), Row(name, metric, [])).samples.append(sample)
    order = list(subjects)
    return sorted(rows.values(), key=lambda row: order.index(row.subject))


class Bar(NamedTuple):
    """What a row must not exceed: a subject's metric, as wall milliseconds or peak MiB."""

    subject: str
    metric: str
    most: float
    field: str = "wall"


class Case:
    """One table: the rows of subjects side by side, the ratio to the first row of each metric, and the bars."""

    def __init__(self, title: str, rows: Sequence[Row], bars: Sequence[Bar] = (), remarks: str = "") -> None:
        self.title, self.rows, self.bars, self.remarks = title, rows, bars, remarks

    def _bar(self, row: Row) -> tuple[str, str]:
        said = []
        met = []
        for bar in self.bars:
            if (bar.subject, bar.metric) != (row.subject, row.metric):
                continue
            low, middle = row.spread(bar.field)
            said.append(f"{bar.most:g} {'MiB' if bar.field == 'peak' else 'ms'}")
            met.append("yes" if middle <= bar.most else "least only" if low <= bar.most else "**no**")
        return ", ".join(said), ", ".join(dict.fromkeys(met))

    def lines(self) -> Iterator[str]:
        """Markdown."""
        peak = any(sample.peak for row in self.rows for sample in row.samples)
        several = len({row.metric for row in self.rows}) > 1
        head = ["subject", *(["what"] if several else []), "n", "wall ms", "CPU ms", *(["peak MiB"] if peak else [])]
        head += ["ratio", *(["bar", "met"] if self.bars else [])]
        yield f"**{self.title}**"
        yield ""
        yield "| " + " | ".join(head) + " |"
        yield "|" + "|".join("---:" if word in _RIGHT else "---" for word in head) + "|"
        first: dict[str, float] = {}
        for row in self.rows:
            base = first.setdefault(row.metric, row.spread("cpu")[0])
            cells = [row.subject, *([row.metric] if several else []), str(len(row.samples))]
            cells += [" / ".join(map(_number, row.spread(field))) for field in ("wall", "cpu")]
            if peak:
                cells.append(_number(row.spread("peak")[1]) if row.spread("peak")[0] else "")
            cells.append(f"{row.spread('cpu')[0] / base:.2g}" if base else "")
            if self.bars:
                cells += self._bar(row)
            yield "| " + " | ".join(cells) + " |"
        if self.remarks:
            yield ""
            yield self.remarks


_RIGHT = {"n", "wall ms", "CPU ms", "peak MiB", "ratio", "bar"}


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


_notes: list[str] = []


def note(text: str) -> None:
    """A remark below the tables; said once."""
    if text not in _notes:
        _notes.append(text)
        print(text, file=sys.stderr, flush=True)


def _busy() -> float:
    """Seconds all processors have worked since boot."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def _load() -> Iterator[list[float]]:
    """How many processors others kept busy meanwhile, in a list that is filled at the end."""
    out: list[float] = []
    wall, busy, own = time.monotonic(), _busy(), _own()
    yield out
    passed = time.monotonic() - wall
    out.append(max(0.0, (_busy() - busy - (_own() - own)) / passed))


@contextmanager
def _first() -> Iterator[None]:
    """Others' work is felt less meanwhile, where this user may ask for that. Children inherit it."""
    group = Path("/proc/self/autogroup")
    was = re.search(r"nice (-?\d+)", _text(str(group)))
    with suppress(OSError):
        os.nice(-10)
    with suppress(OSError):
        # Every terminal gets its share, whatever the niceness of its processes.
        group.write_text("-10")
    try:
        yield
    finally:
        with suppress(OSError):
            group.write_text(was[1] if was else "0")


def machine() -> str:
    """What the figures were taken on."""
    named = re.search(r"^model name\s*: (.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
    model = named[1].strip() if named else platform.machine()
    system = re.search(r'PRETTY_NAME="([^"]*)"', _text("/etc/os-release"))
    return (
        f"{model}, {os.cpu_count()} processors, {system[1] if system else platform.system()}, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def main(name: str, cases: Callable[[int], Sequence[Case]]) -> None:
    """The command line of one measurement: `[-n ROUNDS] [--write]`."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("-n", type=int, default=15, help="rounds (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    args = parser.parse_args()
    with _first(), _load() as load:
        tables = ["\n".join(case.lines()) for case in cases(args.n)]
    where = f"{time.strftime('%Y-%m-%d')}; {machine()}; others kept {load[0]:.1f} processors busy meanwhile."
    said = "".join(f"* {text}\n" for text in _notes)
    block = "\n\n".join([*tables, *([said.rstrip()] if said else []), f"`./dev bench {name}`, {where}"])
    print(block)
    if args.write:
        write(name, block)


def write(name: str, block: str) -> None:
    """Replaces the part of the page between this measurement's two markers."""
    start, end = f"<!-- bench {name} -->", f"<!-- end {name} -->"
    text = PAGE.read_text()
    if start not in text or end not in text:
        raise SystemExit(f"docs/performance.md has no place for `{name}`: `{start}` and `{end}`")
    before, _, rest = text.partition(start)
    PAGE.write_text(f"{before}{start}\n{block}\n{end}{rest.partition(end)[2]}")
