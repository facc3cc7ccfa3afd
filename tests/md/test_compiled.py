"""The Rust blocks of the rules' tests and of the skill's references are programs: the compiler says so."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import crates  # noqa: E402
from harness import cases  # noqa: E402

PAGES = sorted((HERE / "source").glob("*.md"))
REFERENCES = sorted((HERE.parents[1] / "skills/rust-ebpf/references").glob("*.md"))
SNIPPETS = [block for page in REFERENCES for block in crates.snippets(page)]
BLOCKS = [block for page in PAGES for block in crates.blocks(cases(page))]


def _folder(side: str) -> Path:
    from shell import CACHE

    return CACHE / "build" / f"md-{side}"


@pytest.mark.toolchain("rust")
def test_user_side() -> None:
    import rust

    compiler = rust.for_host()
    env = {**os.environ, **compiler.env, "CARGO_TARGET_DIR": str(_folder("target"))}
    found = crates.check(_folder("user"), "user", BLOCKS + SNIPPETS, [str(compiler.cargo)], env)
    assert not found, "\n".join(found)


@pytest.mark.toolchain("rust")
def test_kernel_side() -> None:
    import bpf_toolchain

    own = bpf_toolchain.env()
    env = {**os.environ, **own, "CARGO_TARGET_DIR": str(_folder("target")), "CARGO_BUILD_TARGET": "bpfel-unknown-none"}
    found = crates.check(_folder("ebpf"), "ebpf", BLOCKS + SNIPPETS, [own["CARGO"]], env)
    assert not found, "\n".join(found)


@pytest.mark.full
@pytest.mark.toolchain("rust")
def test_user_side_of_new_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `TOO_NEW` leaves out above, with a compiler of Debian experimental."""
    import new_rust
    import rust

    new_rust.install()
    monkeypatch.setattr(crates, "TOO_NEW", ())
    monkeypatch.setattr(crates, "_USER", crates.NEW_USER)
    blocks = [block for page in PAGES for block in crates.blocks(cases(page))]
    new = [one for one in blocks if one.side == "user" and one.version in crates.NEW_USER]
    env = {**os.environ, **new_rust.env(), "CARGO_TARGET_DIR": str(_folder("target-new"))}
    found = crates.check(_folder("new"), "user", new, [str(rust.for_host().cargo)], env)
    assert not found, "\n".join(found)


def test_what_is_not_compiled_is_counted() -> None:
    """The table in README.md: it cannot grow unseen."""
    counted = Counter(block.skipped for block in BLOCKS if block.skipped)
    table = re.findall(r"^\| (\d+) \| ([^|]+) \|$", (HERE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert counted == {reason: int(number) for number, reason in table}
    assert sum(counted.values()) * 3 < len(BLOCKS)
