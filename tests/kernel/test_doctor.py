"""`doctor` says what this machine allows, and removes what a killed process left, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith import facts, kernel
from bpfsmith.kernel import _tiny as tiny
from bpfsmith.kernel import info, journal, netlink, probe

pytestmark = pytest.mark.root


def test_every_type_is_asked_for() -> None:
    report = bpfsmith.doctor(helpers=False)
    for family, rows in (("program_type", facts.program_types.all()), ("map_type", facts.map_types.all()),
                         ("attach_type", facts.attach_types.all())):  # fmt: skip
        assert [one.name for one in report.of(family)] == [row.name for row in rows]
        for one in report.of(family):
            assert (one.status == "yes") == (one.why == ""), one
    assert report.exit_code == 0
    assert {one.name for one in report.of("program_type") if one.status == "yes"} >= {"xdp", "sched_cls", "tracing"}
    assert {one.name for one in report.of("map_type") if one.status == "yes"} >= {"hash", "array", "ringbuf"}


def test_what_it_says_of_types_is_what_bpftool_says() -> None:
    from toolchain import bpftool

    tool = bpftool(Path(os.path.expanduser("~/.cache/bpfsmith/corpus")))
    said = subprocess.run([tool, "-j", "feature", "probe", "kernel"], capture_output=True, text=True, check=False)
    told = json.loads(said.stdout)
    ours = bpfsmith.doctor(helpers=False)
    for family, key, renamed in (("map_type", "map_types", {}), ("program_type", "program_types", {})):
        for one in ours.of(family):
            theirs = told[key].get(f"have_{renamed.get(one.name, one.name)}_{family.replace('program', 'prog')}")
            # Newer types it does not know; tracing, ext, lsm: it asks for a trampoline, which a policy may forbid.
            if theirs is not None and one.name not in ("tracing", "ext", "lsm", "struct_ops", "cgrp_storage"):
                assert (one.status == "yes") == theirs, one.name


def test_helpers_are_those_of_the_facts() -> None:
    """The kernel's answers and the generated facts may differ by configuration only."""
    version = facts.series_key(kernel.live().series)
    unexpected = []
    for kind in ("xdp", "socket_filter", "cgroup_skb", "perf_event"):
        number = facts.program_types.get(kind).number
        for row in facts.helpers.all():
            since = row.since_in(kind)
            known = since is not None and (not since or facts.series_key(since) <= version)
            if probe.helper(number, row.number) == 0 and not known:
                unexpected.append((kind, row.name))
    assert unexpected == []


def test_text_and_json(run_cli: Any) -> None:
    from bpfsmith.doctor.schema import schema

    done = run_cli("doctor", "--format", "json")
    assert done.code == 0, done.stderr
    document = json.loads(done.stdout)
    assert sorted(document) == sorted(schema()["required"])
    assert "bpf_redirect" in document["helpers"]["xdp"]
    text = run_cli("doctor", "--verbose").stdout
    assert "program types" in text
    assert "ringbuf" in text
    assert "redirect_map" in text


def test_without_rights(unprivileged: Any) -> None:
    done = unprivileged("-m", "bpfsmith", "doctor", "--format", "json")
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    xdp = next(row for row in document["program_types"] if row["name"] == "xdp")
    assert (xdp["status"], xdp["why"]) == ("denied", "needs CAP_BPF and CAP_NET_ADMIN")
    missing = {row["name"] for row in document["checks"] if row["status"] == "missing"}
    assert {"CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"} <= missing


def test_with_some_rights(unprivileged: Any) -> None:
    done = unprivileged("-m", "bpfsmith", "doctor", "--format", "json", capabilities=("bpf",))
    document = json.loads(done.stdout)
    assert done.returncode == 0
    status = {row["name"]: (row["status"], row["why"]) for row in document["program_types"]}
    assert status["socket_filter"] == ("yes", "")
    assert status["xdp"] == ("denied", "needs CAP_NET_ADMIN")
    assert status["kprobe"] == ("denied", "needs CAP_PERFMON")


# ------------------------------------------------------------ what a kill leaves

KILLED = """
import os, signal, sys
from bpfsmith import kernel
from bpfsmith.kernel import _tiny as tiny, info, journal, netlink
journal._folders = lambda: [sys.argv[4]]
pin, index = sys.argv[1], int(sys.argv[2])
table = kernel.call_fd("BPF_MAP_CREATE", map_type=2, key_size=4, value_size=4, max_entries=1)
kernel.call("BPF_OBJ_PIN", pathname=pin, bpf_fd=table)
journal.record("pin", pin)
if index:
    xdp = tiny.load(6, tiny.insn(tiny.MOV64_IMM, imm=2) + tiny.END)
    netlink.set_xdp(index, xdp.fileno(), 2)
    journal.record("xdp", f"{index}:2", info.program(xdp)["id"])
    cls = tiny.load(3)
    if netlink.add_clsact(index):
        journal.record("clsact", str(index))
    handle, priority = netlink.add_filter(index, netlink.INGRESS, cls.fileno(), "left")
    journal.record("filter", f"{index}:{netlink.INGRESS:#x}:{priority}:{handle}", info.program(cls)["id"])
if sys.argv[3] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def own_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of this test alone: another run of the suite must not clean up after it, nor it after others."""
    monkeypatch.setattr(journal, "_folders", lambda: [str(tmp_path / "journal")])


def _run_and(how: str, pin: Path, index: int = 0) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(bpfsmith.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(pin), str(index), how, journal._folders()[0]], env=env,
    capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == (-signal.SIGKILL if how == "kill" else 0), done.stderr
    return done


@pytest.mark.usefixtures("own_journal")
def test_what_a_kill_left_is_told_and_removed(netns: Any, bpffs: Path) -> None:
    pin = bpffs / "left"
    _run_and("kill", pin, netns.ifindex)
    told = {(one.kind, one.where): one for one in bpfsmith.doctor(helpers=False).left}
    ours = {("pin", str(pin)), ("xdp", f"{netns.ifindex}:2"), ("clsact", str(netns.ifindex))}
    assert ours <= set(told)
    from bpfsmith.render.doctor_text import render

    assert "still there" in render(bpfsmith.doctor(helpers=False).to_json())
    assert pin.exists()
    cleaned = {(one.kind, one.where): one.outcome for one in bpfsmith.doctor(helpers=False, clean=True).left}
    assert {cleaned[one] for one in ours} == {"removed"}
    assert not pin.exists()
    assert netlink.xdp_state(netns.ifindex)[1] == {}
    assert not netlink.has_clsact(netns.ifindex)
    again = {(one.kind, one.where) for one in bpfsmith.doctor(helpers=False).left}
    assert not ours & again


@pytest.mark.usefixtures("own_journal")
def test_what_ended_in_order_keeps_its_pins(bpffs: Path) -> None:
    pin = bpffs / "kept"
    _run_and("end", pin)
    assert str(pin) not in {left.where for left in journal.left_behind()}
    assert pin.exists()


@pytest.mark.usefixtures("own_journal")
def test_nobody_elses_program_is_removed(netns: Any, bpffs: Path) -> None:
    _run_and("kill", bpffs / "left", netns.ifindex)
    netlink.set_xdp(netns.ifindex, -1, 2)
    other = tiny.load(6, tiny.insn(tiny.MOV64_IMM, imm=2) + tiny.END)
    assert not isinstance(other, int)
    with other:
        netlink.set_xdp(netns.ifindex, other.fileno(), 2)
        number = info.program(other)["id"]
    told = {(one.kind, one.where): one.outcome for one in bpfsmith.doctor(helpers=False, clean=True).left}
    assert told["xdp", f"{netns.ifindex}:2"] == "gone"
    assert list(netlink.xdp_state(netns.ifindex)[1].values()) == [number]
    netlink.set_xdp(netns.ifindex, -1, 2)


@pytest.mark.usefixtures("own_journal")
def test_another_network_namespace_is_entered(netns: Any, bpffs: Path) -> None:
    _run_and("kill", bpffs / "left", netns.ifindex)
    with netns.peer():
        told = {(one.kind, one.where): one.outcome for one in bpfsmith.doctor(helpers=False, clean=True).left}
    # The namespace is held by descriptors of this process only: its thread is in the other one meanwhile.
    assert told["xdp", f"{netns.ifindex}:2"] == "removed"
    assert netlink.xdp_state(netns.ifindex)[1] == {}
