"""The door from `check` to Cargo workspaces: which objects belong to one, how fresh they are, how they are built."""

from __future__ import annotations

import os

from bpfsmith import rules
from bpfsmith.model.finding import Fix
from bpfsmith.read._find import objects_among

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._base import CheckContext
    from bpfsmith.source.project import Project

__all__ = ["built_objects", "open_project", "source_paths", "words_in"]


def open_project(folder: str) -> Project | None:
    """The project at or around `folder`; None when it has nothing to do with Aya."""
    from bpfsmith.source.project import find_project

    return find_project(folder)


def source_paths(project: Project) -> list[tuple[str, bool]]:
    """The Rust files the project's chosen crates consist of; whether one has no word for bpfsmith in it."""
    return [(file.path, "bpfsmith:" not in file.text) for file in project.files()]


def words_in(project: Project, words: set[str]) -> set[str]:
    """Those of the words that stand in the project's code."""
    from bpfsmith._native import rust_words

    return set(rust_words([file.native for crate in project.all_crates for file in crate.files], list(words)))


def built_objects(
    project: Project, build: bool, named: list[str], ctx: CheckContext
) -> tuple[list[str], list[str], list[Finding]]:
    """(objects to check, what to say at the end, findings about the objects as files).

    `named` are objects the user gave beside it: one that lies in the project may well be its build. With `build` the
    project's own build runs first; nothing of the project is executed without it.
    """
    if build:
        from bpfsmith.source.build import build as run_build

        run_build(project)
        project.forget_objects()
    notes = list(project.notes)
    findings: list[Finding] = []
    command = _command(project, ctx)
    for built in project.objects:
        shown = ctx.shown(built.path)
        if built.others:
            notes.append(f"`{built.name}` was built {len(built.others) + 1} times; the newest is checked, {shown}")
        # After a build Cargo, which compares more than times, has said that the object is current.
        if built.newer_source is not None and not build:
            source = ctx.shown(built.newer_source)
            again = f"build again with `{command}`, or let `--build` do it" if command else "build again"
            findings.append(
                rules.get("CHK004")
                .finding(ctx, f"the object is older than `{source}`", fixes=[Fix("display", again)])
                .replace(object=shown)
            )
    objects = [built.path for built in project.objects]
    inside = any(path.startswith(os.path.join(project.root, "")) for path in named)
    if not objects and project.build_hint and not inside:
        notes.append(
            f"nothing is built, so only the sources were checked; `{command}` builds the programs, and then helpers,"
            " maps, stack, return values and kernels are checked too (or run this with `--build`)"
        )
    passed_over = [path for path in _lying_about(project) if path not in named and path not in objects]
    if passed_over:
        few = ", ".join(f"`{ctx.shown(path)}`" for path in passed_over[:3])
        more = f" and {len(passed_over) - 3} more" if len(passed_over) > 3 else ""
        notes.append(
            f"not checked, since no build of this workspace put them there: {few}{more}; name them to check them"
        )
    return objects, notes, findings


def _lying_about(project: Project) -> list[str]:
    """Objects in a workspace that lie in none of Cargo's target folders."""
    return objects_among("", (path for path in project.others if not path.endswith((".md", ".lock"))))


def _command(project: Project, ctx: CheckContext) -> str:
    hint = project.build_hint
    root = ctx.shown(project.root)
    if not hint or root == os.curdir:
        return hint
    # One `cd` where the hint enters a folder itself.
    enters, inner = hint.startswith("cd "), hint.removeprefix("cd ")
    return f"cd {os.path.join(root, inner)}" if enters else f"cd {root} && {hint}"
