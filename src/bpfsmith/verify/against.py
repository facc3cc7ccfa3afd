"""Two versions of an object on the same kernels: what got worse where."""

from __future__ import annotations

from bpfsmith.verify.report import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfsmith.verify.report import Result, Row

__all__ = ["changes"]

_RANK = {"accepted": 0, "cannot": 1, "rejected": 2}
# Below this nobody wants to hear of it: counts of the same program differ by alignment of states alone.
_NOISE = 16


def changes(old: Iterable[Row], new: Iterable[Row]) -> list[Change]:
    """Every difference in verdict, processed instructions and depth of the stack, worst first."""
    old, new = list(old), list(new)
    keyed_old, keyed_new = _keys(old, new)
    before = dict(zip(keyed_old, old, strict=True))
    found: list[Change] = []
    for key, row in zip(keyed_new, new, strict=True):
        earlier = before.pop(key, None)
        if earlier is None:
            found.append(Change(row, "", "program", None, "new", False))
            continue
        results = {one.kernel: one for one in earlier.results}
        for one in row.results:
            if one.kernel in results:
                found += _compared(row, results[one.kernel], one)
    found += [Change(row, "", "program", "there", None, False) for row in before.values()]
    found.sort(key=lambda one: (not one.worse, _ORDER[one.what], -_by(one)))
    return found


def _keys(old: Sequence[Row], new: Sequence[Row]) -> list[list[tuple[str, str]]]:
    """What each row is compared by: its program, and of several objects the object too, by its file's name; by its path
    below the folder all have in common where two files have the same name."""
    from os.path import abspath, basename, commonpath, dirname, relpath

    sides = (old, new)
    paths = [list(dict.fromkeys(row.object for row in rows)) for rows in sides]
    if all(len(one) <= 1 for one in paths):
        return [[("", row.program) for row in rows] for rows in sides]
    if all(len({basename(path) for path in one}) == len(one) for one in paths):
        return [[(basename(row.object), row.program) for row in rows] for rows in sides]
    made = []
    for rows, one in zip(sides, paths, strict=True):
        top = commonpath([dirname(abspath(path)) for path in one]) if one else ""
        made.append([(relpath(abspath(row.object), top), row.program) for row in rows])
    return made


_ORDER = {"verdict": 0, "processed": 1, "stack": 2, "program": 3}


def _compared(row: Row, old: Result, new: Result) -> Iterable[Change]:
    if old.verdict != new.verdict:
        worse = _RANK[new.verdict] > _RANK[old.verdict]
        yield Change(row, new.kernel, "verdict", old.verdict, new.verdict, worse)
        return
    if new.verdict != "accepted":
        return
    if old.processed is not None and new.processed is not None and abs(new.processed - old.processed) > _NOISE:
        yield Change(row, new.kernel, "processed", old.processed, new.processed, new.processed > old.processed)
    depths = sum(old.stack or ()), sum(new.stack or ())
    if old.stack and new.stack and depths[0] != depths[1]:
        yield Change(row, new.kernel, "stack", depths[0], depths[1], depths[1] > depths[0])


def _by(one: Change) -> float:
    """How much it changed, for ordering."""
    if isinstance(one.old, int) and isinstance(one.new, int):
        return abs(one.new - one.old)
    return 0
