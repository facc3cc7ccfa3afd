"""`doctor` for a person: what works in one line per family, what does not with the reason. A view of the JSON
document."""

from __future__ import annotations

from bpfsmith.render.inspect_table import Paint, listed, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

_MARKS = {"ok": ("ok", "green"), "missing": ("missing", "red"), "note": ("note", "yellow")}
_FAMILIES = (
    ("program_types", "program types"),
    ("map_types", "map types"),
    ("attach_types", "attach types"),
    ("link_types", "link types"),
    ("features", "features"),
)


def render(document: Mapping[str, Any], *, color: bool = False, width: int = 100, verbose: bool = False) -> str:
    """The text for a whole document; `verbose` names what works, and each type's helpers."""
    paint = Paint(color)
    return "\n".join(_lines(document, paint, width, verbose)) + "\n"


def cleaned(document: Mapping[str, Any], *, color: bool = False) -> str:
    """What was left behind and what became of it, alone."""
    lines = list(_left(document["left"], Paint(color)))[1:]
    return "\n".join(lines or ["nothing was left behind by processes of bpfsmith"]) + "\n"


def _lines(document: Mapping[str, Any], paint: Paint, width: int, verbose: bool) -> Iterator[str]:
    group = ""
    for check in document["checks"]:
        if check["group"] != group:
            if group:
                yield ""
            group = check["group"]
            yield paint(group, "bold")
        mark, style = _MARKS[check["status"]]
        yield f"  {paint(mark.ljust(7), style)}  {check['name']}: {printable(check['detail'])}"
        if check["command"]:
            yield f"           {paint('get it with', 'dim')} `{check['command']}`"
    for key, words in _FAMILIES:
        yield ""
        yield from _family(words, document[key], paint, width, verbose)
    if document["helpers"]:
        yield ""
        yield from _helpers(document["helpers"], paint, width, verbose)
    yield from _left(document["left"], paint)
    yield ""
    yield _verdict(document, paint)


def _family(words: str, rows: Sequence[Mapping[str, Any]], paint: Paint, width: int, verbose: bool) -> Iterator[str]:
    there = [row["name"] for row in rows if row["status"] == "yes"]
    yield f"{paint(words, 'bold')}: {len(there)} of {len(rows)}"
    if verbose and there:
        yield from listed(paint("yes:", "green"), there, indent=2, width=width)
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] != "yes":
            reasons.setdefault(row["why"], []).append(row["name"])
    for why, names in reasons.items():
        label = f"{paint('no:', 'yellow')} {why}:"
        if len(why) <= 30 or len(why) + sum(len(name) + 2 for name in names) < width - 8:
            yield from listed(label, names, indent=2, width=width * 2 if len(why) > 30 else width)
        else:
            yield f"  {label}"
            yield from listed(paint("-", "dim"), names, indent=6, width=width)


def _helpers(helpers: Mapping[str, Sequence[str] | None], paint: Paint, width: int, verbose: bool) -> Iterator[str]:
    asked = {name: found for name, found in helpers.items() if found is not None}
    every = {one for found in asked.values() for one in found}
    yield f"{paint('helpers', 'bold')}: {len(every)} can be called, by some type of program"
    if not verbose:
        counts = [f"{name} {len(found)}" for name, found in asked.items()]
        yield from listed(paint("per type:", "dim"), counts, indent=2, width=width)
        return
    for name, found in asked.items():
        yield from listed(f"{name}:", [one.removeprefix("bpf_") for one in found], indent=2, width=width)


def _left(rows: Sequence[Mapping[str, Any]], paint: Paint) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield paint("left behind by processes of bpfsmith that were killed", "bold")
    for row in rows:
        said = row["outcome"] or "still there"
        yield f"  {printable(row['what'])} (process {row['pid']}): {said}"
    if any(not row["outcome"] for row in rows):
        yield "  `sudo bpfsmith doctor --clean` removes it"


def _verdict(document: Mapping[str, Any], paint: Paint) -> str:
    missing = sum(check["status"] == "missing" for check in document["checks"])
    if not document["usable"]:
        return paint("this user can load no eBPF program here; see what is missing above", "red")
    if missing:
        return f"programs can be loaded; {missing} thing{'s are' if missing != 1 else ' is'} missing"
    return paint("everything is there", "green")
