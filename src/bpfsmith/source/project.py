"""A Cargo project with eBPF crates: what it consists of, found without running anything.

`find_project` reads manifests, lock files and sources. Kernel crates are `no_std` and use aya-ebpf (or aya-bpf), user
crates use aya, common crates are what both depend on by path.
"""

from __future__ import annotations

import os

from bpfsmith.read.overlay import opened
from bpfsmith.source.cargo import FAMILY, Crate, Lock, read_toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from bpfsmith.source.built import BuiltObject
    from bpfsmith.source.rust import SourceFile

__all__ = ["Project", "find_project"]

KERNEL_CRATES = ("aya-ebpf", "aya-bpf")
_SKIPPED = frozenset({"target", "node_modules", "__pycache__", "vendor"})
_MAX_SOURCE = 32 << 20


class Project:
    """Crates, lock and built objects below `root`.

    `crates` are those below the path asked for, `all_crates` all of the project; `lock` maps a crate to its locked
    versions, `objects` are built kernel programs (newest per name), `build_hint` is the command that builds them.
    """

    __slots__ = ("_objects", "all_crates", "cache", "crates", "lock", "notes", "root", "target")

    def __init__(self, root: str, crates: list[Crate], all_crates: list[Crate]) -> None:
        self.root = root
        self.crates = crates
        self.all_crates = all_crates
        self.notes: list[str] = []
        self.lock: dict[str, list[str]] = {}
        for crate in all_crates:
            for name, versions in crate.lock.versions.items():
                if name in FAMILY:
                    self.lock[name] = sorted({*self.lock.get(name, ()), *versions})
        # Crate -> the version it is to have: what `Crate.version` answers instead of the lock file, if it is set.
        self.target: Mapping[str, str] | None = None
        self._objects: list[BuiltObject] | None = None
        self.cache: dict[Any, Any] = {}  # what was found out about all of it: the model of `source.aya`
        for crate in all_crates:
            crate.project = self

    def __repr__(self) -> str:
        return f"Project({self.root}: {', '.join(f'{crate.name} {crate.role}' for crate in self.all_crates)})"

    def of_role(self, *roles: str) -> list[Crate]:
        return [crate for crate in self.crates if crate.role in roles]

    def files(self, *roles: str) -> Iterator[SourceFile]:
        """The parsed files of the crates in these roles (none given: all)."""
        for crate in self.crates:
            if not roles or crate.role in roles:
                yield from crate.files

    @property
    def objects(self) -> list[BuiltObject]:
        """The built kernel programs; looked for on first use, again after `forget_objects`."""
        if self._objects is None:
            from bpfsmith.source.built import find_objects

            self._objects = find_objects(self)
        return self._objects

    def forget_objects(self) -> None:
        """After a build."""
        self._objects = None

    @property
    def build_hint(self) -> str:
        """The command that builds the kernel programs, to be run in `root`; empty when there are none to build."""
        from bpfsmith.source.build import build_command

        return build_command(self)


def find_project(path: str) -> Project | None:
    """The project at or around `path`; None when nothing in it has to do with Aya.

    Raises `InputError` naming file and line for a manifest or lock file that cannot be read.
    """
    start = os.path.abspath(path)
    if not os.path.isdir(start):
        start = os.path.dirname(start)
    root = _root(start)
    manifests = list(_manifests(root))
    if not manifests:
        return None
    datas = {folder: read_toml(os.path.join(folder, "Cargo.toml")) for folder in manifests}
    locks: dict[str, Lock] = {}
    crates = []
    for folder in manifests:
        if not isinstance(datas[folder].get("package"), dict):
            continue
        workspace = _workspace_of(folder, datas, root)
        if workspace not in locks:
            lock = os.path.join(workspace, "Cargo.lock")
            locks[workspace] = Lock(lock if os.path.isfile(lock) else None)
        crates.append(Crate(folder, datas[folder], workspace, datas.get(workspace, {}), locks[workspace]))
    outer = [crate for crate in crates if crate.workspace == root]
    # Independent workspaces further down are their own projects unless this one is about eBPF itself.
    if not any(_concerns_us(crate) for crate in outer):
        return None
    for crate in crates:
        _read_sources(crate)
    _roles(crates)
    chosen = [crate for crate in crates if (crate.folder + os.sep).startswith(start.rstrip(os.sep) + os.sep)]
    return Project(root, chosen or [crate for crate in crates if start.startswith(crate.folder)], crates)


def _concerns_us(crate: Crate) -> bool:
    return any(one.package in FAMILY for one in crate.dependencies)


def _root(start: str) -> str:
    """The outermost workspace that claims the folder, else the nearest package, else the folder itself."""
    at = start
    nearest = None
    while True:
        manifest = os.path.join(at, "Cargo.toml")
        if os.path.isfile(manifest):
            nearest = nearest or at
            data = read_toml(manifest)
            if isinstance(data.get("workspace"), dict) and (at == nearest or _claims(at, data, nearest)):
                return at
        parent = os.path.dirname(at)
        if parent == at:
            return nearest or start
        at = parent


def _claims(root: str, data: dict[str, Any], folder: str) -> bool:
    """Whether a folder is a member of the workspace: listed, or not excluded and below it."""
    from fnmatch import fnmatchcase

    relative = os.path.relpath(folder, root).replace(os.sep, "/")
    if relative.startswith(".."):
        return False
    workspace = data.get("workspace")
    table: dict[str, Any] = workspace if isinstance(workspace, dict) else {}
    excluded, members = table.get("exclude"), table.get("members")
    if any(relative == one or relative.startswith(f"{one}/") for one in _strings(excluded)):
        return False
    return any(
        relative == one.rstrip("/").removeprefix("./") or fnmatchcase(relative, one.rstrip("/"))
        for one in _strings(members)
    ) or isinstance(data.get("package"), dict)


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _manifests(root: str) -> Iterator[str]:
    """Folders with a `Cargo.toml` at or below `root`; target, hidden and linked folders are not entered."""
    for folder, folders, files in os.walk(root, onerror=lambda _: None):
        folders[:] = sorted(
            one
            for one in folders
            if one not in _SKIPPED
            and not one.startswith(".")
            and not os.path.isfile(os.path.join(folder, one, "CACHEDIR.TAG"))
        )
        if "Cargo.toml" in files:
            yield folder


def _workspace_of(folder: str, datas: dict[str, dict[str, Any]], root: str) -> str:
    if isinstance(datas[folder].get("workspace"), dict):
        return folder
    at = os.path.dirname(folder)
    while at.startswith(root):
        if isinstance(datas.get(at, {}).get("workspace"), dict) and _claims(at, datas[at], folder):
            return at
        if at == root:
            break
        at = os.path.dirname(at)
    return folder if folder != root else root


def _read_sources(crate: Crate) -> None:
    """Parses the files of the module tree, from each target on; a file of two trees is read once, for the first."""
    from bpfsmith.source.rust import parse_files

    pending: list[tuple[str, str, tuple[str, ...]]] = [(path, path, ()) for path in crate.targets()]
    seen = {path for path, _, _ in pending}
    while pending:
        datas = []
        found = []
        for path, top, module in pending:
            try:
                with opened(path) as file:
                    datas.append(file.read(_MAX_SOURCE))
            except OSError:
                continue  # the compiler will say so
            found.append((path, top, module))
        pending = []
        for parsed, (path, top, module) in zip(parse_files([path for path, _, _ in found], datas), found, strict=True):
            parsed.crate, parsed.root, parsed.module = crate, top, module
            crate.files.append(parsed)
            for child, name in _modules(parsed, path == top):
                if child not in seen and os.path.isfile(child):
                    seen.add(child)
                    pending.append((child, top, (*module, *name)))


def _modules(file: SourceFile, is_root: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The files that `mod name;` items stand for, with their path below this module."""
    folder, base = os.path.split(file.path)
    own = folder if is_root or base == "mod.rs" else os.path.join(folder, os.path.splitext(base)[0])
    for item in file.items:
        if item.kind != "mod" or item.body_end:
            continue
        outer: list[str] = []
        at = item.parent
        while at is not None:
            outer.insert(0, at.name)
            at = at.parent
        path = next((attr.args.lstrip("= ").strip('"') for attr in item.attrs if attr.path == "path"), None)
        inside = os.path.join(own, *outer)
        if path is not None:
            yield os.path.normpath(os.path.join(inside if outer else folder, path)), (*outer, item.name)
            continue
        for candidate in (os.path.join(inside, f"{item.name}.rs"), os.path.join(inside, item.name, "mod.rs")):
            if os.path.isfile(candidate):
                yield os.path.normpath(candidate), (*outer, item.name)
                break


def _roles(crates: list[Crate]) -> None:
    for crate in crates:
        names = {one.package for one in crate.dependencies if one.kind == "normal"}
        no_std = any(file.no_std for file in crate.files if file.path == file.root)
        if names & set(KERNEL_CRATES) and (no_std or "aya" not in names):
            crate.role = "kernel"
        elif "aya" in names or "aya-log" in names:
            crate.role = "user"
    by_folder = {crate.folder: crate for crate in crates}
    for role, replaced in (("kernel", ("other", "user")), ("user", ("other",))):
        for crate in crates:
            if crate.role != role:
                continue
            for one in crate.dependencies:
                other = by_folder.get(one.path or "")
                # A crate of shared types may use aya too, for `Pod`.
                if other is not None and other.role in replaced and one.kind == "normal":
                    other.role = "common"
