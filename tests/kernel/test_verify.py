"""`verify` on the running kernel: the same judge as for guests, and the same verdict as loading."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith.model.errors import BpfsmithError

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures"
EXAMPLES = sorted((ROOT / "examples").glob("*/prebuilt/*.o"))

# Drops every capability, then runs the command.
POWERLESS = """
import ctypes, struct, sys
assert ctypes.CDLL(None).capset(struct.pack("II", 0x20080522, 0), bytes(24)) == 0
from bpfsmith.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_outcomes() -> None:
    report = bpfsmith.verify(FIXTURES / "verdicts.bpf.o", kernels="host")
    assert [one.name for one in report.kernels] == ["host"]
    assert report.kernels[0].release == os.uname().release
    found = {row.program: row.results[0].reason or row.results[0].verdict for row in report.programs}
    assert found == {
        "accepted": "accepted", "optional": "accepted", "unchecked": found["unchecked"], "too_deep": "rejected",
        "leaks": "rejected", "missing_field": "rejected", "endless": "rejected", "weak_function": "rejected",
        "no_target": "no-target-given", "no_such_target": "attach-target",
    }  # fmt: skip
    leak = report.result("leaks", "host")
    assert (leak.instruction, leak.path, leak.source) == (9, "./verdicts.bpf.c", "return entry ? 1 : 2;")
    assert leak.log


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_the_same_verdict_as_loading(path: Path) -> None:
    report = bpfsmith.verify(path, kernels="host")
    for row in report.programs:
        try:
            with bpfsmith.load(path, select=[row.program]):
                loaded, said = True, ""
        except BpfsmithError as error:
            loaded, said = False, str(error)
        assert (row.results[0].verdict == "accepted") == loaded, said


def test_effort_and_levels() -> None:
    report = bpfsmith.verify(FIXTURES / "verdicts.bpf.o", kernels="host", programs="accepted", effort=True, log_level=2)
    one = report.result("accepted", "host")
    assert "(85) call bpf_get_prandom_u32" in (one.log or "")
    assert one.effort is not None
    assert one.effort.counted >= (one.processed or 0) * 0.8
    assert sum(line.count for line in one.effort.lines) <= one.effort.counted


def test_without_rights_nothing_is_asked(tmp_path: Path) -> None:
    """Exit 3, and the one command that changes it."""
    env = {**os.environ, "BPFSMITH_CACHE": str(tmp_path)}
    words = ["verify", str(FIXTURES / "verdicts.bpf.o")]
    done = subprocess.run(
        [sys.executable, "-c", POWERLESS, *words], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "bpfsmith lab get" in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", POWERLESS, *words, "--kernels", "host"], env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 3


def test_the_running_kernel_answers_where_no_other_is_prepared(tmp_path: Path) -> None:
    env = {**os.environ, "BPFSMITH_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "bpfsmith", "verify", str(FIXTURES / "verdicts.bpf.o"), "--program", "accepted"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "accepted  ok 46" in done.stdout
    assert "bpfsmith lab get" in done.stderr
