"""Rules about names that moved: one finding at each import, whose fix edits every use in the file."""

from __future__ import annotations

from bpfsmith.rules._rust import compat, files, mentions, place, rename_fix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._base import SourceRule
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

__all__ = ["renamed"]


def renamed(
    rule: SourceRule, project: Project, ctx: CheckContext, names: dict[str, str], package: str, since: str, why: str
) -> Iterator[Finding]:
    """Finds absolute paths (`names`, with the new last part) where `package` is `since` or newer."""
    for file in files(project, package, since, None):
        found = [one for one in mentions(file, names.keys()) if not compat(file, one.item, one.start)]
        for path, new in names.items():
            places = [one for one in found if one.path == path]
            imports = [one for one in places if one.use]
            if not places:
                continue
            old = path.rpartition("::")[2]
            message = f"`{old}` is {why}, it is called `{new}` now"
            # Uses follow from the import: one defect, one finding.
            for at, one in enumerate(imports or places):
                edited = places if imports else [one]
                fixes = [rename_fix(ctx, file, edited, new, f"write `{new}`")] if at == 0 or not imports else []
                yield rule.finding(ctx, message, span=place(ctx, file, one.start, one.end), fixes=fixes)
