"""`api/` says what users can rely on; a change there is a decision."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from bpfsmith.check.report import Report
from bpfsmith.check.schema import schema
from snapshots import API, DOCS, SNAPSHOTS, topics
from unit.sample_report import report


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_the_public_face_is_as_reviewed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    made = SNAPSHOTS[name]()
    if made is None:
        pytest.skip(f"nothing makes {name} yet")
    assert made == (API / name).read_text(encoding="utf-8"), (
        f"api/{name} differs: if that is meant, run `python -m tests.update` and commit it with a line in CHANGELOG.md"
    )


def test_the_docs_show_the_topics_of_the_package() -> None:
    copied = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
    assert copied == topics(), "edit src/bpfsmith/topics, then run `python -m tests.update`"


def test_reports_fit_their_schema() -> None:
    Draft202012Validator.check_schema(schema())
    validator = Draft202012Validator(schema())
    for one in (report(), Report()):
        data = json.loads(json.dumps(one.to_json()))
        assert not list(validator.iter_errors(data))
    data["findings"] = [{"code": "OBJ001"}]
    assert list(validator.iter_errors(data))
