"""`bpfsmith run` on the real kernel: typed events, targets, values, plans, and nothing left behind however it ends."""

from __future__ import annotations

import contextlib
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

import bpfsmith
from bpfsmith import kernel
from bpfsmith.model.errors import InputError, TargetMissing, UnknownName, Unsupported, VerifierRejected
from bpfsmith.run.session import Calls, Sink
from waiting import comes_true

pytestmark = pytest.mark.root

WAIT = 120.0 if os.environ.get("BPFSMITH_LAB_GUEST") else 20.0
KINDS = ("link", "prog", "map", "btf")


def _held(pid: int) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            text = info.read_text()
            for kind in KINDS:  # a link's names its program too
                if match := re.search(rf"^{kind}_id:\s*(\d+)$", text, re.MULTILINE):
                    found.add((kind, int(match[1])))
                    break
    return found


def _gone(entries: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those still loaded after the time the kernel takes to free them."""
    tool = shutil.which("bpftool") or "/usr/sbin/bpftool"
    until = time.monotonic() + 30
    left = entries
    while left and time.monotonic() < until:
        left = {
            (kind, number)
            for kind, number in left
            if not subprocess.run([tool, kind, "show", "id", str(number)], capture_output=True, check=False).returncode
        }
        time.sleep(0.02)
    return left


def _ended(stat: Path) -> bool:
    """Whether the process of `/proc/PID/stat` is gone, or a zombie that waits for whoever adopted it."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Running:
    """`bpfsmith run ... --format json` that has said `start`."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "bpfsmith", "run", *map(str, words), "--format", "json"]
        env = {**os.environ, "PYTHONPATH": str(Path(bpfsmith.__file__).parents[1])}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, bufsize=1
        )
        self.start = self._read()
        self.held = _held(self.process.pid) if self.start else set()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def until(self, kind: str) -> dict[str, Any]:
        """The next line of that kind."""
        while True:
            row = self._read()
            assert row, self.process.communicate()[1]
            if row["kind"] == kind:
                return row

    def end(self, number: int | None = None) -> tuple[int, dict[str, Any]]:
        """(exit code, last line) after a signal, or by itself."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=WAIT)
        rows = [json.loads(line) for line in out.splitlines()]
        assert not err or number == signal.SIGKILL, err
        return self.process.returncode, rows[-1] if rows else {}


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*words: str) -> Running:
        started.append(Running(*words))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def _command(*words: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(bpfsmith.__file__).parents[1]), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "bpfsmith", "run", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=WAIT)


def test_events_maps_and_globals(netns: Any, bpf_object: Callable[..., Path], running: Callable[..., Running]) -> None:
    run = running(
        bpf_object("run"),
        "--program",
        "watch",
        "--iface",
        netns.device,
        "--set",
        "LIMIT=500",
        "--put",
        "SETTINGS[0]=0x7",
    )
    assert run.start["programs"] == [{"name": "watch", "type": "xdp", "targets": [f"`{netns.device}`"], "note": None}]
    assert {row["name"]: row["record"] for row in run.start["streams"]}["EVENTS"] == "struct packet"
    netns.udp(3, payload=b"x" * 58)
    rows = [run.until("event") for _ in range(3)]
    assert [row["data"] for row in rows] == [{"length": 100, "number": n, "limit": 507} for n in range(3)]
    code, summary = run.end(signal.SIGINT)
    assert (code, summary["kind"], summary["stopped"]) == (0, "summary", "SIGINT")
    program = summary["programs"][0]
    assert program["runs"] >= 3  # the kernel says things of its own
    assert program["ns_per_run"] > 0
    assert {row["name"]: row["count"] for row in summary["streams"]}["EVENTS"] == 3
    maps = {row["name"]: row["entries"] for row in summary["maps"]}
    assert maps["LENGTHS"] == [{"key": 100, "value": 3}]
    assert maps["SETTINGS"] == [{"key": 0, "value": 7}]
    assert summary["globals"]["seen"] == 3
    assert not _gone(run.held)


def test_statistics_are_on_only_meanwhile(
    netns: Any, bpf_object: Callable[..., Path], running: Callable[..., Running]
) -> None:
    # The descriptor of BPF_ENABLE_STATS is all that keeps them on.
    def links(pid: int) -> list[str]:
        with contextlib.suppress(OSError):
            return [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
        return []

    run = running(bpf_object("run"), "--program", "watch", "--iface", netns.device)
    assert "anon_inode:bpf-stats" in links(run.process.pid)
    assert run.end(signal.SIGTERM)[0] == 0
    here = bpfsmith.run(bpf_object("run"), programs="watch", iface=netns.device, duration=0.05)
    assert here.programs[0].runs is not None
    assert "anon_inode:bpf-stats" not in links(os.getpid())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_stays(
    netns: Any, bpf_object: Callable[..., Path], running: Callable[..., Running], number: signal.Signals
) -> None:
    if number == signal.SIGKILL and not kernel.live().probe("attach_type:tcx_ingress"):
        pytest.skip("kernel: no TCX (Linux 6.6): what classic tc attaches outlives its process")
    run = running(bpf_object("run"), "--program", "watch", "--program", "filter", "--iface", netns.device,
                  "--direction", "ingress")  # fmt: skip
    assert {kind for kind, _ in run.held} == {"link", "prog", "map", "btf"}
    netns.udp(5)
    run.until("event")  # in the middle of streaming
    code, summary = run.end(number)
    if number != signal.SIGKILL:
        assert (code, summary["stopped"]) == (0, number.name)
    assert not _gone(run.held)
    assert (
        "xdp"
        not in subprocess.run(["ip", "link", "show", netns.device], capture_output=True, text=True, check=True).stdout
    )


def test_killed_while_loading(bpf_object: Callable[..., Path], netns: Any) -> None:
    """At any moment: what was loaded until then goes with the process."""
    path = bpf_object("run")
    env = {**os.environ, "PYTHONPATH": str(Path(bpfsmith.__file__).parents[1])}
    for delay in (0.05, 0.1, 0.15, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-m", "bpfsmith", "run", path, "--program", "watch", "--iface", netns.device],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env,
        )  # fmt: skip
        time.sleep(delay)
        held = _held(process.pid)
        process.kill()
        process.wait()
        assert not _gone(held)


def test_for_and_watch(netns: Any, bpf_object: Callable[..., Path]) -> None:
    done = _command(bpf_object("run"), "--program", "watch", "--iface", netns.device, "--for", "300ms",
                    "--watch", "LENGTHS", "--interval", "100ms", "--format", "json")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["kind"] for row in rows[:2]] == ["start", "map"]
    assert rows[-1]["stopped"] == "time"
    assert rows[-1]["seconds"] < 5


def test_tail_call(netns: Any, bpf_object: Callable[..., Path], running: Callable[..., Running]) -> None:
    run = running(bpf_object("run"), "--program", "watch", "--program", "drop", "--iface", netns.device,
                  "--put", "STAGES[0]=drop")  # fmt: skip
    notes = {row["name"]: row["note"] for row in run.start["programs"]}
    assert notes == {"watch": None, "drop": "reached by tail calls"}
    assert netns.udp_echo() is None  # dropped
    run.end(signal.SIGINT)
    assert netns.udp_echo() == b"bpfsmith"


def test_perf_buffer_and_direction(
    netns: Any, bpf_object: Callable[..., Path], running: Callable[..., Running]
) -> None:
    run = running(bpf_object("run"), "--attach", f"filter={netns.device}:egress", "--program", "filter")
    assert run.start["programs"][0]["targets"] == [f"`{netns.device}` egress"]
    netns.udp_out(1)
    assert run.until("event")["data"]["number"] == 7
    summary = run.end(signal.SIGINT)[1]
    assert {row["name"]: row["lost"] for row in summary["streams"]} == {"EVENTS": None, "OUTPUT": 0}


def test_socket_filter_and_cgroup(netns: Any, bpf_object: Callable[..., Path], cgroup: Any) -> None:
    seen: list[int] = []

    def send(report: Any) -> None:
        seen.append(report)

    class Ready(Sink):
        def started(self, report: Any, seconds: float) -> None:
            send(report)
            netns.udp(4)
            with cgroup.enter():
                netns.udp_out(2)

    report = bpfsmith.run(
        bpf_object("run"),
        programs=["tap", "leaving"],
        iface=netns.device,
        cgroup=cgroup.path,
        duration=0.1,
        sink=Ready(),
    )
    assert len(seen) == 1
    runs = {one.name: one.runs for one in report.programs}
    assert (runs["tap"] or 0) >= 4
    assert runs["leaving"] == 2


def test_uprobe(bpf_object: Callable[..., Path]) -> None:
    import ctypes

    libc = ctypes.CDLL(None)
    path = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line)

    class Random(Sink):
        def started(self, report: Any, seconds: float) -> None:
            for _ in range(3):
                libc.rand()

    report = bpfsmith.run(
        bpf_object("run"), programs="called", func=f"{path}:rand", pid=os.getpid(), duration=0.05, sink=Random()
    )
    assert report.globals["seen"] == 3


def test_callback_ends_it(netns: Any, bpf_object: Callable[..., Path]) -> None:
    class Enough(Exception):
        pass

    def first(name: str, event: Any) -> None:
        raise Enough(name, event.length)

    class Sends(Calls):
        def started(self, report: Any, seconds: float) -> None:
            netns.udp(1, payload=b"x" * 58)

    with pytest.raises(Enough) as caught:
        bpfsmith.run(bpf_object("run"), programs="watch", iface=netns.device, sink=Sends(first))
    assert caught.value.args == ("EVENTS", 100)


def test_text(netns: Any, bpf_object: Callable[..., Path]) -> None:
    done = _command(bpf_object("run"), "--program", "watch", "--iface", netns.device, "--for", "100ms")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"1 program, ready in [\d.]+ m?s\n  watch    xdp   veth0\n", done.stdout)
    assert re.search(r"\n  program  runs  per second  ns per run\n  watch +\d+ +[\d.]+ +[-\d,]+\n", done.stdout)


# ------------------------------------------------------------ what cannot be


def test_rejected(netns: Any, clang: Any, tmp_path: Path) -> None:
    source = tmp_path / "run.bpf.c"  # on disk, so that clang copies its lines into the object
    source.write_text((Path(__file__).parent / "progs/run.bpf.c").read_text())
    path = tmp_path / "run.bpf.o"
    words = ["-g", "-O2", "-target", "bpf", "-DBROKEN", f"-I/usr/include/{os.uname().machine}-linux-gnu"]
    subprocess.run([clang.path, *words, "-c", source, "-o", path], check=True)
    with pytest.raises(VerifierRejected) as caught:
        bpfsmith.run(path, programs="broken", iface=netns.device)
    assert caught.value.program == "broken"
    done = _command(path, "--program", "broken", "--iface", netns.device)
    assert done.returncode == 1
    assert "the verifier rejects program `broken`" in done.stderr
    assert "map_value_or_null" in done.stderr or "invalid mem access" in done.stderr
    assert "return *value" in done.stderr
    assert f"{source}:{caught.value.line}" in done.stderr
    assert "`--log` prints" in done.stderr
    whole = _command(path, "--program", "broken", "--iface", netns.device, "--log")
    assert "bpf_map_lookup_elem" in whole.stderr
    assert len(whole.stderr.splitlines()) > len(done.stderr.splitlines())


def test_targets_are_asked_for(netns: Any, bpf_object: Callable[..., Path], leaves_nothing: Any) -> None:
    path = bpf_object("run")
    with pytest.raises(TargetMissing, match=r"`watch` .* says no interface") as caught:
        bpfsmith.run(path, programs="watch")
    assert "--iface eth0" in caught.value.hint
    with pytest.raises(TargetMissing, match="`veth9`") as caught:
        bpfsmith.run(path, programs="watch", iface="veth9")
    assert "veth0" in str(caught.value)
    with pytest.raises(InputError, match="says no direction"):
        bpfsmith.run(path, programs="filter", iface=netns.device)
    with pytest.raises(TargetMissing, match="says no cgroup"):
        bpfsmith.run(path, programs="leaving")
    with pytest.raises(TargetMissing, match="says no function"):
        bpfsmith.run(path, programs="called")
    with pytest.raises(InputError, match="an interface takes one XDP program"):
        bpfsmith.run(path, programs=["watch", "drop"], iface=netns.device, attach={"drop": netns.device})
    with pytest.raises(UnknownName, match="no program `wacth`"):
        bpfsmith.run(path, programs="wacth", iface=netns.device)
    with pytest.raises(UnknownName, match="no map `EVENT`"):
        bpfsmith.run(path, programs="watch", iface=netns.device, watch="EVENT")
    with pytest.raises(Unsupported):
        bpfsmith.run(path, programs="unlinked")


def test_one_that_fails_detaches_all(netns: Any, bpf_object: Callable[..., Path]) -> None:
    with pytest.raises(Unsupported) as caught:
        bpfsmith.run(bpf_object("run"), programs=["watch", "unlinked"], iface=netns.device)
    assert "unlinked" in caught.value.message
    assert "--program" in caught.value.hint
    assert (
        "xdp"
        not in subprocess.run(["ip", "link", "show", netns.device], capture_output=True, text=True, check=True).stdout
    )


def test_plan_asks_nothing(bpf_object: Callable[..., Path], unprivileged: Callable[..., Any]) -> None:
    words = ("-m", "bpfsmith", "run", str(bpf_object("run")), "--program", "watch", "--iface", "eth0", "--plan")
    done = unprivileged(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "BPF_PROG_LOAD" in done.stdout
    assert "attach watch (xdp) to `eth0`" in done.stdout
    told = json.loads(unprivileged(*words, "--format", "json").stdout)
    assert told["kind"] == "plan"
    assert [row["targets"] for row in told["attach"]] == [["`eth0`"]]
    assert "BPF_PROG_LOAD" in [row["command"] for row in told["load"]["commands"]]


def test_without_root(bpf_object: Callable[..., Path], unprivileged: Callable[..., Any]) -> None:
    done = unprivileged("-m", "bpfsmith", "run", str(bpf_object("run")), "--program", "watch", "--iface", "lo")
    assert done.returncode == 3
    assert "CAP_BPF" in done.stderr


def test_large_maps_are_shown_without_reading_them(bpf_object: Callable[..., Path]) -> None:
    from bpfsmith.run.shown import show_map

    with bpfsmith.load(bpf_object("run"), select="watch", map_sizes={"LENGTHS": 1 << 16}) as loaded:
        table = loaded.maps["LENGTHS"]
        assert show_map(table, 10).entries == []
        table.update({number: number * 2 for number in range(30)})
        few = show_map(table, 10)
        assert (len(few.entries), few.more) == (10, True)
        whole = show_map(table, 64)
        assert (dict(whole.entries), whole.more) == ({number: number * 2 for number in range(30)}, False)
        assert sorted(whole.entries) == sorted(show_map(table, None).entries)
        assert few.entries == whole.entries[:10]


# ------------------------------------------------------------ a workload

SYSCALLS = Path(__file__).resolve().parents[2] / "examples/toolbox/prebuilt/syscall-latency.bpf.o"


def test_a_run_ends_with_its_workload(capfd: Any) -> None:
    command = "echo from the workload; ls / >/dev/null; exit 3"
    report = bpfsmith.run(SYSCALLS, workload=command, duration=WAIT)
    assert (report.stopped, report.exit_code) == ("workload", 1)
    assert report.to_json()["workload"] == {"command": command, "status": 3}
    assert any(one.runs for one in report.programs)
    assert capfd.readouterr() == ("", "from the workload\n")


def test_a_workload_ends_with_the_run(tmp_path: Path) -> None:
    # What the shell started goes too, and what ended it is no failure of its own.
    report = bpfsmith.run(SYSCALLS, workload=f"sleep 100 & echo $! > {tmp_path}/pid; sleep 100", duration=0.5)
    assert (report.stopped, report.exit_code, report.to_json()["workload"]["status"]) == ("time", 0, None)
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    # The signal is sent by then; on a busy machine it takes effect a moment later.
    assert comes_true(lambda: _ended(stat))


def test_a_workload_that_says_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="`--workload` is empty"):
        bpfsmith.run(SYSCALLS, workload=" ")
