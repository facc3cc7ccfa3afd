"""Reads the code blocks of `docs/guide/*.md` and of the skill's page on Python, and runs them (`test_guide.py`).

A line before a block says what happens to it:

    <!-- run -->                  Python: run, in the order of the page, all blocks of a page in one namespace.
                                  Console: each line after `$ ` is run; other lines are what it must print.
    <!-- run, needs numpy -->     the same, where this module is installed
    <!-- run, exits 1 -->         console: each line ends with that exit code
    <!-- not run: REASON -->      shown only
    <!-- prints -->               text: exactly what the Python block before it printed

`<!-- hidden`, code, `-->` on lines of their own is Python that is run and not shown: traffic, or a check of what the
block before it did. Blocks of other languages (Rust, C, ini) are shown only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs/guide").glob("*.md")), ROOT / "src/bpfsmith/skill/references/python.md"]
# What is run must say so; a block of these languages without a word is a mistake of the page.
MARKED = frozenset({"python", "console", "pycon"})
_BLOCK = re.compile(
    r"^<!-- hidden\n(?P<hidden>.*?)^-->$|(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One block: where its code begins, what the page says of it."""

    line: int
    language: str
    mark: str
    code: str


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, hidden ones too (language `hidden`)."""
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        hidden = match["hidden"] is not None
        start = match.start("hidden" if hidden else "code")
        line = text.count("\n", 0, start) + 1
        found.append(Block(line, "hidden", "run", match["hidden"]) if hidden else _shown(match, line))
    return found


def _shown(match: re.Match[str], line: int) -> Block:
    return Block(line, match["language"], match["mark"] or "", match["code"])


def run(page: Path, names: dict[str, Any], replaced: dict[str, str], env: dict[str, str]) -> int:
    """Runs a page; `replaced`: what stands in the page -> what this machine has in its place. Answers how many visible
    blocks were run."""
    try:
        return _run(page, names, replaced, env)
    finally:
        # A page that failed in the middle has not closed what it opened.
        for value in names.values():
            if type(value).__name__ in ("Loaded", "Map"):
                value.close()


def _run(page: Path, names: dict[str, Any], replaced: dict[str, str], env: dict[str, str]) -> int:
    ran, printed = 0, ""
    for block in blocks(page):
        code = block.code
        for old, new in replaced.items():
            code = code.replace(old, new)
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.mark == "prints":
            assert printed == code, f"{where}: printed\n{printed}"
        if not block.mark.startswith("run"):
            continue
        needed = block.mark.partition("needs ")[2]
        if needed and importlib.util.find_spec(needed) is None:
            continue
        ran += block.language != "hidden"
        if block.language == "console":
            _console(code, where, env, int(block.mark.partition("exits ")[2] or 0))
            continue
        out = io.StringIO()
        # Empty lines before it, so that a traceback shows the line of the page.
        compiled = compile("\n" * (block.line - 1) + code, str(page), "exec")
        with contextlib.redirect_stdout(out):
            exec(compiled, names)
        if block.language != "hidden":
            printed = out.getvalue()
    return ran


def _console(code: str, where: str, env: dict[str, str], exits: int = 0) -> None:
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        words = shlex.split(command)
        if words[0] == "bpfsmith":  # also where only the sources are on the path
            words = [sys.executable, "-m", *words]
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == exits, f"{where}: `{command}` ended with {done.returncode}\n{done.stderr}"
        if wanted.strip():
            assert done.stdout == wanted, f"{where}: `{command}` printed\n{done.stdout}"
