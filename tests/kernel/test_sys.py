"""The native half of the kernel door on the real kernel: buffers, replayed plans, logs, mappings, perf events."""

from __future__ import annotations

import errno
import os
import signal
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bpfsmith import _native
from bpfsmith._native import Fd, bpf, bpf_fd, replay
from waiting import comes_true

pytestmark = pytest.mark.root

MAP = struct.pack("=5I", 2, 4, 8, 512, 1 << 10) + bytes(52)  # a mappable array of 512 u64


def _insn(code: int, regs: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, regs, 0, imm)


EXIT = _insn(0xB7, 0, 2) + _insn(0x95)
UNREAD = _insn(0xBF, 0x50) + _insn(0x95)  # r0 = r5, which nobody has written


def _load(insns: bytes, out: int = 0) -> _native.Step:
    attr = struct.pack("=II", 6, len(insns) // 8) + bytes(144)
    return (5, attr, [(8, insns, []), (16, b"GPL\0", [])], [], out)


def _fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def _array() -> Fd:
    fd = bpf_fd(0, bytearray(MAP))
    assert isinstance(fd, Fd)
    return fd


def test_elements_and_buffers() -> None:
    with _array() as fd:
        attr = bytearray(struct.pack("=I", fd.fileno()) + bytes(28))
        key, value = bytearray(4), bytearray(8)
        assert bpf(2, attr, [(8, key), (16, memoryview(b"12345678"))]) == 0
        assert bpf(1, attr, [(8, key), (16, value)]) == 0
        assert value == b"12345678"
        assert bpf(1, attr, [(8, struct.pack("I", 512)), (16, value)]) == -errno.ENOENT


def test_mapping_of_a_map() -> None:
    with _array() as fd:
        mapping = _native.Mapping.map(fd.fileno(), 4096, 0, 3, 1)
        assert not isinstance(mapping, int)
        with memoryview(mapping) as view:  # type: ignore[arg-type]
            view[8:16] = b"abcdefgh"
        attr = bytearray(struct.pack("=I", fd.fileno()) + bytes(28))
        value = bytearray(8)
        assert bpf(1, attr, [(8, struct.pack("I", 1)), (16, value)]) == 0
        assert value == b"abcdefgh"
        mapping.close()


def test_replay_fills_slots() -> None:
    update = (2, bytes(32), [(8, bytes(4), []), (16, bytes(8), [(4, 0)])], [(0, 0)], -1)
    fds, failure, logs = replay([(0, MAP, [], [], 0), update, _load(EXIT, 1)], 2)
    assert (failure, logs) == (None, [])
    made, program = fds
    assert made is not None
    assert program is not None
    with made, program:
        attr = bytearray(struct.pack("=I", made.fileno()) + bytes(28))
        value = bytearray(8)
        bpf(1, attr, [(8, bytes(4)), (16, value)])
        assert struct.unpack("=II", value) == (0, made.fileno())  # the descriptor, where the plan wants it
        assert replay([update], 1, [(0, made.fileno())]) == ([None], None, [])
        assert not made.closed


def test_replay_closes_what_it_made() -> None:
    before = _fds()
    fds, failure, _ = replay([(0, MAP, [], [], 0), (0, MAP, [], [], -1), _load(UNREAD, 1)], 2)
    assert fds == []
    assert failure is not None
    at, number, log = failure
    assert (at, number) == (2, errno.EACCES)
    assert "R5 !read_ok" in log
    assert _fds() == before


def test_descriptors_nobody_wants_are_closed() -> None:
    before = _fds()
    assert replay([(0, MAP, [], [], -1)], 0) == ([], None, [])
    assert _fds() == before


def test_logs() -> None:
    fds, _, logs = replay([_load(EXIT)], 1, log_level=1 | 4)
    assert [at for at, _ in logs] == [0]
    assert "processed 2 insns" in logs[0][1]
    del fds
    long = _insn(0xB7, 0, 2) * 50_000 + UNREAD
    _, failure, _ = replay([_load(long)], 1)
    assert failure is not None
    assert len(failure[2]) > 1_000_000  # it grew
    assert "R5 !read_ok" in failure[2][-200:]
    _, failure, _ = replay([_load(long)], 1, log_limit=65536)
    assert failure is not None
    assert failure[1] == errno.EACCES  # not ENOSPC, which is the log's own matter
    assert len(failure[2]) <= 65536


def test_a_signal_is_no_rejection() -> None:
    """The verifier gives up with EAGAIN when a signal comes; so do waits."""
    deepest = _insn(0xB7, 0, 2) * 500_000 + _insn(0x95)
    stop = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    target = threading.get_ident()

    def disturb() -> None:
        while not stop.wait(0.002):
            signal.pthread_kill(target, signal.SIGUSR1)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        fds, failure, _ = replay([_load(deepest)], 1)
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert failure is None
    del fds


def test_the_interpreter_runs_meanwhile() -> None:
    deepest = _insn(0xB7, 0, 2) * 500_000 + _insn(0x95)
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(replay([_load(deepest)], 1)[1]))
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
        time.sleep(0.0001)
    assert done == [None]
    assert turns > 5


def test_perf_event() -> None:
    # type software, size, config cpu-clock; disabled
    attr = struct.pack("=IIQ", 1, 112, 0) + bytes(24) + struct.pack("=Q", 1) + bytes(64)
    fd = _native.perf_event_open(attr, 0, -1, -1, 8)
    assert isinstance(fd, Fd)
    with fd:
        assert _native.ioctl(fd.fileno(), 0x2400, 0) == 0
        number = bytearray(8)
        assert _native.ioctl_ptr(fd.fileno(), 0x80082407, number) == 0  # PERF_EVENT_IOC_ID
        assert any(number)


def test_symbols_are_those_of_the_kernel() -> None:
    names = ["bpf_prog_put", "udp_recvmsg", "_text"]
    wanted: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for line in Path("/proc/kallsyms").read_text().splitlines():
        address, _, name, *module = line.split()
        if name in wanted:
            wanted[name].append((int(address, 16), module[0].strip("[]") if module else ""))
    assert _native.kernel_symbols(names) == wanted


def _many(count: int, broken: tuple[int, ...] = ()) -> list[_native.Step]:
    good = _insn(0xB7, 0, 2) * 1500 + _insn(0x95)
    return [_load(UNREAD if at in broken else good, at) for at in range(count)]


def test_many_programs_are_verified_together() -> None:
    """On several threads; what comes out is as from one."""
    threads = len(os.listdir("/proc/self/task"))
    fds, failure, logs = replay(_many(60), 60, log_level=4)
    assert failure is None
    assert [at for at, _ in logs] == list(range(60))
    assert len({fd.fileno() for fd in fds if fd is not None}) == 60
    # A joined thread is listed until the kernel has taken it down.
    assert comes_true(lambda: len(os.listdir("/proc/self/task")) == threads)


@pytest.mark.parametrize("broken", [(0,), (7,), (31, 7, 55), tuple(range(60)), (59,)])
def test_the_first_failure_counts(broken: tuple[int, ...]) -> None:
    before = _fds()
    made = (0, MAP, [], [], 60)
    for _ in range(5):
        fds, failure, _ = replay([made, *_many(60, broken)], 61)
        assert fds == []
        assert failure is not None
        assert failure[:2] == (1 + min(broken), errno.EACCES)
        assert "R5 !read_ok" in failure[2]
        assert _fds() == before
