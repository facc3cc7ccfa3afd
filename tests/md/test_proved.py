"""What the rules' tests claim about linking, loading, verifying and attaching is so: done on real kernels.

The normal run takes a third of the claims, the same ones each time; `./dev test --full` takes all, on every kernel of
the lab. What a rule that fails silently claims is shown in `test_silent.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import proofs  # noqa: E402

FULL = os.environ.get("BPFSMITH_FULL") == "1"
CLAIMS = [row for row in proofs.claims() if row.shown]
CHOSEN = CLAIMS if FULL else proofs.sample(CLAIMS)
pytestmark = [pytest.mark.root, pytest.mark.toolchain("rust")]


class World(NamedTuple):
    """What the tests of this file share."""

    folder: Path
    built: proofs.Built


@pytest.fixture(scope="module")
def world() -> World:
    """Every kernel side that is needed, built once and kept for the next run."""
    import bpf_toolchain
    from shell import CACHE

    folder = CACHE / "build" / ("md-proofs-full" if FULL else "md-proofs")
    env = {**os.environ, **bpf_toolchain.env(), "CARGO_TARGET_DIR": str(CACHE / "build/md-proofs-target")}
    blocks = [proofs.generic(), *proofs.kernel_blocks(row for row in CHOSEN if row.phase != "silent")]
    return World(folder, proofs.build_kernel_side(folder / "ebpf", blocks, env))


def _kernels() -> list[str]:
    """The running kernel, and those of the lab that are prepared."""
    from bpfsmith.lab import store

    here = {one.name for one in store.all()}
    wanted = ("5.10", "6.1", "6.12", "6.18", "7.3") if FULL else ("5.10", "6.12")
    return ["host", *(name for name in wanted if name in here)]


@pytest.mark.lab
def test_kernel_side(world: World, tmp_path: Path) -> None:
    """The linker or a verifier says the words; the twins are accepted by every kernel asked."""
    rows = [row for row in CHOSEN if row.shown in ("link", "verify")]
    assert len(rows) > len(CHOSEN) // 6
    names = {block.name for block in proofs.kernel_blocks(rows)}
    objects = {name: path for name, path in world.built.objects.items() if name in names}
    verdicts = proofs.judge(objects, _kernels(), tmp_path)
    wrong = proofs.wrong_verdicts(rows, world.built, verdicts) + proofs.wrong_twins(rows, world.built, verdicts)
    assert not wrong, "\n".join(wrong)


def test_loading_and_attaching(world: World) -> None:
    """Aya or the kernel says the words to a program that was really started."""
    import rust
    from shell import CACHE

    rows = [row for row in CHOSEN if row.shown in ("run", "aya")]
    env = {**os.environ, **rust.for_host().env, "CARGO_TARGET_DIR": str(CACHE / "build/md-proofs-target")}
    ran = proofs.run_user_side(world.folder / "user", rows, world.built, env)
    wrong = proofs.wrong_runs(rows, ran)
    assert not wrong, "\n".join(wrong)


def test_every_claim_is_written_as_one() -> None:
    """A phase that is one, words that are some."""
    for row in proofs.claims():
        assert row.phase in proofs.PHASES, row.place
        assert row.words, row.place


def test_the_figures_are_those_of_the_tests() -> None:
    assert proofs.PAGE.read_text(encoding="utf-8") == proofs.page(), "run `python3 tests/md/proofs.py write`"
