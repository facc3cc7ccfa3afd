"""What newcomers paste, with mistakes planted in it: each is named at its line, once, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import bpfsmith

PASTED = Path(__file__).resolve().parents[1] / "fixtures/pasted"
PROJECTS = sorted(one.name for one in PASTED.iterdir() if one.is_dir())


def _found(project: str, folder: Path) -> list[str]:
    shutil.copytree(PASTED / project, folder, dirs_exist_ok=True)
    (folder / "bpfsmith.toml").write_text("")
    report = bpfsmith.check(".", config=str(folder / "bpfsmith.toml"))
    assert not report.errors, [str(error) for error in report.errors]
    return sorted(f"{one['path']}:{one['line']} {one['code']}" for one in report.to_json()["findings"])


@pytest.mark.parametrize("project", PROJECTS)
def test_each_mistake_is_named_once(project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (PASTED / f"{project}.txt").read_text().splitlines()
    expected = sorted(line.partition("  # ")[0].strip() for line in lines if line and not line.startswith("#"))
    assert _found(project, tmp_path) == expected


def test_there_are_projects() -> None:
    assert PROJECTS == ["dns-tap", "read-tls", "stages"]
