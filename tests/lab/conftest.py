"""Kernels of the tests of the lab: those that are prepared in the user's cache."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import guests
from bpfsmith import lab
from bpfsmith.lab import store


@pytest.fixture(scope="session")
def prepared() -> list[store.Prepared]:
    """Every kernel for this machine's architecture, oldest first."""
    return [one for one in store.all() if one.arch == os.uname().machine]


@pytest.fixture(scope="session")
def middle(prepared: list[store.Prepared]) -> store.Prepared:
    """One kernel for tests that any will do for."""
    return prepared[len(prepared) // 2]


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """In the environment of all that the test starts; nothing of it may live on."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(guests.TOKEN, value)
    yield value
    for _ in guests.until("every process the test started is gone"):
        if not guests.marked(value):
            break


@pytest.fixture
def own_cache(tmp_path: Path, middle: store.Prepared, monkeypatch: pytest.MonkeyPatch) -> store.Prepared:
    """The kernel `middle` in a cache of the test's own, where it has never booted."""
    guests.cache_of_its_own(tmp_path / "cache", Path(middle.folder))
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    return store.find(middle.name)


@pytest.fixture
def copied_cache(tmp_path: Path, middle: store.Prepared, monkeypatch: pytest.MonkeyPatch) -> store.Prepared:
    """The same with copies of its templates, to be damaged."""
    with lab.open(middle):
        pass
    guests.cache_of_its_own(tmp_path / "cache", Path(middle.folder), templates=True)
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    return store.find(middle.name)
