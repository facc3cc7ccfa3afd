"""What goes wrong around a guest and in it: each is told as what it is, costs no hang, and nothing is left of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import guests
from bpfsmith import lab
from bpfsmith.kernel import door
from bpfsmith.lab import qemu, snapshot, start, store
from bpfsmith.lab.guest import Guest
from bpfsmith.lab.snapshot import Template
from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, GuestFailed, InputError

pytestmark = pytest.mark.lab
FULL = os.environ.get("BPFSMITH_FULL") == "1"


def templates(prepared: store.Prepared) -> Path:
    return Path(prepared.folder) / "templates"


def has_answered(prepared: store.Prepared) -> list[str]:
    """Opens it and asks it something; what was reported on the way."""
    told: list[str] = []
    with lab.open(prepared, report=told.append) as guest:
        assert guest.door.uname()[0] == prepared.release
    return told


# ------------------------------------------------------------ snapshots


def kept(prepared: store.Prepared) -> Path:
    """The folder of its template, made when it is missing."""
    has_answered(prepared)
    spec = start.spec_of(prepared)
    return templates(prepared) / f"base-{spec.memory}-{spec.key()}"


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 0x40]))


def data_at(path: Path) -> int:
    """The middle of the first stretch of the file that is no hole."""
    with path.open("rb") as file:
        start_ = os.lseek(file.fileno(), 0, os.SEEK_DATA)
        return start_ + 2048


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads((folder / "about.json").read_bytes())
    change(told)
    (folder / "about.json").write_text(json.dumps(told))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "state cut off": lambda folder: os.truncate(folder / "state", 1000),
    "state empty": lambda folder: os.truncate(folder / "state", 0),
    "state gone": lambda folder: (folder / "state").unlink(),
    "a byte of the state": lambda folder: flip(folder / "state", 5000),
    "memory cut off": lambda folder: os.truncate(folder / "ram", 4096),
    "memory gone": lambda folder: (folder / "ram").unlink(),
    "a byte of the memory": lambda folder: flip(folder / "ram", data_at(folder / "ram")),
    "another key": lambda folder: changed(folder, lambda told: told.update(key="0" * 24)),
    "another format": lambda folder: changed(folder, lambda told: told.update(format=0)),
    "no files": lambda folder: changed(folder, lambda told: told.pop("files")),
    "files of another kind": lambda folder: changed(folder, lambda told: told.update(files=[1])),
    "no JSON": lambda folder: (folder / "about.json").write_bytes(b"\xff{"),
    "half a JSON": lambda folder: os.truncate(folder / "about.json", 200),
    "a list": lambda folder: (folder / "about.json").write_text("[]"),
    "nothing": lambda folder: (folder / "about.json").unlink(),
}


@pytest.mark.alone
def test_a_damaged_snapshot_is_never_used(copied_cache: store.Prepared, token: str, tmp_path: Path) -> None:
    own_cache = copied_cache
    folder = kept(own_cache)
    whole = tmp_path / "whole"
    subprocess.run(["cp", "-a", "--sparse=always", str(folder), str(whole)], check=True)
    spec = start.spec_of(own_cache)
    for what, damage in DAMAGES.items():
        shutil.rmtree(folder)
        subprocess.run(["cp", "-a", "--sparse=always", str(whole), str(folder)], check=True)
        # A copy is another file: it is read once, found whole, and trusted from then on.
        for _ in range(2):
            with Template.find(spec, str(templates(own_cache))) or pytest.fail("a copy was not taken"):
                pass
        damage(folder)
        before = guests.descriptors()
        assert Template.find(spec, str(templates(own_cache))) is None, what
        assert guests.descriptors() == before, what
    # The last one is damaged still: it is made anew, and serves.
    assert has_answered(own_cache) == [f"booting kernel {own_cache.name} once"]
    assert has_answered(own_cache) == []


def test_a_snapshot_that_qemu_refuses_is_made_anew(copied_cache: store.Prepared, token: str) -> None:
    """Damaged before it was written down: all sums are right."""
    own_cache = copied_cache
    folder = kept(own_cache)
    flip(folder / "state", 40)
    with (folder / "state").open("rb") as file:
        row = {"size": os.path.getsize(folder / "state"), "crc": snapshot._checksum(file.fileno()), "stamp": []}
    changed(folder, lambda told: told["files"].update(state=row))
    told = has_answered(own_cache)
    assert told[0].startswith(f"a copy of kernel {own_cache.name} did not start")
    assert told[1] == f"booting kernel {own_cache.name} once"
    assert has_answered(own_cache) == []


@pytest.mark.full
def test_a_template_of_another_agent_goes(own_cache: store.Prepared, token: str) -> None:
    folder = kept(own_cache)
    old = folder.with_name(folder.name[:-24] + "0" * 24)
    folder.rename(old)
    changed(old, lambda told: told.update(made_by="an older one"))
    os.utime(old / "about.json", (1, 1))  # and nobody uses it any more
    other = old.with_name("tools-512-" + "1" * 24)
    other.mkdir()
    has_answered(own_cache)
    assert not old.exists() and folder.exists() and other.exists()


# ------------------------------------------------------------ disk and memory


def test_a_full_disk_costs_the_template_and_not_the_guest(
    own_cache: store.Prepared, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: int, path: str) -> tuple[int, int]:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(snapshot, "_copied", full)
    monkeypatch.setattr(start._Process, "held", {})
    unkept = f"the copy of kernel {own_cache.name} is not kept: no space left on device"
    assert has_answered(own_cache) == [f"booting kernel {own_cache.name} once", unkept]
    assert has_answered(own_cache) == []  # this process holds it in memory
    assert guests.files(templates(own_cache)) == {}


@pytest.mark.root
def test_a_small_file_system(own_cache: store.Prepared, token: str, tmp_path: Path) -> None:
    """The cache on a real file system of 16 MiB, in a mount namespace of its own."""
    small = tmp_path / "small"
    small.mkdir()
    script = f"""
set -e
mount -t tmpfs -o size=16m none {small}
cp -a {tmp_path}/cache/lab {small}
export BPFSMITH_CACHE={small}
exec {sys.executable} -c '
from bpfsmith import lab
for _ in range(2):
    with lab.open("{own_cache.name}", report=print) as guest:
        print(guest.door.uname()[0])
'
"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("kernel: no mount namespaces here")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"booting kernel {own_cache.name} once",
        f"the copy of kernel {own_cache.name} is not kept: no space left on device",
        *[own_cache.release] * 2,
    ]


@pytest.mark.full
def test_a_cache_that_may_not_be_written(
    own_cache: store.Prepared, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, *rest: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    has_answered(own_cache)
    shutil.rmtree(templates(own_cache))
    monkeypatch.setattr(start._Process, "held", {})
    monkeypatch.setattr(os, "makedirs", refused)
    monkeypatch.setattr(store, "folder", lambda *names: os.path.join(os.environ["BPFSMITH_CACHE"], "lab", *names))
    assert has_answered(own_cache) == [f"booting kernel {own_cache.name} once"]


def test_more_memory_than_there_is(middle: store.Prepared, token: str) -> None:
    with pytest.raises(EnvironmentMissing, match=r"no memory for a guest of 1048576 MiB: this machine has") as error:
        lab.open(middle, memory=1 << 20)
    assert error.value.exit_code == 3
    assert guests.children() == []
    with pytest.raises(InputError, match="a guest of 1 MiB"):
        lab.open(middle, memory=1)


def test_a_limit_on_memory(middle: store.Prepared, token: str) -> None:
    """`ulimit -v`: QEMU cannot have the guest's memory."""
    script = """
import resource, sys
from bpfsmith import lab
from bpfsmith.model.errors import BpfsmithError
lab.open(sys.argv[1]).close()
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
try:
    lab.open(sys.argv[1], timeout=60)
except BpfsmithError as error:
    print(error.exit_code, error)
"""
    done = subprocess.run([sys.executable, "-c", script, middle.name], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith(f"3 {middle.name}: no memory for a guest of"), done.stdout


# ------------------------------------------------------------ QEMU


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


GOOD = 'case "$1" in --version) echo "QEMU emulator version 9.1.0"; exit 0;; esac\n'
REAL = "exec qemu-system-x86_64"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('echo "QEMU emulator version 4.2.1 (Debian 1:4.2)"', r"QEMU 4\.2\.1 is too old: the lab needs 5\.2 or newer"),
        ("echo hello", "is no QEMU: `--version` says `hello`"),
        ("exit 1", "is no QEMU: `--version` says `nothing`"),
    ],
)
def test_a_qemu_that_is_none(
    own_cache: store.Prepared, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("BPFSMITH_QEMU", program(tmp_path / "qemu", text))
    for _ in range(2):  # what is wrong is not kept
        with pytest.raises(EnvironmentMissing, match=message) as error:
            lab.open(own_cache)
        assert "install" in error.value.command or "add" in error.value.command


def test_no_qemu(own_cache: store.Prepared, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMissing, match="no `qemu-system-") as error:
        lab.open(own_cache)
    assert error.value.exit_code == 3 and error.value.command
    monkeypatch.setenv("BPFSMITH_QEMU", str(tmp_path / "none"))
    with pytest.raises(EnvironmentMissing, match="BPFSMITH_QEMU names no program"):
        lab.open(own_cache)
    assert lab.describe(own_cache).has("ringbuf")  # planning needs none


def test_a_qemu_that_does_not_start(
    own_cache: store.Prepared, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPFSMITH_QEMU", program(tmp_path / "qemu", GOOD + "echo 'qemu: no such machine' >&2; exit 1"))
    with pytest.raises(GuestFailed, match="no such machine") as error:
        lab.open(own_cache)
    assert error.value.what == "boot" and error.value.exit_code == 1


def test_a_qemu_that_says_nothing(
    own_cache: store.Prepared, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPFSMITH_QEMU", program(tmp_path / "qemu", GOOD + "exec sleep 1000"))
    with pytest.raises(GuestFailed, match=r"did not answer for 0\.5 s while starting") as error:
        lab.open(own_cache, timeout=0.5)
    assert error.value.what == "boot"
    assert guests.children() == []


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="a program of that name")
def test_a_qemu_without_a_monitor_worth_the_name(
    own_cache: store.Prepared, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It boots and cannot save: every guest is booted then."""

    def refused(machine: object, state: int) -> bool:
        raise snapshot.Untrusted("QEMU could not save the machine")

    monkeypatch.setattr(snapshot, "_save", refused)
    told = has_answered(own_cache)
    assert told == [f"booting kernel {own_cache.name} once", f"booting kernel {own_cache.name}"]


def test_an_older_qemu_keeps_memory_in_the_state(
    own_cache: store.Prepared, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `x-ignore-shared` the state holds the memory too."""
    monkeypatch.setattr(snapshot, "SHARED", b'{"execute":"no-such-command"}\n')
    assert has_answered(own_cache) == [f"booting kernel {own_cache.name} once"]
    folder = kept(own_cache)
    assert sorted(guests.files(folder)) == ["about.json", "modules", "state", "symbols"]
    assert has_answered(own_cache) == []


@pytest.mark.skipif(not os.access("/dev/kvm", os.W_OK), reason="no KVM here")
def test_kvm_that_runs_no_kernel(own_cache: store.Prepared, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the probe said yes and a kernel does not come up, it is emulated, and KVM not tried again."""
    monkeypatch.setattr(qemu, "_runs", lambda found: True)
    monkeypatch.setattr(start, "KVM_BOOT", 0.01)
    assert has_answered(own_cache)[-1] == f"booting kernel {own_cache.name} once"
    assert start.spec_of(own_cache).accel == "tcg"


# ------------------------------------------------------------ the guest


def qemu_of(guest: Guest) -> int:
    """The process under the guest's keeper."""
    (pid,) = guests.children(guest.machine.pid)  # type: ignore[attr-defined]
    return pid


def crash(guest: Guest) -> None:
    """The kernel's own way to make a NULL pointer access (or a panic) happen."""
    door().write_text("/proc/sysrq-trigger", "c")


def test_a_crash_is_told_with_the_console(prepared: list[store.Prepared], token: str) -> None:
    told = dict(lab.each(prepared if FULL else prepared[:1] + prepared[-1:], crash))
    for error in told.values():
        assert isinstance(error, GuestFailed) and error.what == "crash" and error.exit_code == 1
        assert "crashed while" in str(error)
        assert "sysrq triggered crash" in error.console or "NULL pointer" in error.console
    assert guests.children() == []


def test_a_guest_that_hangs_is_ended(middle: store.Prepared, token: str) -> None:
    with lab.open(middle) as guest:
        os.kill(qemu_of(guest), signal.SIGSTOP)
        with pytest.raises(GuestFailed, match=r"did not answer for 0\.5 s") as error:
            guest.channel.ask(1, b"", "waiting for nothing", 0.5)
        assert error.value.what == "hang"
        assert guests.children() == []
        with pytest.raises(GuestFailed):
            guest.door.uname()
            guest.door.listdir("/")


def test_a_machine_that_is_killed_is_lost(middle: store.Prepared, token: str) -> None:
    with lab.open(middle) as guest:
        os.kill(qemu_of(guest), signal.SIGKILL)
        with pytest.raises(GuestFailed) as error:
            guest.door.listdir("/")
        assert error.value.what == "lost"
    assert guests.children() == []


def test_a_guest_without_memory_gets_more_once(own_cache: store.Prepared, token: str) -> None:
    sizes = []

    def job(guest: Guest) -> int:
        sizes.append(int(guest.get("/proc/meminfo").split()[1]) >> 10)
        data = bytes(1 << 20)
        for folder in ("/fill", "/tmp/fill", "/run/fill", "/mnt/fill"):  # each may have half of the memory
            guest.put_many({f"{folder}/{number}": (0o644, data) for number in range(60)})
        return len(guest.door.listdir("/fill"))

    told: list[str] = []
    ((_, value),) = lab.each([own_cache], job, memory=192, report=told.append)
    assert value == 60
    assert len(sizes) == 2 and sizes[0] < 192 < sizes[1] <= 768
    assert f"kernel {own_cache.name} ran out of 192 MiB: once more with 768 MiB" in told


def test_memory_that_this_machine_has_not_is_not_tried(
    middle: store.Prepared, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job(guest: Guest) -> None:
        raise GuestFailed("the guest ran out of memory", "memory")

    monkeypatch.setattr(start, "available", lambda: 500)
    ((_, error),) = lab.each([middle], job)
    assert isinstance(error, EnvironmentMissing) and "1024 MiB" in str(error)


def test_every_error_is_one_line(middle: store.Prepared, token: str) -> None:
    with lab.open(middle) as guest:
        guest.machine.kill()
        with pytest.raises(BpfsmithError) as error:
            guest.door.listdir("/")
    assert "\n" not in str(error.value)
