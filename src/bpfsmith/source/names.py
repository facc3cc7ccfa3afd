"""What a path in a Rust file means: `Xdp` -> `aya::programs::Xdp`, through `use`, renames, globs and modules.

Only what is certain is answered; None otherwise. Globs of crates we know (`aya::programs::*`) answer for the names in
`AYA_NAMES`; any other foreign glob answers for nothing, since nothing here reads dependencies.
"""

from __future__ import annotations

from bpfsmith.source._aya_names import AYA_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.source.rust import Item, SourceFile

__all__ = ["canonical", "resolve", "resolve_attr", "resolve_from"]

_KNOWN_CRATES = frozenset(
    {
        *("aya", "aya_bpf", "aya_bpf_macros", "aya_build", "aya_ebpf", "aya_ebpf_macros", "aya_log", "aya_log_common"),
        *("aya_log_ebpf", "aya_obj", "alloc", "anyhow", "core", "std", "tokio"),
    }
)
_DEPTH = 12  # renames of renames; more is a cycle


def canonical(path: str) -> str:
    """Aya's public name for a path: `aya::programs::xdp::Xdp` and `aya::programs::Xdp` are the same type."""
    parts = path.split("::")
    if len(parts) < 4:
        return path
    if parts[0] in ("aya", "aya_ebpf", "aya_bpf") and parts[1] in ("maps", "programs", "btf_maps"):
        for at in range(2, len(parts)):
            if parts[at][:1].isupper():
                return "::".join([*parts[:2], *parts[at:]])
    return path


def resolve(file: SourceFile, path: str, item: Item | None = None) -> str | None:
    """The absolute, canonical path of `path` as written in `item` of `file` (None: at the top of the file)."""
    return _resolved(file, path, item.id if item is not None else -1)


def _resolved(file: SourceFile, path: str, scope: int) -> str | None:
    while scope >= 0 and file.items[scope].kind not in ("fn", "mod"):
        scope = file.items[scope].parent_id
    key = (path, scope)
    if key not in file.cache:
        found = resolve_from(file, path, scope, 0)
        file.cache[key] = canonical(found) if found is not None else None
    answer: str | None = file.cache[key]
    return answer


def resolve_attr(file: SourceFile, path: str, item: Item) -> str | None:
    """The path of an attribute on `item`; names are those visible where the item stands."""
    return _resolved(file, path, item.parent_id)


def resolve_from(  # noqa: PLR0911 - one return for each way a path may start
    file: SourceFile, path: str, scope: int, depth: int
) -> str | None:
    """As `resolve`, from an item id (-1: the file)."""
    if depth > _DEPTH or not path or path.startswith("<>"):
        return None
    first, _, rest = path.partition("::")
    if not first:  # `::aya::..`
        return _external(file, rest)
    if first in ("crate", "self", "super"):
        return _relative(file, path, scope, depth)
    if first == "Self":
        return None
    for at in _scopes(file, scope):
        found = _in_scope(file, first, at, depth)
        if found is not None:
            if found == _AMBIGUOUS:
                return None
            return _follow(file, f"{found}::{rest}" if rest else found, depth)
        if at == -1 or file.items[at].kind == "mod":
            break  # names of outer modules are not visible
    if rest or first in ("std", "core", "alloc"):
        return _external(file, path)
    return None


_AMBIGUOUS = "?"


def _scopes(file: SourceFile, scope: int) -> list[int]:
    out = []
    while scope >= 0:
        if file.items[scope].kind in ("fn", "mod"):
            out.append(scope)
        scope = file.items[scope].parent_id
    return [*out, -1]


def _module_of(file: SourceFile, scope: int) -> tuple[str, ...]:
    inner: list[str] = []
    while scope >= 0:
        if file.items[scope].kind == "mod":
            inner.append(file.items[scope].name)
        scope = file.items[scope].parent_id
    return (*file.module, *reversed(inner))


def _in_scope(file: SourceFile, name: str, scope: int, depth: int) -> str | None:
    """What `name` is called absolutely if this scope itself says so: by `use`, by an item, by a glob."""
    path = file.native.use_in(scope, name)
    if path is not None:
        if path == name:
            return _external(file, name)
        return resolve_from(file, path, scope, depth + 1) or _AMBIGUOUS
    item = file.native.item_in(scope, name)
    if item >= 0:
        return name if file.items[item].kind == "extern_crate" else "::".join(["crate", *_module_of(file, scope), name])
    if not file.native.globs(scope):
        return None
    # Modules that bring in each other's names (`use super::*` and back) are asked once for a name: what the second
    # asking would find, the first one hands up.
    asked: set[tuple[int, int, str]] = _shared(file).setdefault("globs asked", set())
    outermost = not asked
    this = (id(file), scope, name)
    if this in asked:
        return None
    asked.add(this)
    try:
        return _by_globs(file, name, scope, depth)
    finally:
        if outermost:
            asked.clear()


def _by_globs(file: SourceFile, name: str, scope: int, depth: int) -> str | None:
    found = None
    for module in _globs(file, scope, depth):
        if module == "crate" or module.startswith("crate::"):
            hit = _in_module(file, module, name, depth + 1)
        else:
            hit = f"{module}::{name}" if name in AYA_NAMES.get(module, ()) else None
        if hit is not None and found is not None and canonical(hit) != canonical(found):
            return _AMBIGUOUS
        found = hit or found
    return found


def _globs(file: SourceFile, scope: int, depth: int) -> list[str]:
    """The modules whose names a scope brings in, found out once. While that goes on only those before are known: the
    head of a glob's own path is not looked for in that glob."""
    key = ("globs", scope)
    made: list[str] | None = file.cache.get(key)
    if made is None:
        made = file.cache[key] = []
        for glob in file.native.globs(scope):
            module = resolve_from(file, glob, scope, depth + 1)
            if module is not None:
                made.append(module)
    return made


def _shared(file: SourceFile) -> dict[Any, Any]:
    """What is remembered for all files of the crate."""
    files = file.crate.files if file.crate is not None and file.crate.files else [file]
    return files[0].cache


def _in_module(file: SourceFile, module: str, name: str, depth: int) -> str | None:
    if depth > _DEPTH:
        return None
    place = _place(file, tuple(module.split("::")[1:]))
    if place is None:
        return None
    other, scope = place
    found = _in_scope(other, name, scope, depth)
    return None if found == _AMBIGUOUS else found


def _place(file: SourceFile, module: tuple[str, ...]) -> tuple[SourceFile, int] | None:
    """The file and `mod` item of a module of the same crate root."""
    return _places(file).get(module)


def _places(file: SourceFile) -> dict[tuple[str, ...], tuple[SourceFile, int]]:
    """Module path -> file and `mod` item, of the whole crate root; made once."""
    files = file.crate.files if file.crate is not None and file.crate.files else [file]
    cache = files[0].cache
    key = ("places", file.root, len(files))
    made: dict[tuple[str, ...], tuple[SourceFile, int]] | None = cache.get(key)
    if made is None:
        made = cache[key] = {}
        for other in files:
            if other.root != file.root:
                continue
            made.setdefault(other.module, (other, -1))
            inner: dict[int, tuple[str, ...]] = {-1: other.module}
            for item in other.items_of_kind("mod"):
                outer = inner.get(item.parent_id)
                if outer is not None and item.body_end:
                    inner[item.id] = (*outer, item.name)
                    made.setdefault(inner[item.id], (other, item.id))
    return made


def _relative(file: SourceFile, path: str, scope: int, depth: int) -> str | None:
    parts = path.split("::")
    module = list(_module_of(file, scope))
    if parts[0] == "crate":
        module = []
    while parts and parts[0] in ("crate", "self", "super"):
        if parts[0] == "super":
            if not module:
                return None
            module.pop()
        parts.pop(0)
    return _follow(file, "::".join(["crate", *module, *parts]), depth)


def _follow(file: SourceFile, path: str, depth: int) -> str | None:
    """A path inside the crate to what it re-exports, a path outside as it is."""
    if path != "crate" and not path.startswith("crate::"):
        return path
    if depth > _DEPTH:
        return None
    parts = path.split("::")
    # The longest module prefix, then the name in it.
    for cut in range(len(parts) - 1, 0, -1):
        place = _place(file, tuple(parts[1:cut]))
        if place is None:
            continue
        other, scope = place
        found = _in_scope(other, parts[cut], scope, depth + 1)
        if found is None or found == _AMBIGUOUS or found == "::".join(parts[: cut + 1]):
            return path if found != _AMBIGUOUS else None
        return _follow(other, "::".join([found, *parts[cut + 1 :]]), depth + 1)
    return path


def _external(file: SourceFile, path: str) -> str | None:
    """A path that starts with a crate's name, by the package's own name where the dependency is renamed."""
    first, sep, rest = path.partition("::")
    if file.crate is not None:
        package = file.crate.dependency_crate(first)
        if package is not None:
            return package + sep + rest
        # What Aya's kernel crates were called until 2024: code that was not renamed with the dependency.
        if first.startswith("aya_bpf") and file.crate.dependency("aya-ebpf") is not None:
            return path
        # The package's own library, as its binaries see it.
        if first in ("std", "core", "alloc"):
            return path
        return path if first in _KNOWN_CRATES and not file.crate.manifest else None
    return path if first in _KNOWN_CRATES else None
