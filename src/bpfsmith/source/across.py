"""Names across the crates of a project: what a path means and which item it names, through path dependencies.

`names.resolve` stays in one crate; here `use demo_common::*` and `demo_common::Flow` lead to the struct itself. Two
items of one name (two `cfg` variants) are none: which one it is cannot be told.
"""

from __future__ import annotations

from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.rust import Item, SourceFile, Use

__all__ = ["constant_item", "crate_of", "item_across", "resolve_across"]

_TYPES = frozenset({"struct", "enum", "union", "type", "trait"})
_VALUES = frozenset({"const", "static", "fn"})
_DEPTH = 8
_MACRO = frozenset({"macro", "macro_rules"})


def crate_of(file: SourceFile, name: str) -> Crate | None:
    """The crate of the project that a name in code stands for: a path dependency, or the package's own library."""
    crate = file.crate
    if crate is None or crate.project is None:
        return None
    for one in crate.dependencies:
        if one.alias.replace("-", "_") == name or one.package.replace("-", "_") == name:
            for other in crate.project.all_crates:
                if other.folder == one.path:
                    return other
    return crate if crate.name.replace("-", "_") == name else None


def _library(crate: Crate) -> SourceFile | None:
    """The root file of a crate's library."""
    roots = [file for file in crate.files if file.path == file.root]
    for file in roots:
        if file.path.endswith("lib.rs"):
            return file
    return roots[0] if len(roots) == 1 else None


def resolve_across(file: SourceFile, path: str, item: Item | None = None) -> str | None:
    """As `names.resolve`, and through globs of the project's other crates."""
    found = resolve(file, path, item)
    if found is not None or not path or path.startswith(("<", "::", "crate::", "self::", "super::", "Self")):
        return found
    key = ("across", path, item.id if item is not None else -1)
    if key not in file.cache:
        file.cache[key] = _through_globs(file, path, item)
    answer: str | None = file.cache[key]
    return answer


def _module(file: SourceFile, use: Use) -> str | None:
    """The module that a glob names: `use demo_common::*` names the crate itself."""
    found = resolve(file, use.path, file.item_at(use.owner))
    if found is None and "::" not in use.path and crate_of(file, use.path) is not None:
        return use.path
    return found


def _through_globs(file: SourceFile, path: str, item: Item | None) -> str | None:
    scopes = {-1}
    at = item
    while at is not None:
        scopes.add(at.id)
        at = at.parent
    first, _, rest = path.partition("::")
    if rest and item_across(file, path) is not None:
        return path  # the package's own library
    found: set[str] = set()
    for use in file.uses:
        if use.owner not in scopes:
            continue
        if use.name == first and not use.glob:
            whole = f"{use.path}::{rest}" if rest else use.path
            return whole if item_across(file, whole) is not None else None
        if not use.glob:
            continue
        module = _module(file, use)
        if module is None or module.startswith("crate"):
            continue
        if item_across(file, f"{module}::{first}") is not None:
            found.add(f"{module}::{path}")
    return found.pop() if len(found) == 1 else None


def item_across(file: SourceFile, path: str | None, values: bool = False, depth: int = 0) -> Item | None:
    """The type (or const, static, fn with `values`) that an absolute path names, in whichever crate it stands."""
    if path is None or "::" not in path or depth > _DEPTH:
        return None
    first, _, rest = path.partition("::")
    if first == "crate":
        return _own(file, path, values, depth)
    crate = crate_of(file, first)
    root = _library(crate) if crate is not None else None
    if root is None:
        return None
    inner = resolve(root, f"crate::{rest}")
    if inner is None:
        return None
    if inner.startswith("crate::"):
        return _own(root, inner, values, depth)
    return item_across(root, inner, values, depth + 1)


def _own(file: SourceFile, path: str, values: bool, depth: int) -> Item | None:
    crate = file.crate
    if crate is None or crate.project is None:
        return item_of(file, path)
    key = ("items", crate.folder, file.root)
    index: dict[tuple[str, bool], Item | None] | None = crate.project.cache.get(key)
    if index is None:
        index = crate.project.cache[key] = _index(crate, file.root)
    if (path, values) in index:
        return index[path, values]
    # `pub use other_crate::*` in a module of this one.
    head, _, name = path.rpartition("::")
    if depth < _DEPTH:
        for other in crate.files:
            if other.root == file.root and "::".join(["crate", *other.module]) == head:
                found = resolve_across_glob(other, name)
                if found is not None and found != path:
                    return item_across(other, found, values, depth + 1)
    return None


def resolve_across_glob(file: SourceFile, name: str) -> str | None:
    """What a public glob of the file's top brings in under `name`."""
    found: set[str] = set()
    for use in file.uses:
        if use.glob and use.public and use.owner == -1:
            module = _module(file, use)
            if (
                module is not None
                and not module.startswith("crate")
                and item_across(file, f"{module}::{name}") is not None
            ):
                found.add(f"{module}::{name}")
    return found.pop() if len(found) == 1 else None


def _index(crate: Crate, root: str) -> dict[tuple[str, bool], Item | None]:
    """Every type and value of a crate by its path; None where two have the same."""
    index: dict[tuple[str, bool], Item | None] = {}
    for file in crate.files:
        if file.root != root:
            continue
        modules = ["::".join(["crate", *file.module])]
        for item in file.items:
            parent = item.parent_id
            while len(modules) <= item.id + 1:
                modules.append("")
            outer = modules[parent + 1]
            if item.kind == "mod":
                modules[item.id + 1] = f"{outer}::{item.name}" if outer else ""
            if not outer or item.kind not in _TYPES | _VALUES:
                continue
            key = (f"{outer}::{item.name}", item.kind in _VALUES)
            if key in index:
                known = index[key]
                if known is not None and file.in_test(item):
                    continue
                if known is None or not known.file.in_test(known):
                    index[key] = None
                    continue
            index[key] = item
    return index


def constant_item(file: SourceFile, path: str, item: Item | None) -> Item | None:
    """The `const` or `static` that a path as written names."""
    found = item_across(file, resolve_across(file, path, item), values=True)
    if found is None and "::" not in path and resolve(file, path, item) is None:
        # Glob imports of values.
        for use in file.uses:
            if use.glob:
                module = _module(file, use)
                hit = item_across(file, f"{module}::{path}", values=True) if module is not None else None
                if hit is not None:
                    return hit
    return found
