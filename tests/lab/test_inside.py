"""Commands, a shell and runs inside guests, as a user starts them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith import lab
from bpfsmith.lab import store
from bpfsmith.model.errors import InputError, KernelError

ROOT = Path(__file__).resolve().parents[2]
SYSCALLS = ROOT / "examples/toolbox/prebuilt/syscall-latency.bpf.o"
COUNTER = ROOT / "examples/packet-counter/prebuilt/packet-counter.bpf.o"
LIMIT = 120.0

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("lab-inside")]


# ------------------------------------------------------------ lab exec


def test_a_command_with_its_input_output_and_status(
    run_cli: Callable[..., Any], middle: store.Prepared, tmp_path: Path
) -> None:
    (tmp_path / "here.txt").write_text("from here\n")
    script = "pwd; cat here.txt; cat; echo error >&2; cp here.txt made.txt; exit 7"
    ran = run_cli("lab", "exec", "--get", "made.txt:got.txt", middle.name, "--", "sh", "-c", script, stdin="typed\n")
    assert (ran.code, ran.stdout) == (7, f"{tmp_path}\nfrom here\ntyped\n")
    assert ran.stderr.endswith("error\n")
    assert (tmp_path / "got.txt").read_text() == "from here\n"
    assert not (tmp_path / "made.txt").exists(), "the folder itself is never written to"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--", "sh", "-c", "kill -9 $$"], 137, ""),
        (["--timeout", "500ms", "--", "sleep", "60"], 124, "took longer than 0.5 s"),
        (["--", "no-such-command"], 127, "`no-such-command` cannot be started"),
        (["--"], 2, "no command"),
        (["--put", "no-such-file", "--", "true"], 2, "`{cwd}/no-such-file` cannot be read"),
        (["--get", "no-such-file", "--", "true"], 2, "`no-such-file` cannot be fetched"),
    ],
)
def test_how_commands_end(
    run_cli: Callable[..., Any], middle: store.Prepared, tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    ran = run_cli("lab", "exec", middle.name, *words)
    assert (ran.code, ran.stdout) == (code, "")
    assert told.format(cwd=tmp_path) in ran.stderr


def test_several_kernels(run_cli: Callable[..., Any], prepared: list[store.Prepared]) -> None:
    first, last = prepared[0], prepared[-1]
    ran = run_cli("lab", "exec", f"{first.name},{last.name}", "--", "uname", "-r", stdin="")
    width = max(len(first.name), len(last.name))
    assert ran.stdout.splitlines() == [f"{one.name.ljust(width)}  {one.release}" for one in (first, last)]
    ran = run_cli("lab", "exec", "0.1", "--", "true")
    assert (ran.code, "unknown kernel `0.1`" in ran.stderr) == (2, True)


def test_much_goes_through_unharmed(run_cli: Callable[..., Any], middle: store.Prepared, tmp_path: Path) -> None:
    text = "".join(f"{number:09}\n" for number in range(300_000))
    ran = run_cli("lab", "exec", "--no-folder", middle.name, "--", "cat", stdin=text)
    assert ran.code == 0
    assert ran.stdout == text


def test_a_folder_that_is_too_large_stays_here(
    run_cli: Callable[..., Any], middle: store.Prepared, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(65 << 20)
    (tmp_path / "small").write_text("small")
    ran = run_cli("lab", "exec", "--put", "small", middle.name, "--", "ls")
    assert (ran.code, ran.stdout) == (0, "small\n")
    assert "holds more than 64 MB: its files are not in the guest" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_command(middle: store.Prepared, tmp_path: Path, token: str, number: int) -> None:
    script = "trap 'echo caught; exit 9' INT TERM; echo ready; while :; do sleep 0.1; done"
    with started("lab", "exec", middle.name, "--", "sh", "-c", script, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert (process.stdout.read(), process.wait(LIMIT)) == ("caught\n", 9)


def test_killed_it_leaves_nothing(middle: store.Prepared, tmp_path: Path, token: str) -> None:
    with started("lab", "exec", middle.name, "--", "sh", "-c", "echo ready; sleep 600", cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    # `token` waits until everything that was started is gone.


@contextlib.contextmanager
def started(*words: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bpfsmith", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, text=True, cwd=cwd,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# ------------------------------------------------------------ lab shell


class Terminal:
    """`bpfsmith lab shell` on a terminal of ours."""

    def __init__(self, name: str, cwd: Path) -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(cwd)
            os.environ.pop("PROMPT_COMMAND", None)
            os.execv(sys.executable, [sys.executable, "-m", "bpfsmith", "lab", "shell", name])
        self.size(33, 101)
        self.before = termios.tcgetattr(self.fd)
        self.seen = b""

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self.fd, text)

    def until(self, text: bytes) -> None:
        end = time.monotonic() + LIMIT
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 4096)
                except OSError:
                    break
        assert text in self.seen, self.seen
        self.seen = self.seen.partition(text)[2]

    def end(self) -> int:
        """Its exit status, after checking that the terminal is as it was."""
        end = time.monotonic() + LIMIT
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            assert time.monotonic() < end, "it does not end"
            if select.select([self.fd], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.fd, 4096)
        assert termios.tcgetattr(self.fd) == self.before
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_a_shell_with_size_signals_files_and_an_end(middle: store.Prepared, tmp_path: Path, token: str) -> None:
    (tmp_path / "here.txt").write_text("from here\n")
    terminal = Terminal(middle.name, tmp_path)
    terminal.until(b"# ")
    terminal.type(b"stty size\n")
    terminal.until(b"\r\n33 101\r\n")
    terminal.size(44, 120)
    os.kill(terminal.pid, signal.SIGWINCH)
    for _ in range(50):  # it looks a few times a second
        terminal.type(b"stty size; echo end''ed\n")
        terminal.until(b"ended\r\n")
        terminal.type(b"test \"$(stty size)\" = '44 120' && echo re''sized; echo do''ne\n")
        terminal.until(b"done\r\n" if b"resized" not in terminal.seen else b"resized")
        terminal.type(b"test \"$(stty size)\" = '44 120' && echo siz''ed || echo not''yet\n")
        with contextlib.suppress(AssertionError):
            terminal.until(b"ed\r\n")
            break
    terminal.type(b"cat here.txt; bpfsmith --version; uname -r\n")
    terminal.until(b"from here\r\n")
    terminal.until(b"bpfsmith ")
    terminal.until(middle.release.encode())
    terminal.type(b"sleep 600 || echo inter''rupted\n")
    time.sleep(0.5)
    terminal.type(b"\x03")
    time.sleep(0.5)
    terminal.type(b"exit 5\n")
    assert terminal.end() == 5


def test_control_bracket_ends_it_whatever_runs(middle: store.Prepared, tmp_path: Path, token: str) -> None:
    terminal = Terminal(middle.name, tmp_path)
    terminal.until(b"# ")
    terminal.type(b"trap '' INT TERM HUP; while :; do :; done\n")
    terminal.type(b"\x1d")
    terminal.until(b"ended")
    assert terminal.end() == 128 + signal.SIGKILL


def test_a_shell_without_a_terminal_reads_commands(run_cli: Callable[..., Any], middle: store.Prepared) -> None:
    ran = run_cli("lab", "shell", middle.name, stdin="uname -r; exit 4\n")
    assert (ran.code, ran.stdout) == (4, f"{middle.release}\n")


# ------------------------------------------------------------ run --kernel


def test_a_run_in_a_guest_is_the_run_of_this_machine(
    run_cli: Callable[..., Any], prepared: list[store.Prepared], tmp_path: Path
) -> None:
    (tmp_path / "work.sh").write_text("ls / > /dev/null; exit 3\n")
    for one in (prepared[0], prepared[-1]):
        ran = run_cli("run", "--kernel", one.name, SYSCALLS, "--workload", "sh work.sh", "--format", "json")
        rows = [json.loads(line) for line in ran.stdout.splitlines()]
        assert (ran.code, [row["kind"] for row in rows]) == (1, ["start", "summary"])
        assert rows[0]["path"] == str(SYSCALLS)
        assert rows[1]["workload"] == {"command": "sh work.sh", "status": 3}
        assert all(program["runs"] > 10 for program in rows[1]["programs"])


def test_packets_of_the_guests_network(middle: store.Prepared) -> None:
    with lab.kernel(middle.name, image="tools") as k:
        for command in (["ping", "-c1", "10.42.0.2"], ["peer", "ping", "-c1", "10.42.0.1"], ["ping", "-c1", "fd42::2"]):
            assert k.exec(command).ok, command
        assert b"veth1" in k.exec(["peer", "cat", "/proc/net/dev"]).stdout
        assert b"CONFIG_BPF=y" in k.get(f"/boot/config-{middle.release}")


def test_errors_and_options_are_those_of_a_run(run_cli: Callable[..., Any], middle: store.Prepared) -> None:
    ran = run_cli("run", "--kernel", middle.name, "no-such.o")
    assert (ran.code, "no-such.o" in ran.stderr) == (2, True)
    ran = run_cli("run", "--kernel", middle.name, SYSCALLS, "--iface", "none0")
    assert (ran.code, "`none0`" in ran.stderr) == (2, True)
    ran = run_cli("run", "--kernel", middle.name, SYSCALLS, "--plan")
    assert (ran.code, "BPF_PROG_LOAD" in ran.stdout) == (0, True)
    ran = run_cli("run", "--kernel", middle.name, SYSCALLS, "--for", "300ms", "--quiet", "--maps", "none")
    assert (ran.code, "runs" in ran.stdout, ran.stderr.count("error")) == (0, True, 0)


def test_control_c_ends_a_run_in_order(middle: store.Prepared, tmp_path: Path, token: str) -> None:
    with started("run", "--kernel", middle.name, str(SYSCALLS), "--format", "json", cwd=tmp_path) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["kind"] == "start"
        process.send_signal(signal.SIGINT)
        last = json.loads(process.stdout.read().splitlines()[-1])
        assert (last["kind"], last["stopped"], process.wait(LIMIT)) == ("summary", "SIGINT", 0)


def test_runs_from_python(middle: store.Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with lab.kernel(middle.name, image="tools") as k:
        for _ in range(2):  # the Python that waits serves one of them
            report = k.run(SYSCALLS, workload="ls / > /dev/null", maps="none")
            assert (report.stopped, report.exit_code) == ("workload", 0)
            assert all(one.runs for one in report.programs)
        with pytest.raises(InputError, match="`none0`"):
            k.run(SYSCALLS, iface="none0")
        with pytest.raises(InputError, match="`sink` is no option"):
            k.run(SYSCALLS, sink=object())
    with lab.kernel(middle.name) as k:  # without Python: the run gets a guest of its own
        assert k.run(SYSCALLS, duration="200ms").stopped == "time"


def test_a_rejected_program_is_an_error_of_the_kernels(middle: store.Prepared) -> None:
    with lab.kernel(middle.name, image="tools") as k, pytest.raises(KernelError, match="rejects program"):
        k.run(ROOT / "tests/fixtures/count_packets.bpf.o", iface="lo")
