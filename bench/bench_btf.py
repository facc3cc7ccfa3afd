"""The running kernel's types: open, first lookup by name, offset of a member; beside libbpf, aya and cilium/ebpf."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import _objects
import _peers
from _measure import Bar, CannotMeasure, Case, Row, main, python, reporting, side_by_side

OURS = "bpfsmith, `Btf`"
CODE = """
from bpfsmith._native import Btf
begin()
btf = Btf.open("/sys/kernel/btf/vmlinux")
mark("parse")
task = btf.find("task_struct", "STRUCT")
mark("first lookup")
assert btf.offset_of(task, "pid")[1] == 32
mark("offset")
"""
WARM = """
from bpfsmith._native import Btf
for round in range(5):
    begin()
    btf = Btf.open("/sys/kernel/btf/vmlinux")
    task = btf.find("task_struct", "STRUCT")
    if round == 4:
        mark("first lookup")
    btf.offset_of(task, "pid")
    if round == 4:
        mark("offset")
"""


def _ordered(rows: Sequence[Row]) -> list[Row]:
    steps = ["parse", "first lookup", "offset"]
    return sorted(rows, key=lambda row: steps.index(row.metric))


def cases(n: int) -> Sequence[Case]:
    """One table; every time counts from before the file is opened."""
    if not _objects.KERNEL.exists():
        raise SystemExit("this kernel shows no BTF in /sys/kernel/btf/vmlinux")
    subjects = {OURS: python(CODE), f"{OURS}, fifth time in a process": python(WARM)}
    for name, program in _peers.available().items():
        subjects[name] = partial(reporting, [program, "btf"])
    rows = _ordered(side_by_side(subjects, 2 * n))
    if not rows:
        raise CannotMeasure("nothing was measured")
    bars = [Bar(OURS, "first lookup", 1.5), Bar(OURS, "offset", 2.0)]
    remarks = (
        "Cumulative, each sample in a fresh process: until the types are indexed, until `struct task_struct` is found "
        "by name, until the offset of its `pid` is known. aya has no public layout query. The CPU time of cilium/ebpf "
        "is its whole process's, garbage collector included."
    )
    return [Case("Types of the running kernel", rows, bars, remarks)]


if __name__ == "__main__":
    main("btf", cases)
