"""Objects and workspaces: judged by kernels, with every instruction logged, and what is rejected explained."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from bpfsmith.verify.explained import Explained
    from bpfsmith.verify.report import VerifyReport

__all__ = ["built", "built_in_copy", "of_objects"]


def built(path: str) -> tuple[list[str], list[str]]:
    """(objects of a folder or workspace, notes). `InputError` with the build command when none is built."""
    from bpfsmith.read import find_objects

    if not os.path.isfile(os.path.join(path, "Cargo.toml")):
        found = find_objects(path)
        if not found:
            raise InputError(f"no object and no `Cargo.toml` in `{path}`", path, "give a log, an object or a workspace")
        return list(found), []
    from bpfsmith.source.project import find_project

    project = find_project(path)
    if project is None:
        raise InputError(f"`{path}` is no Aya project", path, "give a log, an object or a workspace")
    objects = project.objects
    notes = [
        f"`{one.path}` is older than `{one.newer_source}`: build again to see what is written now"
        for one in objects
        if one.stale
    ]
    if not objects:
        raise InputError(f"no built object in the workspace `{path}`", path, _build(project.build_hint))
    return [one.path for one in objects], notes


def _build(command: str) -> str:
    return f"build it first: `{command}`" if command else "it has no kernel programs that Cargo builds"


def built_in_copy(path: str, judged: Callable[[list[Any]], Any], say: Callable[[str], None]) -> Any:
    """What `judged` makes of the objects of a workspace or folder of C files that are built in a copy of it, as repair
    does; places are those of the user's files. Raises as `repair` does."""
    from bpfsmith.explain._nearby import places
    from bpfsmith.read import read
    from bpfsmith.repair._job import source_of
    from bpfsmith.repair.tools import Runner

    source = source_of(path)
    with source.copy() as copy:
        say("building ..")
        found = judged([read(one) for one in source.build(copy, Runner(_SECONDS))])
        for one in found.programs:
            for place in places(one):
                if place.path:
                    place.path = copy.outside(place.path)
    return found


_SECONDS = 900  # a build may take


def of_objects(
    objects: Any,
    kernels: Any,
    programs: Any,
    attach_to: Mapping[str, Any] | None,
    values: Mapping[str, Any] | None,
    map_sizes: Mapping[str, int] | None,
    progress: Any,
) -> tuple[list[Explained], VerifyReport]:
    """Every rejection of every program, the same cause once with the kernels that see it; accepted programs last."""
    from bpfsmith.verify._job import run

    report = run(
        objects, kernels if kernels is not None else _default(), programs, None, attach_to, values, map_sizes, None,
        False, False, False, 0, None, None, False, progress, steps=True,
    )  # fmt: skip
    releases = {one.name: one.release for one in report.kernels}
    made: list[Explained] = []
    for row in report.programs:
        told: dict[Any, Explained] = {}
        for result in row.results:
            one = result.explained()
            if one is None:
                continue
            one.kernel = releases.get("host") if result.kernel == "host" else result.kernel
            key = (one.verdict, one.cls, one.line, one.headline, one.message if one.cause is None else "")
            if key not in told:
                told[key] = one
            told[key].kernels.append(one.kernel or result.kernel)
        made += told.values()
    made.sort(key=lambda one: one.verdict != "rejected")
    return made, report


def _default() -> str | None:
    """The running kernel where it may be asked, else the newest that is prepared."""
    from bpfsmith.verify._kernels import can_load_here

    if can_load_here():
        return "host"
    from bpfsmith.lab import store
    from bpfsmith.model.kernels import series_key

    series = []
    for one in store.all():
        try:
            series.append((series_key(one.name), one.name))
        except ValueError:
            continue
    return max(series)[1] if series else None
