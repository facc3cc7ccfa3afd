"""Parsing one big object and resolving its CO-RE relocations; beside libbpf, aya and cilium/ebpf."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import _objects
import _peers
from _measure import Bar, CannotMeasure, Case, main, python, reporting, side_by_side

OURS = "bpfsmith"
PARSE = """
from bpfsmith._native import parse_many
begin()
obj, = parse_many([sys.argv[1]], 1)
mark("parse")
assert len(obj.programs) == 200
"""
MEMORY = """
from bpfsmith._native import Object
data = open(sys.argv[1], "rb").read()
begin()
obj = Object.parse(data)
mark("parse")
"""
WARM = """
from bpfsmith._native import parse_many
for round in range(5):
    begin()
    obj, = parse_many([sys.argv[1]], 1)
mark("parse")
"""
CORE = """
from bpfsmith._native import Btf, parse_many
obj, = parse_many([sys.argv[1]], 1)
kernel = Btf.open("/sys/kernel/btf/vmlinux")
begin()
programs = obj.programs
for program in programs:
    program.relocated([kernel])
mark("linked and resolved")
assert sum(program.core_relocations for program in programs) == 4000
"""
CORE_WHOLE = """
from bpfsmith._native import Btf, parse_many
begin()
obj, = parse_many([sys.argv[1]], 1)
mark("parse")
kernel = Btf.open("/sys/kernel/btf/vmlinux")
for program in obj.programs:
    program.relocated([kernel])
mark("core and kernel types")
"""


def cases(n: int) -> Sequence[Case]:
    """Two tables."""
    try:
        path = str(_objects.big())
    except CannotMeasure as error:
        raise SystemExit(str(error)) from None
    peers = _peers.available()
    parse = {
        OURS: python(PARSE, path),
        f"{OURS}, fifth time in a process": python(WARM, path),
        f"{OURS}, from memory": python(MEMORY, path),
    }
    core = {OURS: python(CORE_WHOLE, path), f"{OURS}, relocations alone": python(CORE, path)}
    for name, program in peers.items():
        parse[name] = partial(reporting, [program, "parse", path])
        core[name] = partial(reporting, [program, "core", path])
    rows = side_by_side(parse, 2 * n)
    related = [row for row in side_by_side(core, n) if row.metric != "parse"]
    related.sort(key=lambda row: row.metric)
    return [
        Case(
            "Parsing an object of 200 programs, 100 maps and 4,000 CO-RE relocations "
            f"({_objects.big().stat().st_size / 1e6:.1f} MB)",
            rows,
            [Bar(OURS, "parse", 1.5), Bar(f"{OURS}, from memory", "parse", 1.5)],
            "From before the file is opened, each sample in a fresh process (but for the second row); ours includes "
            "the way through Python. `from memory`: the bytes are there.",
        ),
        Case(
            "Its 4,000 CO-RE relocations against the running kernel",
            related,
            [Bar(f"{OURS}, relocations alone", "linked and resolved", 15)],
            "`core and kernel types` counts from before the object is opened: parse it, parse the kernel's types, link "
            "and relocate all programs. libbpf also prepares its maps, with bpf(2) answered in the process; "
            "cilium/ebpf only computes the patches.",
        ),
    ]


if __name__ == "__main__":
    main("object", cases)
