"""A Cargo project with eBPF crates: what it consists of, found without running anything.

`find_project` reads manifests, lock files and sources. Kernel crates are `no_std` and use aya-ebpf (or aya-bpf), user
crates use aya, common crates are what both depend on by path.
"""

from __future__ import annotations

import os

from bpfsmith.read.overlay import opened
from bpfsmith.source.cargo import FAMILY, Crate, Lock
from bpfsmith.source.tree import read_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.source.built import BuiltObject
    from bpfsmith.source.rust import Item, SourceFile
    from bpfsmith.source.tree import Tree

__all__ = ["Project", "find_project"]

KERNEL_CRATES = ("aya-ebpf", "aya-bpf")
_MAX_SOURCE = 32 << 20


class Project:
    """Crates, lock and built objects below `root`.

    `crates` are those below the path asked for, `all_crates` all of the project; `lock` maps a crate to its locked
    versions, `objects` are built kernel programs (newest per name), `build_hint` is the command that builds them.
    `problems` are files that could not be read and what Cargo would refuse; `notes` what else a user should know: what
    is not among them was read. `broken` are the problems of manifests that could be read in part only. `others` are its
    files that are no Rust, and `target` (crate -> version) makes `Crate.version` answer for releases that it does not
    have yet.
    """

    __slots__ = (
        "_objects", "all_crates", "broken", "cache", "crates", "lock", "notes", "others", "problems", "root", "target",
    )  # fmt: skip

    def __init__(self, root: str, crates: list[Crate], all_crates: list[Crate]) -> None:
        self.root = root
        self.crates = crates
        self.all_crates = all_crates
        self.notes: list[str] = []
        self.problems: list[BpfsmithError] = []
        self.broken: list[BpfsmithError] = []
        self.others: list[str] = []
        self.target: dict[str, str] | None = None
        self.lock: dict[str, list[str]] = {}
        for name in FAMILY:
            found = {one.version for crate in all_crates for one in crate.lock.packages.get(name, ())}
            if found:
                self.lock[name] = sorted(found)
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

    What cannot be read is in `problems`, and the rest is there all the same; `InputError` where nothing is left.
    """
    from bpfsmith.source.told import tell

    start = os.path.abspath(path)
    if not os.path.isdir(start):
        start = os.path.dirname(start)
    tree = read_tree(start)
    if not tree.datas:
        return None
    locks: dict[str, Lock] = {}
    crates = []
    for folder, data in tree.datas.items():
        if not isinstance(data.get("package"), dict):
            continue
        workspace = tree.workspaces[folder]
        if workspace not in locks:
            locks[workspace] = tree.lock(workspace)
        crate = Crate(folder, data, workspace, tree.datas.get(workspace, {}), locks[workspace])
        crate.broken = folder in tree.broken
        crates.append(crate)
    # Independent workspaces further down are their own projects unless this one is about eBPF itself.
    outer = [crate for crate in crates if crate.workspace == tree.root]
    if not any(_concerns_us(crate) for crate in outer) and not _pair(tree, crates):
        tree.fail()
        return None
    _read_sources(crates, tree)
    _roles(crates)
    chosen = [crate for crate in crates if (crate.folder + os.sep).startswith(start.rstrip(os.sep) + os.sep)]
    project = Project(tree.root, chosen or [crate for crate in crates if start.startswith(crate.folder)], crates)
    project.others = tree.others
    project.broken = [error for error in tree.broken.values() if error in tree.errors]
    tell(project, tree)
    return project


def _pair(tree: Tree, crates: list[Crate]) -> bool:
    """A folder without a manifest that holds one kernel crate and the user crates beside it: with no workspace, or in
    one that the kernel crate shares a crate with."""
    if tree.root in tree.datas:
        return False
    spaces = [crate.data.get("workspace") for crate in crates]
    plain = all(os.path.dirname(crate.folder) == tree.root for crate in crates)
    if not plain or any(isinstance(one, dict) and one.get("members") for one in spaces):
        return _shared(tree, crates)
    kernel = [crate for crate in crates if any(crate.dependency(name) is not None for name in KERNEL_CRATES)]
    user = [crate for crate in crates if crate.dependency("aya", "normal") is not None]
    return len(kernel) == 1 and any(crate not in kernel for crate in user)


def _shared(tree: Tree, crates: list[Crate]) -> bool:
    """One kernel crate beside one workspace, a crate of which both sides depend on by path."""
    kernel = [crate for crate in crates if any(crate.dependency(name) is not None for name in KERNEL_CRATES)]
    if len(kernel) != 1 or os.path.dirname(kernel[0].folder) != tree.root:
        return False
    others = [crate for crate in crates if crate is not kernel[0]]
    if len({crate.workspace for crate in others}) != 1 or others[0].workspace == kernel[0].workspace:
        return False
    common = {one.path for one in kernel[0].dependencies if one.path is not None}
    return os.path.dirname(others[0].workspace) == tree.root and any(
        crate.dependency("aya", "normal") is not None and common & {one.path for one in crate.dependencies}
        for crate in others
    )


def _concerns_us(crate: Crate) -> bool:
    return any(one.package in FAMILY for one in crate.dependencies)


def _read_sources(crates: list[Crate], tree: Tree) -> None:
    """Parses the files of the module trees, from each target on; a file of two trees is read once, for the first.

    All crates together: what they wait for is parsed at once, on all cores.
    """
    from bpfsmith.source.rust import parse_files

    pending: list[tuple[Crate, str, str, tuple[str, ...]]] = []
    seen: dict[str, set[str]] = {}
    for crate in crates:
        targets = crate.targets()
        seen[crate.folder] = set(targets)
        pending.extend((crate, path, path, ()) for path in targets)
    while pending:
        datas = []
        found = []
        for one in pending:
            path = one[1]
            try:
                # A named pipe must not block, a file that is none must not be read for ever.
                if not os.path.isfile(path):
                    continue
                with opened(path) as file:
                    datas.append(file.read(_MAX_SOURCE))
            except OSError as error:
                tree.unreadable(path, error)
                continue
            found.append(one)
        pending = []
        files = parse_files([path for _, path, _, _ in found], datas)
        for parsed, (crate, path, top, module) in zip(files, found, strict=True):
            parsed.crate, parsed.root, parsed.module = crate, top, module
            crate.files.append(parsed)
            for item, children, name in _modules(parsed, path == top):
                child = next((one for one in children if os.path.isfile(one)), None)
                if child is None:
                    tree.missing.append((parsed, item, children))
                    crate.unread.append(item.name)
                elif not tree.inside(child):
                    tree.outside.append((parsed, item, child))
                    crate.unread.append(item.name)
                elif child not in seen[crate.folder]:
                    seen[crate.folder].add(child)
                    pending.append((crate, child, top, (*module, *name)))


def _modules(file: SourceFile, is_root: bool) -> Iterator[tuple[Item, list[str], tuple[str, ...]]]:
    """The `mod name;` items, the files each may stand for, and its path below this module."""
    folder, base = os.path.split(file.path)
    own = folder if is_root or base == "mod.rs" else os.path.join(folder, os.path.splitext(base)[0])
    for item in file.items_of_kind("mod"):
        if item.body_end:
            continue
        outer: list[str] = []
        at = item.parent
        while at is not None:
            outer.insert(0, at.name)
            at = at.parent
        written = next((attr.args.lstrip("= ").strip() for attr in item.attrs if attr.path == "path"), None)
        inside = os.path.join(own, *outer)
        if written is not None:
            if len(written) < 2 or written[0] != '"' or written[-1] != '"':
                continue  # `concat!(env!("OUT_DIR"), ..)`: only the build knows
            files = [os.path.join(inside if outer else folder, written[1:-1])]
        else:
            files = [os.path.join(inside, f"{item.name}.rs"), os.path.join(inside, item.name, "mod.rs")]
        yield item, [os.path.normpath(one) for one in files], (*outer, item.name)


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
