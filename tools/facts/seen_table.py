"""`seen.json` and `contexts.json`: what the stored answers of real kernels add to the facts."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from claims import Kernel, stored
from common import DATA, table_text
from probes import STRUCTS

LETTERS = {
    "present": "+", "absent": "-", "backport": "b", "config": "c", "withdrawn": "w", "unasked": "?",
    "contradicted": "!",
}  # fmt: skip


def seen() -> str:
    kernels = stored()
    rows: dict[tuple[str, str], dict[str, list[str]]] = {}
    without: dict[tuple[str, str], dict[str, str]] = {}
    letters: dict[tuple[str, str, str], dict[str, str]] = {}
    for data in kernels:
        for one in Kernel(data).rows():
            letters.setdefault((one.kind, one.name, one.where), {})[one.series] = LETTERS[one.state]
            if one.without:
                without.setdefault((one.kind, one.name), {})[one.series] = one.without
    order = [data["kernel"]["series"] for data in kernels]
    for (kind, name, where), found in letters.items():
        text = "".join(found.get(series, "-") for series in order)
        if text.strip("-"):
            rows.setdefault((kind, name), {}).setdefault(text, []).append(where)
    out = [
        (kind, name, list(groups.items()), sorted(without.get((kind, name), {}).items()))
        for (kind, name), groups in rows.items()
    ]
    head = [
        tuple(data["kernel"][part] for part in ("series", "release", "package", "arch", "date")) for data in kernels
    ]
    columns = (
        "kernels: series, release, package, machine, day; rows: kind, name, answers, missing options; an answer: a "
        "letter per kernel, then the program types (or map types) it holds for: + there, - not, b there before the "
        "first kernel claimed, c not there for want of an option, w withdrawn by a later release, ? cannot be asked"
    )
    return table_text("what real kernels answered", columns, kernels=head, rows=out)


# ---------------------------------------------------------------- contexts


def accesses(data: dict[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    """(program type, attach type or "") -> field -> widths, of one kernel; one entry per attach type that is known."""
    kernel = Kernel(data)
    out: dict[tuple[str, str], dict[str, str]] = {}
    for variant in kernel.helpers:
        words = variant.split()
        if words[0] not in STRUCTS or words[-1] == "sleepable" or not kernel.known(variant):
            continue
        first = data["contexts"].get(words[0], {})
        out[words[0], words[1] if len(words) > 1 else ""] = first | data["contexts"].get(variant, {})
    return out


def contexts() -> str:
    kernels = stored()
    layouts: dict[str, list[list[Any]]] = json.loads((DATA / "contexts.json").read_text())
    born: dict[str, list[str]] = tomllib.loads((DATA / "contexts.toml").read_text())["fields"]
    found = {data["kernel"]["series"]: accesses(data) for data in kernels}
    rows = []
    for struct, fields in layouts.items():
        words = [word for word, name in STRUCTS.items() if name == struct]
        for field, offset, size in fields:
            # How it changed from kernel to kernel, in each type and attach type.
            steps: dict[tuple[tuple[str, str], ...], list[tuple[str, str]]] = {}
            places = sorted({place for table in found.values() for place in table if place[0] in words})
            for place in places:
                plain = (place[0], "")
                tables = [table for table in found.values() if place in table]
                # An attach type whose fields are always those of the type without one is no case of its own.
                if all(plain in table and table[place].get(field) == table[plain].get(field) for table in tables):
                    path = _path(found, plain, field)
                else:
                    path = _path(found, place, field)
                if path:
                    steps.setdefault(tuple(path), []).append(place)
            uses = [(_places(found, places), [list(step) for step in path]) for path, places in steps.items()]
            name = f"{struct}.{field.partition('[')[0]}"
            since, source = born.get(name, ("", ""))
            asked = f"asked of {', '.join(found)}"
            text = f"knowledge: {source}; {asked}" if source else f"{asked}; not later than the first of them"
            base, element = _element(field)
            last = rows[-1] if rows else None
            if element and last is not None and last[0] == struct and last[5] == uses and _element(last[1])[0] == base:
                # The next element of the same array, used alike.
                first = _element(last[1])[1].split("-")[0]
                rows[-1] = (struct, f"{base}[{first}-{element}]", last[2], last[3] + size, since, uses, text)
            else:
                rows.append((struct, field, offset, size, since, uses, text))
    columns = (
        "structure, field, offset, size, since, uses, source; a use: (program type, its attach types, none = all), "
        "then (kernel from which on it was seen so, widths in bytes it is read `r` and written `w` with)"
    )
    return table_text("fields of contexts", columns, rows=rows)


def _path(found: dict[str, Any], place: tuple[str, str], field: str) -> list[tuple[str, str]]:
    """(kernel, widths) where they change."""
    path: list[tuple[str, str]] = []
    for series, table in found.items():
        now = table[place].get(field, "") if place in table else None
        if now is not None and now != (path[-1][1] if path else ""):
            path.append((series, now))
    return path


def _element(field: str) -> tuple[str, str]:
    """(`cb`, `4`) of `cb[4]`; no element: ("", "")."""
    base, found, element = field.partition("[")
    return (base, element.rstrip("]")) if found else ("", "")


def _places(found: dict[str, Any], places: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Attach types by program type; no list where it is the same for all of them."""
    every: dict[str, set[str]] = {}
    for table in found.values():
        for word, attach in table:
            every.setdefault(word, set()).add(attach)
    out: dict[str, list[str]] = {}
    for word, attach in places:
        out.setdefault(word, []).append(attach)
    return [(word, [] if set(some) == every[word] else sorted(a for a in some if a)) for word, some in out.items()]
