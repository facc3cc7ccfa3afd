"""`check --fix --prove`: which files are repaired, and what is said of kernels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith.check.repairs import folders_of, outside
from bpfsmith.rules._sources import Sources

TEXT = "int a;\nint b;\nint c;\nint d;\n"


def written(path: Path, text: str = TEXT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(("source", "built"), [("x.bpf.c", "x.o"), ("src/x.bpf.c", "build/x.o"), ("x.c", "out/x.o")])
def test_of_a_copied_folder_the_copy_is_meant(tmp_path: Path, source: str, built: str) -> None:
    old, new = written(tmp_path / "a" / source), written(tmp_path / "b" / source)
    there, here = written(tmp_path / "a" / built, ""), written(tmp_path / "b" / built, "")
    known = Sources()
    assert known.find(str(old), str(here)) == known.shown(str(new))
    assert known.find(str(old), str(there)) == known.shown(str(old))
    new.write_text(TEXT.replace("int c", "long c"))  # it was worked on since
    assert Sources().find(str(old), str(here)) == known.shown(str(new))
    new.write_text("something else\n")
    assert Sources().find(str(old), str(here)) == known.shown(str(old)), "a file of that name only"


def test_a_relative_path_is_looked_for_beside_an_object_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "a" / "x.c")
    new = written(tmp_path / "b" / "x.c")
    monkeypatch.chdir(tmp_path / "a")
    assert Sources().find("x.c", str(tmp_path / "b" / "x.o")) == str(new)
    assert Sources().find("x.c", str(tmp_path / "a" / "x.o")) == "x.c"


def test_what_lies_outside_of_what_was_given_is_not_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path / "a" / "x.bpf.c")
    folder = tmp_path / "b"
    folder.mkdir()
    asked: list[str] = []
    monkeypatch.setattr("bpfsmith.repair.repair", lambda path, *_, **__: asked.append(path) or [])
    monkeypatch.setattr("bpfsmith.check.repairs.Repairs._sources", lambda _: [str(source)])
    report = bpfsmith.check(folder, fix=True, prove=True)
    assert asked == [] and source.read_text() == TEXT
    said = [one for one in report.errors if "is not repaired" in one.message]
    assert len(said) == 1 and said[0].where == str(source) and str(source.parent) in said[0].hint
    assert report.exit_code == 2
    bpfsmith.check([folder, source.parent], fix=True, prove=True)
    assert asked == [str(source)], "its folder was given too"


def test_the_folders_of_a_call(tmp_path: Path) -> None:
    one = written(tmp_path / "ws" / "x.o")
    link = tmp_path / "link"
    os.symlink(tmp_path / "ws", link)
    assert folders_of([str(one)]) == folders_of([str(link)]) == [str(tmp_path / "ws")]
    assert outside(str(link / "x.o"), [str(tmp_path / "ws")]) is None
    assert outside(str(tmp_path / "wsx" / "x.c"), [str(tmp_path / "ws")]) is not None
