"""Explained rejections get the fixes that repair finds for them: `explain --prove`."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from bpfsmith.repair.report import Proof
    from bpfsmith.verify.explained import Explained

__all__ = ["behind", "prove"]


def prove(
    found: Sequence[Explained], paths: Iterable[str], kernels: Any = None, say: Callable[[str], None] = lambda _: None
) -> list[Proof]:
    """Repairs what the rejected ones among `found` were built from, and puts the fix of each before what was advised.

    paths: workspaces, C files or folders of them, or objects that name their sources. kernels: as for `verify`. What
    was shown of a fix, or why there is none, becomes a note. Nothing of the user's is written. Raises as `repair`;
    `InputError` where no path leads to sources."""
    from bpfsmith.repair import BUILDS, SECONDS, TIMEOUT
    from bpfsmith.repair._job import run

    rejected = [one for one in found if one.verdict == "rejected"]
    if not rejected:
        return []
    sources = list(dict.fromkeys(source for path in paths for source in behind(path)))
    if not sources:
        raise InputError(
            "there are no sources to repair",
            hint="give their folder: `--sources DIR`, or the workspace or C file itself",
        )
    proofs: list[Proof] = []
    names = {one.program for one in rejected if one.program is not None}
    # A log that does not say whose it is may be any program's.
    only = names if names and all(one.program is not None for one in rejected) else None
    for source in sources:
        proofs += run(source, kernels, only, None, None, BUILDS, SECONDS, TIMEOUT, say)
    for one in rejected:
        # A log may not say whose it is: then of the one program that is rejected.
        mine = [proof for proof in proofs if one.program in (None, proof.program)]
        if len(mine) == 1 or (mine and one.program is not None):
            proof = mine[0]
            if proof.fix.edits:
                one.fixes = (proof.fix, *(fix for fix in one.fixes if fix.message != proof.fix.message))
            one.notes.append(f"repair: {proof.why}")
    return proofs


def behind(path: str) -> list[str]:
    """What can be repaired behind a path: a folder or source itself; of an object its Cargo project, else its C file,
    where they are on this machine."""
    if os.path.isdir(path) or path.endswith((".c", ".rs")):
        return [path]
    from bpfsmith.read import is_object, read

    if not is_object(path):
        return []
    from bpfsmith.rules._sources import Sources

    known = Sources()
    obj = read(path)
    files = {file for program in obj.programs for file in program.files() if not known.foreign(file)}
    found = [one for one in (known.find(file, path) for file in sorted(files)) if one is not None]
    rust = next((one for one in found if one.endswith(".rs")), None)
    if rust is not None:
        from bpfsmith.source.project import find_project

        project = find_project(rust)
        return [project.root] if project is not None else []
    return [one for one in found if one.endswith(".c")]
