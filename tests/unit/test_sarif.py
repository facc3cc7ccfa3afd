"""SARIF output validates against the official schema and has fingerprints that survive moved lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from bpfsmith.check.report import Report
from bpfsmith.model.finding import Finding, Span
from bpfsmith.render.sarif import document
from bpfsmith.rules._sources import Sources
from unit.sample_report import SOURCE, report, write_sources

SCHEMA = json.loads(
    (Path(__file__).resolve().parent.parent / "data/sarif-2.1.0.schema.json").read_text(encoding="utf-8")
)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(tmp_path)
    write_sources(tmp_path)
    return document(report())


def test_it_validates(log: dict) -> None:
    Draft7Validator.check_schema(SCHEMA)
    errors = list(Draft7Validator(SCHEMA).iter_errors(log))
    assert not errors, errors[0]
    assert not list(Draft7Validator(SCHEMA).iter_errors(document(Report())))


def test_contents(log: dict, tmp_path: Path) -> None:
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["originalUriBaseIds"]["%SRCROOT%"]["uri"] == tmp_path.as_uri() + "/"
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert ids == sorted(ids) == ["AYA900", "OBJ003", "OBJ901"]
    assert run["tool"]["driver"]["rules"][1]["help"]["markdown"].startswith("The object declares no licence.")
    result = run["results"][1]
    assert ids[result["ruleIndex"]] == result["ruleId"] == "AYA900"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "src/main.rs", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 4, "startColumn": 6, "endLine": 4, "endColumn": 11}
    assert len(result["relatedLocations"]) == 3
    assert [len(fix["artifactChanges"]) for fix in result["fixes"]] == [1, 1]
    assert result["properties"]["kernels"] == ["5.10", "5.11", "6.1"]
    assert run["results"][3]["locations"][0]["logicalLocations"][0]["name"] == "count,all"


def test_fingerprints_survive_moved_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def prints(text: str, line: int) -> list[str]:
        (tmp_path / "a.rs").write_text(text, encoding="utf-8")
        findings = [Finding("AYA900", "n", "error", "m", Span("a.rs", at, 2)) for at in (line, line + 1)]
        results = document(Report(findings, sources=Sources()))["runs"][0]["results"]
        return [one["partialFingerprints"]["bpfsmith/v1"] for one in results]

    first = prints(SOURCE, 4)
    assert prints("\n\n" + SOURCE.replace("\t", "        "), 6) == first
    assert len(set(first)) == 2
    twice = prints("same();\nsame();\n", 1)
    assert len(set(twice)) == 2


def test_uris_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    findings = [
        Finding("AYA900", "n", "error", "m", Span("a b/größe%.rs", 1)),
        Finding("AYA900", "n", "error", "m", Span("/usr/include/x y.h", 1)),
    ]
    uris = [
        one["locations"][0]["physicalLocation"]["artifactLocation"]
        for one in document(Report(findings))["runs"][0]["results"]
    ]
    assert uris == [
        {"uri": "a%20b/gr%C3%B6%C3%9Fe%25.rs", "uriBaseId": "%SRCROOT%"},
        {"uri": "file:///usr/include/x%20y.h"},
    ]
