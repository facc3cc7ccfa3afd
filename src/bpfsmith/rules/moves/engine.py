"""The one engine over the table of moves: findings with fixes, for `check`, `check --fix` and `migrate`.

A row speaks where the crate's version (or `Project.target`, which stands for it) is certainly one that has moved on.
"""

from __future__ import annotations

from functools import partial

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import Docs, SourceRule
from bpfsmith.rules._rust import manifest_span, place, replace
from bpfsmith.rules.moves._comments import without_comment_loss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar

    from bpfsmith.model.finding import Finding, Span
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules.moves._table import Hit, Row
    from bpfsmith.source.project import Project

__all__ = ["MoveRule", "findings", "rule_of"]


class MoveRule(SourceRule):
    """A row as the rule it is for everybody else."""

    row: ClassVar[Row]

    @property
    def docs(self) -> Docs:
        return Docs(self.row.page())

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        row = self.row
        for hit in row.match.find(row, project):
            newer = _newer(hit)
            severity = hit.words.get("severity") or row.severity
            fixes = [] if hit.follows else _fixes(hit, row, ctx)
            if newer:  # nobody knows what is gone or back there
                severity = "warning" if severity == "error" else severity
                fixes = [Fix("display", fix.message) for fix in fixes]
            yield self.finding(
                ctx,
                hit.words.get("message") or row.message.format_map(hit.words),
                span=_span(hit, row, ctx),
                program=hit.program,
                severity=severity,
                fixes=fixes,
            )


def _span(hit: Hit, row: Row, ctx: CheckContext) -> Span | None:
    if hit.file is not None:
        return place(ctx, hit.file, hit.start, hit.end)
    return manifest_span(ctx, hit.crate, hit.words.get("package", row.crate)) if hit.crate is not None else None


def _fixes(hit: Hit, row: Row, ctx: CheckContext) -> list[Fix]:
    """The first edit that is possible here."""
    for edit in row.edits:
        fix = edit(hit, ctx)
        if fix is not None:
            shown = ctx.shown(hit.file.path) if hit.file is not None else ""
            return [without_comment_loss(fix, hit.file, partial(replace, ctx), shown)]
    return []


def rule_of(row: Row) -> MoveRule:
    """The rule for a row."""
    words = row.match.words
    made = type(
        "Move",
        (MoveRule,),
        {
            "__module__": __name__,
            "row": row,
            "code": row.code,
            "name": row.name,
            "severity": row.severity,
            "group": row.group,
            "phase": row.phase,
            "words": () if "Cargo.toml" in words else words,
            "supersedes": row.supersedes,
        },
    )
    rule = made()
    assert isinstance(rule, MoveRule)
    return rule


_KNOWN = {"aya": "0.17.0", "aya-ebpf": "0.4.0"}  # the first releases that the table knows nothing about


def _newer(hit: Hit) -> bool:
    """Whether the crate has an Aya newer than any that the table is made from."""
    crate = hit.file.crate if hit.file is not None else None
    return crate is not None and any(crate.at_least(name, first) for name, first in _KNOWN.items())


def findings(project: Project, ctx: CheckContext) -> list[Finding]:
    """What every row of the table has to say about a project, in order of place."""
    from bpfsmith.rules.moves import rules

    every = [file for crate in project.crates for file in crate.files]
    out: list[Finding] = []
    for rule in rules():
        if rule.words and not any(file.has(*rule.words) for file in every):
            continue
        out.extend(rule.check(project, ctx))
    return sorted(out, key=lambda one: one.sort_key())
