"""`bpfsmith explain`: rules, facts, topics, lists."""

from __future__ import annotations

import json

import pytest

import bpfsmith
from bpfsmith import cli, facts, rules
from bpfsmith.explain import explain
from bpfsmith.explain._lists import LISTS
from bpfsmith.explain._topics import names
from bpfsmith.model.errors import InputError


@pytest.mark.parametrize("entry", rules.listing(), ids=lambda entry: entry.code)
def test_rules_by_code_and_name(entry: rules.Entry) -> None:
    page = explain(entry.code.lower()).pages[0]
    assert page.kind == "rule"
    assert page.markdown.startswith(f"# {entry.code} {entry.name}\n")
    assert explain(entry.name).markdown == page.markdown


def test_every_fact_is_explained() -> None:
    for helper in facts.helpers.all():
        assert explain(helper.name).pages
    for kind in (facts.map_types, facts.program_types, facts.attach_types):
        for row in kind.all():
            assert row.name in explain(row.name).markdown
            assert explain(row.kernel_name).pages


def test_sections_and_helpers() -> None:
    assert "kprobe" in explain("kprobe/tcp_v4_connect").markdown
    assert explain("loop").pages[0].name == "bpf_loop"


@pytest.mark.parametrize("name", names())
def test_topics(name: str) -> None:
    page = explain(name).pages[0]
    assert page.kind == "topic"
    assert page.markdown.startswith("# ")


def test_topics_by_a_word_of_their_name() -> None:
    assert explain("hooks").pages[0].name == "which-hook"
    assert explain("module").pages[0].name == "ebpf-or-kernel-module"


@pytest.mark.parametrize("word", LISTS)
def test_lists(word: str) -> None:
    page = explain(word).pages[0]
    assert page.kind == "list"
    assert page.markdown.count("\n|") > 2


def test_index_names_all_topics() -> None:
    index = explain().markdown
    assert all(name in index for name in names())
    assert bpfsmith.explain("").markdown == index


@pytest.mark.parametrize(
    ("word", "near"),
    [("xpd", "`xdp`"), ("ringbuff", "`ringbuf`"), ("OBJ0003", "`OBJ003`"), ("which-mop", "`which-map`")],
)
def test_unknown_words(word: str, near: str) -> None:
    with pytest.raises(InputError) as caught:
        explain(word)
    assert near in caught.value.hint
    assert caught.value.exit_code == 2


def test_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "ringbuf", "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["version"], data["pages"][0]["kind"]) == (1, "map type")
    assert cli.main(["explain", "OBJ003", "--format", "markdown"]) == 0
    assert "```c\n" in capsys.readouterr().out
    assert cli.main(["explain", "OBJ003"]) == 0
    text = capsys.readouterr().out
    assert "```" not in text
    assert "\x1b" not in text


def test_a_paragraph_too_wide_for_a_terminal_is_filled_anew() -> None:
    from bpfsmith.render._markdown import plain

    wide = "\n" + "word " * 24 + "last\nnext line\n\n* item\n* second\n  of two lines\n"
    assert plain(f"# Title\n{wide}").splitlines() == [
        "Title",
        "=====",
        "",
        ("word " * 24).strip(),
        "last next line",
        "",
        "* item",
        "* second",
        "  of two lines",
    ]
