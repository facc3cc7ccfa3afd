"""`inspect` for a person: what an object holds, in aligned tables. A view of the JSON document: both always agree."""

from __future__ import annotations

from bpfsmith.render.inspect_table import Paint, listed, printable, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


def render(document: Mapping[str, Any], *, color: bool = False, width: int = 100, kernel: str | None = None) -> str:
    """The text for a whole document; `kernel` names what it was relocated against."""
    paint = Paint(color)
    return "\n".join("\n".join(_object(one, paint, width, kernel)) + "\n" for one in document["objects"])


def _object(one: Mapping[str, Any], paint: Paint, width: int, kernel: str | None) -> Iterable[str]:
    parts = [f"{one['endianness']}-endian", "licence " + (repr(one["license"])[1:-1] if one["license"] else "missing")]
    parts.append("BTF" if one["btf"] else "no BTF")
    if kernel:
        parts.append(f"relocated against {kernel}")
    yield f"{paint(printable(one['path']), 'bold')}: {', '.join(parts)}"
    yield from _programs(one, paint, width)
    yield from _maps(one, paint)
    rows = [(row["name"], row["section"], row["type"], row["offset"], row["size"]) for row in one["globals"]]
    yield from _block(table(("variable", "section", "type", "offset", "size"), rows, paint, right=(3, 4)))
    jumps = [
        (row["program"], row["map"] or "?", "computed" if row["index"] is None else row["index"])
        for row in one["tail_calls"]
    ]
    yield from _block(table(("tail call from", "through", "index"), jumps, paint, right=(2,)))
    if one["notes"]:
        yield ""
        for note in one["notes"]:
            yield f"  {paint('note:', 'yellow')} {printable(note)}"


def _block(lines: list[str]) -> Iterable[str]:
    if lines:
        yield ""
        yield from lines


def _programs(one: Mapping[str, Any], paint: Paint, width: int) -> Iterable[str]:
    programs = one["programs"]
    if not programs:
        return
    head = ("program", "section", "type", "attach", "insns", "stack", "CO-RE", "loads from")
    rows = [
        (
            row["name"],
            row["section"],
            row["type"] or "unknown",
            row["attach_type"],
            row["instructions"],
            row["stack"],
            row["core_relocations"] or None,
            row["earliest_kernel"]["version"],
        )
        for row in programs
    ]
    lines = table(head, rows, paint, right=(4, 5, 6))
    yield ""
    yield lines[0]
    for line, row in zip(lines[1:], programs, strict=True):
        yield line
        for label, key in (("calls", "subprograms"), ("helpers", "helpers"), ("kfuncs", "kfuncs"), ("maps", "maps")):
            if row[key]:
                yield from listed(paint(f"{label}:", "dim"), row[key], indent=6, width=width)
        if row["earliest_kernel"]["because"]:
            yield from listed(paint("needs:", "dim"), row["earliest_kernel"]["because"], indent=6, width=width)


def _maps(one: Mapping[str, Any], paint: Paint) -> Iterable[str]:
    rows = [
        (
            row["name"],
            row["type"] or "unknown",
            row["key_size"],
            row["value_size"],
            row["max_entries"],
            f"{row['flags']:#x}" if row["flags"] else None,
            row["pinning"] if row["pinning"] != "none" else None,
            row["origin"],
        )
        for row in one["maps"]
    ]
    head = ("map", "type", "key", "value", "entries", "flags", "pinned", "origin")
    yield from _block(table(head, rows, paint, right=(2, 3, 4, 5)))
