"""Wrong input from outside of files: devices, streams, names, rights, settings. See also `unit/test_bad_input.py`."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
GOOD = FIXTURES / "count_packets.bpf.o"
MEMORY = 1 << 30  # bytes of address space: reading /dev/zero whole would end the process


def run(folder: Path, *words: str | bytes, **more: object) -> subprocess.CompletedProcess[bytes]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **more}
    return subprocess.run(
        [sys.executable, "-m", "bpfsmith", *words], cwd=folder, check=False, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)), **options,  # type: ignore[call-overload]
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[bytes], named: str = "") -> str:
    """One sentence that names the thing, a next step, exit 2."""
    text = done.stderr.decode()
    assert done.returncode == 2, text
    lines = text.splitlines()
    assert [line.partition(":")[0].strip() for line in lines] == ["error", "help"], text
    assert named in lines[0], text
    assert not lines[0].endswith("."), text
    return lines[0]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    shutil.copy(GOOD, tmp_path / "good.o")
    return tmp_path


def changed(change: Callable[[bytearray], object]) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        data = bytearray((FIXTURES / "inside.bpf.o").read_bytes())
        change(data)
        path.write_bytes(data)

    return make


def section(data: bytes, name: bytes) -> tuple[int, int]:
    """(offset of the header, offset of the contents) of a section of a little-endian object."""

    def word(at: int, size: int = 8) -> int:
        return int.from_bytes(data[at : at + size], "little")

    headers = [word(0x28) + 64 * index for index in range(word(0x3C, 2))]
    names = word(headers[word(0x3E, 2)] + 24)
    at = next(at for at in headers if data[names + word(at, 4) :].startswith(name + b"\0"))
    return at, word(at + 24)


def future_kind(data: bytearray) -> None:
    _, start = section(data, b".BTF")
    header = int.from_bytes(data[start + 4 : start + 8], "little")
    data[start + header + 7] = 31  # the kind of the first type


def broken_relocation(data: bytearray) -> None:
    _, start = section(data, b".relxdp")
    data[start + 12 : start + 16] = b"\xff\xff\xff\x7f"  # the symbol of the first relocation


def no_program(data: bytearray) -> None:
    header, _ = section(data, b".symtab")
    data[header + 32 : header + 40] = (24).to_bytes(8, "little")
    for name in (b".text", b"xdp", b"?tc", b"kprobe/tcp_v4_connect", b"tp_btf/sched_switch", b"no_such_section"):
        header, _ = section(data, name)
        data[header + 32 : header + 40] = bytes(8)
        try:
            header, _ = section(data, b".rel" + name)
        except StopIteration:
            continue
        data[header + 32 : header + 40] = bytes(8)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a device without end": (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "a link to itself": (lambda path: path.symlink_to("bad.o"), "symbolic link"),
    "an object of 3 GiB": (lambda path: (shutil.copy(GOOD, path), os.truncate(path, 3 << 30)), "larger than 1 GiB"),
    "BTF of a future kind": (changed(future_kind), "kind 31"),
    "a malformed relocation": (changed(broken_relocation), "malformed relocation"),
    "no program": (changed(no_program), "no eBPF program"),
    "cut by one byte": (lambda path: path.write_bytes(GOOD.read_bytes()[:-1]), "section headers"),
    "raw BTF": (lambda path: path.write_bytes(b"\x9f\xeb\x01\0" + bytes(40)), "raw BTF"),
}


@pytest.mark.parametrize("command", ["check", "inspect"])
@pytest.mark.parametrize("kind", FILES)
def test_files(here: Path, command: str, kind: str) -> None:
    make, said = FILES[kind]
    make(here / "bad.o")
    done = run(here, command, "bad.o", "good.o")
    assert said in refused(done, "bad.o")
    assert b"count_packets" in done.stdout  # the other file of the call


def test_an_unknown_section_is_a_finding(here: Path) -> None:
    shutil.copy(FIXTURES / "inside.bpf.o", here)
    done = run(here, "check", "inside.bpf.o", "--select", "OBJ010", "--format", "concise")
    assert done.returncode == 1
    assert b"no_such_section" in done.stdout


NAMES = {"not UTF-8": b"\xff\xfe.o", "a line break": b"a\nerror: b.o", "an escape sequence": b"\x1b[2J.o"}


@pytest.mark.parametrize("kind", NAMES)
def test_file_names(here: Path, kind: str) -> None:
    name = NAMES[kind]
    Path(os.fsdecode(os.fsencode(here) + b"/" + name)).write_bytes(b"no object")
    done = run(here, "check", name)
    refused(done)
    assert b"\x1b" not in done.stderr
    shutil.copy(GOOD, os.fsencode(here) + b"/" + name)
    done = run(here, "inspect", name, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["objects"]


def test_names_in_objects(here: Path) -> None:
    data = (FIXTURES / "inside.bpf.o").read_bytes()
    (here / "bad.o").write_bytes(
        data.replace(b"\0parse\0", b"\0\x1b[2J\xff\0").replace(b"\0steps\0", b"\0\xff\n\xc3\x9b!\0")
    )
    for words in (
        ["inspect"],
        ["check"],
        ["inspect", "--graph"],
        ["inspect", "--asm"],
        ["check", "--format", "concise"],
    ):
        done = run(here, words[0], "bad.o", *words[1:])
        assert done.returncode in {0, 1, 2}
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"Traceback" not in done.stderr
    done = run(here, "inspect", "bad.o", "--format", "json")
    assert json.loads(done.stdout)["objects"], done.stderr


def test_rights(here: Path) -> None:
    shutil.copy(GOOD, here / "secret.o")
    (here / "secret.o").chmod(0)
    (here / "locked").mkdir(mode=0)
    words: list[str] = [sys.executable, "-m", "bpfsmith"]
    if os.geteuid() == 0:
        rights = "-dac_override,-dac_read_search"
        words = ["setpriv", "--bounding-set", rights, "--inh-caps", rights, *words]
        probe = ["cat", here / "secret.o"]
        if not shutil.which("setpriv") or not subprocess.run([*words[:5], *probe], check=False).returncode:
            pytest.skip("root may read everything, and `setpriv` cannot give that up here")
    for bad in ("secret.o", "locked", "locked/prog.o"):
        for command in ("check", "inspect"):
            done = subprocess.run(
                [*words, command, bad, "good.o"], cwd=here, check=False, timeout=60, capture_output=True
            )
            refused(done, bad)
            assert b"count_packets" in done.stdout


SETTINGS = {
    "syntax": (b"select = [\n", "settings.toml"),
    "type": (b"select = 5\n", "`select`"),
    "unknown key": (b"selct = []\n", "`selct`"),
    "not UTF-8": (b'# \xe9\nselect = ["OBJ"]\n', "settings.toml:1"),
    "unknown kernel": (b'kernels = "9.99"\n', "`9.99`"),
    "unknown severity": (b"fail-on = [1]\n", "`fail-on`"),
    "unknown rule": (b'select = ["OBJ999"]\n', "`OBJ999`"),
    "unknown loader": (b'loaders = ["ya"]\n', "`ya`"),
    "deep": (b"select = " + b"[" * 100_000, "settings.toml"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings(here: Path, kind: str) -> None:
    text, said = SETTINGS[kind]
    (here / "settings.toml").write_bytes(text)
    line = refused(run(here, "check", "good.o", "--config", "settings.toml"), "settings.toml")
    assert said in line


ARGUMENTS = {
    "configuration in a FIFO": (("check", "good.o", "--config", "fifo"), "fifo"),
    "configuration in a folder": (("check", "good.o", "--config", "."), "."),
    "no configuration": (("check", "good.o", "--config", "gone"), "gone"),
    "endless configuration": (("check", "good.o", "--config", "/dev/zero"), "/dev/zero"),
    "baseline in a FIFO": (("check", "good.o", "--baseline", "fifo"), "fifo"),
    "no baseline": (("check", "good.o", "--baseline", "gone"), "gone"),
    "a baseline that is none": (("check", "good.o", "--baseline", "good.o"), "good.o"),
    "deep baseline": (("check", "good.o", "--baseline", "deep"), "deep"),
    "BTF in a FIFO": (("inspect", "good.o", "--btf", "fifo"), "fifo"),
    "endless BTF": (("inspect", "good.o", "--btf", "/dev/zero"), "/dev/zero"),
    "BTF in a folder": (("check", "good.o", "--btf", "."), "."),
    "no BTF": (("check", "good.o", "--btf", "gone"), "gone"),
    "BTF that is none": (("check", "good.o", "--btf", "deep"), "deep"),
    "kernels: nothing": (("check", "good.o", "--kernels", ""), "``"),
    "kernels: an empty part": (("check", "good.o", "--kernels", "5.10,,6.1"), "5.10,,6.1"),
    "no rule": (("check", "good.o", "--select", ""), "--select"),
    "no path": (("inspect",), "PATH"),
    "an empty path": (("check", ""), "``"),
    "a path through a file": (("check", "good.o/x"), "good.o/x"),
    "a path too long": (("check", "x" * 300), "xxx"),
    "standard input": (("check", "/dev/stdin"), "/dev/stdin"),
    "a loader": (("check", "good.o", "--loader", "bcc"), "bcc"),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments(here: Path, kind: str) -> None:
    os.mkfifo(here / "fifo")
    (here / "deep").write_bytes(b"[" * 100_000)
    words, said = ARGUMENTS[kind]
    refused(run(here, *words), said)


def test_a_folder_with_devices_in_it(here: Path) -> None:
    os.mkfifo(here / "fifo.o")
    (here / "zero.o").symlink_to("/dev/zero")
    (here / "up").symlink_to(".")
    done = run(here, "check", ".", "--select", "OBJ003")
    assert (done.returncode, done.stdout.count(b"OBJ003 ")) == (1, 1), done
    os.mkfifo(here / "Cargo.toml")
    refused(run(here, "check", ".", "--select", "OBJ003"), "Cargo.toml")


@pytest.mark.parametrize("command", ["check", "inspect"])
def test_streams(here: Path, command: str) -> None:
    normal = run(here, command, "good.o").returncode
    python = f"{sys.executable} -m bpfsmith"
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"):
        done = subprocess.run(
            ["sh", "-c", f"{python} {command} good.o {closed}"], cwd=here, check=False, timeout=60, capture_output=True
        )
        assert (done.returncode, done.stderr) == (normal, b""), closed
        done = subprocess.run(
            ["sh", "-c", f"{python} {command} gone.o {closed}"], cwd=here, check=False, timeout=60, capture_output=True
        )
        assert done.returncode == 2, closed
    with Path("/dev/full").open("wb") as full:
        refused(run(here, command, "good.o", stdout=full), "cannot write the output")
