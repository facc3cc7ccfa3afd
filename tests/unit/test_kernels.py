"""The grammar of `--kernels`."""

from __future__ import annotations

import pytest

from bpfsmith.model.errors import InputError
from bpfsmith.model.kernels import ALL_KERNELS, SERIES, KernelSet, fold_series, parse_kernels, series_key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6.12", ["6.12"]),
        ("5.18..6.1", ["5.18", "5.19", "6.0", "6.1"]),
        ("7.2..", ["7.2", "7.3"]),
        ("..5.0", ["4.19", "4.20", "5.0"]),
        ("6.12, 5.10 ,6.1", ["5.10", "6.1", "6.12"]),
        ("6.0..6.1,6.1..6.2", ["6.0", "6.1", "6.2"]),
        ("host", ["6.18"]),
        ("fleet", ["5.15", "6.1"]),
        ("both", ["5.15", "6.1", "6.18"]),
    ],
)
def test_sets(text: str, expected: list[str]) -> None:
    names = {"fleet": "5.15,6.1", "both": "fleet,host"}
    found = parse_kernels(text, names=names, host="6.18.5-amd64")
    assert list(found.series) == expected
    assert found.specified
    assert found.text == text


def test_a_host_newer_than_the_table_is_compared_by_number() -> None:
    assert parse_kernels("host", host="8.2.0-rc1").missing_before("7.3") == ()
    assert parse_kernels("host", host="6.6+").series == ("6.6",)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty part"),
        ("6.1,", "empty part"),
        ("6.12.5", "did you mean `6.12`?"),
        ("v6.12", "did you mean `6.12`?"),
        ("5.99", "did you mean `5.19`?"),
        ("3.10", "did you mean `4.19`?"),
        ("hots", "`host`"),
        ("flet", "`fleet`"),
        ("6.12..6.1", "write `6.1..6.12`"),
        ("6.x", "unknown kernel `6.x`"),
        ("...", "unknown kernel"),
        ("6.\N{SUPERSCRIPT TWO}", "unknown kernel"),
        ("loop", "unknown kernel `loop`"),
    ],
)
def test_what_cannot_be_read_says_what_is_near(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_kernels(text, names={"fleet": "5.15", "loop": "loop"})
    assert part in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_host_without_a_version() -> None:
    with pytest.raises(InputError, match="cannot tell the series"):
        parse_kernels("host", host="unknown")


def test_missing_before() -> None:
    asked = parse_kernels("5.15,6.1..6.3")
    assert asked.missing_before("6.2") == ("5.15", "6.1")
    assert asked.missing_before("5.15") == ()
    assert asked.missing_before(None) == ()
    assert (asked.oldest(), asked.newest()) == ("5.15", "6.3")
    assert asked.all_have("5.10")
    assert not asked.all_have("5.16")


def test_when_nobody_asked_nothing_is_too_new() -> None:
    assert ALL_KERNELS.missing_before("7.3") == ()
    assert not ALL_KERNELS.all_have("4.19")
    assert ALL_KERNELS.series == SERIES


def test_values() -> None:
    assert str(parse_kernels("5.19..6.1,6.12,host", host="9.9.9")) == "5.19..6.1,6.12,9.9"
    assert fold_series(["6.1", "5.19", "6.0"]) == "5.19..6.1"
    assert parse_kernels("6.1") == KernelSet(["6.1"])
    assert len({parse_kernels("6.1"), parse_kernels("6.1..6.1")}) == 1
    assert "6.1" in parse_kernels("6.1")
    assert len(parse_kernels("6.0..6.2")) == 3
    assert KernelSet(["6.1"]) != "6.1"
    assert repr(ALL_KERNELS) == f"KernelSet({SERIES[0]}..{SERIES[-1]}, specified=False)"
    with pytest.raises(AttributeError):
        ALL_KERNELS.series = ()
    assert series_key("5.9") < series_key("5.10")
    for wrong in ("5", "5.", "a.b", "5.1.2", "-1.2"):
        with pytest.raises(ValueError, match="not a kernel series"):
            series_key(wrong)


def test_host_is_no_end_of_a_range() -> None:
    for text in ("5.10..host", "host.."):
        with pytest.raises(InputError, match="cannot end the range"):
            parse_kernels(text, host="6.12.1")
