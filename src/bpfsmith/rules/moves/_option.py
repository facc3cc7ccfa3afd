"""Edits of what aya 0.12 changed about looking up maps: an `Option` instead of a `Result`, borrows instead of locks."""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._rust import replace
from bpfsmith.rules.moves._maps import asked, asked_maps
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.finding import Edit
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._rust import Mention
    from bpfsmith.rules.moves._table import EditKind, Hit
    from bpfsmith.source.rust import Expr

__all__ = ["as_some", "map_data", "or_error"]

# What holds its map in a task of its own: a borrowed one does not live long enough.
_OWNERS = ("AsyncPerfEventArray", "PerfEventArray", "RingBuf")
_REFERENCES = {"MapRef": "&", "MapRefMut": "&mut "}


def as_some(hit: Hit, ctx: CheckContext) -> Fix | None:
    """`if let Ok(map) = ..` -> `Some(map)`; `.map_err(|_| error)` -> `.ok_or_else(|| error)`; `.is_ok()` -> "
    "`.is_some()`."""
    call, file = hit.expr, hit.file
    parent = call.parent if call is not None else None
    if call is None or file is None or parent is None or call.kind != "method":
        return None
    if parent.kind == "let" and file.text.startswith("Ok(", parent.fields[0]):
        start = parent.fields[0]
        return Fix("safe", "write `Some(..)`", [replace(ctx, file, start, start + 2, "Some")])
    if parent.kind != "method":
        return None
    start, end = parent.fields[2], parent.fields[3]
    asked = {"is_ok": "is_some", "is_err": "is_none"}.get(parent.name)
    if asked is not None:
        return Fix("safe", f"call `{asked}`", [replace(ctx, file, start, end, asked)])
    closure = parent.args[0] if parent.name == "map_err" and len(parent.args) == 1 else None
    if closure is None or closure.kind != "closure" or not closure.text.replace(" ", "").startswith("|_|"):
        return None
    bar = file.text.find("|", closure.start + 1)
    edits = [replace(ctx, file, start, end, "ok_or_else"), replace(ctx, file, closure.start, bar + 1, "||")]
    return Fix("safe", "call `ok_or_else`", edits)


def or_error() -> EditKind:
    """`map("X")?` -> `map("X").ok_or_else(..)?`, with an error that the function's own type takes."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        whole = hit.expr
        call = whole if whole is None or whole.kind == "method" else whole.inner
        if call is None or call.kind != "method" or hit.file is None:
            return None
        what = "program" if call.name.startswith("program") else "map"
        name = call.args[0].string
        said = f"no {what} `{name}`" if name is not None and _plain(name) else f"no such {what}"
        made = _error(call, said)
        if made is None:
            return None
        edits = [replace(ctx, hit.file, call.end, call.end, made)]
        if call.name == "map_mut" and _owned(call):
            start = call.fields[2]
            edits.insert(0, replace(ctx, hit.file, start, start + len("map_mut"), "take_map"))
        return Fix("safe", "say what is missing", edits)

    return make


def _plain(name: str) -> bool:
    return name.replace("_", "").replace("/", "").replace("-", "").isalnum()


def _error(call: Expr, said: str) -> str | None:
    """What makes a `Result` of it; None where the error type of the function is not one that takes a text."""
    item, file = call.item, call.file
    if item is None or file.crate is None:
        return None
    name, _, rest = item.type.partition("<")
    path = resolve(file, name.strip(), item.parent)
    error = rest.rstrip("> ").rpartition(",")[2].strip() if "," in rest else ""
    anyhow = path == "anyhow::Result" or (error and resolve(file, error, item.parent) == "anyhow::Error")
    if anyhow and file.crate.dependency("anyhow") is not None:
        return f'.ok_or_else(|| anyhow::anyhow!("{said}"))'
    if rest.rpartition(",")[2].strip().startswith("Box<dyn ") and "Error" in rest.rpartition("dyn ")[2]:
        return f'.ok_or("{said}")'
    return None


def _owned(call: Expr) -> bool:
    """Whether the map goes into something that lives in tasks, and is looked up nowhere else."""
    around = next((one for one in call.ancestors() if one.kind == "call"), None)
    callee = around.callee if around is not None else None
    if callee is None or callee.kind != "path":
        return False
    owner, _, function = callee.path.rpartition("::")
    if function != "try_from" or owner.rpartition("::")[2] not in _OWNERS:
        return False
    crate = call.file.crate
    return (asked_maps(crate) if crate is not None else asked(call.file))[call.args[0].text] == 1


def map_data() -> EditKind:
    """`HashMap<MapRefMut, K, V>` -> `HashMap<&mut MapData, K, V>`, in the types of locals and parameters."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file = hit.file
        if file is None or resolve(file, "MapData") == "aya::maps::MapData":
            return None  # two imports of one name would not compile
        edits: list[Edit] = []
        for one in hit.places:
            reference = _REFERENCES.get(one.text)
            if reference is None or not (one.use or _elided(one)):
                return None
            edits.append(replace(ctx, file, one.start, one.end, "MapData" if one.use else f"{reference}MapData"))
        other = [name for name in _REFERENCES if name != hit.words["old"] and file.has(name)]
        return Fix("safe", "borrow the map's data", edits) if edits and not _both(other, hit) else None

    return make


def _both(other: list[str], hit: Hit) -> bool:
    """Whether `MapRef` and `MapRefMut` are both imported: both would become one name."""
    file = hit.file
    return file is not None and any(use.name in other for use in file.uses)


def _elided(one: Mention) -> bool:
    """In a function, outside of what it returns: no lifetime has to be named."""
    item = one.item
    if item is None or item.kind != "fn":
        return False
    return not item.type_start <= one.start < item.type_start + len(item.type)
