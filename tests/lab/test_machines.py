"""Machines: every kernel comes up, clones leave nothing and differ where they must, and nothing survives us."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import guests
from bpfsmith import lab
from bpfsmith.kernel import door, live
from bpfsmith.lab import store
from bpfsmith.lab.guest import Guest

pytestmark = pytest.mark.lab
FULL = os.environ.get("BPFSMITH_FULL") == "1"


def names(guest: Guest) -> tuple[str, str]:
    """Asked inside `kernel.through`: what the guest's kernel says, and what its description says."""
    return door().uname()[0], live().name


def test_every_prepared_kernel_comes_up(prepared: list[store.Prepared], token: str) -> None:
    told = dict(lab.each(prepared, names))
    assert [told[at] for at in range(len(prepared))] == [(one.release, one.name) for one in prepared]


def test_what_a_first_boot_told_is_there_without_a_guest(middle: store.Prepared, token: str) -> None:
    with lab.open(middle) as guest:
        told = guest.kernel
    known = lab.describe(middle)
    assert known.has("ringbuf")
    assert not known.probe("program_type:lirc_mode2") or known.config("CONFIG_BPF_LIRC_MODE2") == "y"
    assert known.about == told.about
    assert known.possible_cpus == 1 and known.page_size == 4096
    assert known.module_id("vmlinux")
    start, end, missing = (known.symbol(name) for name in ("_stext", "_etext", "no_such_symbol"))
    assert start and end and start < end and missing is None
    assert guests.children() == []


def test_a_module_of_the_guests_is_known(prepared: list[store.Prepared], token: str) -> None:
    newest = prepared[-1]
    with lab.kernel(newest) as k:
        loaded = {line.split()[0] for line in k.get("/proc/modules").decode().splitlines()}
        known = {name for name, _ in k.kernel.modules}
        assert known == {name for name in k.door.listdir("/sys/kernel/btf") if name != "vmlinux"}
        if "veth" in loaded:
            btf = dict(k.kernel.modules)["veth"]
            assert btf.find("veth_xmit") or btf.find("veth_poll")
            address = k.kernel.symbol("veth_xmit")
            assert address and f"{address:x} t veth_xmit" in k.get("/proc/kallsyms").decode()


def test_clones_differ_in_randomness_and_know_the_time(middle: store.Prepared, token: str) -> None:
    seen = set()
    for _ in range(2):
        with lab.open(middle) as guest:
            fd = guest.door.open_fd("/dev/urandom")
            assert not isinstance(fd, int)
            seen.add(guest.door.read_fd(fd.fileno(), 32))
            guest.put("/tmp/now", b"")
            # An emulated clock may run fast on a busy host: within a minute is the right day, hour and minute.
            assert abs(guest.door.stat("/tmp/now").st_mtime - time.time()) < 60
    assert len(seen) == 2


@pytest.mark.alone
def test_many_clones_in_a_row_leave_nothing(middle: store.Prepared, token: str) -> None:
    def once() -> None:
        with lab.open(middle) as guest:
            assert guest.door.uname()[0] == middle.release

    for _ in range(3):
        once()  # imports, the template, the description
    before = guests.descriptors(), guests.files(Path(middle.folder)), guests.resident()
    for _ in range(200 if FULL else 15):
        once()
        assert guests.children() == []
    assert guests.descriptors() == before[0]
    assert guests.files(Path(middle.folder)) == before[1]
    assert guests.resident() - before[2] < 16


@pytest.mark.alone
def test_eight_at_once(middle: store.Prepared, token: str) -> None:
    before = guests.descriptors()
    how_many = 8 if FULL else 4
    told = dict(lab.each([middle] * how_many * 2, names, at_once=how_many))
    assert list(told.values()) == [(middle.release, middle.name)] * how_many * 2
    assert guests.children() == []
    assert guests.descriptors() == before


def test_leaving_the_loop_ends_the_others(middle: store.Prepared, token: str) -> None:
    for _, name in lab.each([middle] * 4, lambda guest: guest.name, at_once=2):
        assert name == middle.name
        break
    assert guests.children() == []


def test_an_error_of_a_job_comes_out_and_ends_the_others(middle: store.Prepared, token: str) -> None:
    def job(guest: Guest) -> None:
        raise KeyError(guest.name)

    with pytest.raises(KeyError):
        list(lab.each([middle] * 3, job, at_once=2))
    assert guests.children() == []


def test_a_guest_that_nobody_closes_goes_with_its_object(middle: store.Prepared, token: str) -> None:
    guest = lab.open(middle)
    assert guests.children()
    del guest
    assert guests.children() == []


def test_a_fork_does_not_end_the_guest(middle: store.Prepared, token: str) -> None:
    with lab.open(middle) as guest:
        child = os.fork()
        if child == 0:
            del guest  # collects the machine's object in the child
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert guest.door.uname()[0] == middle.release


# ------------------------------------------------------------ killed

CLONES = """
import sys
from bpfsmith import lab
print("ready", flush=True)
while True:
    with lab.open(sys.argv[1]) as guest:
        guest.door.uname()
"""
FORKS = """
import os, sys, time
from bpfsmith import lab
guest = lab.open(sys.argv[1])
if os.fork() == 0:
    time.sleep(30)  # holds copies of all descriptors; ended by the test
    os._exit(0)
print("ready", flush=True)
time.sleep(30)
"""


def moments(count: int) -> Iterator[float]:
    """Seconds after the first word: fixed by a seed, so that a failure comes again."""
    random_ = random.Random(5)
    return (random_.uniform(0, 0.9) for _ in range(count))


def started(script: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *words], stdout=subprocess.PIPE)


@pytest.mark.parametrize("after", list(moments(20 if FULL else 5)))
def test_nothing_survives_a_kill_at_any_moment(middle: store.Prepared, token: str, after: float) -> None:
    with lab.open(middle):
        pass
    before = guests.files(Path(middle.folder))
    with started(CLONES, middle.name) as process:
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(after)
        process.kill()
    for _ in guests.until("no process of it is left"):
        if not guests.marked(token):
            break
    assert guests.files(Path(middle.folder)) == before


def test_a_fork_of_a_killed_process_keeps_no_machine(middle: store.Prepared, token: str) -> None:
    with started(FORKS, middle.name) as process:
        assert process.stdout is not None and process.stdout.readline()
        process.kill()
        for _ in guests.until("only the fork is left"):
            left = [pid for pid in guests.marked(token) if b"qemu" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            if not left:
                break
        for pid in guests.marked(token):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("after", [0.1, 0.9] if not FULL else [0.1, 0.5, 0.9, 2, 3, 4, 5, 6])
def test_a_template_that_was_never_finished(own_cache: store.Prepared, token: str, after: float) -> None:
    """Killed while the template is made: nothing is kept of it, its lock is free, and nobody is left."""
    with started(CLONES, own_cache.name) as process:
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(after)
        process.kill()
    for _ in guests.until("no process of it is left"):
        if not guests.marked(token):
            break
    templates = Path(own_cache.folder) / "templates"
    left = guests.files(templates) if templates.exists() else {}
    assert not left or any(name.endswith("about.json") for name in left)
    for folder in templates.iterdir() if templates.exists() else ():
        import fcntl

        fd = os.open(folder, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)


def test_two_processes_make_one_template(own_cache: store.Prepared, token: str) -> None:
    script = """
import sys
from bpfsmith import lab
with lab.open(sys.argv[1], report=lambda text: print(text, flush=True)) as guest:
    print(guest.door.uname()[0], flush=True)
"""
    both = [started(script, own_cache.name) for _ in range(2)]
    told = [process.communicate(timeout=300)[0].decode().splitlines() for process in both]
    assert [lines[-1] for lines in told] == [own_cache.release] * 2
    assert sum(line.startswith("booting") for lines in told for line in lines) == 1
