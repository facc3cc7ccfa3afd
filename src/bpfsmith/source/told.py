"""What a user is told about a project as found: what Cargo would refuse, what was not read, what is not known."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError
from bpfsmith.read.overlay import opened
from bpfsmith.source.manifest import read_text, shown
from bpfsmith.source.settings import config_files, toolchain_file
from bpfsmith.source.tree import strings
from bpfsmith.source.versions import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.cargo import Crate, Dependency
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile
    from bpfsmith.source.tree import Tree
    from bpfsmith.source.versions import Version

__all__ = ["NEWEST", "OLDEST", "tell"]

# The newest releases whose rules are known; what is newer is judged by them.
NEWEST = {
    "aya": "0.16.0", "aya-obj": "0.6.0", "aya-log": "0.4.0", "aya-log-common": "0.3.0", "aya-build": "0.2.1",
    "aya-ebpf": "0.3.0", "aya-ebpf-macros": "0.4.0", "aya-ebpf-bindings": "0.3.0", "aya-log-ebpf": "0.3.0",
}  # fmt: skip
OLDEST = {"aya": "0.11.0"}
_FEW = 3


def tell(project: Project, tree: Tree) -> None:
    """Fills `problems` and `notes`: one sentence each, with where and what next."""
    project.problems.extend(tree.errors)
    ours = _ours(project)
    project.problems.extend(_members(tree))
    for crate in ours:
        project.problems.extend(_paths(crate, tree))
        project.problems.extend(_targets(crate))
    project.problems.extend(_settings(project, tree))
    project.notes.extend(_without_lock(ours, tree))
    project.notes.extend(_versions(project))
    project.notes.extend(_outside(ours, tree))
    project.notes.extend(_modules(tree))
    project.notes.extend(_in_part(ours))
    project.notes.extend(_same_names(project))


def _ours(project: Project) -> list[Crate]:
    """The crates of workspaces that have to do with Aya."""
    spaces = {crate.workspace for crate in project.all_crates if crate.role != "other"}
    return [crate for crate in project.all_crates if crate.workspace in spaces]


def _members(tree: Tree) -> Iterator[InputError]:
    for folder, data in tree.datas.items():
        table = data.get("workspace")
        if not isinstance(table, dict):
            continue
        manifest = shown(os.path.join(folder, "Cargo.toml"))
        for key in ("members", "default-members"):
            for one in strings(table.get(key)):
                path = os.path.normpath(os.path.join(folder, one))
                if any(char in one for char in "*?[") or os.path.isfile(os.path.join(path, "Cargo.toml")):
                    continue
                if os.path.lexists(os.path.join(path, "Cargo.toml")):
                    continue  # unreadable, or a link that leads nowhere: said already where it was met
                what = "has no Cargo.toml" if os.path.isdir(path) else "does not exist"
                yield InputError(
                    f"the workspace member `{one}` {what}",
                    where=_at(manifest, folder, one),
                    hint=f"create it, or take it out of `{key}`",
                )
                break


def _at(manifest: str, folder: str, text: str) -> str:
    """`Cargo.toml:3`, the line on which a string stands."""
    try:
        lines = read_text(os.path.join(folder, "Cargo.toml")).split("\n")
    except InputError:
        return manifest
    line = next((at for at, one in enumerate(lines, 1) if f'"{text}"' in one or f"'{text}'" in one), 0)
    return f"{manifest}:{line}" if line else manifest


def _paths(crate: Crate, tree: Tree) -> Iterator[InputError]:
    if crate.broken:
        return
    seen = set()
    for one in crate.dependencies:
        if one.path is None or one.path in seen or one.path in tree.datas:
            continue
        seen.add(one.path)
        if os.path.lexists(os.path.join(one.path, "Cargo.toml")):
            continue
        what = "has no Cargo.toml" if os.path.isdir(one.path) else "does not exist"
        yield InputError(
            f"the path dependency `{one.alias}` points to `{shown(one.path)}`, which {what}",
            where=_dependency_at(crate, one),
            hint="correct the path",
        )


def _dependency_at(crate: Crate, one: Dependency) -> str:
    return f"{shown(crate.manifest)}:{crate.line_of(one.alias)}"


def _targets(crate: Crate) -> Iterator[InputError]:
    """Explicit files that are not there."""
    lib = crate.data.get("lib")
    tables = [("lib", lib)] if isinstance(lib, dict) else []
    for kind in ("bin", "example"):
        listed = crate.data.get(kind)
        tables.extend((kind, one) for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict))
    for kind, table in tables:
        path = table.get("path")
        if isinstance(path, str) and not os.path.lexists(os.path.join(crate.folder, path)):
            yield InputError(
                f"the file `{path}` of `[{kind}]` does not exist",
                where=_at(shown(crate.manifest), crate.folder, path),
                hint="create it, or correct `path`",
            )


def _settings(project: Project, tree: Tree) -> Iterator[InputError]:
    """Settings that cannot be read; what asks for them later passes them over."""
    from bpfsmith.source.manifest import read_toml

    seen: set[str] = set()
    for folder in dict.fromkeys([tree.root, *(crate.folder for crate in project.all_crates)]):
        files = [path for _, path in config_files(folder, tree.root)]
        chosen = toolchain_file(folder, tree.root)
        if chosen is not None:
            files.append(chosen)
        for path in files:
            if path in seen:
                continue
            seen.add(path)
            try:
                if path != chosen or "[toolchain]" in read_text(path):
                    read_toml(path)
            except InputError as error:
                yield error


def _without_lock(ours: list[Crate], tree: Tree) -> Iterator[str]:
    spaces = [one for one in tree.without_lock if any(crate.workspace == one for crate in ours)]
    if not spaces:
        return
    if any(one.requirement and one.package.startswith("aya") for crate in ours for one in crate.dependencies):
        asked = "the versions of Aya are those that the manifests allow"
    else:
        asked = "the versions of Aya are unknown"
    first = shown(spaces[0])
    where = "the project" if first == os.curdir else f"`{first}`"
    more = f" (nor have {len(spaces) - 1} more)" if len(spaces) > 1 else ""
    yield (
        f"{where} has no Cargo.lock{more}: {asked}, and rules that need to know exactly say nothing;"
        " `cargo generate-lockfile` writes one"
    )


def _versions(project: Project) -> Iterator[str]:
    newer = []
    for name, known in NEWEST.items():
        wanted = parse_version(known)
        locked = [(one, parse_version(one)) for one in project.lock.get(name, ())]
        for one, have in locked or _required(project, name):
            if wanted is not None and have is not None and have > wanted:
                newer.append(f"{name} {one} (known: up to {known})")
    if newer:
        listed = ", ".join(newer[:_FEW]) + (f" and {len(newer) - _FEW} more" if len(newer) > _FEW else "")
        yield (
            f"newer than what this bpfsmith knows: {listed}; the rules of the newest known release were used,"
            " a newer bpfsmith may know more"
        )
    for name, known in OLDEST.items():
        for one in project.lock.get(name, ()):
            wanted, have = parse_version(known), parse_version(one)
            if wanted is not None and have is not None and have < wanted:
                yield f"{name} {one} is older than what the rules know (from {known} on): many of them say nothing"


def _required(project: Project, name: str) -> list[tuple[str, Version]]:
    """Without a lock file: the oldest version that the manifests ask for."""
    found = {
        str(one): one.low
        for crate in project.all_crates
        if crate.dependency(name) is not None and (one := crate.version(name)) is not None
    }
    return sorted(found.items())


def _outside(ours: list[Crate], tree: Tree) -> Iterator[str]:
    seen = set()
    for crate in ours:
        for one in crate.dependencies:
            path = one.path
            if path is None or path in tree.datas or path in seen:
                continue
            if os.path.isfile(os.path.join(path, "Cargo.toml")):
                seen.add(path)
                why = "lies outside of the project" if not tree.inside(path) else "lies in a folder that is passed over"
                yield (
                    f"`{one.alias}` of {_dependency_at(crate, one)} {why} and was not read: its types are unknown here;"
                    f" check `{shown(path)}` by itself"
                )
    for file, item, path in tree.outside:
        line, _ = file.position(item.start)
        yield f"`mod {item.name};` at {shown(file.path)}:{line} is `{shown(path)}`, outside of the project: not read"


def _modules(tree: Tree) -> Iterator[str]:
    left = [
        (file, item, files)
        for file, item, files in tree.missing
        if not file.gates(item) and not any(attr.path == "cfg_attr" for attr in item.attrs)
    ]
    for file, item, files in left[:_FEW]:
        line, _ = file.position(item.start)
        expected = " or ".join(f"`{shown(one)}`" for one in files)
        yield (
            f"`mod {item.name};` at {shown(file.path)}:{line} has no file, {expected}: what it defines is unknown here;"
            " write or generate it"
        )
    if len(left) > _FEW:
        yield f"{len(left) - _FEW} more modules have no file"


def _in_part(ours: list[Crate]) -> Iterator[str]:
    """Files that were not read as they are, or not all of them."""
    said = [one for crate in ours for file in crate.files for one in _notes(file)]
    yield from said[:_FEW]
    if len(said) > _FEW:
        yield f"{len(said) - _FEW} more places of the sources were not fully read"


def _notes(file: SourceFile) -> Iterator[str]:
    for note in file.notes:
        path = shown(file.path)
        if note.kind == "not-utf8":
            yield (
                f"{path} is not UTF-8 ({_wrong_byte(file.path)}): read with replacement characters, so what stands"
                " there may be misread; save the file as UTF-8"
            )
        elif note.kind == "unread":
            yield f"{path} was not read: {note.text}; what it defines is unknown here"
        elif note.kind in ("length", "nesting"):
            line, _ = file.position(note.start)
            yield f"{path}:{line} was read in part: {note.text}"


def _wrong_byte(path: str) -> str:
    with opened(path) as file:
        try:
            file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            return f"byte {error.start + 1}"
    return "some bytes"


def _same_names(project: Project) -> Iterator[str]:
    """Kernel crates of one workspace whose programs get the same file name."""
    builders: dict[tuple[str, str], list[Crate]] = {}
    for crate in project.all_crates:
        if crate.role == "kernel":
            for name in crate.binaries():
                builders.setdefault((crate.workspace, name), []).append(crate)
    for (_, name), crates in builders.items():
        if len(crates) > 1:
            both = " and ".join(f"`{crate.name}`" for crate in crates[:_FEW])
            yield (
                f"{both} both build an object `{name}`: the one built last replaces the other, and which it is"
                " cannot be told; name the binaries differently"
            )
