"""The edit for maps of aya 0.11, which were locked at run time and owned by whoever had asked for them."""

from __future__ import annotations

from collections import Counter

from bpfsmith.model.finding import Fix
from bpfsmith.rules._rust import EBPF, called_on, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.finding import Edit
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules.moves._table import EditKind, Hit
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.rust import Expr, SourceFile

__all__ = ["asked", "asked_maps", "owned_maps", "where_spawned"]


def where_spawned(edit: EditKind) -> EditKind:
    """An edit for files that hand things to tasks or threads, which can borrow nothing."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file = hit.file
        if file is None or not any(True for _ in (*file.calls("spawn"), *file.methods("spawn"))):
            return None
        return edit(hit, ctx)

    return make


def owned_maps(hit: Hit, ctx: CheckContext) -> Fix | None:
    """`MapRefMut` -> `MapData`, and the maps that are opened in the file are taken; None where one is asked for "
    "twice."""
    file = hit.file
    if file is None or not hit.places or any(use.name == "MapData" for use in file.uses):
        return None
    if any(use.name in ("MapRef", "MapRefMut") and use.renamed for use in file.uses):
        return None
    edits: list[Edit] = []
    both = {use.path.rpartition("::")[2] for use in file.uses} >= {"MapRef", "MapRefMut"}
    if both:
        return None  # the two imports would become one name
    edits = [replace(ctx, file, one.start, one.end, "MapData") for one in hit.places]
    names: list[str] = []
    for call in file.methods("map", "map_mut"):
        if len(call.args) != 1 or not called_on(call, EBPF) or not _opened(call):
            continue
        names.append(call.args[0].text)
        edits.append(replace(ctx, file, call.fields[2], call.fields[3], "take_map"))
    if not names or len(set(names)) != len(names) or _asked_elsewhere(file, names):
        return None
    return Fix("unsafe", "own the maps: `MapData`, and `take_map`", edits)


def _opened(call: Expr) -> bool:
    """Given to `try_from`, or turned by `try_into`."""
    at = call
    parent = at.parent
    while parent is not None and parent.stripped() == call:
        at, parent = parent, parent.parent
    if parent is None:
        return False
    if parent.kind == "method":
        return parent.name == "try_into" and parent.receiver == at
    callee = parent.callee
    return callee is not None and callee.path.rpartition("::")[2] == "try_from"


def _asked_elsewhere(file: SourceFile, names: list[str]) -> bool:
    """Whether another file of the crate asks for one of the maps, which is then not there any more."""
    if file.crate is None:
        return False
    own = asked(file)
    every = asked_maps(file.crate)
    return any(every[name] > own[name] for name in names)


def asked(file: SourceFile) -> Counter[str]:
    """How often each map is asked for, by what is written between the brackets."""
    found: Counter[str] | None = file.cache.get("asked maps")
    if found is None:
        found = file.cache["asked maps"] = Counter(
            call.args[0].text for call in file.methods("map", "map_mut", "take_map") if call.args
        )
    return found


def asked_maps(crate: Crate) -> Counter[str]:
    """The same for all files of a crate."""
    cache = crate.project.cache if crate.project is not None else {}
    key = ("asked maps", crate.folder)
    found: Counter[str] | None = cache.get(key)
    if found is None:
        found = cache[key] = Counter()
        for file in crate.files:
            found.update(asked(file))
    return found
