"""Built kernel programs of a project, found by content (ELF for machine 247), never by suffix.

Two layouts: `<target>/bpf*-unknown-none/<profile>/<bin>` as Cargo builds them, and aya-build's
`<target>/<profile>/build/<package>-<hash>/out/<bin>`, with `<target>/<triple>/` before it when cross-compiled.
"""

from __future__ import annotations

import os

from bpfsmith.read import is_object
from bpfsmith.source.cargo import cargo_configs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project

__all__ = ["BuiltObject", "find_objects", "target_dir"]

_CLOCK_SLACK = 0.01  # seconds; builds and checkouts in the same moment are not stale


class BuiltObject:
    """A built object: `path`, the older builds of the same program in `others`, `stale` when its sources are newer."""

    __slots__ = ("name", "newer_source", "others", "path", "stale")

    def __init__(self, path: str, name: str, others: list[str], newer_source: str | None) -> None:
        self.path = path
        self.name = name
        self.others = others
        self.newer_source = newer_source
        self.stale = newer_source is not None

    def __repr__(self) -> str:
        return f"BuiltObject({self.path}{' stale' if self.stale else ''})"


def target_dir(workspace: str) -> str:
    """Where Cargo puts what it builds: `CARGO_TARGET_DIR`, `build.target-dir` of `.cargo/config.toml`, `target`."""
    for variable in ("CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"):
        value = os.environ.get(variable)
        if value:
            return os.path.normpath(os.path.join(workspace, value))
    for folder, config in cargo_configs(workspace):
        build = config.get("build")
        value = build.get("target-dir") if isinstance(build, dict) else None
        if isinstance(value, str) and value:
            return os.path.normpath(os.path.join(folder, value))
    return os.path.join(workspace, "target")


def find_objects(project: Project, folder: str | None = None) -> list[BuiltObject]:
    """The newest build of each kernel binary; two workspaces may have one of the same name each. `folder`: the one
    folder that everything was built in, instead of the workspaces' own."""
    kernel = [crate for crate in project.all_crates if crate.role == "kernel"]
    builders = {crate.workspace for crate in kernel}
    # Where aya-build runs, the objects lie in the target folder of the workspace with the build script.
    places: dict[str, list[str]] = {}
    for workspace in dict.fromkeys([*(crate.workspace for crate in project.all_crates), project.root]):
        places.setdefault(folder or target_dir(workspace), []).append(workspace)
    found: dict[tuple[str, str], list[str]] = {}
    makers: dict[tuple[str, str], Crate] = {}
    seen = set()
    for target, workspaces in places.items():
        # A workspace's own kernel crates first, then those of the others.
        own = [crate for crate in kernel if crate.workspace in workspaces]
        names = {name: crate for crate in reversed([*own, *kernel]) for name in crate.binaries()}
        for path in _candidates(target):
            name = os.path.basename(path)
            maker = names.get(name)
            real = os.path.realpath(path)
            if maker is not None and real not in seen and is_object(path):
                seen.add(real)
                key = (maker.workspace if len(builders) > 1 else "", name)
                makers[key] = maker
                found.setdefault(key, []).append(path)
    out = []
    for key, paths in sorted(found.items(), key=lambda one: (one[0][1], one[0][0])):
        paths.sort(key=_time, reverse=True)
        out.append(BuiltObject(paths[0], key[1], paths[1:], _newer(project, makers[key], _time(paths[0]))))
    return out


def _time(path: str) -> float:
    try:
        return os.path.getmtime(path)
    except OSError:
        return 0.0


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _folders(folder: str) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in _entries(folder) if entry.is_dir(follow_symlinks=False))


def _files(folder: str) -> Iterator[str]:
    return (entry.path for entry in _entries(folder) if entry.is_file())


def _candidates(target: str) -> Iterator[str]:
    for first in _folders(target):
        if first.name.startswith("bpf") and "-unknown-none" in first.name:
            for profile in _folders(first.path):
                yield from _files(profile.path)
            continue
        # `<profile>/build/..` or `<triple>/<profile>/build/..`
        profiles = [first.path]
        if "-" in first.name:
            profiles.extend(entry.path for entry in _folders(first.path))
        for profile_path in profiles:
            for script in _folders(os.path.join(profile_path, "build")):
                yield from _files(os.path.join(script.path, "out"))


def _newer(project: Project, crate: Crate, built: float) -> str | None:
    """A source of the crate, or of one it depends on by path, that changed after the build."""
    by_folder = {one.folder: one for one in project.all_crates}
    pending = [crate]
    seen: set[str] = set()
    newest: tuple[float, str] | None = None
    while pending:
        one = pending.pop()
        if one.folder in seen:
            continue
        seen.add(one.folder)
        for path in [one.manifest, *(file.path for file in one.files)]:
            changed = _time(path)
            if changed > built + _CLOCK_SLACK and (newest is None or changed > newest[0]):
                newest = (changed, path)
        pending.extend(
            by_folder[dep.path] for dep in one.dependencies if dep.path in by_folder and dep.kind == "normal"
        )
    return newest[1] if newest is not None else None
