"""The folder of a project, walked once: manifests, which workspace each belongs to, lock files, and what went wrong.

Target, hidden and vendored folders are not entered, links are not followed, and nothing outside of the root is read but
the manifests above it, which say where the root is.
"""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError
from bpfsmith.read.overlay import opened
from bpfsmith.source.lock import Lock
from bpfsmith.source.manifest import salvage, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.source.rust import Item, SourceFile

__all__ = ["Tree", "read_tree"]

_SKIPPED = frozenset({"target", "node_modules", "__pycache__", "vendor"})
_CLAIMS_ALL: dict[str, Any] = {"workspace": {"members": ["**"]}}


class Tree:
    """What was found below `root`.

    `datas`: folder -> its manifest; `workspaces`: folder -> that of its workspace (its own without one); `broken`: the
    folders whose manifest could be read in part only; `others`: files that are neither Rust nor manifests.
    """

    __slots__ = (
        "broken", "datas", "errors", "missing", "others", "outside", "root", "unread", "without_lock", "workspaces",
    )  # fmt: skip

    def __init__(self, root: str) -> None:
        self.root = root
        self.datas: dict[str, dict[str, Any]] = {}
        self.workspaces: dict[str, str] = {}
        self.broken: dict[str, InputError] = {}
        self.others: list[str] = []
        self.errors: list[BpfsmithError] = []
        self.unread: list[InputError] = []  # folders
        self.without_lock: list[str] = []
        self.missing: list[tuple[SourceFile, Item, list[str]]] = []
        self.outside: list[tuple[SourceFile, Item, str]] = []

    def inside(self, path: str) -> bool:
        """Whether a path lies in the project, by its name."""
        return path == self.root or path.startswith(self.root.rstrip(os.sep) + os.sep)

    def lock(self, workspace: str) -> Lock:
        """Its lock file; an empty one where there is none or it cannot be read."""
        path = os.path.join(workspace, "Cargo.lock")
        if not os.path.lexists(path):
            self.without_lock.append(workspace)
            return Lock()
        try:
            return Lock(path)
        except InputError as error:
            self.errors.append(
                InputError(error.message, error.where, "correct it, or let `cargo generate-lockfile` write it anew")
            )
            return Lock()

    def unreadable(self, path: str, error: OSError) -> None:
        """Notes a file that could not be read."""
        name = shown(path)
        said = (error.strerror or str(error)).lower()
        self.errors.append(InputError(f"cannot read `{name}`: {said}", where=name, hint="check its permissions"))

    def fail(self) -> None:
        """For a project that seems not to be about Aya: perhaps only because its manifest cannot be read."""
        for folder, error in self.broken.items():
            if folder == self.root or speaks_of_aya(os.path.join(folder, "Cargo.toml")):
                raise error


def read_tree(start: str) -> Tree:
    """The project around a folder."""
    known: dict[str, tuple[dict[str, Any], InputError | None]] = {}
    tree = Tree(_root(start, known))
    for folder in _walk(tree):
        data, error = known.get(folder) or salvage(os.path.join(folder, "Cargo.toml"))
        tree.datas[folder] = data
        if error is not None:
            tree.broken[folder] = error
    for folder in tree.broken:
        # Nothing could be saved: that it is (or may well be) a workspace still counts for what lies below.
        if not tree.datas[folder] and (
            folder == tree.root or _mentions(os.path.join(folder, "Cargo.toml"), b"[workspace")
        ):
            tree.datas[folder] = _CLAIMS_ALL
        table = tree.datas[folder].get("workspace")
        if isinstance(table, dict) and "members" not in table:
            table["members"] = ["**"]  # they may have stood where it is broken
    tree.workspaces = _workspaces(tree)
    for folder, error in tree.broken.items():
        # A broken manifest that no workspace lists and that is not ours (test data) breaks nothing.
        member = folder == tree.root or tree.workspaces[folder] != folder
        if member or speaks_of_aya(os.path.join(folder, "Cargo.toml")):
            tree.errors.append(error)
    tree.errors.extend(tree.unread)
    return tree


def speaks_of_aya(manifest: str) -> bool:
    """Whether a file has the word, however broken it is."""
    return _mentions(manifest, b"aya")


def _mentions(path: str, word: bytes) -> bool:
    try:
        with opened(path) as file:
            return word in file.read(1 << 20)
    except OSError:
        return False


def _root(start: str, known: dict[str, tuple[dict[str, Any], InputError | None]]) -> str:
    """The outermost workspace that claims the folder, else the nearest package, else the folder itself."""
    at = start
    nearest = None
    while True:
        manifest = os.path.join(at, "Cargo.toml")
        if os.path.isfile(manifest):
            nearest = nearest or at
            known[at] = salvage(manifest)
            data = known[at][0]
            if isinstance(data.get("workspace"), dict) and (at == nearest or claims(at, data, nearest)):
                return at
            pointed = _pointed(at, data) if at == nearest else None
            if pointed is not None and _within(at, pointed) and os.path.isfile(os.path.join(pointed, "Cargo.toml")):
                known[pointed] = salvage(os.path.join(pointed, "Cargo.toml"))
                return pointed
        parent = os.path.dirname(at)
        if parent == at:
            return nearest or start
        at = parent


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _pointed(folder: str, data: dict[str, Any]) -> str | None:
    """`package.workspace`: the folder of the workspace, named by the member."""
    package = data.get("package")
    value = package.get("workspace") if isinstance(package, dict) else None
    return os.path.normpath(os.path.join(folder, value)) if isinstance(value, str) else None


def claims(root: str, data: dict[str, Any], folder: str) -> bool:
    """Whether a folder is a member of the workspace: listed, or not excluded and below its root package."""
    relative = os.path.relpath(folder, root).replace(os.sep, "/")
    if relative.startswith("..") or _excluded(data, relative):
        return False
    workspace = data.get("workspace")
    table: dict[str, Any] = workspace if isinstance(workspace, dict) else {}
    return any(matches(relative, one) for one in strings(table.get("members"))) or isinstance(data.get("package"), dict)


def _excluded(data: dict[str, Any], relative: str) -> bool:
    workspace = data.get("workspace")
    table: dict[str, Any] = workspace if isinstance(workspace, dict) else {}
    members = strings(table.get("members"))
    return any(
        relative == one or relative.startswith(f"{one}/")
        for one in (entry.strip("/").removeprefix("./") for entry in strings(table.get("exclude")))
    ) and not any(relative == one.rstrip("/").removeprefix("./") for one in members)


def matches(relative: str, pattern: str) -> bool:
    """A path against a member's pattern; `*` stays within one folder, `**` does not."""
    from fnmatch import fnmatchcase

    parts = [one for one in pattern.split("/") if one not in ("", ".")]
    names = [] if relative == "." else relative.split("/")
    if "**" in parts:
        at = parts.index("**")
        head, tail = parts[:at], parts[at + 1 :]
        return len(names) >= len(head) + len(tail) and all(
            fnmatchcase(name, one)
            for name, one in [
                *zip(names, head, strict=False),
                *zip(reversed(names), reversed(tail), strict=False),
            ]
        )
    return len(names) == len(parts) and all(fnmatchcase(*pair) for pair in zip(names, parts, strict=True))


def strings(value: object) -> list[str]:
    """The strings of a list; nothing for what is none."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _walk(tree: Tree) -> Iterator[str]:
    """Folders with a `Cargo.toml` at or below the root."""

    def failed(error: OSError) -> None:
        name = shown(str(error.filename))
        said = (error.strerror or str(error)).lower()
        tree.unread.append(
            InputError(
                f"cannot read the folder `{name}`: {said}",
                where=name,
                hint="check its permissions; what lies in it was left out",
            )
        )

    top = tree.root
    for folder, folders, files in os.walk(top, onerror=failed):
        if "CACHEDIR.TAG" in files and folder != top:
            folders.clear()
            continue
        folders[:] = sorted(one for one in folders if one not in _SKIPPED and one[0] != ".")
        tree.others.extend(os.path.join(folder, one) for one in files if not one.endswith((".rs", ".toml")))
        if "Cargo.toml" in files:
            yield folder


def _workspaces(tree: Tree) -> dict[str, str]:
    """Folder -> its workspace. The path dependencies of members below a workspace are members too."""
    datas = tree.datas
    out: dict[str, str] = {}
    for folder, data in datas.items():
        if isinstance(data.get("workspace"), dict):
            out[folder] = folder
            continue
        pointed = _pointed(folder, data)
        if pointed in datas:
            out[folder] = pointed
            continue
        at = folder
        out[folder] = folder
        while tree.inside(at) and at != tree.root:
            at = os.path.dirname(at)
            if isinstance(datas.get(at, {}).get("workspace"), dict):
                if claims(at, datas[at], folder):
                    out[folder] = at
                break
    pending = [folder for folder, at in out.items() if at != folder or isinstance(datas[folder].get("workspace"), dict)]
    while pending:
        folder = pending.pop()
        workspace = out[folder]
        for path in _path_dependencies(folder, datas[folder], workspace, datas[workspace]):
            if out.get(path) == path and path != workspace and _within(path, workspace):
                relative = os.path.relpath(path, workspace).replace(os.sep, "/")
                own = isinstance(datas[path].get("workspace"), dict)
                if not own and not _excluded(datas[workspace], relative):
                    out[path] = workspace
                    pending.append(path)
    return out


def _path_dependencies(folder: str, data: dict[str, Any], root: str, workspace: dict[str, Any]) -> Iterator[str]:
    targets = data.get("target")
    tables = [data, *(targets.values() if isinstance(targets, dict) else ())]
    inherited = workspace.get("workspace")
    shared = inherited.get("dependencies") if isinstance(inherited, dict) else None
    for table in tables:
        for key in ("dependencies", "build-dependencies", "dev-dependencies"):
            listed = table.get(key) if isinstance(table, dict) else None
            for alias, spec in listed.items() if isinstance(listed, dict) else ():
                if not isinstance(spec, dict):
                    continue
                base = folder
                if spec.get("workspace") is True and isinstance(shared, dict):
                    spec, base = shared.get(alias), root  # noqa: PLW2901
                path = spec.get("path") if isinstance(spec, dict) else None
                if isinstance(path, str):
                    yield os.path.normpath(os.path.join(base, path))
