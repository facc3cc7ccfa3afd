"""Rules are found by file name, selected by code, name, prefix or group, and documented by their module."""

from __future__ import annotations

import re

import pytest

from bpfsmith import rules
from bpfsmith.model.errors import InputError
from bpfsmith.model.finding import SEVERITIES
from bpfsmith.rules._base import Docs, EngineRule, ObjectRule, SourceRule

ALL = [entry.code for entry in rules.listing()]


@pytest.mark.parametrize("entry", rules.listing(), ids=lambda entry: entry.code)
def test_every_rule_is_whole(entry: rules.Entry) -> None:
    rule = entry.rule
    assert (rule.code, rule.name) == (entry.code, entry.name)
    assert re.fullmatch(r"(AYA|OBJ|CHK)\d{3}", rule.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.name)
    assert rule.severity in SEVERITIES
    assert rule.group in rules.GROUPS
    assert rule.phase in rules.PHASES
    assert isinstance(rule, ObjectRule | SourceRule | EngineRule)
    kinds = {"object": ObjectRule, "source": SourceRule, "engine": EngineRule}
    assert isinstance(rule, kinds[entry.kind])
    docs = rule.docs
    assert docs.summary.endswith(".")
    assert not docs.missing(), f"{entry.module}.py lacks the headings {docs.missing()}"
    assert all(rules.find(code) for code in (*rule.supersedes, *rule.supersedes_in_program))


def test_codes_and_names_are_unique() -> None:
    assert len({entry.name for entry in rules.listing()}) == len(ALL)


def test_codes_and_names_are_both_accepted() -> None:
    assert rules.find("chk001") is rules.find("unused-expectation") is rules.find("unused_expectation")
    assert rules.find("nothing") is None
    assert rules.get("CHK001").code == "CHK001"


def test_selection() -> None:
    codes = lambda *args: [entry.code for entry in rules.select(*args)]  # noqa: E731
    assert codes(None) == ALL
    assert codes(["all"]) == ALL
    assert codes(["CHK"]) == [code for code in ALL if code.startswith("CHK")] == codes(["engine"])
    assert codes(["CHK00"], ["CHK001", "expectation-without-reason"])[:1] == ["CHK003"]
    assert "CHK001" in codes(["phase:silent"])
    assert "CHK001" in codes(["severity:note"])
    assert "CHK002" not in codes(["severity:note"])
    assert codes(["CHK001"], ["CHK"]) == []


@pytest.mark.parametrize("word", ["OBJ999", "nothing", "phase:never", "", "chk", "Z"])
def test_unknown_words(word: str) -> None:
    with pytest.raises(InputError, match="unknown rule"):
        rules.select([word])


def test_near_matches() -> None:
    with pytest.raises(InputError, match="`unused-expectation`"):
        rules.get("unused-expectaton")


def test_docs_ignore_headings_in_code() -> None:
    docs = Docs("Summary.\n\n## What it does\na\n```md\n## Example\n```\n## Fix\nb\n")
    assert docs.summary == "Summary."
    assert docs.sections == {"What it does": "a\n```md\n## Example\n```", "Fix": "b"}
    assert "Kernels" in docs.missing()
    assert Docs("").summary == ""
