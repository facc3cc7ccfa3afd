"""Collects the objects behind the paths."""

from __future__ import annotations

import os

from bpfsmith.inspect.report import InspectReport
from bpfsmith.model.errors import BpfsmithError, InputError
from bpfsmith.model.kernel import Kernel
from bpfsmith.model.object import Object
from bpfsmith.read import find_objects, read_kernel, read_many

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike


def run(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]], btf: str | PathLike[str] | Kernel | None
) -> InspectReport:
    """See `bpfsmith.inspect.inspect`."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    kernel = btf if btf is None or isinstance(btf, Kernel) else read_kernel(btf)
    files: list[str] = []
    errors: list[BpfsmithError] = []
    loaded: dict[int, Object] = {}  # by the place among `files`
    for one in given:
        path = os.fspath(one)
        if path.startswith(("prog:", "map:")):
            from bpfsmith.inspect._loaded import read_loaded

            try:
                loaded[len(files)] = read_loaded(path)
            except BpfsmithError as error:
                errors.append(error)
            else:
                files.append(path)
        elif path.startswith(("link:", "btf:")) and not os.path.exists(path):
            kind = path.partition(":")[0]
            command = "bpfsmith ps links" if kind == "link" else "bpfsmith ps btf"
            errors.append(
                InputError(
                    f"`{path}`: programs and maps are inspected, not a {'link' if kind == 'link' else 'BTF object'}",
                    where=path,
                    hint=f"`{command}` shows them; `inspect prog:ID`, `inspect map:ID`",
                )
            )
        elif os.path.isdir(path):
            found = find_objects(path)
            files.extend(found)
            if not found:
                errors.append(nothing_in(path))
        else:
            files.append(path)
    objects: list[Object] = []
    results = iter(read_many([path for at, path in enumerate(files) if at not in loaded], analyse=True))
    for at, path in enumerate(files):
        if at in loaded:
            objects.append(loaded[at])
            continue
        result = next(results)
        if isinstance(result, BpfsmithError):
            errors.append(result)
            continue
        objects.append(result)
        if not result.programs:
            from bpfsmith.read._diagnose import no_program

            errors.append(no_program(path))
    return InspectReport(tuple(objects), tuple(errors), kernel)


def nothing_in(path: str) -> InputError:
    """For a folder without objects."""
    try:
        os.listdir(path)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        return InputError(
            f"cannot read the folder `{path}`: {said}",
            where=path,
            hint="check its permissions, or name the object in it",
        )
    return InputError(
        f"no eBPF object in `{path}`",
        where=path,
        hint="build the program first; objects are recognised by content: relocatable ELF for machine 247 (BPF)",
    )
