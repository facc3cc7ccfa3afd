"""The lab's machines where no kernel has to boot: QEMU's versions and command line, consoles, keepers, symbols."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

import guests
from bpfsmith import lab
from bpfsmith.lab import console, learn, machine, pool, qemu, snapshot, start
from bpfsmith.lab.described import LabKernel, _unpacked
from bpfsmith.model.errors import EnvironmentMissing, GuestFailed, InputError
from bpfsmith.model.kernel import Kernel

ROOT = Path(lab.__file__).parent

# ------------------------------------------------------------ consoles

OOPS = """\
[    4.123456] BUG: kernel NULL pointer dereference, address: 0000000000000010
[    4.123460] #PF: supervisor read access in kernel mode
[    4.123470] Oops: 0000 [#1] PREEMPT SMP NOPTI
[    4.123480] RIP: 0010:bpf_prog_run+0x10/0x20
[    4.123490] Kernel panic - not syncing: Fatal exception
"""
MEMORY = """\
[    9.1] worker invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=1000
[    9.2] Out of memory: Killed process 71 (worker) total-vm:300000kB, anon-rss:200000kB
[    9.3] Kernel panic - not syncing: System is deadlocked on memory
"""


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        (OOPS, "crash", "BUG: kernel NULL pointer dereference, address: 0000000000000010"),
        (MEMORY, "memory", "Out of memory: Killed process 71 (worker) total-vm:300000kB, anon-rss:200000kB"),
        ("[ 1.0] sysrq: Trigger a crash\n[ 1.1] Kernel panic - not syncing: sysrq triggered crash\n", "crash",
         "Kernel panic - not syncing: sysrq triggered crash"),
        ("[ 1.0] kernel BUG at kernel/bpf/verifier.c:1234!", "crash", "kernel BUG at kernel/bpf/verifier.c:1234!"),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [x:1]\n", "lockup",
         "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [x:1]"),
        ("[   25.0] rcu: INFO: rcu_preempt self-detected stall on CPU\n", "lockup",
         "rcu: INFO: rcu_preempt self-detected stall on CPU"),
        ("[ 2.0] Unable to handle kernel NULL pointer dereference at virtual address 0\n", "crash",
         "Unable to handle kernel NULL pointer dereference at virtual address 0"),
        ("[ 2.0] Oops: general protection fault, probably for non-canonical address 0xdead\n", "crash",
         "Oops: general protection fault, probably for non-canonical address 0xdead"),
    ],
)  # fmt: skip
def test_what_a_console_says(text: str, what: str, line: str) -> None:
    assert console.recognised("[    0.0] Linux version 6.12\n" + text) == (what, line)


@pytest.mark.parametrize(
    "text",
    ["", "[    0.0] Linux version 6.12\n", "[ 1.0] systemd[1]: Started debugging.\n", "no oops here: all is well\n",
     "[ 1.0] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2\n"],
)  # fmt: skip
def test_what_is_no_trouble(text: str) -> None:
    assert console.recognised(text) is None


def test_an_excerpt_begins_before_what_is_recognised() -> None:
    many = "".join(f"[    1.{number:06}] line {number}\n" for number in range(300))
    text = many + OOPS + many
    told = console.excerpt(text, console.recognised(text)[1])  # type: ignore[index]
    lines = told.split("\n")
    assert lines[0].endswith("line 290") and lines[10].endswith("0000000000000010") and lines[-1].endswith("line 299")
    assert "..." in lines and len(lines) < 100
    assert console.excerpt(OOPS, "nothing of it").endswith("Fatal exception")


def test_a_console_keeps_its_end() -> None:
    told = console.Console()
    os.write(told.fd, b"first\r\n\r\n" + b"x" * console.KEPT + b"\r\nlast\r\n")
    assert told.tail(1) == "last"
    assert told.text().startswith("first\n")
    fd = told.fd
    told.keep()
    assert told.tail(1) == "last" and len(told.text()) == console.KEPT
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    told.keep()


# ------------------------------------------------------------ QEMU


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c)", (7, 2, 22)),
        ("QEMU emulator version 10.1.0\n", (10, 1, 0)),
        ("QEMU emulator version 9.2.0-rc1 (v9.2.0)", (9, 2, 0)),
        ("QEMU emulator version 6.2.0(qemu-kvm-6.2.0-53.module+el8)", (6, 2, 0)),
        ("QEMU emulator version 5.2", (5, 2, 0)),
        ("QEMU", None),
        ("hello version 9.9.9", None),
        ("QEMU emulator version unknown", None),
        ("", None),
    ],
)
def test_versions(told: str, version: tuple[int, int, int] | None) -> None:
    assert qemu._version(told) == version


def a_qemu(arch: str = "x86_64") -> qemu.Qemu:
    return qemu.Qemu(qemu.ARCHES[arch], "/usr/bin/qemu", "QEMU emulator version 9.0.0", (9, 0, 0), "/usr/bin/qemu 1 2")


@pytest.mark.parametrize("arch", list(qemu.ARCHES))
def test_command_lines(arch: str) -> None:
    spec = machine.Spec("6.12", a_qemu(arch), "tcg", "/k/vmlinux", lambda: b"", "image")
    plain, template, clone = spec.line(), spec.line(shared=True), spec.line(incoming=True)
    assert "-incoming" in clone and "-incoming" not in template
    assert "-kernel" in plain and "-kernel" in template and "-kernel" not in clone
    assert not any("qmp" in word for word in plain)
    # But for that, how memory is mapped and the kernel, a clone is the same machine.
    shared = [word.replace("share=on", "share=off") for word in template[: template.index("-kernel")]]
    assert shared == clone[: clone.index("-incoming")]
    # A command line names no file but QEMU and the kernel: all else is inherited.
    paths = [word for word in template if word.startswith("/")]
    assert paths == ["/usr/bin/qemu", "/k/vmlinux", f"/proc/self/fd/{qemu.INITRD}"]


def test_a_key_changes_with_all_it_depends_on(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"one")

    def key(**changes: object) -> str:
        told = {"accel": "tcg", "image": "image", "memory": 256, "append": "", "cpus": 1, **changes}
        spec = machine.Spec(
            "6.12", told.get("qemu", a_qemu()), told["accel"], str(kernel), lambda: b"", told["image"],
            memory=told["memory"], append=told["append"], cpus=told["cpus"],
        )  # type: ignore[arg-type]  # fmt: skip
        return spec.key()

    newer = qemu.Qemu(
        qemu.ARCHES["x86_64"], "/usr/bin/qemu", "QEMU emulator version 9.0.0", (9, 0, 0), "/usr/bin/qemu 1 3"
    )
    keys = {
        key(),
        key(accel="kvm"),
        key(image="other"),
        key(memory=512),
        key(append="nokaslr"),
        key(cpus=2),
        key(qemu=newer),
    }
    assert len(keys) == 7
    assert key() == key()
    before = key()
    kernel.write_bytes(b"two, longer")
    assert key() != before
    # Where the kernel lies does not matter: a cache that is moved keeps its templates.
    moved = kernel.rename(tmp_path / "elsewhere")
    assert (
        machine.Spec("x", a_qemu(), "tcg", str(moved), lambda: b"", "image").key()
        == machine.Spec("y", a_qemu(), "tcg", str(moved), lambda: b"", "image").key()
    )


def test_unknown_architectures() -> None:
    with pytest.raises(InputError, match="no machine for the architecture `mips`"):
        qemu.find("mips")


def test_what_was_learnt_is_kept_by_what_it_is_about(tmp_path: Path) -> None:
    folder = str(tmp_path / "new")
    assert qemu._recall(folder, "version", "a") is None
    qemu._remember(folder, "version", "a", "one\ntwo")
    assert qemu._recall(folder, "version", "a") == "one\ntwo"
    assert qemu._recall(folder, "version", "b") is None
    assert qemu._recall("", "version", "a") is None
    (tmp_path / "new/qemu-version").write_bytes(b"\xff\xfe")
    assert qemu._recall(folder, "version", "a") is None
    (tmp_path / "file").write_text("")
    qemu._remember(str(tmp_path / "file/below"), "version", "a", "one")  # cannot be kept, and that is all
    assert os.listdir(folder) == ["qemu-version"]


def test_kvm_is_believed_once_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.delenv("BPFSMITH_ACCEL", raising=False)
    monkeypatch.setattr(qemu, "_runs", lambda found: bool(asked.append(found)) or True)
    monkeypatch.setattr(qemu, "host_arch", lambda: "x86_64")
    monkeypatch.setattr(qemu.os, "access", lambda *args: True)
    found = a_qemu()
    folder = str(tmp_path)
    assert [found.accel(folder), found.accel(folder), len(asked)] == ["kvm", "kvm", 1]
    found.doubt_kvm(folder)
    assert [found.accel(folder), len(asked)] == ["tcg", 1]
    monkeypatch.setenv("BPFSMITH_ACCEL", "kvm")
    with pytest.raises(EnvironmentMissing, match=r"KVM does not run guests here .*insists") as missing:
        found.accel(folder)
    assert missing.value.exit_code == 3
    assert found.accel(str(tmp_path / "another")) == "kvm"
    monkeypatch.setenv("BPFSMITH_ACCEL", "tcg")
    assert found.accel(str(tmp_path / "another")) == "tcg"
    monkeypatch.setenv("BPFSMITH_ACCEL", "nonsense")
    with pytest.raises(InputError, match="BPFSMITH_ACCEL is `nonsense`") as wrong:
        found.accel(folder)
    assert "`kvm`" in wrong.value.hint and "`tcg`" in wrong.value.hint
    monkeypatch.delenv("BPFSMITH_ACCEL")
    monkeypatch.setattr(qemu, "host_arch", lambda: "aarch64")
    assert a_qemu().accel(str(tmp_path / "other")) == "tcg"


@pytest.mark.parametrize("manager", ["apt-get", "dnf", "zypper", "pacman", "apk"])
def test_how_to_install_it(manager: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "_which", lambda name: "/bin/x" if name == manager else "")
    for row in qemu.ARCHES.values():
        assert qemu.install(row).startswith(manager)


# ------------------------------------------------------------ keepers


def keepers() -> list[list[str]]:
    python = [sys.executable, "-SE", str(ROOT / "_keep.py"), "--"]
    return [python, *([one] if (one := machine.keeper()) != python else [])]


@pytest.mark.parametrize("keeper", keepers(), ids=lambda command: os.path.basename(command[0]))
@pytest.mark.parametrize("how", ["shutdown", "close", "kill"])
def test_a_keeper_ends_what_it_keeps(keeper: list[str], how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guests.TOKEN, f"keeper-{os.getpid()}-{how}")
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    with theirs, subprocess.Popen([*keeper, "/bin/sleep", "60"], stdin=theirs, stdout=writing) as process:
        os.close(writing)
        theirs.close()
        for _ in guests.until("it runs"):
            if len(guests.marked(os.environ[guests.TOKEN])) == 2:
                break
        copy = ours.dup()  # as a fork of ours would hold one
        if how == "shutdown":
            ours.shutdown(socket.SHUT_RDWR)
        elif how == "close":
            copy.close()
            ours.close()
        else:
            process.kill()
        assert process.wait(30) != 0
        assert os.read(reading, 1) == b""  # nobody holds the other end
        copy.close()
        ours.close()
        os.close(reading)
    for _ in guests.until("nothing is left"):
        if not guests.marked(os.environ[guests.TOKEN]):
            break


@pytest.mark.parametrize("keeper", keepers(), ids=lambda command: os.path.basename(command[0]))
@pytest.mark.parametrize(
    ("command", "status"), [("exit 7", 7), ("kill -9 $$", 128 + signal.SIGKILL), ("cat; exit 3", 3)]
)
def test_a_keeper_ends_with_what_it_keeps(keeper: list[str], command: str, status: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run([*keeper, "/bin/sh", "-c", command], stdin=theirs, check=False, timeout=60)
    assert done.returncode == status


def test_a_program_that_is_not_there() -> None:
    spec = machine.Spec("6.12", a_qemu(), "tcg", "/k/vmlinux", lambda: b"x", "image")
    spec.qemu.path = "/no/such/qemu"
    before = guests.descriptors()
    with machine.Machine.boot(spec) as made:
        assert made.channel.recv(1) == b""
        assert not made.alive or machine._wait(made.pid, 10)
    assert guests.descriptors() == before


# ------------------------------------------------------------ what a first boot told

SYMBOLS = b"""\
ffffffff81000000 T _text
ffffffff81000010 t a_text
ffffffff81000020 T text
ffffffff81000030 t text
ffffffffc0001000 t veth_xmit\t[veth]
"""


class _Files:
    name, release, version, arch, has_btf, has_config = "made", "6.1.9-x", "6.1.9", "x86_64", False, False
    config: dict[str, str] = {}  # noqa: RUF012


def described(about: dict[str, object], **kept: bytes) -> LabKernel:
    return LabKernel(_Files(), about, kept.get)  # type: ignore[arg-type]


def test_symbols_are_found_by_whole_names() -> None:
    kernel = described({}, symbols=zlib.compress(SYMBOLS))
    assert kernel.symbols(["_text", "text", "veth_xmit", "xmit", "t", "veth"]) == {
        "_text": 0xFFFFFFFF81000000, "text": 0xFFFFFFFF81000020, "veth_xmit": 0xFFFFFFFFC0001000,
        "xmit": None, "t": None, "veth": None,
    }  # fmt: skip
    assert described({}).symbol("_text") is None


def test_what_is_known_of_features() -> None:
    kernel = described({"features": {"a": "yes", "b": "no", "c": "denied"}, "cpus": 3, "btf_ids": {"veth": 7}})
    assert isinstance(kernel, Kernel) and kernel.settled
    assert [kernel.has(word) for word in "abcd"] == [True, False, True, True]
    assert [kernel.probe(word) for word in "abcd"] == [True, False, False, True]
    assert [kernel.lacks(word) for word in "abcd"] == [False, True, False, False]
    assert (kernel.possible_cpus, kernel.page_size, kernel.module_id("veth"), kernel.module_id("x")) == (
        3,
        4096,
        7,
        None,
    )
    assert (kernel.series, kernel.version_code, kernel.modules) == ("6.1", 0x60109, ())
    kernel.settle()


def test_packing() -> None:
    rows = [("veth", b"\0" * 10), ("ünï", b""), ("x", bytes(range(256)))]
    assert _unpacked(learn.packed(rows)) == rows
    assert _unpacked(None) == []


# ------------------------------------------------------------ templates' files


def test_sums_see_every_byte_and_no_hole(tmp_path: Path) -> None:
    source = os.memfd_create("source")
    os.ftruncate(source, 3 << 20)
    os.pwrite(source, b"\1" * 10000, 1 << 20)
    copy, crc = snapshot._copied(source, str(tmp_path / "copy"))
    assert crc == snapshot._checksum(copy) == snapshot._checksum(source)
    assert os.fstat(copy).st_size == 3 << 20
    assert os.fstat(copy).st_blocks < 200
    whole = tmp_path / "whole"
    whole.write_bytes((tmp_path / "copy").read_bytes())  # the same without holes
    with whole.open("r+b") as file:
        assert snapshot._checksum(file.fileno()) == crc
        os.pwrite(file.fileno(), b"\2", (1 << 20) + 5000)
        assert snapshot._checksum(file.fileno()) != crc
        os.pwrite(file.fileno(), b"\1", (1 << 20) + 5000)
        assert snapshot._checksum(file.fileno()) == crc
        os.pwrite(file.fileno(), b"\1", 0)
        assert snapshot._checksum(file.fileno()) != crc
    os.close(copy)
    os.close(source)
    with pytest.raises(OSError, match="File exists"):
        snapshot._copied(os.memfd_create("again"), str(tmp_path / "copy"))


def test_a_lock_that_is_not_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "PATIENCE", 0.05)
    held = snapshot._locked(str(tmp_path / "one"))
    assert held >= 0
    assert snapshot._locked(str(tmp_path / "one")) == -1
    os.close(held)
    again = snapshot._locked(str(tmp_path / "one"))
    assert again >= 0
    os.close(again)
    (tmp_path / "file").write_text("")
    assert snapshot._locked(str(tmp_path / "file/below")) == -1


def a_spec(kernel: Path, qemu_stamp: str = "1 2", memory: int = 256) -> machine.Spec:
    kernel.write_bytes(b"kernel")
    os.utime(kernel, (1, 1))
    found = qemu.Qemu(qemu.ARCHES["x86_64"], "/usr/bin/qemu", "QEMU 9", (9, 0, 0), f"/usr/bin/qemu {qemu_stamp}")
    return machine.Spec("6.12", found, "tcg", str(kernel), lambda: b"", "image", memory=memory)


def a_template(base: Path, spec: machine.Spec, age: float = 0.0) -> Path:
    """One on disk as if it had been made so many seconds ago."""
    folder = Path(snapshot._folder(spec, str(base)))
    folder.mkdir(parents=True)
    state, ram = os.memfd_create("state"), os.memfd_create("ram")
    os.write(state, b"state")
    with snapshot.Template(spec, "", state, ram, {"learnt": 1}, {}) as template:
        template._keep(str(folder))
    used = time.time() - age
    os.utime(folder / "about.json", (used, used))
    return folder


def test_installations_that_take_turns_keep_their_templates(tmp_path: Path) -> None:
    base, kernel = tmp_path / "templates", tmp_path / "vmlinux"
    own = a_template(base, a_spec(kernel))
    turn = [a_template(base, a_spec(kernel, f"other {number}"), age=60 * number) for number in range(4)]
    larger = a_template(base, a_spec(kernel, memory=1024), age=60)
    left = a_template(base, a_spec(kernel, memory=2048), age=2 * 86400)
    stale = a_template(base, a_spec(kernel, "stale"), age=2 * 86400)
    half = base / ("base-256-" + "1" * 24)
    half.mkdir()
    tools = base / ("tools-512-" + "1" * 24)
    tools.mkdir()
    # Found is used: the one that was used longest ago is now the one used last.
    found = snapshot.Template.find(a_spec(kernel, "other 3"), str(base))
    assert found is not None
    found.close()
    snapshot._forget_others(str(own), a_spec(kernel))
    assert {path.name for path in base.iterdir()} == {path.name for path in (own, larger, tools, turn[3], turn[0])}
    assert not left.exists() and not stale.exists() and not half.exists()


def test_a_template_is_trusted_anew_only_by_who_holds_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, base = a_spec(tmp_path / "vmlinux"), str(tmp_path)
    folder = a_template(tmp_path, spec)
    about = (folder / "about.json").read_bytes()
    monkeypatch.setattr(snapshot, "boot_id", lambda: "after a restart")
    held = snapshot._locked(str(folder))
    for _ in range(2):  # looked at again each time, and good
        found = snapshot.Template.find(spec, base)
        assert found is not None
        found.close()
    assert (folder / "about.json").read_bytes() == about
    os.close(held)
    found = snapshot.Template.find(spec, base)
    assert found is not None
    found.close()
    assert b"after a restart" in (folder / "about.json").read_bytes()
    # Another one's, which was made meanwhile, stays.
    snapshot._rewrite(str(folder), about, b"stale")
    assert b"after a restart" in (folder / "about.json").read_bytes()


def test_a_template_for_one_retry_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = []
    monkeypatch.setattr(snapshot.Template, "_made", classmethod(lambda cls, spec, folder, warm: places.append(folder)))
    for keep in (True, False):
        snapshot.Template.make(a_spec(tmp_path / "vmlinux"), str(tmp_path / "base"), lambda _: ({}, {}), keep=keep)
    assert [bool(place) for place in places] == [True, False]


# ------------------------------------------------------------ Ctrl-C


def test_machines_that_boot_are_ended_too() -> None:
    class Booting:
        pid, alive = 1, True

        def kill(self) -> None:
            self.alive = False

    begun, machines = pool.Begun(), [Booting(), Booting(), Booting()]
    begun.add(machines[0])  # type: ignore[arg-type]
    begun.add(machines[1])  # type: ignore[arg-type]
    begun.end()
    with pytest.raises(start.Abandoned):
        begun.add(machines[2])  # type: ignore[arg-type]
    assert [one.alive for one in machines] == [False] * 3


def test_leaving_a_loop_over_kernels_ends_those_that_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    up, killed = Event(), Event()

    class Booting:
        pid, alive = 1, True

        def kill(self) -> None:
            killed.set()

    def within(kernel: str, job: object, *, began: Callable[[object], object], **_: object) -> str:
        if kernel == "quick":
            assert up.wait(60)
            return "done"
        began(Booting())
        up.set()
        assert killed.wait(60)
        raise GuestFailed("killed", "lost", "", kernel)

    monkeypatch.setattr(start, "within", within)
    for _, value in pool.each(["quick", "slow"], lambda _: None, at_once=2):
        assert value == "done"
        break
    assert killed.wait(60)


# ------------------------------------------------------------ how many, how large


def test_how_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    for free, memory, wanted, width in [
        (8000, 0, 5, 4), (8000, 0, 2, 2), (400, 0, 5, 2), (100, 0, 5, 1), (8000, 4000, 5, 2), (0, 0, 5, 4),
    ]:  # fmt: skip
        monkeypatch.setattr(start, "available", lambda free=free: free)
        monkeypatch.setattr(start, "_groups", list)
        assert pool.width(wanted, memory) == width


def test_a_container_has_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(start, "_meminfo", lambda name: 8000)
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.setattr(start, "_groups", lambda: [str(inner), str(tmp_path)])
    assert (start.cores(), start.available()) == (8, 8000)
    for name, told in {"cpu.max": "max 100000\n", "memory.max": "max\n", "memory.current": "1\n"}.items():
        (inner / name).write_text(told)
    assert (start.cores(), start.available()) == (8, 8000)
    for name, told in {
        "cpu.max": "150000 100000\n",
        "memory.max": f"{1 << 30}\n",
        "memory.current": f"{1 << 28}\n",
    }.items():
        (tmp_path / name).write_text(told)
    assert (start.cores(), start.available()) == (2, 768)
    (tmp_path / "memory.current").write_text(f"{2 << 30}\n")
    assert start.available() == 1


def test_a_larger_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = machine.Spec("6.12", a_qemu(), "tcg", "/k/vmlinux", lambda: b"x", "image")
    monkeypatch.setattr(start, "available", lambda: 2000)
    assert start.larger(spec) == 1024
    monkeypatch.setattr(start, "available", lambda: 500)
    with pytest.raises(EnvironmentMissing, match="this machine has no 1024 MiB"):
        start.larger(spec)


def test_no_module_hides_a_public_function() -> None:
    modules = {path.stem for path in ROOT.iterdir()}
    assert not modules & set(lab.__all__)


def test_a_machine_left_to_the_end_of_python_is_the_keepers(monkeypatch: pytest.MonkeyPatch) -> None:
    one = object.__new__(machine.Machine)
    near, far = socket.socketpair()
    one.pid, one._leash = 1, near
    ended: list[int] = []
    monkeypatch.setattr(machine.Machine, "kill", lambda self: ended.append(self.pid))
    monkeypatch.setattr(machine.sys, "is_finalizing", lambda: True)
    one.__del__()
    assert ended == []
    monkeypatch.setattr(machine.sys, "is_finalizing", lambda: False)
    one.__del__()
    assert ended == [1]
    near.close()
    far.close()
