"""The rejected programs in `verdict/` are rejected by the kernels they name, with the words they record, and their
fixes are accepted.

The normal run takes a third of the cases, the same ones each time, and two kernels of the lab; `./dev test
--full` takes all of both. The running kernel is not asked: what verifiers reject is also what they fall over.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import verdict  # noqa: E402
import verdict_measure  # noqa: E402

FULL = os.environ.get("BPFSMITH_FULL") == "1"
CASES = verdict.cases()
CHOSEN = CASES if FULL else verdict.sample(CASES)


@pytest.mark.root
@pytest.mark.lab
@pytest.mark.toolchain("rust", "clang")
@pytest.mark.parametrize("language", ["rust", "c"])
def test_kernels_say_what_the_cases_say(language: str, tmp_path: Path) -> None:
    """Each rejected block is rejected with the recorded words by the kernels it names and by no other, each fix is
    accepted by those it names."""
    chosen = [one for one in CHOSEN if one.language == language]
    built = verdict.build(chosen)
    answers = verdict.judge(chosen, built, verdict.prepared(FULL), tmp_path)
    told = verdict.wrong(chosen, built, answers)
    assert not told, "\n".join(told)


@pytest.mark.root
@pytest.mark.lab
@pytest.mark.toolchain("rust", "clang")
def test_the_engine_finds_the_causes() -> None:
    """Class and line of the cause with the object at hand, over both halves. What a third of the cases shows may be off
    by a case or two."""
    rows = verdict_measure.explain_all(CHOSEN, verdict.prepared(FULL))
    found = verdict_measure.figures([one for one in rows if one.how == "object" or one.kernel == "made"])
    slack = 0 if FULL else 5
    assert found.family >= 98 - slack, found
    assert found.cls >= verdict_measure.BARS["class"] - slack, found
    assert found.line >= verdict_measure.BARS["line"] - slack, found
    assert found.ms < 50, found


def test_every_case_is_shown_and_recorded() -> None:
    told = verdict.missing(CASES)
    assert not told, "\n".join(told)


def test_names_are_of_one_case() -> None:
    names = [one.name for one in CASES]
    assert len(names) == len(set(names))


def test_no_two_cases_are_the_same_program() -> None:
    """Renamed, renumbered copies count as one case."""
    import re

    seen: dict[str, str] = {}
    for one in CASES:
        if one.rejected is None:
            continue
        text = re.sub(r"//[^\n]*", "", one.rejected.text)
        sections = re.findall(r"\"[^\"]*\"", text)
        name = r"\b(?!fn\b|let\b|if\b|return\b|for\b|while\b)[a-z_]\w*\b"
        bare = re.sub(rf"{name}|\d+|\s+", "_", text) + "".join(sections)
        assert bare not in seen, f"{one.name} and {seen[bare]} differ only in names and constants"
        seen[bare] = one.name
