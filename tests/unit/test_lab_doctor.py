"""What `doctor` says of the lab, and the one command that makes it work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bpfsmith.doctor import _lab
from bpfsmith.doctor._lab import lab_checks
from bpfsmith.lab import qemu, start
from bpfsmith.lab.adding import add
from bpfsmith.model.errors import EnvironmentMissing
from unit import lab_files as made


def told() -> dict[str, tuple[str, str, str]]:
    return {one.name: (one.status, one.detail, one.command) for one in lab_checks()}


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without QEMU and kernels."""

    def none(*_: object) -> None:
        raise EnvironmentMissing("no `qemu-system-x86_64`", "apt-get install qemu-system-x86")

    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(qemu, "find", none)
    monkeypatch.setattr(start, "available", lambda: 8000)


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = told()
    assert found["lab"] == (
        "missing",
        "`verify`, `lab exec` and `run --kernel` do not work here: QEMU, kernels",
        "sudo apt-get install qemu-system-x86 && bpfsmith lab get",
    )
    assert found["memory"][0] == found["disk"][0] == "ok"
    assert os.listdir(tmp_path) == []  # asking leaves nothing behind


def test_a_machine_that_has_qemu_and_one_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        version, path = (8, 2, 0), "/usr/bin/qemu"

        def accel(self, _: str) -> str:
            return "kvm"

    monkeypatch.setattr(qemu, "find", lambda *_: Found())
    (tmp_path / "k.deb").write_bytes(made.deb(made.kernel_files()))
    add(str(tmp_path / "k.deb"), name="mine")
    found = told()
    assert found["KVM"][0] == found["QEMU"][0] == found["lab"][0] == "ok"
    assert found["kernels"] == ("note", "mine; not prepared: 5.10, 6.1, 6.12, 6.18, 7.3", "")
    assert found["lab"][2] == "bpfsmith lab get"


def test_little_memory_and_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail, f_frsize = 100_000, 1000

    monkeypatch.setattr(start, "available", lambda: 100)
    monkeypatch.setattr(os, "statvfs", lambda _: Full())
    found = told()
    assert found["memory"][:2] == ("missing", "100 MiB free: a guest takes 300 MB")
    assert found["disk"][0] == "note" and "1000 MB are needed for 5.10, 6.1" in found["disk"][1]


def test_in_a_guest_there_is_no_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "guest"
    mark.touch()
    monkeypatch.setattr(_lab, "IN_GUEST", str(mark))
    assert list(lab_checks()) == []
