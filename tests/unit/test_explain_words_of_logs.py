"""Words that come from rejections: messages, classes, codes; logs with parts missing."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfsmith
from bpfsmith.model.errors import InputError

LOG = Path(__file__).resolve().parents[2] / "examples" / "rejected" / "aya.log"


def test_a_message_alone_is_its_family() -> None:
    page = bpfsmith.explain("R3 offset is outside of the packet").pages[0]
    assert (page.kind, page.name) == ("family", "V08")


def test_a_class_is_a_word() -> None:
    assert bpfsmith.explain("missing-null-check").pages[0].kind == "class"


def test_near_codes_and_what_is_no_folder() -> None:
    with pytest.raises(InputError) as caught:
        bpfsmith.explain("V06x")
    assert "`V06`" in str(caught.value.hint)
    with pytest.raises(InputError, match="there is no folder"):
        bpfsmith.explain(str(LOG), sources="/nowhere/at/all")


def test_every_class_a_cause_may_have_is_a_word() -> None:
    from bpfsmith.explain._classes import CLASSES
    from bpfsmith.verify.messages import FAMILIES

    assert {name for one in FAMILIES for name in one.classes} <= {*CLASSES, "unknown"}


def test_a_log_without_its_middle() -> None:
    lines = LOG.read_text().splitlines(keepends=True)
    one = bpfsmith.explain("".join([*lines[:20], *lines[59:]])).programs[0]
    assert any("middle" in note for note in one.notes)
    assert one.cause is not None
    assert one.cause.confidence != "high"
    assert not any("nothing was compared" in fact.text for fact in one.cause.because)


def test_a_log_without_its_end() -> None:
    one = bpfsmith.explain("".join(LOG.read_text().splitlines(keepends=True)[:60])).programs[0]
    assert one.verdict == "unknown"


def test_a_log_without_its_end_before_another() -> None:
    lines = LOG.read_text().splitlines(keepends=True)
    begin = next(at for at, line in enumerate(lines) if line.startswith("0: ("))
    other = "0: (b7) r6 = 1\n1: (bf) r7 = r6\n2: (79) r8 = *(u64 *)(r1 +0)\n"
    both = bpfsmith.explain("".join([other, *lines[begin:]])).programs
    assert [one.verdict for one in both] == ["unknown", "rejected"]


def test_a_log_without_its_end_before_the_same() -> None:
    lines = LOG.read_text().splitlines(keepends=True)
    begin = next(at for at, line in enumerate(lines) if line.startswith("0: ("))
    report = bpfsmith.explain("".join([*lines[:40], *lines[begin:]]))
    assert [one.verdict for one in report.programs] == ["rejected"]
    assert any("a part of the same log" in note for note in report.notes)
