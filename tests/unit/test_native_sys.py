"""The native half of the kernel door, as far as it needs no privilege: descriptors, mappings, plans as messages."""

from __future__ import annotations

import errno
import gc
import os
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfsmith import _native

U32 = st.integers(0, (1 << 32) - 1)
PLACES = st.lists(st.tuples(U32, U32), max_size=3)
BLOBS = st.lists(st.tuples(U32, st.binary(max_size=20), PLACES), max_size=3)
STEPS = st.lists(st.tuples(U32, st.binary(max_size=40), BLOBS, PLACES, st.integers(-1, (1 << 31) - 1)), max_size=4)


def _open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_fd_owns() -> None:
    one = _native.Fd(os.open("/dev/null", os.O_RDONLY))
    number = one.fileno()
    other = one.dup()
    assert other.fileno() != number
    assert not os.get_inheritable(other.fileno())
    del other
    with one:
        assert _open(number)
    assert one.closed
    assert not _open(number)
    one.close()
    with pytest.raises(ValueError, match="closed"):
        one.fileno()
    kept = _native.Fd(os.open("/dev/null", os.O_RDONLY))
    number = kept.detach()
    del kept
    gc.collect()
    assert _open(number)
    os.close(number)
    with pytest.raises(ValueError, match="no file descriptor"):
        _native.Fd(-1)


def test_calls_answer_errors() -> None:
    assert _native.bpf(9999, bytearray(8)) in (-errno.EINVAL, -errno.EPERM)
    assert _native.bpf_fd(9999, bytearray(8)) in (-errno.EINVAL, -errno.EPERM)
    with pytest.raises(ValueError, match="no address fits at byte 4 of an attr of 8 bytes"):
        _native.bpf(1, bytearray(8), [(4, b"key")])
    with pytest.raises(ValueError, match="no address fits"):
        _native.bpf(1, bytearray(8), [(sys.maxsize, b"key")])
    with pytest.raises(ValueError, match="more than 8 buffers"):
        _native.bpf(1, bytearray(128), [(0, b"")] * 9)
    with pytest.raises((BufferError, TypeError)):
        _native.bpf(1, b"read-only", [])  # type: ignore[arg-type]
    assert _native.perf_event_open(b"", 0, -1, -1, 0) == -errno.EINVAL
    # It must not read beyond what it was given, whatever the attribute says of its size.
    assert _native.perf_event_open(struct.pack("II", 1, 4096) + bytes(56), 0, -1, -1, 0) == -errno.EINVAL
    assert _native.ioctl(-1, 0, 0) == -errno.EBADF
    assert _native.ioctl_ptr(-1, 0, bytearray(8)) == -errno.EBADF


def test_buffers_are_given_back() -> None:
    attr, buffer = bytearray(16), bytearray(8)
    _native.bpf(9999, attr, [(0, buffer)])
    assert attr[:8] != bytes(8)  # the address
    attr.extend(b"x")  # no export is left, or this raises
    buffer.extend(b"x")


def test_mapping(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcd" * 2048)
    with open(path, "r+b") as file:
        both = _native.Mapping.map(file.fileno(), 8192, 0, 3, 1)
        only = _native.Mapping.map(file.fileno(), 4096, 4096)
        assert not isinstance(both, int)
        assert not isinstance(only, int)
        assert (len(both), len(only)) == (8192, 4096)
        with memoryview(both) as view:  # type: ignore[arg-type]
            view[4096:4100] = b"wxyz"
            with pytest.raises(BufferError, match="1 view"):
                both.close()
        with memoryview(only) as view:  # type: ignore[arg-type]
            assert view.readonly
            assert bytes(view[:8]) == b"wxyzabcd"
        both.close()
        both.close()
        assert len(both) == 0
        with pytest.raises(ValueError, match="closed"):
            memoryview(both)  # type: ignore[arg-type]
        kept = memoryview(only)  # type: ignore[arg-type]
        del only
        gc.collect()
        assert bytes(kept[:4]) == b"wxyz"  # a view keeps it mapped
        assert _native.Mapping.map(file.fileno(), 4096, 1) == -errno.EINVAL
        assert _native.Mapping.map(-1, 4096) == -errno.EBADF
        assert _native.Mapping.map(file.fileno(), 4096, 0, 1, 0x11) == -errno.EINVAL  # MAP_FIXED may hit anything


@settings(deadline=None)
@given(STEPS, st.integers(0, 1 << 20))
def test_plans_are_read_back(steps: list[_native.Step], slots: int) -> None:
    message = _native.encode_plan(steps, slots)
    assert _native.decode_plan(message) == (steps, slots)
    for cut in (1, len(message) // 2, len(message) - 1):
        with pytest.raises(_native.ReadError):
            _native.decode_plan(message[:cut])


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_a_plan_or_an_error(data: bytes) -> None:
    for message in (data, b"bpfplan\1" + data):
        try:
            steps, slots = _native.decode_plan(message)
        except _native.ReadError:
            continue
        assert _native.encode_plan(steps, slots) == message


@pytest.mark.parametrize(
    ("steps", "slots", "given", "text"),
    [
        ([(22, bytes(8), [], [(0, 0)], -1)], 1, [], "slot 0 is not filled yet"),
        ([(22, bytes(8), [], [(0, 3)], -1)], 1, [], "slot 3 is not filled yet"),
        ([(22, bytes(8), [], [(6, 0)], -1)], 1, [(0, 0)], "no descriptor fits at byte 6 of 8"),
        ([(2, bytes(8), [(4, b"", [])], [], -1)], 0, [], "no address fits at byte 4 of 8"),
        ([(2, bytes(8), [(0, b"abc", [(0, 0)])], [], -1)], 1, [(0, 0)], "no descriptor fits at byte 0 of 3"),
        ([(0, bytes(5000), [], [], -1)], 0, [], "an attr of 5000 bytes"),
        ([(0, b"", [], [], 1)], 1, [], "slot 1 of 1"),
        ([], 1 << 40, [], "more than a process can have"),
        ([], 1, [(0, -1)], "given descriptor -1"),
    ],
)
def test_malformed_plans_are_not_begun(
    steps: list[_native.Step], slots: int, given: list[tuple[int, int]], text: str
) -> None:
    with pytest.raises(_native.ReadError, match=text):
        _native.replay(steps, slots, given)


def test_unknown_steps_fail_where_they_stand() -> None:
    assert _native.replay([(1000, b"", [], [], -1), (1001, b"", [], [], -1)], 0) == ([], (1, errno.EINVAL, ""), [])


def test_possible_cpus() -> None:
    assert _native.possible_cpus() >= (os.cpu_count() or 1)


def test_kernel_symbols() -> None:
    found = _native.kernel_symbols(["_stext", "no_such_symbol_at_all"])
    assert found["no_such_symbol_at_all"] == []
    assert [module for _, module in found["_stext"]] == [""]
    assert _native.kernel_symbols(["_stext"], "no_such_module") == {"_stext": []}
