"""The generator of the README's outputs: what it compares of a live block, and what it leaves alone."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "tools/docs/readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("  packet_parser  6,603       2,200         270\n", "  packet_parser   98  1.0   1,270\n", True),
        ("ready in 152.5 ms\n", "ready in 1.0 s\n", True),
        ("source=33574154 blocked=0\n", "source=1 blocked=1\n", True),
        ("3 records\n", "3 events\n", False),
        ("one\n", "one\ntwo\n", False),
        ("lost -\n", "lost 3\n", False),
    ],
)
def test_only_numbers_of_a_live_block_may_differ(readme: ModuleType, one: str, other: str, same: bool) -> None:
    assert readme.alike(one, other) is same


def test_what_cannot_be_run_here_stays(readme: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without root or namespaces must not empty the page."""
    monkeypatch.setattr(readme, "output", lambda *_words, **_live: None)
    page = "<!-- output live: sudo bpfsmith run a.o -->\n```text\n$ sudo bpfsmith run a.o\nready\n```\n"
    assert readme.regenerated(page, lambda _have, _new: True) == page


def test_other_blocks_are_made_anew(readme: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "output", lambda *_words, **_live: ["one", "two", "three"])
    page = "<!-- output[2:3] in docs: bpfsmith x -->\n```text\nold\n```\n"
    assert readme.regenerated(page, lambda _have, _new: False) == (
        "<!-- output[2:3] in docs: bpfsmith x -->\n```text\n$ cd docs\n$ bpfsmith x\ntwo\nthree\n```\n"
    )


def test_what_must_run_must_run(readme: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the lab is required, a block of it that could not be made is a failure."""
    program = shlex.join([sys.executable, "-c", "raise SystemExit(3)"])
    monkeypatch.delenv("BPFSMITH_REQUIRE", raising=False)
    assert readme.output(program, ".", "lab") is None
    monkeypatch.setenv("BPFSMITH_REQUIRE", "root,lab")
    with pytest.raises(SystemExit):
        readme.output(program, ".", "lab")


def test_the_page_has_all_kinds(readme: ModuleType) -> None:
    found = list(readme.BLOCK.finditer((ROOT / "README.md").read_text()))
    assert {match["kind"] for match in found} == {"live", "lab", None}
