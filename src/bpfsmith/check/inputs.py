"""From the paths of a call to what is checked: objects (by content, never by suffix) and Cargo projects."""

from __future__ import annotations

import os

from bpfsmith.check.projects import open_project
from bpfsmith.model.errors import BpfsmithError, InputError
from bpfsmith.read._find import objects_among, once, worth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.project import Project

__all__ = ["Input", "resolve"]


class Input:
    """What one path stands for: objects to read, and the project they belong to if any.

    `named` is True for a file given by name; what is found in a folder may be passed over with a note instead.
    """

    __slots__ = ("errors", "named", "objects", "path", "project")

    def __init__(self, path: str, objects: list[str], project: Project | None = None, *, named: bool = False) -> None:
        self.path = path
        self.objects = objects
        self.project = project
        self.named = named
        self.errors: list[BpfsmithError] = []


def resolve(path: str) -> list[Input]:
    """The inputs behind one path. `InputError` when there is nothing to check.

    A folder is walked: a Cargo workspace with eBPF crates is one input (its objects are its own to find), every other
    object below is collected. Hard links (Cargo's `deps/`) count once.
    """
    if os.path.basename(path) == "Cargo.toml" and os.path.isfile(path):
        path = os.path.dirname(path) or "."
    if not os.path.isdir(path):
        return [Input(path, [path], named=True)]  # reading it says what is wrong with it
    errors: list[BpfsmithError] = []
    objects, projects = _walk(path, errors)
    inputs = [Input(path, objects)] if objects else []
    inputs += [_of(project.root, project) for project in projects]
    if not inputs and not errors:
        # A folder inside a workspace, such as the `src` of its kernel crate.
        around = open_project(path)
        inputs = [_of(path, around)] if around is not None else []
    if not inputs:
        if errors:
            raise errors[0]
        raise InputError(
            f"no eBPF object and no Cargo workspace with eBPF crates in `{path}`",
            where=path,
            hint="build the program first, or name the object itself; objects are recognised by content, not by suffix",
        )
    inputs[0].errors.extend(errors)
    return inputs


def _of(path: str, project: Project) -> Input:
    """A project, with what could not be read of it."""
    one = Input(path, [], project)
    one.errors.extend(project.problems)
    return one


def _walk(top: str, errors: list[BpfsmithError]) -> tuple[list[str], list[Project]]:
    def failed(error: OSError) -> None:
        said = (error.strerror or str(error)).lower()
        errors.append(
            InputError(
                f"cannot read the folder `{error.filename}`: {said}",
                where=str(error.filename),
                hint="check its permissions, or name the object in it",
            )
        )

    found: list[str] = []
    projects: list[Project] = []
    others: list[str] = []
    together = _together(top)
    if together is not None:
        return [], [together]
    for folder, folders, files in os.walk(top, onerror=failed):
        folders[:] = worth(folder, folders)
        # Below a workspace that has nothing to do with us only a manifest that speaks of Aya is worth a look: each look
        # reads the whole workspace around it.
        inside = any(folder.startswith(one) for one in others)
        if "Cargo.toml" in files and (not inside or _speaks_of_aya(os.path.join(folder, "Cargo.toml"))):
            try:
                project = open_project(folder)
            except BpfsmithError as error:
                errors.append(error)
                folders.clear()
                continue
            if project is not None:
                whole = _whole(project, folder, top)
                if whole.root not in {one.root for one in projects}:
                    projects.append(whole)
                folders.clear()
                continue
            others.append(os.path.join(folder, ""))
        found.extend(objects_among(folder, files))
    return once(found), projects


def _together(top: str) -> Project | None:
    """Crates side by side in a folder without a manifest, which belong together though no workspace says so."""
    if os.path.lexists(os.path.join(top, "Cargo.toml")):
        return None
    try:
        with os.scandir(top) as entries:
            beside = [one.path for one in entries if one.is_dir(follow_symlinks=False)]
        manifests = [path for path in (os.path.join(one, "Cargo.toml") for one in beside) if os.path.isfile(path)]
        if len(manifests) < 2 or not any(map(_speaks_of_aya, manifests)):
            return None
        found = open_project(top)
    except (OSError, BpfsmithError):
        return None  # said where it is met
    return found if found is not None and found.root == os.path.abspath(top) else None


def _whole(project: Project, folder: str, top: str) -> Project:
    """Found through one member, the workspace is taken whole when it lies below what was asked for."""
    if project.root == os.path.abspath(folder) or not project.root.startswith(os.path.join(os.path.abspath(top), "")):
        return project
    return open_project(project.root) or project


def _speaks_of_aya(manifest: str) -> bool:
    try:
        with open(manifest, "rb") as file:
            return b"aya" in file.read(1 << 20)
    except OSError:
        return False
