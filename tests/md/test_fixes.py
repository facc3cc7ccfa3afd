"""What the fixes of source rules write: with their edits made, the rule that offered them has nothing more to say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import project  # noqa: E402
from harness import Case, cases  # noqa: E402

import bpfsmith  # noqa: E402

BAD = [case for page in sorted((HERE / "source").glob("*.md")) for case in cases(page) if case.kind == "bad"]


def _findings(case: Case) -> list[dict]:
    found = bpfsmith.check(".", kernels=case.options.get("kernels")).to_json()["findings"]
    return [one for one in found if one["code"] == case.code]


def _edited(text: str, edits: list[dict]) -> str:
    lines = text.split("\n")

    def offset(line: int, column: int) -> int:
        return sum(len(one) + 1 for one in lines[: line - 1]) + column - 1

    for edit in sorted(edits, key=lambda one: (one["line"], one["column"]), reverse=True):
        start, end = offset(edit["line"], edit["column"]), offset(edit["end_line"], edit["end_column"])
        text = text[:start] + edit["text"] + text[end:]
    return text


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.id)
def test_edits_mend_what_was_found(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(tmp_path, case.files, case.options)
    monkeypatch.chdir(tmp_path)
    edits: dict[str, list[dict]] = {}
    left = 0
    for finding in _findings(case):
        fixes = [fix for fix in finding["fixes"] if fix["edits"] and fix["applicability"] in ("safe", "unsafe")]
        left += not fixes
        for edit in fixes[0]["edits"] if fixes else ():
            if edit not in edits.setdefault(edit["path"], []):
                edits[edit["path"]].append(edit)
    for path, made in edits.items():
        file = tmp_path / path
        file.write_text(_edited(file.read_text(encoding="utf-8"), made), encoding="utf-8")
    after = _findings(case)
    assert len(after) <= left, "\n".join(f"{one['path']}:{one['line']}: {one['message']}" for one in after)
