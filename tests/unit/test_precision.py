"""What people judged of findings on public projects, and what the pages say of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from bpfsmith import rules
from bpfsmith.explain import explain
from bpfsmith.rules import _precision

ROOT = Path(__file__).resolve().parents[2]
JUDGED = tomllib.loads((ROOT / "tests/data/precision.toml").read_text("utf-8"))
LINE = re.compile(r"[A-Z]{3}\d{3} \S+:\d+ (?:[0-9a-f]{8}|-)")


def test_every_judgement_has_its_form() -> None:
    for project, lines in JUDGED.items():
        for key, text in lines.items():
            assert LINE.fullmatch(key), (project, key)
            assert rules.find(key[:6]) is not None, f"{project}: no rule {key[:6]}"
            verdict, _, why = text.partition(": ")
            assert verdict in ("true", "arguable", "false"), (project, key)
            assert why, f"{project}: {key} has no reason"


def test_a_rule_below_the_bar_is_in_preview() -> None:
    for code, (found, where, arguable, wrong) in _precision.SEEN.items():
        clear = found - arguable
        assert 0 < where <= min(found, _precision.PROJECTS)
        if clear and 100 * (clear - wrong) < 90 * clear:
            assert rules.get(code).preview, f"{code}: {wrong} of {clear} findings are false alarms"


def test_the_page_is_about_the_same_run() -> None:
    page = (ROOT / "docs/rules/precision.md").read_text("utf-8")
    assert f"{_precision.PROJECTS} public projects" in page
    for code, (found, where, _arguable, _wrong) in _precision.SEEN.items():
        assert re.search(rf"^\| \[{code}\]\({code}\.md\) .* \| {found} \| {where} \|", page, re.M), code


def test_explain_tells_it() -> None:
    silent = next(one.code for one in rules.listing() if one.kind == "source" and one.code not in _precision.SEEN)
    assert f"On {_precision.PROJECTS} public projects: no finding." in explain(silent).markdown
    for code, (_found, where, _arguable, _wrong) in _precision.SEEN.items():
        assert f"in {where}, " in explain(code).markdown
