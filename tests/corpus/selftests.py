#!/usr/bin/env python3
"""The kernel selftests' programs judged on kernels of the lab, by `bpfsmith verify`'s own engine and by libbpf 1.7 in
the same guests: `selftests.py [--kernels 5.10,6.12] [--sample 300] [--only NAME] [--write]`.

Every program of Debian's Linux 6.12 selftests, built by the newest clang for bpfel v3, on every kernel of the default
matrix that is prepared (`bpfsmith lab get`). Equal is: both load it; or both verifiers refuse it with the same last
message; or both give up before. `--write` puts the table into docs/exactness.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import build_corpus
import guest_ref
from guest_ref import Said

import bpfsmith
from bpfsmith.run.verifier_log import parse

HERE = Path(__file__).resolve().parent
MATRIX = ("5.10", "6.1", "6.12", "6.18", "7.3")
PAGE = HERE.parents[1] / "docs/exactness.md"
MARK = re.compile(r"(<!-- selftests -->\n).*?(<!-- end selftests -->)", re.DOTALL)
# A million instructions, some of them on every kernel: seconds each, emulated. The whole run has them, no sample does.
# fmt: off
SLOW = frozenset((
    "core_kern", "loop1", "loop3", "profiler1", "profiler2", "profiler3", "pyperf50", "pyperf100", "pyperf180",
    "pyperf600", "pyperf600_nounroll", "strobemeta", "strobemeta_nounroll1", "strobemeta_nounroll2",
    "strobemeta_subprogs", "test_cls_redirect", "test_cls_redirect_subprogs", "test_verif_scale1", "test_verif_scale2",
    "test_verif_scale3", "verifier_loops1", "verifier_search_pruning",
))
# Besides what is in the corpus's own sample: one object or more for every program type.
MORE = frozenset((
    "arena_htab_asm", "bpf_flow", "connect6_prog", "dev_cgroup", "getpeername4_prog", "pro_epilogue_goto_start",
    "setget_sockopt", "test_lirc_mode2_kern", "test_module_attach", "test_skmsg_load_helpers",
    "test_sockmap_progs_query", "test_sysctl_loop1", "verifier_int_ptr", "verifier_kfunc_prog_types", "verifier_lwt",
    "verifier_raw_tp_writable",
))
# fmt: on
PATIENCE = 180.0  # seconds for one verdict


class Program(NamedTuple):
    """One program of the corpus: its object, its position in it, its name and type."""

    path: Path
    number: int
    name: str
    type: str

    @property
    def stem(self) -> str:
        return self.path.name.removesuffix(".bpf.o")


class Different(NamedTuple):
    """A program judged otherwise, and by whom how."""

    kernel: str
    program: Program
    theirs: str
    ours: str
    why: str

    def __str__(self) -> str:
        name = f"{self.program.stem}: {self.program.name}"
        return f"{self.kernel}: {name}: libbpf {self.theirs}; here {self.ours}" + (f" ({self.why})" if self.why else "")


# ------------------------------------------------------------ which programs


def programs(corpus: Path, few: bool = False) -> list[Program]:
    """All of them, by name; `few`: of the objects that the sample is taken from. Compiles those that are not there."""
    jobs = [
        job
        for job in build_corpus.plan(corpus, build_corpus.clangs())
        if job.main and job.group == "selftests-6.12" and (not few or job.in_sample or Path(job.source).stem in MORE)
    ]
    with ThreadPoolExecutor(_cores()) as pool:
        built = [
            job
            for job, row in zip(jobs, pool.map(partial(build_corpus.compile_one, corpus), jobs), strict=True)
            if row["ok"]
        ]
    found = []
    for path in sorted(corpus / job.path for job in built):
        try:
            obj = bpfsmith.read(path)
        except bpfsmith.BpfsmithError:
            continue  # without programs
        found += [Program(path, at, one.name, one.type or "") for at, one in enumerate(obj.programs)]
    return found


def order(program: Program) -> bytes:
    """By name alone: the same choice on every machine."""
    return hashlib.sha256(f"{program.stem}/{program.name}".encode()).digest()


def sample(every: list[Program], most: int) -> list[Program]:
    """As many, from each program type its share and at least two."""
    quick = sorted((one for one in every if one.stem not in SLOW), key=order)
    types = Counter(one.type for one in quick)
    share = {kind: max(2, round(most * count / len(quick))) for kind, count in types.items()}
    while sum(share.values()) > most:
        largest = max(share, key=lambda kind: share[kind])
        share[largest] -= 1
    chosen = []
    for one in quick:
        if share[one.type] > 0:
            share[one.type] -= 1
            chosen.append(one)
    rest = [one for one in quick if one not in chosen]
    return sorted(chosen + rest[: most - len(chosen)])


# ------------------------------------------------------------ our verdicts


def judged(
    every: Sequence[Program], kernels: Sequence[str], tell: Callable[[str], None] = lambda _: None
) -> tuple[dict[tuple[str, Program], Any], float]:
    """((kernel, program) -> `Judged`, seconds it took): what `bpfsmith verify` does, without its report."""
    from bpfsmith.verdict import Judged, Request, loaders
    from bpfsmith.verdict.items import Item
    from bpfsmith.verify._kernels import targets
    from bpfsmith.verify._work import Work

    effort = _Effort()
    items, order_of = [], sorted(every, key=effort.of, reverse=True)
    objects: dict[Path, tuple[Any, Request]] = {}
    start = time.monotonic()
    for one in order_of:
        if one.path not in objects:
            obj, request = bpfsmith.read(one.path), Request()
            loaders.adjust(request, obj, "libbpf")
            objects[one.path] = obj, request
        obj, request = objects[one.path]
        program = obj.programs[one.number]
        item = Item(obj, program, request, "libbpf")
        said, hint = loaders.refusal(obj, program, "libbpf")
        if said:
            item.refused = Judged("cannot", "loader", said, hint)
        items.append(item)
    asked = targets(list(kernels))
    last = [start]

    def progress(done: int, of: int) -> None:
        if time.monotonic() > last[0] + 10:
            last[0] = time.monotonic()
            tell(f"{done} of {of} verdicts")

    work = Work(items, asked, timeout=PATIENCE, progress=progress)
    work.run()
    took = time.monotonic() - start
    for error in work.errors.values():
        raise error
    found = {}
    for row, one in zip(work.cells, order_of, strict=True):
        for cell, target in zip(row, asked, strict=True):
            found[target.name, one] = cell
    effort.keep(found)
    return found, took


class _Effort:
    """What verifying each program cost when it was last judged here, so that the longest comes first; before that its
    length."""

    def __init__(self) -> None:
        self.path = build_corpus.home() / "verdicts" / "effort.json"
        self.known: dict[str, int] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def of(self, one: Program) -> int:
        return self.known.get(f"{one.stem}/{one.name}", 1_000_000 if one.stem in SLOW else 0)

    def keep(self, found: dict[tuple[str, Program], Any]) -> None:
        for (_, one), cell in found.items():
            key = f"{one.stem}/{one.name}"
            self.known[key] = max(self.known.get(key, 0), cell.processed or 0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.known))


# ------------------------------------------------------------ both


def difference(kernel: str, one: Program, said: Said | None, cell: Any) -> Different | None:
    """None when both say the same."""
    if said is None:
        return Different(kernel, one, "says nothing", cell.verdict, "the reference died")
    here = f"{cell.verdict}{f' ({cell.reason})' if cell.reason else ''}{f': {cell.message}' if cell.message else ''}"
    message = parse(said.log).message if said.stage == "at" else ""
    if said.stage == "after":
        theirs, same = "loads it", cell.verdict == "accepted"
    elif said.stage == "at" and message:
        theirs, same = f"rejected: {message}", cell.verdict == "rejected" and cell.message == message
    elif said.stage == "at":
        # Without a word of the verifier's: it did not run. A type the kernel does not have is no rejection.
        theirs = f"refused, errno {said.errno}"
        same = not cell.told.message and (cell.verdict == "rejected" or cell.reason == "prog-type")
    elif said.stage in ("before", "unreadable"):
        theirs, same = f"gives up: {said.warning}", cell.verdict == "cannot"
    else:
        theirs, same = said.stage, cell.reason in ("timeout", "crash")
    return None if same else Different(kernel, one, theirs, here, _reason(said, cell))


def _reason(said: Said, cell: Any) -> str:
    """Why they differ, where that is known."""
    if said.stage == "late" or cell.reason == "timeout":
        return f"over {PATIENCE:g} s, which depends on how busy the machine is"
    if "pseudo btf_id 0 in ldimm64" in said.log:
        return "a weak typed variable that is in the symbols and not in the types: libbpf asks for type 0"
    return ""


class Compared(NamedTuple):
    """One kernel: programs compared, and what differed; how libbpf's verdicts are spread."""

    kernel: str
    programs: int
    stages: Counter[str]
    different: list[Different]


def compared(
    every: Sequence[Program], kernels: Sequence[str], tell: Callable[[str], None] = lambda _: None
) -> tuple[list[Compared], float]:
    """(by kernel, seconds that our verdicts took)."""
    ours, took = judged(every, kernels, tell)
    tell(f"{len(ours)} verdicts in {took:.0f} s")
    asked = [(one.path, one.number) for one in every]
    with ThreadPoolExecutor(_cores()) as pool:
        references = list(pool.map(lambda kernel: guest_ref.verdicts(kernel, asked, tell), kernels))
    out = []
    for kernel, theirs in zip(kernels, references, strict=True):
        stages: Counter[str] = Counter()
        wrong = []
        for one in every:
            said = theirs.get((one.path, one.number))
            stages[said.stage if said else "nothing"] += 1
            found = difference(kernel, one, said, ours[kernel, one])
            if found is not None:
                wrong.append(found)
        out.append(Compared(kernel, len(every), stages, wrong))
    return out, took


# ------------------------------------------------------------ the command


def lines(results: list[Compared], took: float, words: str) -> list[str]:
    """The table and the list of differences."""
    out = ["| kernel | programs | loaded | rejected | libbpf gives up before | different | equal |"]
    out.append("|---|---:|---:|---:|---:|---:|---:|")
    for one in results:
        stages = one.stages
        before = one.programs - stages["after"] - stages["at"]
        equal = 100 * (one.programs - len(one.different)) / max(one.programs, 1)
        counts = f"{one.programs:,} | {stages['after']:,} | {stages['at']:,} | {before:,}"
        out.append(f"| {one.kernel} | {counts} | {len(one.different)} | {equal:.2f} % |")
    number = sum(one.programs for one in results)
    out += ["", f"{number:,} verdicts in {took / 60:.1f} minutes on {_cores()} processors, the reference not counted; "
            f"`{words}` repeats it. Differences:", ""]  # fmt: skip
    out += [f"* {one}" for result in results for one in result.different] or ["* none"]
    return out


def _cores() -> int:
    from os import sched_getaffinity

    return len(sched_getaffinity(0))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":", 1)[0])
    parser.add_argument("--kernels", default=",".join(MATRIX), help="series or names, separated by commas")
    parser.add_argument("--sample", type=int, default=0, help="so many programs instead of all, none of the slow ones")
    parser.add_argument("--only", default="", help="only objects whose names contain this")
    parser.add_argument("--write", action="store_true", help="writes docs/exactness.md")
    options = parser.parse_args()
    start = time.monotonic()

    def tell(text: str) -> None:
        print(f"selftests: {time.monotonic() - start:5.0f} s  {text}", file=sys.stderr, flush=True)

    few = 0 < options.sample <= 300 and not options.only
    corpus = build_corpus.build(full=not few)
    every = [one for one in programs(corpus, few) if options.only in one.stem]
    if options.sample:
        every = sample(every, options.sample)
    tell(f"{len(every)} programs")
    results, took = compared(every, options.kernels.split(","), tell)
    words = f"python tests/corpus/selftests.py{f' --sample {options.sample}' if options.sample else ''}"
    text = "\n".join(lines(results, took, words))
    print(text)
    if options.write:
        PAGE.write_text(MARK.sub(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text()))
    return int(any(one.different for one in results))


if __name__ == "__main__":
    sys.exit(main())
