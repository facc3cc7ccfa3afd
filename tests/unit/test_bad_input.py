"""Wrong input through the command: one sentence with what and where, a next step, exit 2; the rest is checked."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parent.parent / "data"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bpfsmith", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )


def changed(at: int, value: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        data = bytearray((DATA / "drop_all.o").read_bytes())
        data[at : at + len(value)] = value
        path.write_bytes(data)

    return make


def of(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def cut(length: int) -> Callable[[Path], None]:
    return of((DATA / "drop_all.o").read_bytes()[:length])


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


FILES: dict[str, Callable[[Path], None]] = {
    "empty": of(b""),
    "text": of(b"int main(void) { return 0; }\n"),
    "not ELF": of(b"\x00" * 100),
    "a sparse file of 3 GiB": sparse,
    "an archive": of(b"!<arch>\n" + b" " * 100),
    "LLVM bitcode": of(b"BC\xc0\xde" + b"\x00" * 100),
    "32 bits": changed(4, b"\x01"),
    "another machine": changed(18, struct.pack("<H", 62)),
    "an executable": changed(16, struct.pack("<H", 2)),
    "cut in the header": cut(40),
    "cut in the middle": cut(600),
    "section headers far away": changed(40, struct.pack("<Q", 1 << 40)),
    "a FIFO": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a folder with nothing in it": Path.mkdir,
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("command", ["check", "inspect"])
def test_one_bad_file(tmp_path: Path, command: str, kind: str) -> None:
    FILES[kind](tmp_path / "bad.o")
    shutil.copy(DATA / "drop_all.o", tmp_path / "good.o")
    done = run(tmp_path, command, "bad.o", "good.o")
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "bad.o" in errors[0], done.stderr
    assert "help: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "drop_all" in done.stdout  # the other file of the call


ARGUMENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "no such file": (("check", "gone.o"), "gone.o"),
    "unknown kernel": (("check", "good.o", "--kernels", "9.99"), "9.99"),
    "no kernel": (("check", "good.o", "--kernels", "new"), "new"),
    "backward range": (("check", "good.o", "--kernels", "6.1..5.10"), "6.1"),
    "unknown rule": (("check", "good.o", "--select", "OBJ0O1"), "OBJ0O1"),
    "unknown option": (("check", "good.o", "--kernel-version"), "--kernel-version"),
    "unknown command": (("chekc",), "chekc"),
    "unknown format": (("check", "good.o", "--format", "xml"), "xml"),
    "unknown word": (("explain", "bpf_lop"), "bpf_lop"),
    "BTF that is none": (("inspect", "good.o", "--btf", "text"), "text"),
    "no such program": (("inspect", "good.o", "--asm", "nope"), "nope"),
    "wrong configuration": (("check", "sub/good.o"), "bpfsmith.toml"),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_bad_arguments(tmp_path: Path, kind: str) -> None:
    words, named = ARGUMENTS[kind]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/bpfsmith.toml").write_text('kernls = "5.10.."\n')
    (tmp_path / "text").write_text("no BTF\n")
    for folder in (tmp_path, tmp_path / "sub"):
        shutil.copy(DATA / "drop_all.o", folder / "good.o")
    done = run(tmp_path, *words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1, done.stderr
