"""From the paths of a call to what is checked: objects (by content, never by suffix) and Cargo projects."""

from __future__ import annotations

import os

from bpfsmith.model.errors import BpfsmithError, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.project import Project

__all__ = ["Input", "is_bpf_object", "resolve"]

_EM_BPF = 247
# Folders that hold no input of ours and may be huge.
_SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"})


class Input:
    """What one path stands for: objects to read, and the project they belong to if any."""

    __slots__ = ("errors", "notes", "objects", "path", "project")

    def __init__(self, path: str, objects: list[str], project: Project | None = None) -> None:
        self.path = path
        self.objects = objects
        self.project = project
        self.notes: list[str] = []
        self.errors: list[BpfsmithError] = []


def resolve(path: str) -> list[Input]:
    """The inputs behind one path. `InputError` when there is nothing to check."""
    if not os.path.exists(path):
        raise InputError(f"no such file or folder `{path}`", where=path)
    if not os.path.isdir(path):
        if os.path.basename(path) == "Cargo.toml":
            return resolve(os.path.dirname(path) or ".")
        if path.endswith((".rs", ".c", ".h")) and not is_bpf_object(path):
            raise InputError(
                f"`{path}` is a source file",
                where=path,
                hint="pass the folder of its Cargo workspace, or the object built from it",
            )
        return [Input(path, [path])]
    errors: list[BpfsmithError] = []
    objects: list[str] = []
    projects: list[Project] = []
    for kind, found in _walk(path, errors):
        if isinstance(found, str):
            objects.append(found)
        else:
            projects.append(found)
        del kind
    inputs = [Input(path, sorted(objects))] if objects else []
    for project in projects:
        inputs.append(Input(path, [], project))
    if not inputs:
        if errors:
            raise errors[0]
        raise InputError(
            f"no eBPF object and no Cargo workspace with eBPF crates in `{path}`",
            where=path,
            hint="build the program first, or name the object: objects are recognised by content, machine 247 (EM_BPF)",
        )
    inputs[0].errors.extend(errors)
    return inputs


def _walk(top: str, errors: list[BpfsmithError]) -> Iterator[tuple[str, str | Project]]:
    from bpfsmith.check.projects import open_project

    def failed(error: OSError) -> None:
        errors.append(InputError(f"cannot read the folder: {error.strerror}", where=str(error.filename)))

    for folder, folders, files in os.walk(top, onerror=failed):
        folders[:] = sorted(one for one in folders if one not in _SKIPPED)
        if "Cargo.toml" in files:
            try:
                project = open_project(folder)
            except BpfsmithError as error:
                errors.append(error)
                folders.clear()
                continue
            if project is not None:
                yield "project", project
                folders.clear()  # its objects are the project's to find
                continue
        for file in sorted(files):
            path = os.path.join(folder, file)
            if is_bpf_object(path):
                yield "object", os.path.normpath(path)


def is_bpf_object(path: str) -> bool:
    """True for a relocatable ELF file for the BPF machine; False for anything else, unreadable files too."""
    try:
        # A FIFO or device in the folder must not block.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        head = os.read(handle, 20)
    except OSError:
        return False
    finally:
        os.close(handle)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return False
    kind, machine = (head[17], head[19]) if head[5] == 2 else (head[16], head[18])  # 1 = ET_REL; both fit one byte
    return kind == 1 and machine == _EM_BPF
