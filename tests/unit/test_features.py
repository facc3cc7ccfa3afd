"""The matrix of features: the page is what the table says, and what it says has a test."""

from __future__ import annotations

import ast
import functools
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools/docs/features.py"


@functools.cache
def table() -> list[Any]:
    spec = importlib.util.spec_from_file_location("features_of_docs", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return list(module.rows())


@functools.cache
def functions(path: str) -> set[str]:
    """Names of a file's test functions, of the module itself only: what pytest collects."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_")}


def test_the_page_is_what_the_table_says() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_test_named_exists() -> None:
    missing = [
        f"{path}::{name}"
        for row in table()
        for path, name in row.paths()
        if not (ROOT / path).exists() or name not in functions(path)
    ]
    assert missing == []


def test_what_works_is_seen_by_a_test_on_a_kernel() -> None:
    for row in table():
        if row.state == "yes":
            seen = [path for path, _ in row.paths()]
            assert seen and all(path.startswith(("tests/kernel/", "tests/corpus/", "tests/lab/")) for path in seen), (
                row.feature
            )
        elif row.state == "no":
            assert row.note, row.feature
        else:
            assert row.tests, row.feature


@pytest.mark.parametrize("state", ["fires", "untried"])
def test_families_are_in_the_table(state: str) -> None:
    """A family seen to fire is a `yes`, one that nothing here can run is not."""
    from bpfsmith.run.attach import families

    words = {"fires": "yes", "untried": "untried"}
    told = {}
    for row in table():
        if row.group == "Attaching":
            for word in row.feature.replace(":", " ").replace(",", " ").split():
                told.setdefault(word.lower(), set()).add(row.state)
    names = {
        "raw_tracepoint": "raw", "cgroup": "cgroup", "flow_dissector": "dissector", "socket_filter": "filter",
        "iter": "iterators", "lirc_mode2": "lirc", "lsm_cgroup": "lsm",
    }  # fmt: skip
    for family in families():
        if family.state == state:
            assert words[state] in told.get(names.get(family.name, family.name), ()), family.name
