"""Output formats, against golden texts; `python -m tests.update` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpfsmith.check.report import Report
from bpfsmith.model.errors import InputError
from bpfsmith.model.finding import Edit, Finding, Fix, Span
from bpfsmith.render import formats, renderer
from bpfsmith.render._cells import cells, clean, show
from bpfsmith.render._markdown import plain
from bpfsmith.rules._sources import Sources
from unit.sample_report import report, write_sources

GOLDEN = Path(__file__).resolve().parent.parent / "data" / "golden"
FILES = {
    "text.txt": ("text", False),
    "text-color.txt": ("text", True),
    "concise.txt": ("concise", False),
    "github.txt": ("github", False),
    "json.json": ("json", False),
}


@pytest.mark.parametrize("name", FILES)
def test_golden(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sources(tmp_path)
    kind, color = FILES[name]
    made = renderer(kind, color=color).render(report())
    assert made == (GOLDEN / name).read_text(encoding="utf-8"), (
        "run `python -m tests.update` and look at the difference"
    )


def test_formats() -> None:
    assert formats() == ["concise", "github", "json", "sarif", "text"]
    with pytest.raises(InputError, match="did you mean `json`"):
        renderer("jsn")


def test_an_empty_report() -> None:
    assert renderer("text").render(Report()) == "no findings in 0 files\n"
    assert renderer("concise").render(Report()) == ""
    assert json.loads(renderer("json").render(Report(files=3)))["summary"] == {
        "files": 3, "error": 0, "warning": 0, "note": 0, "suppressed": 0,
    }  # fmt: skip


def test_no_raw_control_character_reaches_a_terminal() -> None:
    finding = Finding("OBJ001", "n", "error", "a\x1b[2J\x07\u202eb", object="x\x9b.o", program="p\r")
    text = renderer("text").render(Report([finding]))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert clean("a\x1bb\u202e") == "a\\x1bb\\x202e"
    assert show("a\x1bb") == "a\N{REPLACEMENT CHARACTER}b"


def test_cells() -> None:
    assert cells("名前") == 4
    assert cells("\ta") == 5
    assert cells("abc\ta") == 5
    assert cells("e\N{COMBINING ACUTE ACCENT}") == 1
    assert show("ab\tc") == "ab  c"


def test_exit_codes() -> None:
    def code(severity: str, fail_on: str) -> int:
        return Report([Finding("OBJ001", "n", severity, "m", Span("a", 1))], fail_on=fail_on).exit_code

    assert [code("warning", one) for one in ("error", "warning", "note", "never")] == [0, 1, 1, 0]
    assert [code("note", one) for one in ("error", "warning", "note", "never")] == [0, 0, 1, 0]
    assert Report(errors=[InputError("m")], fail_on="never").exit_code == 2


def test_markdown_on_a_terminal() -> None:
    text = "# Title\n\nText with `code` and **bold**.\n\n| a | b |\n|---|---|\n| 1 | x \\| y |\n\n```c\nint x;\n```\n"
    assert plain(text) == ("Title\n=====\n\nText with `code` and bold.\n\na  b\n-  -----\n1  x | y\n\n    int x;\n")
    colored = plain(text, color=True)
    assert "\x1b[1;4mTitle\x1b[0m" in colored
    assert "\x1b[36mcode\x1b[0m" in colored
    long = plain("* " + "word " * 60)
    assert max(map(len, long.splitlines())) <= 120
    assert long.splitlines()[1].startswith("  word")
    wide = plain("| a | b |\n|---|---|\n| x | " + "word " * 60 + "|\n")
    assert max(map(len, wide.splitlines())) <= 120


def test_edits_of_one_fix_are_shown_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.rs").write_text('one\n  call(Some("x"), 0, two,\n    three);\nfour\nfive\n', encoding="utf-8")
    edits = [
        Edit(Span("a.rs", 3, 5, 3, 10), "3"),
        Edit(Span("a.rs", 2, 8, 2, 13), ""),
        Edit(Span("a.rs", 2, 16, 2, 20), ""),
        Edit(Span("a.rs", 2, 26, 3, 5), " "),
        Edit(Span("a.rs", 5, 1, 5, 1), "six\n"),
    ]
    found = Finding("AYA015", "n", "error", "m", span=Span("a.rs", 2, 3, 2, 7), fixes=[Fix("safe", "do", edits)])
    text = renderer("text").render(Report([found], sources=Sources()))
    shown = [line.strip() for line in text.splitlines() if line.strip()[1:3] in (" -", " +")]
    assert shown == ['2 -   call(Some("x"), 0, two,', "3 -     three);", '2 +   call("x", two, 3);', "5 + six"]
