"""Explaining a log: whole processes, and the parts of one in process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from _measure import BPFSMITH, ROOT, Bar, Case, main, process, python, side_by_side

EXAMPLE = ROOT / "examples/rejected"
LOG = EXAMPLE / "aya.log"
OBJECT = EXAMPLE / "prebuilt/dns-guard.bpf.o"
BAR = 50  # ms, of a process that explains a log

INSIDE = """
begin()
import bpfsmith
made = bpfsmith.explain(sys.argv[1], object=sys.argv[2] or None)
mark("first")
data = open(sys.argv[1], "rb").read()
again = 50
began, used = time.perf_counter(), time.process_time()
for _ in range(again):
    bpfsmith.explain(data).to_json()
took, cpu = (time.perf_counter() - began) / again, (time.process_time() - used) / again
print(f"again\\t{took * 1e6}\\t{cpu * 1e6}")
"""


def cases(n: int) -> Sequence[Case]:
    """The example's log, and logs of the verdict cases where they are kept."""
    explain = [BPFSMITH, "explain", str(LOG)]
    runs = {
        "`python -c pass`": partial(process, [sys.executable, "-c", "pass"]),
        "`bpfsmith explain LOG`": partial(process, explain, exits=(1,)),
        "the same, `--format json`": partial(process, [*explain, "--format", "json"], exits=(1,)),
        "the same, `--full`": partial(process, [*explain, "--full"], exits=(1,)),
        "the same, `--object X.o`": partial(process, [*explain, "--object", str(OBJECT)], exits=(1,)),
    }
    rows = side_by_side(runs, 2 * n)
    bars = [Bar("`bpfsmith explain LOG`", "process", BAR), Bar("the same, `--format json`", "process", BAR)]
    inside = side_by_side({"`bpfsmith.explain`, in process": python(INSIDE, str(LOG), "")}, n)
    lines = len(LOG.read_bytes().splitlines())
    remarks = (
        f"The log is the one Aya prints of `examples/rejected`: {lines} lines. `again`: once more in the same process."
    )
    return [Case("Explaining a log", [*rows, *inside], bars, remarks)]


if __name__ == "__main__":
    main("explain", cases)
