"""`bpfsmith skill`: the committed skill is what the generator makes."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfsmith
from bpfsmith import cli, rules
from bpfsmith.explain._topics import names
from bpfsmith.model.errors import InputError
from bpfsmith.skill import skill
from snapshots import SKILL


def test_the_committed_skill_is_the_generated_one() -> None:
    committed = {
        str(path.relative_to(SKILL)): path.read_text(encoding="utf-8")
        for path in sorted(SKILL.rglob("*"))
        if path.is_file()
    }
    assert committed == dict(sorted(skill().files.items())), "run `python -m tests.update`"


def test_the_main_page() -> None:
    text = skill().text
    lines = text.splitlines()
    assert len(lines) < 300
    assert lines[:2] == ["---", "name: rust-ebpf"]
    head = text.split("---")[1]
    for word in (
        "eBPF program", "kernel module", "map", "tail call", "perf event", "XDP", "tracepoint", "kprobe", "Aya",
        "verifier", "跟踪", "内核探针", "性能分析",
    ):  # fmt: skip
        assert word in " ".join(head.split()), word
    assert "<!--" not in text
    assert all(entry.code in text for entry in rules.listing())
    assert all(name in text for name in names())


def test_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["skill", "--install", str(tmp_path / "a")]) == 0
    assert (tmp_path / "a/rust-ebpf/SKILL.md").read_text(encoding="utf-8") == skill().text
    assert capsys.readouterr().out.splitlines()[0].endswith("rust-ebpf/SKILL.md")
    assert cli.main(["skill"]) == 0
    assert capsys.readouterr().out == skill().text
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        skill().install(str(tmp_path / "file"))
    assert cli.main(["skill", "--install", str(tmp_path / "file")]) == 2


def test_it_is_public() -> None:
    assert bpfsmith.skill().text == skill().text
