"""The ground the suite stands on: markers, required abilities, the corpus and the kernel images behind it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import build_corpus
import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_pytest(folder: Path, text: str, **env: str) -> str:
    """The output of pytest on one file that uses this suite's conftest.py."""
    (folder / "conftest.py").write_bytes((ROOT / "tests/conftest.py").read_bytes())
    (folder / "lacking.py").write_bytes((ROOT / "tests/lacking.py").read_bytes())
    (folder / "test_it.py").write_text(textwrap.dedent(text))
    (folder / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {ROOT}/tests/corpus {ROOT}/tools/dev\n"
        "markers =\n    root: .\n    corpus: .\n    toolchain: .\n    full: .\n"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith(("BPFSMITH_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", str(folder)],
        cwd=folder, env={**own, **env}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout + done.stderr


SKIPS = """
    import pytest

    @pytest.mark.root
    def test_rights():
        pytest.skip("no rights")

    @pytest.mark.root
    def test_kernel():
        pytest.skip("kernel: kprobes cannot be attached")

    @pytest.mark.full
    @pytest.mark.root
    def test_hours():
        pass

    def test_other():
        pytest.skip("something else")
"""


def test_a_skip_is_a_skip_where_nothing_is_required(tmp_path: Path) -> None:
    assert "4 skipped" in run_pytest(tmp_path, SKIPS)


def test_a_required_ability_cannot_be_skipped(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, SKIPS, BPFSMITH_REQUIRE="root,toolchain,corpus")
    assert "root must run here, but the test was skipped" in said
    if os.geteuid() == 0:  # else the kernel's own limit is not reached
        assert "1 failed, 3 skipped" in said


def test_an_unknown_ability_is_not_required_silently(tmp_path: Path) -> None:
    assert "not chips" in run_pytest(tmp_path, "def test_it(): pass", BPFSMITH_REQUIRE="chips")


def test_the_wheel_is_asked_for_by_name(tmp_path: Path) -> None:
    (tmp_path / "bpfsmith").mkdir()
    (tmp_path / "bpfsmith/__init__.py").touch()
    (tmp_path / "bpfsmith/pytest_plugin.py").touch()  # the installed wheel's entry point names it
    said = run_pytest(tmp_path, "def test_it(): pass", BPFSMITH_WHEEL="1", PYTHONPATH=str(tmp_path))
    assert "the suite tests the installed wheel" in said


def test_run_cli_runs_the_command(run_cli: Callable[..., tuple[int, str, str]]) -> None:
    code, stdout, stderr = run_cli("--version")
    assert (code, stdout.split()[:1], stderr) == (0, ["bpfsmith"], "")


def test_the_sample_depends_on_names_only() -> None:
    assert [build_corpus.share(name) for name in ("a", "selftests-6.12/test_l4lb")] == [610, 67]


@pytest.mark.corpus
def test_the_corpus_is_broad(corpus: list[Path]) -> None:
    text = " ".join(map(str, corpus))
    for part in ("selftests-6.1/", "selftests-6.12/", "bpfeb", "-v2/", "-v4/", "linked-6.12", "debian-libxdp1"):
        assert part in text
    assert len(corpus) >= 200
    assert all(path.stat().st_size for path in corpus)


@pytest.mark.corpus
def test_what_did_not_build_is_little(corpus: object) -> None:
    rows = (build_corpus.manifest(build_corpus.where()) or {})["objects"]
    bad = [row["path"] for row in rows if not row["ok"]]
    assert len(bad) <= len(rows) // 50, bad


@pytest.mark.corpus
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_btf_is_of_that_kernel(series: str) -> None:
    path = build_corpus.where() / f"btf/{series}.btf"
    assert path.read_bytes()[:4] == b"\x9f\xeb\x01\x00"
    assert f"linux-image-{series}." in path.with_suffix(".version").read_text()


def test_a_long_step_says_what_and_how_long() -> None:
    """Standard error may be a file: what stands there while nothing else is printed."""
    script = "import shell; shell.run(['true', 'x y'], quiet=True, about='makes it, 1 minute'); shell.run(['true'])"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT / "tools/dev")}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stderr == "+ makes it, 1 minute: true 'x y'\n+ true\n"
