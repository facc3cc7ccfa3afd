"""Programs that the user side loads and then leaves alone."""

from __future__ import annotations

from bpfsmith.rules._cross import pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.aya import KernelProgram
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

__all__ = ["unattached"]


def unattached(project: Project) -> Iterator[tuple[KernelProgram, Expr]]:
    """(program, the `load` call) for programs that are loaded and never attached: every use of the name is followed to
    its end, and nothing but `load` is called on any."""
    for pair in pairs(project):
        if not pair.user_complete:
            continue
        for made in pair.programs:
            uses = [one for one in pair.program_uses if one.names is not None and made.name in one.names]
            if len(pair.program(made.name)) != 1 or not uses:
                continue
            if any(one.escapes or not one.cast or one.several for one in uses):
                continue
            calls = [call for one in uses for call in one.calls]
            loads = [call for call in calls if call.name == "load"]
            if not loads or len(loads) != len(calls):
                continue
            # The name anywhere else may be in a table that is attached by.
            texts = sum(file.text.count(f'"{made.name}"') for user in pair.users for file in user.crate.files)
            if texts > len(uses) or loads[0].file.crate not in project.crates:
                continue
            yield made, loads[0]
