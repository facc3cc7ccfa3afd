"""The index that rules are selected by: it is what the rules say, and files win over it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from bpfsmith import rules
from bpfsmith.check import check

ROOT = Path(__file__).resolve().parents[2]


def test_the_index_is_what_the_rules_say() -> None:
    spec = importlib.util.spec_from_file_location("docs_rules", ROOT / "tools/docs/rules.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    have = Path(rules.__file__).with_name("_index.py").read_text("utf-8")
    assert made.table() == have, "run `python tools/docs/rules.py --index`"


def test_selecting_imports_no_rule() -> None:
    code = (
        "import sys; from bpfsmith import rules\n"
        "rules.select(['maps', 'phase:silent', 'severity:error', 'AYA0'], ['all'], preview=False)\n"
        "print([name for name in sys.modules if name.startswith('bpfsmith.rules.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['bpfsmith.rules._index']"


RULE = '''"""Finds nothing good.

## What it does
x
"""
from bpfsmith.model.finding import Span
from bpfsmith.rules._base import SourceRule


class Told(SourceRule):
    preview = %s
    words = %r

    def check(self, project, ctx):
        print("asked")
        yield self.finding(ctx, "it is here", span=Span("a.rs", 1, 1))


RULE = Told()
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text('[package]\nname = "a"\nedition = "2024"\n[dependencies]\naya = "0.14"\n')
    (folder / "src/main.rs").write_text("// only_said\nfn main() { let marker = 1; }\n")
    return folder


def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preview: bool, words: tuple[str, ...]) -> None:
    folder = tmp_path / "rules"
    folder.mkdir(exist_ok=True)
    (folder / "aya998_added_today.py").write_text(RULE % (preview, words))
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(folder)])
    monkeypatch.setattr(rules, "_cache", None)
    monkeypatch.delitem(sys.modules, "bpfsmith.rules.aya998_added_today", raising=False)


def codes(project: Path, **options: object) -> list[str]:
    return [one.code for one in check(project, **options).findings]  # type: ignore[arg-type]


def test_preview_rules_are_asked_for(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added(tmp_path, monkeypatch, True, ())
    assert "AYA998" not in codes(project)
    assert "AYA998" not in codes(project, select=["AYA"])
    assert "AYA998" in codes(project, preview=True)
    assert "AYA998" in codes(project, select=["AYA998"])
    assert "AYA998" in codes(project, select=["added-today"])
    assert "AYA998" not in codes(project, preview=True, ignore=["AYA998"])
    (project / "bpfsmith.toml").write_text("preview = true\n")
    assert "AYA998" in codes(project)


@pytest.mark.parametrize(
    ("words", "asked"), [(("marker",), True), (("other", "main"), True), (("mark",), False), (("only_said",), False)]
)
def test_words_that_are_nowhere(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], asked: bool
) -> None:
    added(tmp_path, monkeypatch, False, words)
    assert ("AYA998" in codes(project)) == asked


def test_a_changed_file_is_not_what_the_index_says(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bpfsmith.rules import _index

    added(tmp_path, monkeypatch, False, ())
    row = ("added-today", "aya998_added_today", "note", "maps", "load", "btf", True, ("nowhere",))
    monkeypatch.setitem(_index.RULES, "AYA998", row)
    size = len((tmp_path / "rules/aya998_added_today.py").read_bytes())
    monkeypatch.setitem(_index.FILES, "aya998_added_today.py", size)
    assert "AYA998" not in codes(project)
    monkeypatch.setitem(_index.FILES, "aya998_added_today.py", size + 1)
    monkeypatch.setattr(rules, "_cache", None)
    assert "AYA998" in codes(project)


def test_each_code_has_one_file() -> None:
    codes = [path.name.partition("_")[0] for path in Path(rules.__file__).parent.glob("aya[0-9]*.py")]
    assert sorted({code for code in codes if codes.count(code) > 1}) == []
