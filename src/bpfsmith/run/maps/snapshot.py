"""A whole map at one moment, as far as the kernel can tell."""

from __future__ import annotations

from bpfsmith.run.maps import bulk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith.run.maps.table import Table

__all__ = ["Snapshot", "take"]


class Snapshot:
    """Everything a map held. `consistent`: whether it is the state of one moment: nothing differed between two readings
    (or the map is frozen and no program may write to it); `why` says so in words; `changed`: entries that differed
    between the last two readings when it is not.

    The kernel offers no atomic copy of a map: a value that changes and changes back between two readings is not seen.
    """

    __slots__ = ("_layout", "_rows", "_table", "changed", "consistent", "why")

    def __init__(
        self, table: Table, layout: bulk.Layout, rows: Any, consistent: bool, why: str, changed: int = 0
    ) -> None:
        self._table = table
        self._layout = layout
        self._rows = rows
        self.consistent = consistent
        self.why = why
        self.changed = changed

    def __len__(self) -> int:
        return len(self._rows) // self._layout.row

    def items(self) -> Iterator[tuple[Any, Any]]:
        """(key, value) pairs."""
        return self._table._decoded(memoryview(self._rows), self._layout)

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self.items())

    def to_dict(self) -> dict[Any, Any]:
        return dict(self.items())

    def to_numpy(self, *, flat: bool = False) -> Any:
        """As the map's own `to_numpy`."""
        from bpfsmith.run.maps import arrays

        return arrays.shaped(self._table, self._layout, self._rows, flat)

    def __repr__(self) -> str:
        return f"<Snapshot of {self._table.name}: {len(self)} entries, {self.why}>"


def take(table: Table, tries: int = 3) -> Snapshot:
    """Reads until two readings agree, at most `tries` pairs."""
    layout = table._layout()
    rows, repeated = bulk.dump(table, layout)
    if table.spec.flags & 1 << 7 and table._frozen():
        return Snapshot(table, layout, rows, True, "frozen, and programs may not write to it")
    changed = 0
    for _ in range(max(tries, 1)):
        again, repeated = bulk.dump(table, layout)
        changed = _differences(bytes(rows), bytes(again), layout.row)
        rows = again
        if not changed and not repeated:
            return Snapshot(table, layout, rows, True, "two readings agree")
    why = f"{changed} entries changed between two readings" if changed else "entries were deleted meanwhile"
    return Snapshot(table, layout, rows, False, why, changed)


def _differences(one: bytes, two: bytes, row: int) -> int:
    """Rows that are not in both."""
    if one == two:
        return 0
    before = {one[at : at + row] for at in range(0, len(one), row)}
    after = {two[at : at + row] for at in range(0, len(two), row)}
    return max(len(before - after), len(after - before))
