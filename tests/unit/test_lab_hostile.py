"""Images, packages and modules of any bytes: refused in the user's words, never a traceback, never a hang."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from bpfsmith.lab import store
from bpfsmith.lab.adding import add
from bpfsmith.lab.kernels import elf, modules, tree
from bpfsmith.lab.kernels.bzimage import open_image
from bpfsmith.model.errors import BpfsmithError
from unit import lab_files as made

CASES = 60


def changed(data: bytes, number: int) -> bytes:
    """The bytes with a few changes, most of them where headers are; the same for the same number."""
    rng = random.Random(number)
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        end = len(out) if rng.random() < 0.4 else min(len(out), 2500)
        at = rng.randrange(end)
        kind = rng.randrange(5)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"])
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            del out[at : at + rng.randrange(64)]
        else:
            out[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(64)))
        if not out:
            return b""
    return bytes(out)


@pytest.mark.parametrize("kind", ["vmlinux", "bzImage", "bzImage xz", "deb", "deb zstd", "rpm", "rpm gzip"])
def test_changed_files(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    random.seed(1)
    word, _, packing = kind.partition(" ")
    if word == "vmlinux":
        data = made.vmlinux()
    elif word == "bzImage":
        data = made.bzimage(made.vmlinux(), packing or "gzip")
    elif word == "deb":
        data = made.deb(made.kernel_files(), packing=packing or "none")
    else:
        data = made.rpm(made.kernel_files(), packing=packing or "none")
    path = tmp_path / "file"
    taken = 0
    for number in range(CASES):
        path.write_bytes(changed(data, number))
        try:
            add(str(path), name="x")
            taken += 1
        except BpfsmithError as error:
            assert error.exit_code in (2, 3), error
            assert "\n" not in str(error)
    assert taken < CASES
    assert [name for name in os.listdir(store.folder("kernels")) if name.startswith(".")] == []
    assert os.listdir(store.folder("downloads")) == []


def test_changed_elf_files() -> None:
    kernel, module = made.vmlinux(), made.module(("a", "b"))
    for number in range(CASES * 20):
        data = changed(kernel[:3000], number)
        elf.machine(data)
        elf.pvh_entry(data)
        elf.section_at(data, ".BTF")
        elf.without_debug(data)
        modules.depends(changed(module, number))


def test_paths_in_packages_stay_in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    files = made.kernel_files()
    files["lib/modules/../../../../tmp/x/kernel/evil.ko"] = b"evil"
    files["lib/modules/..%2f/kernel/evil.ko"] = b"evil"
    files["boot/vmlinuz-../../../evil"] = b""
    files["/lib/modules/./kernel/evil.ko"] = b"evil"
    for data in (made.deb(files), made.rpm(files)):
        (tmp_path / "k").write_bytes(data)
        before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
        try:
            add(str(tmp_path / "k"), name="x")
        except BpfsmithError as error:
            assert error.exit_code == 2
        assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before
        assert not list((tmp_path / "cache").rglob("evil*"))


@pytest.mark.parametrize("number", [b"-0000001", b"+0000001", b" 0000001", b"0000_001", b"0x000001"])
@pytest.mark.parametrize("at", [6, 38, 54, 94])
def test_numbers_that_are_none(number: bytes, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, a size of -1 was read for ever."""
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    whole = made.cpio(made.kernel_files())
    monkeypatch.setattr(made, "cpio", lambda _: whole[:at] + number + whole[at + 8 :])
    (tmp_path / "k").write_bytes(made.rpm({}))
    with pytest.raises(BpfsmithError, match="a number in its payload is none"):
        add(str(tmp_path / "k"), name="x")


def test_names_with_a_nul(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    evil = {"lib/modules/6.1\0/kernel/a.ko": b"x"}
    (tmp_path / "k").write_bytes(made.rpm(evil))
    with pytest.raises(BpfsmithError, match="a file name in it has a NUL"):
        add(str(tmp_path / "k"), name="x")
    assert tree._kind(next(iter(evil))) == ("", "")


def test_files_packed_more_than_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    data = b"x"
    for _ in range(1500):
        data = gzip.compress(data, 1)
    (tmp_path / "k").write_bytes(data)
    with pytest.raises(BpfsmithError, match="holds a compressed file") as error:
        add(str(tmp_path / "k"), name="x")
    assert error.value.exit_code == 2
    assert open_image(gzip.compress(made.vmlinux()), "k").arch == "x86_64"


def test_a_package_that_unpacks_to_very_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tree, "_LIMIT", 1 << 20)
    (tmp_path / "k").write_bytes(made.deb({"boot/vmlinuz-1": bytes(8 << 20)}))
    with pytest.raises(BpfsmithError, match="larger than 1 GiB"):
        add(str(tmp_path / "k"))
