"""The Python sides of the examples, started as a user starts them: each sees real traffic or events, and what it loaded
is gone when it has ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bpfsmith

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TOOLBOX = EXAMPLES / "toolbox"
SLOW = 4 if os.environ.get("BPFSMITH_LAB_GUEST") else 1  # an emulator on a busy machine
# Other tests that list what is loaded hold descriptors of it for a moment, and maps are freed by a work queue.
READY, END, GONE = 30.0 * SLOW, 20.0 * SLOW, 60.0 * SLOW  # seconds
SO_RCVMARK = 75

pytestmark = pytest.mark.root


class Running:
    """An example that has said its first line. `text`: all it printed, when the block has ended (by Ctrl-C)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.text = ""
        self.held: set[tuple[str, int]] = set()

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.text.splitlines() if line]


def _held(pid: int) -> set[tuple[str, int]]:
    """What of the kernel's that process holds: (`prog`, id) and so on."""
    found: set[tuple[str, int]] = set()
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            text = info.read_text()
            for kind in ("link", "prog", "map", "btf"):  # the information on a link names its program too
                if match := re.search(rf"^{kind}_id:\s*(\d+)$", text, re.MULTILINE):
                    found.add((kind, int(match[1])))
                    break
    return found


def _alive(what: tuple[str, int]) -> bool:
    from bpfsmith.kernel.info import open_id

    try:
        open_id(*what).close()
    except bpfsmith.UnknownName:
        return False
    return True


# Gives up all capabilities but those given, then is the script.
LIMITED = """
import ctypes, runpy, struct, sys
mask = sum(1 << int(number) for number in sys.argv[1].split(",") if number)
low, high = mask & 0xFFFFFFFF, mask >> 32
libc = ctypes.CDLL(None)
assert libc.capset(struct.pack("II", 0x20080522, 0), struct.pack("6I", low, low, low, high, high, high)) == 0
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}


def limited(capabilities: tuple[str, ...] | None) -> list[str]:
    """How a script is started with nothing but these capabilities (None: as we are)."""
    if capabilities is None:
        return [sys.executable]
    return [sys.executable, "-c", LIMITED, ",".join(str(CAPABILITIES[name]) for name in capabilities)]


@contextlib.contextmanager
def running(
    script: Path, *words: str | Path, capabilities: tuple[str, ...] | None = None, end: int = signal.SIGINT
) -> Iterator[Running]:
    process = subprocess.Popen(
        [*limited(capabilities), script, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    watchdog = threading.Timer(READY + END, process.kill)
    watchdog.start()
    try:
        first = process.stdout.readline()
        assert first, process.stderr.read()
        run = Running(process)
        run.held = _held(process.pid)
        assert all(_alive(one) for one in run.held)
        yield run
        process.send_signal(end)
        rest, complaints = process.communicate(timeout=END)
        run.text = first + rest
        assert process.returncode == (0 if end == signal.SIGINT else -end), complaints
        # Warnings too: a link that was dropped would be one.
        assert not complaints
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
        process.communicate()
    assert {kind for kind, _ in run.held} >= {"prog", "map", "btf"}
    until = time.monotonic() + GONE
    while (left := {one for one in run.held if _alive(one)}) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left, f"the kernel keeps {left}"


def _wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Reads until a line that holds `text`."""
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def test_packet_counter(netns: Any) -> None:
    payload = bytes(100)
    with running(EXAMPLES / "packet-counter/packet_counter.py", netns.device, "--block", "10.99.0.77") as run:
        netns.udp(30, payload=payload)
        seen = _wait_for(run.process, "new source")
    assert f"new source {netns.peer_address} -> {netns.address}:9000\n" in seen
    assert re.search(rf"^ +packets: 30 \({30 * (100 + 42)} bytes\)$", run.text, re.MULTILINE)
    assert re.search(r"^ +blocked: 0 ", run.text, re.MULTILINE)
    assert re.search(r"^ +lost events: 0 ", run.text, re.MULTILINE)
    assert re.search(r"^ +openat: [1-9]", run.text, re.MULTILINE)


def test_packet_counter_blocks(netns: Any) -> None:
    with running(EXAMPLES / "packet-counter/packet_counter.py", netns.device, "--block", netns.peer_address) as run:
        assert netns.udp_echo(timeout=0.3) is None
        assert "(blocked)" in _wait_for(run.process, "new source")
    assert re.search(r"^ +blocked: 1 ", run.text, re.MULTILINE)


def test_an_interface_that_is_not_there(netns: Any) -> None:
    """Nothing is attached; the reason is an error of ours that names it."""
    script = EXAMPLES / "packet-counter/packet_counter.py"
    done = subprocess.run([sys.executable, script, "none0"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: there is no interface `none0`")


@pytest.mark.parametrize(
    ("script", "words", "code", "said"),
    [
        ("tc-mark/tc_mark.py", ("lo", "10.0.0.0/8"), 2, "PREFIX=MARK"),
        ("tc-mark/tc_mark.py", ("lo", "10.0.0.0/8=x"), 2, "PREFIX=MARK"),
        ("tc-mark/tc_mark.py", ("lo", "10.0.0.0/80=1"), 1, "10.0.0.0/80"),
        ("tc-mark/tc_mark.py", ("lo", "10.0.0.0/8=0x100000000"), 1, "4294967296"),
        ("tc-mark/tc_mark.py", ("none0", "10.0.0.0/8=1"), 1, "`none0`"),
        ("cgroup-traffic/cgroup_traffic.py", ("/proc/none",), 1, "cgroups are folders of"),
        ("cgroup-traffic/cgroup_traffic.py", ("/proc", "--seconds", "-1"), 2, "--seconds"),
        ("local-redirect/local_redirect.py", ("/proc",), 1, "is no cgroup"),
        ("syscall-latency/syscall_latency.py", ("--pid", "-1"), 1, "-1"),
        ("syscall-latency/syscall_latency.py", ("--seconds", "nan"), 2, "--seconds"),
        ("tcp-states/tcp_states.py", ("--port", "x"), 2, "--port"),
        ("../packet-counter/packet_counter.py", ("lo", "--block", "nobody"), 1, "`nobody`"),
    ],
)
def test_bad_input_is_one_line(script: str, words: tuple[str, ...], code: int, said: str) -> None:
    """Of argparse after the usage, or of ours; never a traceback."""
    command = [sys.executable, TOOLBOX / script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=END)
    assert done.returncode == code
    lines = [line for line in done.stderr.splitlines() if not line.startswith((" ", "usage: "))]
    assert len(lines) == 1
    assert "error: " in lines[0]
    assert said in lines[0]


def test_syscall_latency() -> None:
    """Of this process only: it reads one byte a hundred times, with a pause of 1 ms in each of ten."""
    with running(TOOLBOX / "syscall-latency/syscall_latency.py", "--pid", str(os.getpid()), "--top", "500") as run:
        with open("/dev/zero", "rb", buffering=0) as zero:
            for _ in range(1000):
                zero.read(1)
        for _ in range(10):
            time.sleep(0.002)
    calls = {line[0].rstrip(":"): int(line[1]) for line in run.lines() if "calls," in line}
    assert calls.get("read", calls.get("0", 0)) >= 1000
    sleeps = calls.get("clock_nanosleep", calls.get("230", 0))
    assert 10 <= sleeps < 1000
    # Its ten sleeps of 2 ms stand in the slots of 1 ms and more.
    block = run.text.partition(f": {sleeps} calls,")[2].partition("calls,")[0]
    rows = re.findall(r"^ *from +([\d,]+) ns +(\d+)\b", block, re.MULTILINE)
    assert sum(int(count) for start, count in rows if int(start.replace(",", "")) >= 1 << 20) >= 10


def test_tcp_states(netns: Any) -> None:
    with running(TOOLBOX / "tcp-states/tcp_states.py", "--port", "9002") as run:
        assert netns.tcp() == b"bpfsmith"
        seen = _wait_for(run.process, "LAST_ACK -> CLOSE")
    here, there = f"{netns.address}:9002", re.escape(netns.peer_address)
    assert re.search(rf"{there}:\d+ -> {here}  CLOSE -> SYN_SENT$", seen, re.MULTILINE)
    assert re.search(rf" ms  {there}:\d+ -> {here}  SYN_SENT -> ESTABLISHED$", seen, re.MULTILINE)
    assert f"{here} -> 0.0.0.0:0  CLOSE -> LISTEN\n" in seen
    assert "lost" not in run.text


def test_tcp_states_of_ipv6(netns: Any) -> None:
    with running(TOOLBOX / "tcp-states/tcp_states.py", "--port", "9003") as run:
        assert netns.tcp(port=9003, ipv6=True) == b"bpfsmith"
        seen = _wait_for(run.process, "SYN_SENT -> ESTABLISHED")
    assert f" -> [{netns.address6}]:9003  SYN_SENT -> ESTABLISHED\n" in seen


TALK = """
import socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("127.0.0.1", 0))
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(7):
    out.sendto(bytes(100), here.getsockname())
"""


def test_cgroup_traffic(cgroup: Any, netns: Any) -> None:
    inner = cgroup.path / "inner"
    inner.mkdir()
    try:
        with running(TOOLBOX / "cgroup-traffic/cgroup_traffic.py", cgroup.path) as run:
            script = f'echo $$ > "{inner}/cgroup.procs" && exec "$@"'
            subprocess.run(["sh", "-c", script, "sh", sys.executable, "-I", "-c", TALK], check=True)
        row = next(line for line in run.lines() if line[-1] == str(inner))
        # Seven datagrams of 100 + 28 bytes, sent by the group to itself.
        assert row[:4] == ["7", "896", "7", "896"]
    finally:
        inner.rmdir()


ECHO = """
import socket
server = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(server.getsockname())
far, _ = server.accept()
for _ in range(50):
    near.sendall(bytes(1000))
    left = 1000
    while left:
        left -= len(far.recv(left))
    far.sendall(b"done")
    assert near.recv(4) == b"done"
"""


def test_local_redirect(cgroup: Any, netns: Any) -> None:
    with running(TOOLBOX / "local-redirect/local_redirect.py", cgroup.path) as run:
        done = cgroup.run(sys.executable, "-I", "-c", ECHO, timeout=END)
        assert done.returncode == 0, done.stderr
    assert re.search(r"sockets remembered: 2 ", run.text)
    assert re.search(rf"messages redirected: 100 \({50 * 1004} bytes\)", run.text)
    assert re.search(r"messages passed on: 0 ", run.text)


def test_tc_mark(netns: Any) -> None:
    """The mark is what a socket is told about the packets it receives."""
    marks = [f"{netns.peer_address}/32=0x7", "10.0.0.0/8=9"]
    with (
        running(TOOLBOX / "tc-mark/tc_mark.py", netns.device, *marks) as run,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
    ):
        here.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        here.bind((netns.address, 9005))
        here.settimeout(20)
        netns.udp(3, port=9005, payload=bytes(100))
        for _ in range(3):
            _, told, _, _ = here.recvmsg(100, 100)
            assert [(kind, int.from_bytes(data, sys.byteorder)) for _, kind, data in told] == [(socket.SO_MARK, 7)]
        with netns.peer():
            there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with there:  # where nobody listens an answer would come back, and be marked
            there.bind((netns.peer_address, 9000))
            netns.udp_out(2)
    assert f"mark 0x7: 5 packets, {3 * 142 + 2 * 50} bytes" in run.text
    assert "mark 0x9" not in run.text


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_killed_leaves_nothing(netns: Any, cgroup: Any, end: int) -> None:
    """Links of the kernel end with their process, however that ends."""
    from bpfsmith import kernel

    if not kernel.live().probe("attach_type:tcx_ingress"):
        pytest.skip("kernel: no TCX (Linux 6.6): what classic tc attaches outlives its process")
    for script, words in (
        ("packet-counter/packet_counter.py", (netns.device,)),
        ("toolbox/tc-mark/tc_mark.py", (netns.device, "10.0.0.0/8=3")),
        ("toolbox/cgroup-traffic/cgroup_traffic.py", (cgroup.path,)),
        ("toolbox/local-redirect/local_redirect.py", (cgroup.path,)),
        ("toolbox/syscall-latency/syscall_latency.py", ()),
        ("toolbox/tcp-states/tcp_states.py", ()),
    ):
        with running(EXAMPLES / script, *words, end=end) as run:
            assert any(kind == "link" for kind, _ in run.held)


# ------------------------------------------------------------ no more rights than the README says


def test_two_capabilities_are_enough(netns: Any, cgroup: Any) -> None:
    """Root without any other capability: what each README says is all that is needed."""
    net, trace = ("CAP_BPF", "CAP_NET_ADMIN"), ("CAP_BPF", "CAP_PERFMON")
    with running(TOOLBOX / "tc-mark/tc_mark.py", netns.device, "10.0.0.0/8=3", capabilities=net) as run:
        netns.udp(2)
    assert "mark 0x3: " in run.text
    with running(TOOLBOX / "cgroup-traffic/cgroup_traffic.py", cgroup.path, capabilities=net) as run:
        pass
    with running(TOOLBOX / "local-redirect/local_redirect.py", cgroup.path, capabilities=net) as run:
        pass
    with running(TOOLBOX / "tcp-states/tcp_states.py", "--port", "9002", capabilities=trace) as run:
        netns.tcp()
        _wait_for(run.process, "LAST_ACK -> CLOSE")
    with running(TOOLBOX / "syscall-latency/syscall_latency.py", capabilities=trace) as run:
        time.sleep(0.1)
    assert "calls," in run.text


@pytest.mark.parametrize(
    ("script", "words", "missing", "has"),
    [
        ("tc-mark/tc_mark.py", ("lo", "10.0.0.0/8=3"), "CAP_NET_ADMIN", ("CAP_BPF", "CAP_PERFMON")),
        ("tcp-states/tcp_states.py", (), "CAP_PERFMON", ("CAP_BPF", "CAP_NET_ADMIN")),
        ("cgroup-traffic/cgroup_traffic.py", ("{cgroup}",), "CAP_NET_ADMIN", ("CAP_BPF", "CAP_PERFMON")),
        ("syscall-latency/syscall_latency.py", (), "CAP_BPF", ()),
    ],
)
def test_a_missing_capability_is_named(
    script: str, words: tuple[str, ...], missing: str, has: tuple[str, ...], cgroup: Any
) -> None:
    given = [word.format(cgroup=cgroup.path) for word in words]
    done = subprocess.run(
        [*limited(has), TOOLBOX / script, *given], capture_output=True, text=True, check=False, timeout=END
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert missing in line
