"""`lab list` for a person: what is here, what it lacks, what can be had. A view of the JSON document."""

from __future__ import annotations

from bpfsmith.render.inspect_table import Paint, printable, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

# What differs between kernels that people ship to; the JSON document has all.
_SHOWN = ("lsm", "kprobes", "fprobe", "netkit", "sched_ext")


def render(document: Mapping[str, Any], *, color: bool = False) -> str:
    """The text for a whole document."""
    return "\n".join(_lines(document, Paint(color))) + "\n"


def _lines(document: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    kernels = document["kernels"]
    if kernels:
        yield paint("here", "bold")
        rows = [_row(one) for one in kernels]
        yield from table(("kernel", "release", "package", "BTF", *_SHOWN, "size"), rows, paint, right=(9,))
        for one in kernels:
            for lack in one["lacks"]:
                yield f"  {paint(printable(one['name']), 'bold')}: {printable(lack['lost'])}"
    else:
        yield "no kernel is prepared"
        yield "  get the default ones with `bpfsmith lab get` (5 kernels, 190 MB to download, one minute)"
    yield ""
    yield paint("can be had", "bold")
    here = {one["name"] for one in kernels}
    yield from _offered(document["offered"], here, paint)
    yield ""
    where = f"{document['folder']}: {_megabytes(document['size'])}"
    yield f"{printable(where)}; `bpfsmith lab get 6.12`, `lab add FILE...`, `lab remove NAME`"


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    features = one["features"]
    cells = [_cell(features[word]) if features is not None else "?" for word in _SHOWN]
    types = "yes" if one["btf"] else "no"
    return (one["name"], one["release"], one["package"] or None, types, *cells, _megabytes(one["size"]))


def _cell(value: str | None) -> str:
    return {"y": "yes", "m": "module", None: "no"}.get(value, str(value))


def _offered(rows: Sequence[Mapping[str, Any]], here: set[str], paint: Paint) -> Iterator[str]:
    cells = []
    for row in rows:
        notes = ["default"] * row["default"] + ["here"] * (row["series"] in here)
        notes += ["without modules and configuration"] * (row["modules"] is False)
        size = _megabytes(row["download"]) if row["download"] else None
        cells.append((row["series"], row["package"] or None, row["suite"] or None, size, ", ".join(notes)))
    yield from table(("series", "newest", "in", "download", ""), cells, paint, right=(3,))
    if any(not row["release"] for row in rows):
        yield "  `-`: no index with it was read yet; `bpfsmith lab list --refresh` reads all"


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size // 10**6} MB"
