"""Whole maps in and out: a hash of a million entries read and stored, an array read where it is; beside peers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import _peers
from _measure import Bar, Case, Row, Samples, main, python, reporting, side_by_side

COUNT = 1_000_000
OURS = "bpfsmith, numpy"
C = "libbpf 1.7, C"
BPFFS = Path("/sys/fs/bpf")
OPEN = """
import numpy
from bpfsmith.run.maps import Map
table = Map.from_pin(sys.argv[1], key_type="u32", value_type="u64")
"""
DUMP = (
    OPEN
    + """
begin()
rows = table.to_numpy()
mark("dump")
assert len(numpy.unique(rows["key"])) == 1_000_000 and (rows["value"] == rows["key"] * numpy.uint64(2)).all()
"""
)
DICT = (
    OPEN
    + """
begin()
found = dict(table.items())
mark("dump")
assert len(found) == 1_000_000
"""
)
UPDATE = (
    OPEN
    + """
keys = numpy.arange(1_000_000, dtype="u4")
values = keys * numpy.uint64(2)
begin()
table.update_numpy(keys, values)
mark("update")
"""
)
ROWS = (
    OPEN
    + """
rows = numpy.zeros(1_000_000, [("key", "u4"), ("value", "u8")])
rows["key"] = numpy.arange(1_000_000)
rows["value"] = rows["key"] * numpy.uint64(2)
begin()
table.update_numpy(rows)
mark("update")
"""
)
ARRAY = (
    OPEN
    + """
begin()
total = table.view().sum()
mark("mapped and read")
begin()
total += table.view().sum()
mark("read again")
assert total == 2 * 999_999 * 500_000
"""
)


@contextmanager
def maps() -> Iterator[tuple[str, str]]:
    """A full hash and a full array that can be mapped, pinned for all subjects."""
    from bpfsmith import kernel
    from bpfsmith.run.maps import MapSpec, open_map

    made: list[Any] = []

    def make(name: str, number: int, kind: str, flags: int) -> Any:
        fd = kernel.call_fd(
            "BPF_MAP_CREATE", map_type=number, key_size=4, value_size=8, max_entries=COUNT, map_flags=flags,
            map_name=name,
        )  # fmt: skip
        table = open_map(fd, MapSpec(name, kind, 4, 8, COUNT, flags))
        path = f"{BPFFS}/bpfsmith_{name}_{os.getpid()}"
        table.pin(path)
        made.append((table, path))
        return table

    import numpy

    keys = numpy.arange(COUNT, dtype="u4")
    try:
        make("bench_hash", 1, "hash", 0).update_numpy(keys, keys * numpy.uint64(2))
        make("bench_array", 2, "array", 1 << 10).view()[:] = keys
        yield made[0][1], made[1][1]
    finally:
        for table, path in made:
            table.unpin(path)
            table.close()


def cases(n: int) -> Sequence[Case]:
    """Three tables over the same two maps; a million elements, so that a millisecond is a nanosecond per element."""
    if os.geteuid() != 0:
        raise SystemExit("maps need root: `sudo ./dev bench maps`")
    peers = _peers.available(_peers.family("maps"))
    n = min(n, 15)
    with maps() as (table, array):

        def of(work: str, path: str, own: dict[str, str]) -> list[Row]:
            subjects: dict[str, Callable[[], Samples]] = {name: python(code, path) for name, code in own.items()}
            if C in peers:
                subjects = {C: partial(reporting, [peers[C], work, path])} | subjects
            for name, program in peers.items():
                subjects.setdefault(name, partial(reporting, [program, work, path]))
            return side_by_side(subjects, n)

        dump = of("dump", table, {OURS: DUMP, "bpfsmith, `dict(m.items())`": DICT})
        update = of("update", table, {OURS: UPDATE, "bpfsmith, one structured array": ROWS})
        read = of("array", array, {OURS: ARRAY})
    told = (
        "A million elements: a millisecond is a nanosecond per element. Each sample in a fresh process over the same "
        "pinned map; importing numpy and opening the map are not counted. "
    )
    return [
        Case("Every element of a hash", dump, _bars(dump, "dump", 1.1), told + "aya has no batches."),
        Case("A million elements stored in a hash", update, _bars(update, "update", 1.1)),
        Case(
            "A million elements of an array that can be mapped", read, [Bar(OURS, "read again", 1.0)],
            "Summed where they are; the first time includes mapping the array. cilium/ebpf copies what it reads, aya "
            "maps no arrays and asks for each element.",
        ),
    ]  # fmt: skip


def _bars(rows: Sequence[Row], metric: str, factor: float) -> list[Bar]:
    """The bar is a multiple of what the C loop takes in the same run."""
    for row in rows:
        if (row.subject, row.metric) == (C, metric):
            return [Bar(OURS, metric, round(factor * row.spread("wall")[1], 1))]
    return []


if __name__ == "__main__":
    main("maps", cases)
