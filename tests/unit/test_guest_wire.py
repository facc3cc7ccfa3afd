"""What a guest answers, and what is no answer: frames, bodies, archives."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import socket
import subprocess
from typing import Any

import pytest

from bpfsmith.kernel.attrs import encode
from bpfsmith.lab import cpio, wire
from bpfsmith.lab.agent import Channel
from bpfsmith.model.errors import BpfsmithError, GuestFailed, ToolError


def test_frames_come_in_pieces() -> None:
    sent = [(wire.DONE, 1, b""), (wire.PART, 2, b"x" * 5000), (wire.ERROR, 0xFFFF_FFFF, b"\0")]
    data = b"\0\0\0".join(wire.frame(kind, number, body) for kind, number, body in sent)
    for size in (1, 7, 100, len(data)):
        frames = wire.Frames()
        found = [frame for at in range(0, len(data), size) for frame in frames.feed(data[at : at + size])]
        assert found == sent


@pytest.mark.parametrize(
    "data", [b"\x01", b"hello, world", wire.frame(0, 1, bytes(40_000))], ids=["byte", "text", "long"]
)
def test_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(ToolError, match="no frame"):
        wire.Frames().feed(data.ljust(12, b"x"))


def _answering(data: bytes) -> Channel:
    """A channel on which this comes as soon as anything is asked."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    channel = Channel(ours, "test", lambda doing, limit: GuestFailed(f"ended while {doing}", "lost", "", "test"))
    _kept.append(theirs)
    return channel


_kept: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _close() -> Any:
    yield
    while _kept:
        _kept.pop().close()


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (wire.frame(wire.ERROR, 1, (2).to_bytes(4, "little")), FileNotFoundError),
        (wire.frame(wire.ERROR, 1, (22).to_bytes(4, "little") + b"step 1: wrong"), ToolError),
        (wire.frame(wire.UNREADABLE, 1, b"no such request"), ToolError),
        (wire.frame(wire.UNREADABLE, 0, b"no frame begins here"), ToolError),
        (wire.frame(wire.TOO_LARGE, 1, (100).to_bytes(8, "little")), GuestFailed),
        (wire.frame(wire.ENDED, 1, bytes([2]) + bytes(8) + b"out of memory"), GuestFailed),
        (wire.frame(wire.ENDED, 1, b"\x01"), ToolError),
        (wire.frame(99, 1, b""), ToolError),
        (b"garbage garbage garbage", ToolError),
        (b"", GuestFailed),
        (wire.frame(wire.PART, 1, b"half"), GuestFailed),
        (wire.frame(wire.DONE, 77, b"for somebody else"), GuestFailed),
    ],
    ids=[
        "error",
        "told",
        "unreadable",
        "no-frame",
        "too-large",
        "ended",
        "ended-short",
        "unknown",
        "garbage",
        "nothing",
        "half",
        "another",
    ],
)
def test_what_is_raised(answer: bytes, raised: type[BaseException]) -> None:
    channel = _answering(answer)
    try:
        with pytest.raises(raised):
            channel.ask(wire.SYNC, b"", "testing", 20)
    finally:
        channel.close()


def test_random_answers_never_hang_or_break_out() -> None:
    chance = random.Random(5)
    for _ in range(300):
        body = chance.randbytes(chance.randrange(60))
        kind = chance.choice([*range(8), 255])
        channel = _answering(wire.frame(kind, 1, body) if chance.random() < 0.8 else body)
        try:
            told = channel.ask(wire.SYNC, b"", "testing", 20)
            for read in (wire.hello, wire.names, wire.symbols, wire.status, wire.ended):
                with contextlib.suppress(BpfsmithError, MemoryError):
                    read(told)
            with contextlib.suppress(BpfsmithError):
                wire.outcome(told, True)
            with contextlib.suppress(BpfsmithError):
                wire.bpf_answer(15, told, bytearray(16), [(8, bytearray(64))])
        except (BpfsmithError, OSError):
            pass
        finally:
            channel.close()
            _kept.pop().close()


def test_addresses_inside_of_buffers() -> None:
    """The kernel's answer for a pointer in a buffer comes back as a position in the same buffer, or as nothing."""
    command, attr, buffers = encode("BPF_OBJ_GET_INFO_BY_FD", bpf_fd=3, info_len=32, info=bytearray(64))
    ((_, buffer),) = buffers
    buffer[8:16] = (wire.NESTED + 40).to_bytes(8, "little")
    buffer[16:24] = (wire.NESTED + 48).to_bytes(8, "little")
    sent = wire.bpf(command, attr, buffers)
    assert (40).to_bytes(8, "little") in sent and wire.NESTED.to_bytes(8, "little") not in sent
    answer = bytes(8) + wire.numbers("I", 0) + wire.counted(b"")
    answer += wire.numbers("I", 16) + wire.counted(bytes(8) + b"\x11" * 8)
    assert wire.bpf_answer(command, answer, attr, buffers) == 0
    assert int.from_bytes(buffer[8:16], "little") == wire.NESTED + 40
    assert bytes(buffer[16:32]) == bytes(8) + b"\x11" * 8


def test_only_what_begins_a_buffer_is_sent() -> None:
    sent = wire.bpf(1, bytearray(16), [(8, bytearray(1 << 20))])
    assert len(sent) < 100


def test_archives() -> None:
    made = cpio.Archive()
    made.file("init", b"program", 0o755)
    made.file("etc/deep/file", b"data")
    made.link("bin/sh", "busybox")
    made.folder("etc/deep")
    made.device("dev/null", 1, 3)
    data = made.done()
    assert data == _again() and len(data) % 512 == 0
    assert [name for name, _, _ in _entries(data)] == [
        "init", "etc", "etc/deep", "etc/deep/file", "bin", "bin/sh", "dev", "dev/null", "TRAILER!!!",
    ]  # fmt: skip
    found = {name: (mode, body) for name, mode, body in _entries(data)}
    assert found["init"] == (0o100755, b"program") and found["bin/sh"] == (0o120777, b"busybox")
    assert found["etc"] == (0o040755, b"") and found["dev/null"][0] == 0o020600
    if shutil.which("cpio"):
        told = subprocess.run(["cpio", "-it", "--quiet"], input=data, capture_output=True, check=True).stdout.decode()
        assert told.split() == [name for name in found if name != "TRAILER!!!"]


def _again() -> bytes:
    made = cpio.Archive()
    made.file("/init", b"program", 0o755)
    made.file("/etc/deep/file", b"data")
    made.link("/bin/sh", "busybox")
    made.device("/dev/null", 1, 3)
    return made.done()


def _entries(data: bytes) -> list[tuple[str, int, bytes]]:
    """(name, mode, contents), read by the format's own description."""
    file = io.BytesIO(data)
    found = []
    while True:
        head = file.read(110)
        assert head[:6] == b"070701"
        fields = [int(head[6 + 8 * at : 14 + 8 * at], 16) for at in range(13)]
        name = file.read(fields[11])[:-1].decode()
        file.seek(-file.tell() % 4, 1)
        body = file.read(fields[6])
        file.seek(-file.tell() % 4, 1)
        found.append((name, fields[1], body))
        if name == "TRAILER!!!":
            return found
