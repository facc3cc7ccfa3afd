"""Old projects are migrated, and what comes out is built."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import migrations  # noqa: E402
from migrations import NEW, PROJECTS, Bench, Old  # noqa: E402

import bpfsmith  # noqa: E402

PAIRS = [(old, to) for old in PROJECTS for to in old.targets]


def _migrate_and_build(old: Old, to: str, folder: Path) -> None:
    bench = Bench(folder, to)
    place = migrations.copy(old, folder)
    report = bpfsmith.migrate(place, to=to)
    assert not report.errors
    decided = migrations.by_hand(old, to, place)
    assert decided == bool(report.decisions), [f"{one.path}:{one.line} {one.message}" for one in report.decisions]
    assert not bpfsmith.migrate(place, to=to).files
    bench.next(report.commands, place)
    bench.build(old, place)


@pytest.mark.toolchain("rust")
@pytest.mark.parametrize("old", PROJECTS, ids=lambda old: old.name)
def test_before(old: Old, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    place = migrations.copy(old, tmp_path)
    bench.lock(old, place)
    if old.kernel_before:
        bench.build(old, place)
    else:
        bench.build_user(place)


@pytest.mark.toolchain("rust")
@pytest.mark.parametrize(
    ("old", "to"), [one for one in PAIRS if one[1] not in NEW], ids=lambda one: getattr(one, "name", one)
)
def test_after(old: Old, to: str, tmp_path: Path) -> None:
    _migrate_and_build(old, to, tmp_path)


@pytest.mark.full
@pytest.mark.toolchain("rust")
@pytest.mark.parametrize(
    ("old", "to"), [one for one in PAIRS if one[1] in NEW], ids=lambda one: getattr(one, "name", one)
)
def test_after_with_a_new_compiler(old: Old, to: str, tmp_path: Path) -> None:
    _migrate_and_build(old, to, tmp_path)


def test_the_page_says_what_is_built() -> None:
    assert migrations.PAGE.read_text(encoding="utf-8") == migrations.page()
