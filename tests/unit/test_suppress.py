"""Suppression comments in C and Rust."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.check.suppress import expectations, suppress
from bpfsmith.model.finding import Finding, Span
from bpfsmith.rules._sources import Sources


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str) -> list[tuple[int, list[str], str | None, str]]:
    Path("a.rs").write_text(text, encoding="utf-8")
    return [(one.covers, one.words, one.reason, one.problem) for one in expectations("a.rs", Sources())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('// bpfsmith: expect(OBJ001, reason = "old")\nx();\n', (2, ["OBJ001"], "old")),
        ('x(); // bpfsmith: expect(OBJ001, reason = "old")\n', (1, ["OBJ001"], "old")),
        ('    /* bpfsmith: expect(a-name, reason = "old") */\n', (2, ["a-name"], "old")),
        ('// bpfsmith: expect(OBJ001, AYA075, reason="a \\"b\\" (c)",)\n', (2, ["OBJ001", "AYA075"], 'a \\"b\\" (c)')),
        ("//! bpfsmith: expect(OBJ001)\n", (2, ["OBJ001"], None)),
        ('//bpfsmith:expect( OBJ001 , reason = "" )\n', (2, ["OBJ001"], "")),
    ],
)
def test_forms(text: str, expected: tuple) -> None:
    assert read(text) == [(*expected, "")]


def test_stacked_comments_cover_the_same_line() -> None:
    text = '// bpfsmith: expect(OBJ001, reason = "a")\n// bpfsmith: expect(OBJ002, reason = "b")\nx();\ny();\n'
    assert [one[0] for one in read(text)] == [3, 3]


def test_what_only_looks_like_one() -> None:
    text = """\
let a = "// bpfsmith: expect(OBJ001)";
let b = r#"
// bpfsmith: expect("OBJ001")
"#;
let c = '"'; // see bpfsmith: a tool
fn f<'a>(x: &'a str) {} // nothing
let d = "\\"// bpfsmith: expect(OBJ001)";
"""
    assert read(text) == []


@pytest.mark.parametrize(
    "comment",
    ["expect(OBJ001", "allow(OBJ001)", 'expect OBJ001 "x"', 'expect(OBJ001, because = "x")', "expect(reason)"],
)
def test_wrong_forms_are_reported(comment: str) -> None:
    found = read(f"// bpfsmith: {comment}\n")
    assert len(found) == 1
    Path("a.rs").write_text(f"// bpfsmith: {comment}\nx();\n", encoding="utf-8")
    _, _, about = suppress([], {"a.rs": set()}, Sources())
    assert {one.code for one in about} <= {"CHK002", "CHK003"}
    assert about


def finding(line: int, code: str = "OBJ003", name: str = "license-missing") -> Finding:
    return Finding(code, name, "error", "m", Span("a.c", line))


def test_suppressing_by_code_and_name() -> None:
    text = """\
// bpfsmith: expect(obj003, reason = "why")
one();
two(); // bpfsmith: expect(license_missing, reason = "why")
three();
"""
    Path("a.c").write_text(text, encoding="utf-8")
    kept, count, about = suppress([finding(2), finding(3), finding(4)], {"a.c": {"OBJ003"}}, Sources())
    assert ([one.span.line for one in kept], count, about) == ([4], 2, [])


def test_without_reason_suppresses_and_is_reported() -> None:
    Path("a.c").write_text("// bpfsmith: expect(OBJ003)\none();\n", encoding="utf-8")
    kept, count, about = suppress([finding(2)], {}, Sources())
    assert (kept, count) == ([], 1)
    assert [(one.code, one.severity, one.span.line) for one in about] == [("CHK002", "warning", 1)]


def test_unused_ones_are_reported_only_for_rules_that_ran() -> None:
    Path("a.c").write_text('// bpfsmith: expect(OBJ003, reason = "x")\none();\n', encoding="utf-8")
    assert suppress([], {"a.c": {"CHK005"}}, Sources())[2] == []
    about = suppress([], {"a.c": {"OBJ003"}}, Sources())[2]
    assert [(one.code, one.severity) for one in about] == [("CHK001", "note")]
    assert "line 2" in about[0].message


def test_unknown_rules_are_reported_with_what_is_near() -> None:
    Path("a.c").write_text('// bpfsmith: expect(OBJ0003, reason = "x")\none();\n', encoding="utf-8")
    about = suppress([], {"a.c": set()}, Sources())[2]
    assert [one.code for one in about] == ["CHK003"]
    assert "`OBJ003`" in about[0].fixes[0].message


def test_manifests() -> None:
    text = """\
a = "# bpfsmith: expect(OBJ001)"
b = \'# bpfsmith: expect(OBJ001)\'
c = \"\"\"
# bpfsmith: expect(OBJ001)
\"\"\"
# bpfsmith: expect(OBJ003, reason = "why")
aya = "0.11"
bpf = "0.11" # bpfsmith: expect(OBJ003, reason = "why")
"""
    Path("Cargo.toml").write_text(text, encoding="utf-8")
    assert [one.covers for one in expectations("Cargo.toml", Sources())] == [7, 8]


def test_a_file_that_is_gone() -> None:
    assert suppress([finding(1)], {"b.c": set()}, Sources())[1] == 0
