"""`bpfsmith check` of one object and of 500: whole processes, and the most memory they held."""

from __future__ import annotations

from collections.abc import Sequence

import _objects
from _measure import BPFSMITH, Bar, Case, CannotMeasure, main, note, process, side_by_side

ANY = (0, 1, 2)  # findings are no failure of the measurement


def cases(n: int) -> Sequence[Case]:
    """Two tables."""
    tables = []
    try:
        one, big = str(_objects.small()), str(_objects.big())
    except CannotMeasure as error:
        note(str(error))
    else:
        commands = {
            "`check small.o` (3 programs)": ["check", one],
            "`check small.o --kernels 5.10..`": ["check", one, "--kernels", "5.10.."],
            "`check small.o --format json`": ["check", one, "--format", "json"],
            "`check big.o` (200 programs, 2 MB)": ["check", big],
            "`inspect small.o`": ["inspect", one],
        }
        rows = side_by_side(
            {name: lambda words=words: process([BPFSMITH, *words], exits=ANY) for name, words in commands.items()}, n
        )
        tables.append(Case("One object", rows, [Bar(name, "process", 120) for name in list(commands)[:3]]))
    objects, words = _objects.many(500)
    paths = [str(path) for path in objects]
    size = sum(path.stat().st_size for path in objects) >> 20
    everything = "`check` of 500 objects"
    runs = {
        everything: lambda: process([BPFSMITH, "check", *paths], exits=ANY),
        "the same, `--format json`": lambda: process([BPFSMITH, "check", "--format", "json", *paths], exits=ANY),
        "the same, `--kernels 5.10..`": lambda: process([BPFSMITH, "check", "--kernels", "5.10..", *paths], exits=ANY),
    }
    bars = [Bar(name, "process", 1000) for name in runs]
    bars.append(Bar(everything, "process", 300, "peak"))
    rows = side_by_side(runs, max(3, n // 2))
    return [*tables, Case("500 objects", rows, bars, f"The objects: {words}; {size} MiB in all.")]


if __name__ == "__main__":
    main("check", cases)
