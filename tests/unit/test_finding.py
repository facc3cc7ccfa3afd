"""The finding and its parts: frozen values with a lossless JSON form."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfsmith.model.finding import SEVERITIES, Edit, Evidence, Finding, Fix, Label, Span

KEYS = [
    "code", "name", "severity", "message", "path", "line", "column", "end_line", "end_column", "object", "program",
    "kernels", "labels", "evidence", "fixes", "see",
]  # fmt: skip

spans = st.builds(
    Span, st.text(min_size=1), st.integers(1, 9), st.integers(1, 9), st.integers(0, 20), st.integers(0, 20)
)
findings = st.builds(
    Finding,
    st.just("OBJ001"),
    st.just("a-name"),
    st.sampled_from(SEVERITIES),
    st.text(),
    st.none() | spans,
    st.none() | st.text(min_size=1),
    st.none() | st.text(min_size=1),
    st.lists(st.builds(Label, spans, st.text()), max_size=2),
    st.lists(st.builds(Evidence, st.text(), st.text()), max_size=2),
    st.lists(
        st.builds(Fix, st.just("safe"), st.text(), st.lists(st.builds(Edit, spans, st.text()), max_size=2)), max_size=2
    ),
    st.lists(st.sampled_from(["5.10", "6.1"])),
    st.lists(st.text()),
)


@given(findings)
def test_json_round_trip(finding: Finding) -> None:
    data = json.loads(json.dumps(finding.to_json()))
    assert list(data) == KEYS
    assert Finding.from_json(data) == finding
    assert pickle.loads(pickle.dumps(finding)) == finding
    assert hash(Finding.from_json(data)) == hash(finding)


def test_a_finding_without_a_source_names_its_object() -> None:
    data = Finding("OBJ001", "n", "note", "m", object="a.o", program="p").to_json()
    assert (data["path"], data["line"], data["end_column"]) == ("a.o", None, None)
    assert (data["object"], data["program"]) == ("a.o", "p")


def test_order_is_by_place_then_code() -> None:
    def at(path: str, line: int, code: str = "OBJ001") -> Finding:
        return Finding(code, "n", "note", "m", Span(path, line))

    ordered = [
        Finding("OBJ009", "n", "note", "m", object="a.c"),
        at("a.c", 2),
        at("a.c", 10),
        at("a.c", 10, "OBJ002"),
        at("b.c", 1),
    ]
    shuffled = ordered[::-1]
    assert sorted(shuffled) == ordered


def test_only_edits_have_empty_spans() -> None:
    assert Span("a", 3).to_json() == {"path": "a", "line": 3, "column": 1, "end_line": 3, "end_column": 2}
    assert Span("a", 3, 5, 3, 4).end_column == 6
    empty = Span("a", 3, 5, 3, 5)
    assert Edit(empty, "x").span.end_column == 5
    assert Label(empty, "x").span.end_column == 6
    assert Finding("OBJ001", "n", "note", "m", empty).span == Span("a", 3, 5)
    assert Span("a", 3, 5, 1, 2).end_line == 3
    assert Span("a", 3, 5, 4, 1).end_column == 1
    assert str(Span("a", 3, 5)) == "a:3:5"


def test_values_are_frozen() -> None:
    span = Span("a", 1)
    with pytest.raises(AttributeError):
        span.line = 2
    with pytest.raises(AttributeError):
        del span.line
    assert span.replace(line=4, end_line=4).line == 4
    with pytest.raises(TypeError):
        span.replace(row=4)
    assert span != Label(span, "x")
    assert repr(span) == "Span(path='a', line=1, column=1, end_line=1, end_column=2)"


def test_wrong_words_are_refused() -> None:
    with pytest.raises(ValueError, match="severity"):
        Finding("OBJ001", "n", "fatal", "m")
    with pytest.raises(ValueError, match="applicability"):
        Fix("maybe", "m")
    with pytest.raises(TypeError, match="span of OBJ001"):
        Finding("OBJ001", "n", "note", "m", ("a.c", 1))
