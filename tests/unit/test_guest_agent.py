"""Both ends of the guest's protocol over a socket pair: the agent runs as a process of this machine, not in a guest."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfsmith.lab import image
from bpfsmith.lab.exec import Input
from bpfsmith.lab.guest import Guest
from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, GuestFailed, InputError


class Process:
    """What a guest needs of a machine, made of a process."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            command = [image.agent_path(platform.machine()), "serve", str(theirs.fileno())]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])

    def failure(self, doing: str, limit: float | None = None) -> BpfsmithError:
        self.kill()
        return GuestFailed(f"failed while {doing}", "lost" if limit is None else "hang", self.console(), "test")

    def console(self, lines: int = 40) -> str:
        return "the last words"

    def verdict(self) -> str | None:
        return None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def guest() -> Iterator[Guest]:
    try:
        image.agent_path(platform.machine())
    except EnvironmentMissing as error:
        pytest.skip(str(error))
    with Guest(Process(), "test") as made:
        yield made


def test_it_tells_what_it_is(guest: Guest) -> None:
    assert guest.hello["release"] == os.uname().release
    assert guest.door.uname() == (os.uname().release, os.uname().version, os.uname().machine)
    assert guest.channel.limit > 1 << 20


def test_files(guest: Guest, tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "b")
    data = os.urandom(3_000_000)
    guest.put(path, data, 0o751)
    assert Path(path).read_bytes() == data == guest.get(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o751
    guest.put_many({f"{path}{at}": (0o600, bytes([at])) for at in range(50)})
    assert sorted(guest.door.listdir(f"{tmp_path}/a")) == sorted(os.listdir(tmp_path / "a"))
    assert guest.door.stat(path)[:10] == tuple(os.stat(path))[:10]
    assert guest.door.isdir(f"{tmp_path}/a") and not guest.door.isdir(path)
    guest.door.symlink("b", f"{path}-link")
    assert guest.door.readlink(f"{path}-link") == "b"
    guest.door.write_text(path, "one")
    guest.door.write_text(path, " two", append=True)
    assert guest.door.read_text(path).startswith("one") and guest.door.read_text(path).endswith(" two")
    guest.door.unlink(path)
    assert not guest.door.exists(path)
    with pytest.raises(FileNotFoundError) as caught:
        guest.get(path)
    assert caught.value.filename == path
    with pytest.raises(NotADirectoryError):
        guest.door.listdir(f"{path}0")
    guest.door.makedirs(f"{tmp_path}/c/d")
    guest.door.rmdir(f"{tmp_path}/c/d")
    assert os.listdir(tmp_path / "c") == []


def test_kernel_files_are_read_whole(guest: Guest) -> None:
    assert guest.get("/proc/self/status").startswith(b"Name:")
    assert guest.door.possible_cpus() >= 1
    assert ("lo" in dict(map(reversed, guest.door.interfaces()))) == os.path.exists("/sys/class/net/lo")  # type: ignore[arg-type]


def test_commands(guest: Guest) -> None:
    done = guest.exec(["/bin/sh", "-c", "cat; echo err >&2; exit 3"], stdin=b"in\n" * 100_000)
    assert (done.status, done.signal, done.stdout, done.stderr) == (3, 0, b"in\n" * 100_000, b"err\n")
    assert not done.ok and not done.timed_out
    done = guest.exec(["/bin/sh", "-c", 'echo "$A" $PWD; kill -9 $$'], env={"A": "x y", "PATH": "/bin"}, cwd="/tmp")
    assert (done.stdout, done.status, done.signal) == (b"x y /tmp\n", -1, 9)
    with pytest.raises(InputError, match="`/no/such/command` is not in the guest"):
        guest.exec(["/no/such/command"])
    with pytest.raises(InputError, match="the folder `/no/such/folder` is not in the guest"):
        guest.exec(["/bin/true"], cwd="/no/such/folder")
    for wrong in ("uname -r", [], [1]):
        with pytest.raises(InputError, match="a command is a list of"):
            guest.exec(wrong)  # type: ignore[arg-type]
    pieces: list[bytes] = []
    assert guest.exec(["/bin/sh", "-c", "echo 1; echo 2"], stdout=pieces.append).stdout == b""
    assert b"".join(pieces) == b"1\n2\n"


def test_input_goes_no_faster_than_the_command_reads(guest: Guest) -> None:
    window = int(guest.hello["window"])
    given = bytes(3 * window)
    running = guest.start(["/bin/sh", "-c", "read go; wc -c"], stdin=True)
    left = running.offer(memoryview(given))
    assert len(left) == len(given) - window, "as much as the guest said it takes"
    assert len(running.offer(left, 0.2)) >= len(left) - (256 << 10), "a pipe full more, at most"
    # Endless input of a command that does not read: its output comes, and its time is kept.
    done = guest.exec(["/bin/sh", "-c", "echo said; sleep 1000"], stdin=given, timeout=1.0)
    assert (done.timed_out, done.stdout) == (True, b"said\n")
    assert guest.exec(["/bin/sh", "-c", "exec <&-; sleep 0.1; echo"], stdin=given).ok
    running.signal(9)
    counted = guest.exec(["/bin/sh", "-c", "sleep 0.2; wc -c"], stdin=given)
    assert int(counted.stdout) == len(given)


def test_input_is_passed_on_from_bytes_and_descriptors(guest: Guest) -> None:
    read, write = os.pipe()
    given = os.urandom(100) * 40000

    def give() -> None:
        with open(write, "wb") as file:
            file.write(given)

    threading.Thread(target=give).start()
    for source in (given, read):
        running = guest.start(["/usr/bin/md5sum"], stdin=True)
        passed = Input(running, source)
        said = b""
        while not running.done:
            said += b"".join(data for _, data in running.output(20))
        said += b"".join(data for _, data in running.output(0))
        passed.close()
        assert said.split()[0].decode() == hashlib.md5(given, usedforsecurity=False).hexdigest()
    os.close(read)
    # One that never reads does not hold what passes its input on.
    running = guest.start(["/bin/sh", "-c", "sleep 1000"], stdin=True)
    passed = Input(running, given)
    passed.close()
    assert not passed._thread.is_alive()
    running.signal(9)


def test_a_command_past_its_time_is_killed_with_all_it_started(guest: Guest) -> None:
    start = time.monotonic()
    done = guest.exec(["/bin/sh", "-c", "sleep 1000 & echo $!; sleep 1000"], timeout=0.5)
    assert done.timed_out and done.signal == 9 and time.monotonic() - start < 60
    child = done.stdout.decode().strip()
    for _ in range(200):
        if not os.path.exists(f"/proc/{child}") or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail("its child lives on")


def test_what_a_command_leaves_running_is_not_listened_to(guest: Guest) -> None:
    done = guest.exec(["/bin/sh", "-c", "yes >&2 & echo $!; sleep 0.2"], timeout=60)
    with contextlib.suppress(ProcessLookupError):  # nobody reads what it writes
        os.kill(int(done.stdout), 9)
    assert done.ok and not done.timed_out


def test_a_terminal(guest: Guest) -> None:
    if not os.path.exists("/dev/ptmx"):
        pytest.skip("no terminals here")
    running = guest.start(
        ["/bin/sh", "-c", "stty size; read x; echo got $x"], terminal=(33, 77), env={"PATH": "/bin:/usr/bin"}
    )
    running.feed(b"word\n")
    said = b""
    while not running.done:
        said += b"".join(data for _, data in running.output(20))
    said += b"".join(data for _, data in running.output(0))
    assert b"33 77" in said and b"got word" in said
    assert running.result() == 0


def test_requests_go_on_beside_a_command(guest: Guest) -> None:
    running = guest.start(["/bin/sh", "-c", "read x; exit 5"], stdin=True)
    assert guest.door.exists("/proc/self")
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(100):
                assert guest.door.exists("/proc/self")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    running.feed(b"\n")
    while not running.done:
        running.output(20)
    assert running.result() >> 8 == 5


def test_descriptors_are_closed_without_an_answer(guest: Guest) -> None:
    def there() -> int:
        return len(guest.door.listdir("/proc/self/fd"))

    before = there()
    held = [guest.door.open_fd("/dev/null") for _ in range(10)]
    assert there() == before + 10
    copy = held[0].dup()
    assert copy.fileno() != held[0].fileno() and not copy.closed
    for fd in held:
        fd.close()
        fd.close()
    with pytest.raises(ValueError, match="closed"):
        held[0].fileno()
    assert there() == before + 1
    del copy
    assert there() == before
    with guest.door.open_fd("/dev/null") as fd:
        assert guest.door.inode(fd.fileno()) == os.stat("/dev/null").st_ino
    assert guest.door.open_fd("/no/such/file") == -2


def test_this_machine_is_left_alone(guest: Guest) -> None:
    """Outside of a guest the agent neither sets the clock nor mounts, loads modules or ends the machine."""
    for attempt in (
        guest.refresh,
        lambda: guest.door.mount("/tmp", "tmpfs"),
        lambda: guest.door.umount("/tmp"),
        lambda: guest.door.load_module(b"x"),
        guest.poweroff,
    ):
        with pytest.raises(PermissionError):
            attempt()


def test_a_request_that_is_too_large(guest: Guest) -> None:
    guest.channel.limit = 1000
    with pytest.raises(GuestFailed, match="no memory for") as caught:
        guest.door.write_bytes("/tmp/never", bytes(2000))
    assert caught.value.what == "memory"
    assert guest.door.exists("/proc")


def test_the_end_of_the_channel(guest: Guest) -> None:
    guest.machine.kill()
    with pytest.raises(GuestFailed) as caught:
        guest.door.exists("/proc")
    assert caught.value.what == "lost" and caught.value.console == "the last words"
    with pytest.raises(GuestFailed):
        guest.door.exists("/proc")
    assert guest.closed


def test_a_time_limit(guest: Guest) -> None:
    os.kill(guest.machine.process.pid, 19)  # type: ignore[attr-defined]
    guest.door.patience = 0.3
    with pytest.raises(GuestFailed) as caught:
        guest.get("/proc/version")
    assert caught.value.what == "hang"
    assert guest.closed


@pytest.mark.parametrize("how", ["parent", "input", "limit", "itself"])
def test_the_keeper(how: str) -> None:
    """Whatever ends, what it keeps ends with it."""
    agent = image.agent_path(platform.machine())
    watched, leash = os.pipe()
    words = ["/bin/sh", "-c", "echo $$; exec sleep 1000"]
    limit = ["--limit", "0.5"] if how == "limit" else []
    keep = [agent, "keep", *limit, "--", *words]
    if how == "parent":
        code = f"import subprocess; subprocess.Popen({keep!r}, stdin={watched}, pass_fds=[]); input()"
        starter = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[watched], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    else:
        starter = subprocess.Popen(keep, stdin=watched, stdout=subprocess.PIPE)
    os.close(watched)
    assert starter.stdout
    child = int(starter.stdout.readline())
    try:
        assert os.path.exists(f"/proc/{child}")
        if how in ("itself", "parent"):
            starter.kill()
        elif how == "input":
            os.close(leash)
            leash = -1
        status = starter.wait(60)
        assert how not in ("limit", "input") or status == {"limit": 124, "input": 125}[how]
        for _ in range(400):
            if not os.path.exists(f"/proc/{child}") or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
                return
            time.sleep(0.05)
        pytest.fail("it lives on")
    finally:
        if leash >= 0:
            os.close(leash)
        starter.kill()
        starter.wait()
        starter.stdout.close()
        if starter.stdin:
            starter.stdin.close()


def test_the_keeper_answers_with_the_commands_status() -> None:
    agent = image.agent_path(platform.machine())
    for words, status in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -15 $$"], 143), (["/no/such/file"], 127)):
        with subprocess.Popen([agent, "keep", "--", *words], stdin=subprocess.PIPE) as kept:
            assert kept.wait(60) == status
    assert subprocess.run([agent, "keep", "--", ], capture_output=True, check=False).returncode == 2  # fmt: skip
