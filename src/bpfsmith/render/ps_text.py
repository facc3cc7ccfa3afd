"""`ps` for a person: programs, maps, links and BTF in aligned tables. A view of the JSON document."""

from __future__ import annotations

from bpfsmith.render.inspect_table import Paint, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def render(document: Mapping[str, Any], *, color: bool = False) -> str:
    """The text for a whole document; empty lists are left out."""
    paint = Paint(color)
    blocks = [
        _programs(document["programs"], document["stats"], paint),
        _maps(document["maps"], paint),
        _links(document["links"], paint),
        _btf(document["btf"], paint),
    ]
    text = "\n\n".join("\n".join(block) for block in blocks if block)
    return f"{text}\n" if text else "nothing is loaded that matches\n"


def _programs(rows: Sequence[Mapping[str, Any]], stats: bool, paint: Paint) -> list[str]:
    cells = [
        (
            row["name"] or None, row["id"], row["type"], row["xlated"] // 8, _bytes(row["jited"]),
            row["runs"] or None, f"{row['ns_per_run']:.0f}" if row["ns_per_run"] is not None else None,
            "; ".join(row["attached"]) or None, _who(row["owners"]), _pins(row["pins"]),
        )
        for row in rows
    ]  # fmt: skip
    head = ("program", "id", "type", "insns", "jited", "runs", "ns/run", "attached to", "held by", "pinned")
    if not stats and not any(row["runs"] for row in rows):
        cells = [(*row[:5], *row[7:]) for row in cells]  # type: ignore[misc]
        return table((*head[:5], *head[7:]), cells, paint, right=(1, 3, 4), indent=0)
    return table(head, cells, paint, right=(1, 3, 4, 5, 6), indent=0)


def _maps(rows: Sequence[Mapping[str, Any]], paint: Paint) -> list[str]:
    cells = [
        (
            row["name"] or None, row["id"], row["type"], row["key_size"], row["value_size"], row["max_entries"],
            " ".join([f"{row['flags']:#x}"] * bool(row["flags"]) + ["frozen"] * row["frozen"]) or None,
            _bytes(row["memory"]), ", ".join(map(str, row["programs"])) or None, _who(row["owners"]),
            _pins(row["pins"]),
        )
        for row in rows
    ]  # fmt: skip
    head = ("map", "id", "type", "key", "value", "entries", "flags", "memory", "programs", "held by", "pinned")
    return table(head, cells, paint, right=(1, 3, 4, 5, 7), indent=0)


def _links(rows: Sequence[Mapping[str, Any]], paint: Paint) -> list[str]:
    cells = [
        (
            row["type"], row["id"], row["program_id"] or None, row["attach_type"], row["target"] or None,
            _who(row["owners"]), _pins(row["pins"]),
        )
        for row in rows
    ]  # fmt: skip
    return table(("link", "id", "program", "attach", "to", "held by", "pinned"), cells, paint, right=(1, 2), indent=0)


def _btf(rows: Sequence[Mapping[str, Any]], paint: Paint) -> list[str]:
    cells = [
        (
            row["name"] or "(a program's)", row["id"], _bytes(row["size"]), ", ".join(map(str, row["programs"])) or
            None, ", ".join(map(str, row["maps"])) or None, _who(row["owners"]),
        )
        for row in rows
    ]  # fmt: skip
    return table(("BTF", "id", "size", "programs", "maps", "held by"), cells, paint, right=(1, 2), indent=0)


def _who(owners: Sequence[Mapping[str, Any]]) -> str | None:
    return ", ".join(f"{one['name']}({one['pid']})" for one in owners) or None


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
