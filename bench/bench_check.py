"""`bpfsmith check` of one object and of 500: whole processes, and the most memory they held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import _objects
from _measure import BPFSMITH, Bar, CannotMeasure, Case, Sample, main, note, process, side_by_side

ANY = (0, 1, 2)  # findings are no failure of the measurement


def _check(*words: str) -> Callable[[], dict[str, Sample]]:
    return partial(process, [BPFSMITH, *words], exits=ANY)


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
        rows = side_by_side({name: _check(*words) for name, words in commands.items()}, n)
        tables.append(Case("One object", rows, [Bar(name, "process", 120) for name in list(commands)[:3]]))
    objects, words = _objects.many(500)
    paths = [str(path) for path in objects]
    size = sum(path.stat().st_size for path in objects) >> 20
    everything = "`check` of 500 objects"
    runs = {
        everything: _check("check", *paths),
        "the same, `--format json`": _check("check", "--format", "json", *paths),
        "the same, `--kernels 5.10..`": _check("check", "--kernels", "5.10..", *paths),
    }
    bars = [Bar(name, "process", 1000) for name in runs]
    bars.append(Bar(everything, "process", 300, "peak"))
    rows = side_by_side(runs, max(3, n // 2))
    return [*tables, Case("500 objects", rows, bars, f"The objects: {words}; {size} MiB in all.")]


if __name__ == "__main__":
    main("check", cases)
