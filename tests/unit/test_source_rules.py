"""Source rules on code as it is being typed: no rule fails on any prefix, and what they edit is in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith import rules
from bpfsmith.rules._base import CheckContext, SourceRule
from bpfsmith.source.project import Project, find_project
from bpfsmith.source.rust import SourceFile

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "packet-counter-broken"
RULES = [entry.rule for entry in rules.listing() if entry.code.startswith("AYA")]


@pytest.fixture(scope="module")
def project() -> Project:
    found = find_project(str(EXAMPLE))
    assert found is not None
    return found


def all_findings(project: Project) -> list[object]:
    ctx = CheckContext()
    return [one for rule in RULES if isinstance(rule, SourceRule) for one in rule.check(project, ctx)]


def test_every_mistake_of_the_broken_example_is_found(project: Project) -> None:
    codes = {getattr(one, "code", None) for one in all_findings(project)}
    assert {"AYA001", "AYA045", "AYA049", "AYA086", "AYA089", "AYA094", "AYA097", "AYA502"} <= codes


def test_prefixes(project: Project) -> None:
    for crate in project.crates:
        for at, file in enumerate(list(crate.files)):
            text = file.text
            # Every token boundary is too many: each word's start and each bracket's end in turn.
            cuts = [one for one in range(1, len(text)) if text[one].isspace() != text[one - 1].isspace()]
            for cut in cuts[:: max(1, len(cuts) // 40)]:
                part = SourceFile(file.path, text[:cut].encode())
                part.crate, part.root, part.module = crate, file.root, file.module
                crate.files[at] = part
                all_findings(project)
            crate.files[at] = file


def test_edits_are_inside_their_file_and_do_not_overlap(project: Project) -> None:
    for one in all_findings(project):
        for fix in getattr(one, "fixes", ()):
            spans = sorted((edit.span.path, edit.span.line, edit.span.column, edit.span.end_line) for edit in fix.edits)
            assert len(spans) == len(set(spans))
            for edit in fix.edits:
                lines = Path(edit.span.path).read_text(encoding="utf-8").split("\n")
                assert edit.span.end_line <= len(lines) + 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_documentation_is_complete(rule: SourceRule) -> None:
    assert rule.docs.missing() == []
    assert rule.docs.summary.endswith(".")
    assert len(rule.docs.summary) <= 118
