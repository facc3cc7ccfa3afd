"""`ps` for a person: programs, maps, links and BTF in aligned tables. A view of the JSON document."""

from __future__ import annotations

from bpfsmith.render.inspect_table import Paint, printable, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def render(document: Mapping[str, Any], *, color: bool = False, width: int = 100) -> str:
    """The text for a whole document; empty lists are left out. Lists are shortened to fit `width`; the JSON document
    has them in full."""
    paint = Paint(color)
    blocks = [
        _programs(document["programs"], document["stats"], paint, width),
        _maps(document["maps"], paint, width),
        _links(document["links"], paint, width),
        _btf(document["btf"], paint, width),
    ]
    text = "\n\n".join("\n".join(block) for block in blocks if block)
    return f"{text}\n" if text else "nothing is loaded that matches\n"


def _programs(rows: Sequence[Mapping[str, Any]], stats: bool, paint: Paint, width: int) -> list[str]:
    cells = [
        (
            row["name"] or None, row["id"], row["type"], row["xlated"] // 8, _bytes(row["jited"]),
            row["runs"] or None, f"{row['ns_per_run']:.0f}" if row["ns_per_run"] is not None else None,
            _several(row["attached"], "; "), _who(row["owners"]), _pins(row["pins"]),
        )
        for row in rows
    ]  # fmt: skip
    head = ("program", "id", "type", "insns", "jited", "runs", "ns/run", "attached to", "held by", "pinned")
    if not stats and not any(row["runs"] for row in rows):
        cells = [(*row[:5], *row[7:]) for row in cells]  # type: ignore[misc]
        return _fitted((*head[:5], *head[7:]), cells, paint, (1, 3, 4), width, (5, 6, 7))
    return _fitted(head, cells, paint, (1, 3, 4, 5, 6), width, (7, 8, 9))


def _maps(rows: Sequence[Mapping[str, Any]], paint: Paint, width: int) -> list[str]:
    cells = [
        (
            row["name"] or None, row["id"], row["type"], row["key_size"], row["value_size"], row["max_entries"],
            " ".join([f"{row['flags']:#x}"] * bool(row["flags"]) + ["frozen"] * row["frozen"]) or None,
            _bytes(row["memory"]), _ids(row["programs"], "program"), _who(row["owners"]),
            _pins(row["pins"]),
        )
        for row in rows
    ]  # fmt: skip
    head = ("map", "id", "type", "key", "value", "entries", "flags", "memory", "programs", "held by", "pinned")
    return _fitted(head, cells, paint, (1, 3, 4, 5, 7), width, (8, 9, 10))


def _links(rows: Sequence[Mapping[str, Any]], paint: Paint, width: int) -> list[str]:
    cells = [
        (
            row["type"], row["id"], row["program_id"] or None, row["attach_type"], row["target"] or None,
            _who(row["owners"]), _pins(row["pins"]),
        )
        for row in rows
    ]  # fmt: skip
    head = ("link", "id", "program", "attach", "to", "held by", "pinned")
    return _fitted(head, cells, paint, (1, 2), width, (4, 5, 6))


def _btf(rows: Sequence[Mapping[str, Any]], paint: Paint, width: int) -> list[str]:
    cells = [
        (
            row["name"] or "(a program's)",
            row["id"],
            _bytes(row["size"]),
            _ids(row["programs"], "program"),
            _ids(row["maps"], "map"),
            _who(row["owners"]),
        )
        for row in rows
    ]
    return _fitted(("BTF", "id", "size", "programs", "maps", "held by"), cells, paint, (1, 2), width, (3, 4, 5))


def _fitted(
    head: Sequence[str], rows: Sequence[Sequence[object]], paint: Paint, right: Sequence[int], width: int,
    long: Sequence[int],
) -> list[str]:  # fmt: skip
    """The table, with the columns of `long` cut, the widest first, until it fits; none below 12 characters. Columns of
    those that say nothing in any row are left out when it is too wide."""
    cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(len(row[at]) for row in [list(head), *cells]) for at in range(len(head))]
    spare = width - sum(widths) - 2 * (len(head) - 1)
    if spare < 0:
        for at in sorted(long, reverse=True):
            if all(row[at] == "-" for row in cells):
                spare += widths[at] + 2
                head = [*head[:at], *head[at + 1 :]]
                cells = [[*row[:at], *row[at + 1 :]] for row in cells]
                widths.pop(at)
                long = [one - (one > at) for one in long if one != at]
    while spare < 0 and long:
        at = max(long, key=lambda one: widths[one])
        if widths[at] <= 12:
            break
        widths[at] -= 1
        spare += 1
    cut = [
        [
            cell if len(cell) <= widths[at] or at not in long else cell[: widths[at] - 3] + "..."
            for at, cell in enumerate(row)
        ]
        for row in cells
    ]
    return table(head, cut, paint, right=right, indent=0)


def _ids(numbers: Sequence[int], what: str) -> str | None:
    if len(numbers) > 4:
        return f"{len(numbers)} {what}s"
    return ", ".join(map(str, numbers)) or None


def _several(words: Sequence[str], between: str) -> str | None:
    """The words, of more than three the first two and how many others."""
    shown = words if len(words) <= 3 else [*words[:2], f"{len(words) - 2} more"]
    return between.join(shown) or None


def _who(owners: Sequence[Mapping[str, Any]]) -> str | None:
    return _several([f"{one['name']}({one['pid']})" for one in owners], ", ")


def _pins(paths: Sequence[str]) -> str | None:
    return ", ".join(paths) or None


def _bytes(size: int) -> str | None:
    if not size:
        return None
    for unit in ("B", "KiB", "MiB"):
        if size < 10_240:
            return f"{size} {unit}"
        size = (size + 512) // 1024
    return f"{size} GiB"
