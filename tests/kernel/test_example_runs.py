"""The good example does what it says, with real packets between two network namespaces, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HERE, SENDER, BLOCKED = "10.77.0.1", "10.77.0.2", "10.77.0.3"
PAYLOAD, HEADERS = 100, 14 + 20 + 8
ALLOWED_PACKETS, BLOCKED_PACKETS = 50, 20
OURS = {
    "packet_parser", "packet_filter", "count_openat", "count_openat2", "connect_begin", "connect_end", "count_message",
}  # fmt: skip
SEND = """
import socket, sys
source, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.bind((source, 0))
for _ in range(count):
    out.sendto(bytes(size), ("10.77.0.1", 9000))
"""

# Without RUST_BACKTRACE an error is the sentences a user reads; `ip` and `bpftool` may stand where root's programs do.
ENV = {name: value for name, value in os.environ.items() if name != "RUST_BACKTRACE"}
ENV["PATH"] = os.pathsep.join([ENV.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

pytestmark = [pytest.mark.root, pytest.mark.toolchain("rust")]


def _command(name: str, to: Path) -> Path:
    import examples

    return examples.user_side(EXAMPLES / name, examples.kernel_side(EXAMPLES / name, to), to)


def _sh(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, env=ENV, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"`{' '.join(words)}`: {done.stderr}"
    return done.stdout


@pytest.fixture
def wire() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth pair: `here` has device `pc0`, the other one sends."""
    if shutil.which("ip", path=ENV["PATH"]) is None:
        pytest.skip("no `ip`: `apt-get install iproute2` gets it")
    here, there = (f"bpfsmith-{os.getpid()}-{side}" for side in ("here", "there"))
    made = []
    try:
        for name in (here, there):
            done = subprocess.run(["ip", "netns", "add", name], env=ENV, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"kernel: no network namespaces: {done.stderr.strip()}")
            made.append(name)
        # No IPv6, so that nothing but our packets is on the wire.
        for name in (here, there):
            _sh("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", check=False)
        _sh("ip", "-n", here, "link", "add", "pc0", "type", "veth", "peer", "name", "pc1", "netns", there)
        _sh("ip", "-n", here, "addr", "add", f"{HERE}/24", "dev", "pc0")
        for address in (SENDER, BLOCKED):
            _sh("ip", "-n", there, "addr", "add", f"{address}/24", "dev", "pc1")
        for name, device in ((here, "pc0"), (there, "pc1")):
            _sh("ip", "-n", name, "link", "set", device, "up")
        yield here, there
    finally:
        for name in made:
            _sh("ip", "netns", "del", name, check=False)


@pytest.fixture
def tracefs() -> Iterator[bool]:
    """Mounts tracefs where nobody has; false where the kernel has none."""
    folder = Path("/sys/kernel/tracing")
    if (folder / "events").exists():
        yield True
        return
    done = subprocess.run(["mount", "-t", "tracefs", "tracefs", folder], capture_output=True, check=False)
    mounted = not done.returncode
    try:
        yield mounted and (folder / "events/syscalls").exists()
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=False)


def _inside(namespace: str, *words: str | Path) -> list[str]:
    # nsenter keeps /sys as it is; `ip netns exec` would hide tracefs.
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *map(str, words)]


def _run(namespace: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_inside(namespace, *words), env=ENV, capture_output=True, text=True, timeout=60, check=False)


def _loaded() -> set[int]:
    """Ids of the programs loaded now that have the names of ours."""
    rows = json.loads(_sh("bpftool", "--json", "prog", "show") or "[]")
    return {row["id"] for row in rows if row.get("name") in OURS}


def _left(before: set[int], maps: set[int]) -> Callable[[], list[str]]:
    """What of the run still is: programs by name, maps and links of those programs."""

    def now() -> list[str]:
        programs = _loaded() - before
        links = json.loads(_sh("bpftool", "--json", "link", "show") or "[]")
        kept = {row["id"] for row in json.loads(_sh("bpftool", "--json", "map", "show") or "[]")} & maps
        return [
            *(f"program {number}" for number in sorted(programs)),
            *(f"map {number}" for number in sorted(kept)),
            *(f"link {row['id']}" for row in links if row.get("prog_id") in programs),
        ]

    return now


def _maps_of(programs: set[int]) -> set[int]:
    rows = json.loads(_sh("bpftool", "--json", "prog", "show"))
    return {number for row in rows if row["id"] in programs for number in row.get("map_ids", [])}


def _within(seconds: float, question: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """The first answer that is wanted, or the last one."""
    end = time.monotonic() + seconds
    while not wanted(answer := question()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


def test_counts_reports_drops_and_leaves_nothing(wire: tuple[str, str], tracefs: bool, tmp_path: Path) -> None:
    if shutil.which("bpftool", path=ENV["PATH"]) is None:
        pytest.skip("no `bpftool`: `apt-get install bpftool` gets it")
    here, there = wire
    before = _loaded()
    command = _command("packet-counter", tmp_path)
    said = tmp_path / "said"
    with said.open("w") as out:
        running = subprocess.Popen(
            _inside(here, command, "pc0", "--mode", "skb", "--block", BLOCKED),
            env=ENV, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        started = _within(20, said.read_text, lambda text: "counting on" in text or running.poll() is not None)
        assert "counting on pc0" in started, started
        loaded = _loaded() - before
        maps = _maps_of(loaded)
        assert len(loaded) >= 2
        assert maps
        for source, count in ((SENDER, ALLOWED_PACKETS), (BLOCKED, BLOCKED_PACKETS)):
            sender = _inside(there, sys.executable, "-I", "-c", SEND, source, str(count), str(PAYLOAD))
            subprocess.run(sender, check=True)
        _within(5, said.read_text, lambda text: text.count("new source") == 2)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0, said.read_text()
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    text = said.read_text()
    assert f"new source {SENDER} -> {HERE}:9000 protocol 17\n" in text
    assert f"new source {BLOCKED} -> {HERE}:9000 protocol 17 (blocked)\n" in text
    size = HEADERS + PAYLOAD
    everything = ALLOWED_PACKETS + BLOCKED_PACKETS
    assert f" packets: {everything} ({everything * size} bytes)\n" in text
    assert f" blocked: {BLOCKED_PACKETS} ({BLOCKED_PACKETS * size} bytes)\n" in text
    assert " without a filter: 0\n" in text
    assert " lost events: 0\n" in text
    if tracefs and "skipped count_openat:" not in text:
        found = re.search(r" openat: (\d+)$", text, re.MULTILINE)
        assert found is not None
        assert int(found[1]) > 0  # the two senders open files
    left = _within(5, _left(before, maps), lambda answer: not answer)
    assert left == [], "the kernel keeps something"


def test_an_interface_that_is_not_there(wire: tuple[str, str], tmp_path: Path) -> None:
    """Nothing is attached, and the reason is one sentence."""
    command = _command("packet-counter", tmp_path)
    done = _run(wire[0], command, "none0")
    assert done.returncode == 1
    assert "cannot attach to `none0`" in done.stderr


def test_the_kernel_refuses_the_broken_twin(wire: tuple[str, str], tmp_path: Path) -> None:
    """AYA045 and AYA502 are no opinion: the check that `unreachable_unchecked` deleted is what the verifier misses."""
    before = _loaded()
    command = _command("packet-counter-broken", tmp_path)
    done = _run(wire[0], command, "pc0")
    assert done.returncode == 1
    assert "the kernel rejected `packet_filter`" in done.stderr
    assert "unbounded memory access" in done.stderr
    assert "let weight = WEIGHTS[packet.protocol as usize];" in done.stderr
    assert _within(5, _loaded, lambda now: now <= before) <= before
