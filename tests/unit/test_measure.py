"""Test runs, statistics and streams through a fake door: what is asked of the kernel, and what its refusals become."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

import bpfsmith
from bpfsmith.kernel.fake import FakeDoor, installed
from bpfsmith.run.measure import ProgramRuns, Stats, stats_enabled
from bpfsmith.run.testrun import TestRun as Result

ENOTSUPP = 524


class Program(ProgramRuns):
    """A program of a type that has no object."""

    def __init__(self, type_: str, fd: Any) -> None:
        self.name = "count"
        self.fd = fd
        self._type = type_

    @property
    def type(self) -> str:
        return self._type


@pytest.fixture
def door() -> Iterator[FakeDoor]:
    made = FakeDoor()
    with installed(made):
        yield made


def program(door: FakeDoor, type_: str) -> Program:
    from bpfsmith._native import Fd
    from bpfsmith.kernel.attrs import encode

    fd = door.bpf_fd(*encode("BPF_OBJ_GET", pathname="/sys/fs/bpf/count"))
    assert isinstance(fd, Fd)
    door.calls.clear()
    return Program(type_, fd)


def asked(door: FakeDoor) -> dict[str, Any]:
    assert door.commands() == ["BPF_PROG_TEST_RUN"]
    return door.calls[0][1]


def test_a_packet_without_context_asks_nothing_newer_than_4_12(door: FakeDoor) -> None:
    result = program(door, "xdp").test_run(bytes(60), repeat=7)
    fields = asked(door)
    assert {"ctx_in", "ctx_out", "flags", "cpu", "batch_size"}.isdisjoint(fields)
    assert (fields["data_size_in"], fields["repeat"]) == (60, 7)
    assert (result.retval, result.verdict, result.ctx_out) == (0, "XDP_ABORTED", None)


def test_live_frames_ask_for_nothing_back(door: FakeDoor) -> None:
    result = program(door, "xdp").test_run(bytes(60), {"ingress_ifindex": 3}, 100, live_frames=True, batch_size=32)
    fields = asked(door)
    assert {"data_out", "ctx_out"}.isdisjoint(fields)
    assert (fields["flags"], fields["batch_size"], fields["repeat"]) == (2, 32, 100)
    assert bytes(fields["ctx_in"]) == bytes(4) + (60).to_bytes(4, "little") + bytes(4) + b"\3" + bytes(11)
    assert result.data_out is None


def test_raw_tracepoints_take_numbers_and_a_cpu(door: FakeDoor) -> None:
    program(door, "raw_tracepoint").test_run(ctx=[1, -1], cpu=3)
    fields = asked(door)
    assert bytes(fields["ctx_in"]) == (1).to_bytes(8, "little") + b"\xff" * 8
    assert (fields["flags"], fields["cpu"]) == (1, 3)
    assert "repeat" not in fields


@pytest.mark.parametrize("number", [ENOTSUPP, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_kernel_without_it(door: FakeDoor, number: int) -> None:
    door.fail("BPF_PROG_TEST_RUN", number)
    with pytest.raises(bpfsmith.Unsupported, match="netfilter") as caught:
        program(door, "netfilter").test_run()
    assert caught.value.since == "6.4"


def test_refused_arguments_say_what_is_wrong(door: FakeDoor) -> None:
    door.fail("BPF_PROG_TEST_RUN", errno.EINVAL)
    with pytest.raises(bpfsmith.KernelError, match="rx_queue_index"):
        program(door, "xdp").test_run(bytes(60), {"egress_ifindex": 3})
    with pytest.raises(bpfsmith.InputError, match="`hash` of `__sk_buff` cannot be set"):
        program(door, "sched_cls").test_run(bytes(60), {"hash": 3, "mark": 1})
    with pytest.raises(bpfsmith.Unsupported, match="live frames") as caught:
        program(door, "xdp").test_run(bytes(60), live_frames=True)
    assert caught.value.since == "5.18"
    door.fail("BPF_PROG_TEST_RUN", errno.ENOSPC)
    with pytest.raises(bpfsmith.InputError, match="bytes longer"):
        program(door, "xdp").test_run(bytes(60))
    door.fail("BPF_PROG_TEST_RUN", errno.EPERM)
    with pytest.raises(bpfsmith.PermissionMissing):
        program(door, "xdp").test_run(bytes(60))


def test_statistics_before_5_8(door: FakeDoor) -> None:
    with stats_enabled():
        pass
    assert door.commands() == ["BPF_ENABLE_STATS"]
    assert not door.open_fds()
    door.fail("BPF_ENABLE_STATS", errno.EINVAL)
    with pytest.raises(bpfsmith.Unsupported, match="bpf_stats_enabled=1"):
        stats_enabled()
    door.fail("BPF_ENABLE_STATS", errno.EPERM)
    with pytest.raises(bpfsmith.PermissionMissing):
        stats_enabled()


def test_streams_before_6_17(door: FakeDoor) -> None:
    def write(fields: dict[str, Any]) -> int:
        text = b"one\ntwo\n" if fields["stream_id"] == 1 else b""
        fields["stream_buf"][: len(text)] = text
        return len(text)

    door.answer("BPF_PROG_STREAM_READ_BY_FD", write)
    assert program(door, "syscall").streams() == {"stdout": "one\ntwo\n", "stderr": ""}
    door.fail("BPF_PROG_STREAM_READ_BY_FD", errno.EINVAL)
    with pytest.raises(bpfsmith.Unsupported, match="bpf_printk") as caught:
        program(door, "syscall").streams()
    assert caught.value.since == "6.17"


def test_verdicts_and_differences() -> None:
    assert Result("sched_act", 0xFFFFFFFF, 1, 1, None, None).signed == -1
    assert Result("lwt_in", 128, 1, 1, None, None).verdict == "BPF_LWT_REROUTE"
    assert Result("socket_filter", 9, 1, 1, None, None).verdict is None
    assert Result("xdp", 9, 1, 1, None, None).verdict is None
    gained = Stats(500, 7, 3) - Stats(100, 5, 3)
    assert gained == Stats(400, 2, 0)
    assert gained.ns_per_run == 200
    assert Stats(0, 0, 0).ns_per_run == 0
