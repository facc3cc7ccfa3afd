"""Rust source: parsing 100,000 lines, checking an Aya workspace of as many; beside ruff and `cargo check`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from _measure import BPFSMITH, CACHE, ROOT, Bar, CannotMeasure, Case, Sample, main, note, process, python, side_by_side
from _workspace import make

LINES = 100_000
OURS = "bpfsmith, `rust_parse`, 1 thread"
ONE = """
from pathlib import Path
from bpfsmith._native import rust_parse
texts = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
begin()
for text in texts:
    rust_parse(text)
mark("work")
"""
MANY = """
from pathlib import Path
from bpfsmith._native import rust_parse_many
texts = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
begin()
rust_parse_many(texts)
mark("work")
"""
PYTHON_AST = """
import ast
from pathlib import Path
texts = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
begin()
for text in texts:
    ast.parse(text)
mark("work")
"""


def _gather(name: str, files: Sequence[Path], suffix: str) -> Path:
    """A folder with copies of these files, again from the first one when they are too few, of `LINES` lines in all."""
    folder = CACHE / f"source-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = number = 0
    while lines < LINES:
        text = files[number % len(files)].read_bytes()
        (folder / f"f{number:05}{suffix}").write_bytes(text)
        lines += text.count(b"\n")
        number += 1
    return folder


def cases(n: int) -> Sequence[Case]:
    """One table."""
    crates = [path for path in sorted(ROOT.glob("crates/*/src/**/*.rs")) if path.stat().st_size]
    library = [path for path in sorted(Path(os.__file__).parent.glob("*.py")) if path.stat().st_size > 1000]
    rust, pythons = str(_gather("rust", crates, ".rs")), str(_gather("python", library, ".py"))
    subjects = {
        OURS: python(ONE, rust),
        "bpfsmith, `rust_parse_many`": python(MANY, rust),
        "Python's own `ast.parse` of Python": python(PYTHON_AST, pythons),
    }
    rows = side_by_side(subjects, n)
    tables = [
        Case(
            f"{LINES:,} lines of source in memory",
            rows,
            remarks="Rust: the files of `crates/`, repeated; syntax tree, facts and indexes. Python: its own library.",
        )
    ]
    ruff = Path(sys.executable).parent / "ruff"
    tool = str(ruff) if ruff.exists() else shutil.which("ruff")
    if tool is None:
        note("ruff is left out: `pip install ruff` gets it")
    return [*tables, _workspaces(n, tool, pythons)]


def _workspaces(n: int, ruff: str | None, pythons: str) -> Case:
    """`check` of whole workspaces: the first time, again, and what others take for as much."""
    big, small = make(LINES, "source-100k"), make(LINES // 10, "source-10k")
    any_ = (0, 1, 2)
    subjects = {}
    bars = []
    for folder, lines, first, again in ((big, LINES, 1000, 100), (small, LINES // 10, 150, 100)):
        anew, known = f"`check`, {lines:,} lines", f"the same again, nothing changed, {lines:,} lines"
        subjects[anew] = partial(process, [BPFSMITH, "check", "--no-cache", str(folder)], exits=any_)
        process([BPFSMITH, "check", str(folder)], exits=any_)
        subjects[known] = partial(process, [BPFSMITH, "check", str(folder)], exits=any_)
        bars += [Bar(anew, "process", first), Bar(known, "process", again)]
    if ruff is not None:
        command = [ruff, "check", "--isolated", "--no-cache", "--quiet", "--exit-zero", pythons]
        subjects[f"ruff, {LINES:,} lines of Python, its default rules"] = partial(process, command)
    for words in (["check"], ["clippy"]):
        base = ["cargo", *words, "--offline", "--quiet", "--manifest-path", str(small / "Cargo.toml")]
        base += ["--target-dir", str(CACHE / "source-target")]
        # One after the other: what user space wants of the common crates is nothing for kernel crates.
        commands = [[*base, "--workspace", "--exclude", "*-ebpf"], [*base, "-p", "*-ebpf"]]
        if shutil.which("cargo") is None:
            note("Cargo is left out: there is none")
            continue

        def once(commands: list[list[str]] = commands) -> dict[str, Sample]:
            # What it depends on is compiled already, the workspace's own crates are not.
            for path in small.rglob("*.rs"):
                path.touch()
            one, other = (process(command)["process"] for command in commands)
            return {"process": Sample(one.wall + other.wall, one.cpu + other.cpu, max(one.peak, other.peak))}

        try:
            once()  # the dependencies too
        except CannotMeasure as error:
            note(f"`cargo {words[0]}` is left out: {str(error).replace(str(small), 'the workspace')}")
            continue
        subjects[f"`cargo {words[0]}`, {LINES // 10:,} lines, dependencies compiled before"] = once
    remarks = (
        "The workspace: kernel, user and common crates of real Aya code (the example and the programs of the tests, "
        "again and again), so that most rules have something to look at everywhere."
    )
    return Case("An Aya workspace, whole processes", side_by_side(subjects, max(3, n // 3)), bars, remarks)


if __name__ == "__main__":
    main("source", cases)
