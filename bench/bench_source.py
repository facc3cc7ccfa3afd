"""Reading Rust source: facts of 100,000 lines, beside ruff on as many lines of Python."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from _measure import CACHE, ROOT, Case, main, note, process, python, side_by_side

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
            remarks="Rust: the files of `crates/`, repeated; syntax tree, then facts with their indexes. Python: its own library.",
        )
    ]
    ruff = Path(sys.executable).parent / "ruff"
    tool = str(ruff) if ruff.exists() else shutil.which("ruff")
    if tool is None:
        note("ruff is left out: `pip install ruff` gets it")
        return tables
    command = [tool, "check", "--isolated", "--no-cache", "--quiet", "--exit-zero", "--select", "F401", pythons]
    code = (
        "from pathlib import Path; from bpfsmith._native import rust_parse_many; "
        f"rust_parse_many([path.read_bytes() for path in Path({rust!r}).iterdir()])"
    )
    rows = side_by_side(
        {
            "Python with bpfsmith: read the files, facts of all": partial(process, [sys.executable, "-c", code]),
            "ruff, one rule (F401), no cache": partial(process, command),
        },
        n,
    )
    remarks = "Both on all processors. Different languages and different results: a scale, no race."
    tables.append(Case(f"{LINES:,} lines of source, whole processes", rows, remarks=remarks))
    return tables


if __name__ == "__main__":
    main("source", cases)
