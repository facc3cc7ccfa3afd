"""Kernels out of images, packages and files: what is kept, what is told to be lost, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bpfsmith import lab
from bpfsmith._native import ReadError, Unpacker, compression, decompress
from bpfsmith.cli import main
from bpfsmith.lab import qemu, store
from bpfsmith.lab.adding import add
from bpfsmith.lab.catalogue import kernel_json, listing
from bpfsmith.lab.kernels import elf, modules
from bpfsmith.lab.kernels.bzimage import open_image
from bpfsmith.lab.kernels.config import parse
from bpfsmith.lab.kernels.deb import Deb
from bpfsmith.lab.kernels.rpm import Rpm
from bpfsmith.lab.schema import schema
from bpfsmith.lab.start import spec_of
from bpfsmith.model.errors import EnvironmentMissing, InputError, UnknownName
from unit import lab_files as made

KINDS = ("gzip", "xz", "lzma", "bzip2", "lz4", "zstd", "none")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_out_of_a_boot_image(kind: str) -> None:
    kernel = made.vmlinux()
    image = open_image(made.bzimage(kernel, kind), "bzImage")
    assert (image.kind, image.arch, image.kernel) == ("bzimage", "x86_64", kernel)
    assert image.banner.startswith(f"{made.RELEASE} ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_boot_image_that_is_cut_off_is_refused(kind: str) -> None:
    image = made.bzimage(made.vmlinux(), kind)
    for size in (600, 3000, len(image) // 2, len(image) - 8192):
        with pytest.raises(InputError, match=r"cut off|cannot unpack|no ELF|no kernel image"):
            open_image(image[:size], "bzImage")


def test_a_payload_of_an_unknown_kind_still_boots_by_its_image(tmp_path: Path) -> None:
    image = made.bzimage(b"\x89LZO" + bytes(5000), "none")
    one = add(write(tmp_path / "bzImage", image))
    assert (one.boot, one.release, one.has_btf) == ("bzimage", made.RELEASE, False)
    assert "LZO" in one.lacks["btf"] and "pvh" in one.lacks
    assert Path(one.vmlinux).read_bytes() == image


def test_arm64_images() -> None:
    plain = bytearray(made.vmlinux())
    plain[56:60] = b"ARM\x64"
    plain[:4] = b"MZ\0\0"
    for data in (bytes(plain), made.packed("gzip", bytes(plain))):
        image = open_image(data, "Image")
        assert (image.kind, image.arch, image.kernel) == ("image", "aarch64", bytes(plain))
    payload = made.packed("gzip", bytes(plain))
    zboot = (
        b"MZ\0\0zimg"
        + (64).to_bytes(4, "little")
        + len(payload).to_bytes(4, "little")
        + bytes(8)
        + b"gzip".ljust(40, b"\0")
    )
    assert open_image(zboot + payload, "vmlinuz").kernel == bytes(plain)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not a kernel" * 100, "no kernel image"),
        (made.elf({".text": b"x"}, machine=243), "for riscv64"),
        (made.elf({".text": b"x"}, kind=1), "an object or a module"),
        (made.bzimage(made.elf({".text": bytes(9000)}, machine=3)), "is for i686"),
    ],
)
def test_what_is_no_kernel_for_the_lab(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_image(data, "FILE")


def test_a_vmlinux_with_debug_information_is_kept_without(tmp_path: Path) -> None:
    small = made.vmlinux()
    large = bytearray(small + bytes(20 << 20))
    one = add(write(tmp_path / "vmlinux", bytes(large)))
    kept = Path(one.vmlinux).read_bytes()
    assert len(kept) < len(small)
    assert elf.pvh_entry(kept) == 0x1000000
    assert one.btf_bytes() == made.btf()


def test_a_vmlinux_that_cannot_be_booted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no PVH entry"):
        add(write(tmp_path / "vmlinux", made.vmlinux(pvh=False)))
    one = add(write(tmp_path / "bzImage", made.bzimage(made.vmlinux(pvh=False))))
    assert one.boot == "bzimage" and one.has_btf
    assert one.btf_bytes() == made.btf()


# ---------------------------------------------------------------- packages


@pytest.mark.parametrize("suffix", [".ko", ".ko.xz", ".ko.gz", ".ko.zst"])
@pytest.mark.parametrize("container", ["deb", "rpm"])
def test_a_kernel_out_of_its_package(tmp_path: Path, container: str, suffix: str) -> None:
    files = made.kernel_files(suffix=suffix)
    content = made.deb(files) if container == "deb" else made.rpm(files, packing="xz")
    one = add(write(tmp_path / f"kernel.{container}", content), name="mine")
    assert (one.name, one.release, one.version, one.arch, one.boot) == ("mine", made.RELEASE, "6.12.9", "x86_64", "pvh")
    assert one.package == ("6.12.9-1" if container == "deb" else "6.12.9-1.el9")
    # `strange` lies where nothing is read at first; dependencies come before what needs them.
    assert one.module_names == ["virtio", "virtio_ring", "virtio_pci", "veth", "sch_ingress", "strange", "cls_bpf"]
    assert all(Path(path).read_bytes()[:4] == b"\x7fELF" for path in one.modules)
    assert one.lacks == {}
    assert one.config == {"CONFIG_BPF": "y", "CONFIG_VIRTIO_PCI": "m", "CONFIG_VIRTIO_CONSOLE": "y", "CONFIG_HZ": "250",
                          "CONFIG_LSM": "yama,bpf"}  # fmt: skip
    assert one.btf_bytes() == made.btf()
    assert one.btf().find("task_struct", "struct") == 1
    assert store.find("mine").folder == store.find(made.RELEASE).folder == one.folder
    assert sorted(os.listdir(one.folder)) == ["config", "kernel.json", "modules", "vmlinux"]


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd", "bzip2", "lzma", "none"])
def test_payloads_of_packages(tmp_path: Path, packing: str) -> None:
    files = {"boot/vmlinuz-1": b"image" * 1000, "lib/modules/1/kernel/a.ko": b"module" * 3000}
    path = write(tmp_path / "k.rpm", made.rpm(files, packing=packing))
    found = {name: part.read() for name, part in Rpm(path).files()}
    assert found == {"boot/vmlinuz.hard": b"image" * 1000, **files}
    if packing in ("gzip", "xz", "zstd", "none"):
        path = write(tmp_path / "k.deb", made.deb(files, packing=packing))
        assert {name: part.read() for name, part in Deb(path).files()} == files


def test_a_real_rpm_if_there_is_rpmbuild(tmp_path: Path) -> None:
    if not shutil.which("rpmbuild"):
        pytest.skip("no `rpmbuild`")
    spec = tmp_path / "k.spec"
    root = tmp_path / "files"
    for path, data in made.kernel_files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    spec.write_text(
        f"Name: kernel-core\nVersion: 6.12.9\nRelease: 1.test\nSummary: x\nLicense: GPL\nBuildArch: x86_64\n"
        f"%global __os_install_post %{{nil}}\n%description\nx\n"
        f"%install\ncp -a {root}/. %{{buildroot}}/\n%files\n/boot\n/lib\n"
    )
    words = ["rpmbuild", "-bb", "--target", "x86_64", f"-D_topdir {tmp_path}/top", "-D_build_id_links none", str(spec)]
    built = subprocess.run(words, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"rpmbuild: {built.stderr[-200:]}")
    path = next((tmp_path / "top/RPMS").rglob("*.rpm"))
    package = Rpm(str(path))
    assert (package.name, package.version, package.arch) == ("kernel-core", "6.12.9-1.test", "x86_64")
    assert add(str(path), name="mine").module_names[-1] == "cls_bpf"


def test_several_packages_of_one_kernel(tmp_path: Path) -> None:
    files = made.kernel_files()
    image = {name: data for name, data in files.items() if name.startswith("boot/vmlinuz")}
    rest = {name: data for name, data in files.items() if name not in image}
    first = write(tmp_path / "image.deb", made.deb(image, name="linux-image-x"))
    second = write(tmp_path / "modules.deb", made.deb(rest, name="linux-modules-x", packing="zstd"))
    assert add([second, first], name="mine").lacks == {}
    with pytest.raises(InputError, match="no kernel image in `modules"):
        add([second])
    one = add([first], name="alone")
    assert set(one.lacks) == {"config", "virtio", "traffic"}
    assert "virtio_pci" in one.lacks["virtio"] and "cls_bpf" in one.lacks["traffic"]
    with pytest.raises(EnvironmentMissing, match=r"kernel `alone`: no virtio_pci.*can be talked to") as deaf:
        one.usable()
    assert deaf.value.lacks == "config"
    # The image by itself, the modules as a package: as `/boot/vmlinuz-...` with a downloaded package.
    bare = write(tmp_path / "vmlinuz", next(iter(image.values())))
    assert add([bare, second], name="both").lacks == {}


def test_packages_that_do_not_belong_together(tmp_path: Path) -> None:
    one = write(tmp_path / "a.deb", made.deb(made.kernel_files()))
    other = write(tmp_path / "b.deb", made.deb(made.kernel_files("6.1.1-x")))
    with pytest.raises(InputError, match="several kernels"):
        add([one, other])
    foreign = {name: data for name, data in made.kernel_files("6.1.1-x").items() if "modules" in name}
    image = {name: data for name, data in made.kernel_files().items() if "boot" in name}
    paths = [write(tmp_path / "c.deb", made.deb(image)), write(tmp_path / "d.deb", made.deb(foreign))]
    with pytest.raises(InputError, match=f"the image is {made.RELEASE}, the modules are for 6.1.1-x"):
        add(paths)
    arm = write(tmp_path / "e.deb", made.deb(made.kernel_files(), arch="riscv64"))
    with pytest.raises(InputError, match="is for riscv64"):
        add(arm)


@pytest.mark.parametrize("container", ["deb", "rpm"])
def test_packages_cut_off_or_changed(tmp_path: Path, container: str) -> None:
    data = made.deb(made.kernel_files()) if container == "deb" else made.rpm(made.kernel_files(), packing="gzip")
    for size in (10, 70, 130, 300, len(data) // 2, len(data) - 5):
        with pytest.raises(InputError, match=r"bad \.|neither a kernel"):
            add(write(tmp_path / f"k.{container}", data[:size]))
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0xFF
    with pytest.raises(InputError, match=r"bad \.|cannot unpack|cannot read the module"):
        add(write(tmp_path / f"k.{container}", bytes(changed)))
    assert store.all() == []
    assert os.listdir(store.folder("kernels")) == []


def test_an_image_with_its_modules_beside_it(tmp_path: Path) -> None:
    files = made.kernel_files()
    folder = tmp_path / "modules"
    for name, data in files.items():
        if "/kernel/" in name:
            path = folder / name.partition("/kernel/")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    image = write(tmp_path / f"vmlinuz-{made.RELEASE}", next(iter(files.values())))
    write(tmp_path / f"config-{made.RELEASE}", made.CONFIG.encode())
    one = add(image, modules=str(folder))
    assert one.name == made.RELEASE
    assert "virtio_pci" in one.module_names and one.has_config
    assert one.lacks == {}
    wrong = folder / "drivers/net/veth.ko"
    wrong.write_bytes(made.module((), "5.15.0-1"))
    with pytest.raises(InputError, match=r"the module `veth` is for 5\.15\.0-1"):
        add(image, modules=str(folder))


def test_types_given_beside_a_kernel(tmp_path: Path) -> None:
    image = write(tmp_path / "vmlinuz", made.bzimage(made.vmlinux(types=b"")))
    one = add(image, name="old")
    assert "CO-RE" in one.lacks["btf"]
    with pytest.raises(EnvironmentMissing, match="has no BTF"):
        one.btf()
    types = write(tmp_path / "old.btf", made.btf(("sock",)))
    again = add(image, name="old", btf=types)
    assert again.btf().find("sock", "struct") == 1 and "btf" not in again.lacks
    assert [kernel.name for kernel in store.all()] == ["old"]
    with pytest.raises(InputError, match="cannot read kernel types"):
        add(image, btf=image)


# ---------------------------------------------------------------- modules, configuration


def test_dependencies_come_first_and_circles_end() -> None:
    paths = {name: name for name in ("a", "b", "c", "loop", "pool", "broken")}
    content = {
        "a": made.module(("b", "c")), "b": made.module(("c",)), "c": made.module(), "loop": made.module(("pool",)),
        "pool": made.module(("loop",)), "broken": made.module(("absent",)),
    }  # fmt: skip
    chosen, missing = modules.closure(("a", "loop", "broken", "nowhere"), paths, content.__getitem__)
    assert [name for name, _ in chosen] == ["c", "b", "a"]
    assert missing == ["absent"]


def test_a_long_chain_of_modules() -> None:
    names = [f"m{at}" for at in range(3000)]
    content = {name: made.module((names[at + 1],) if at + 1 < len(names) else ()) for at, name in enumerate(names)}
    chosen, _ = modules.closure(("m0",), {name: name for name in names}, content.__getitem__)
    assert [name for name, _ in chosen] == names[::-1]


def test_configuration() -> None:
    found = parse(made.CONFIG + 'CONFIG_A="say \\"hi\\""\n')
    assert found["CONFIG_A"] == 'say "hi"' and "CONFIG_X" not in found


# ---------------------------------------------------------------- the store


def test_names(tmp_path: Path) -> None:
    package = write(tmp_path / "k.deb", made.deb(made.kernel_files()))
    one = add(package, name="vendor")
    for name in ("vendor", made.RELEASE, "6.12.9-1", "6.12"):
        assert store.find(name).folder == one.folder
    for name, words in (("vendr", "did you mean `vendor`"), ("6.99", "did you mean"), ("", "unknown kernel")):
        with pytest.raises(UnknownName, match=words):
            store.find(name)
    for name in ("4.19", "v6.13"):  # released, but in no archive the lab reads
        told = f"the lab has no kernel `{name}`.*prepared are vendor; .*lab get.* has 5.10"
        with pytest.raises(UnknownName, match=told):
            store.find(name)
    with pytest.raises(EnvironmentMissing) as error:
        store.find("6.18")
    assert error.value.command == "bpfsmith lab get 6.18"
    with pytest.raises(EnvironmentMissing, match="lab get --flavour full --arch arm64 6"):
        store.find("6.1-full-arm64")
    for name in ("6.12", "host", "a b", ".x", "../x"):
        with pytest.raises(InputError):
            add(package, name=name)
    assert store.remove("vendor").release == made.RELEASE
    assert store.all() == [] and not os.path.exists(one.folder)


def test_what_killed_processes_left_goes() -> None:
    base = Path(store.folder("kernels"))
    for name in (".new-1", ".new-0011/modules", f".unpacked-{os.getpid()}", f".gone-{os.getpid()}-x/modules", "half"):
        (base / name).mkdir(parents=True)
    # Another process, maybe one of another container: what it makes is left alone until it ends.
    words = "from bpfsmith.lab import store\nwith store.making('kernels') as path: print(path, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        theirs = os.path.basename(child.stdout.readline().strip())
        with store.making("kernels") as one, store.making("kernels") as other:
            assert one != other
            store.sweep()
            ours = [os.path.basename(path) for path in (one, other)]
            assert sorted(os.listdir(base)) == sorted([*ours, theirs, "half"])
        store.sweep()
        assert sorted(os.listdir(base)) == [theirs, "half"]
        child.kill()
    store.sweep()
    assert os.listdir(base) == ["half"]
    assert store.all() == []


def test_a_folder_that_is_swept_before_it_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    from fcntl import flock

    gone: list[str] = []

    def late(fd: int, how: int) -> None:
        if not gone:
            gone.append(os.readlink(f"/proc/self/fd/{fd}"))
            os.rmdir(gone[0])
        flock(fd, how)

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", late)
        with store.making("kernels") as path:
            assert os.path.isdir(path) and [path] != gone
    assert os.listdir(store.folder("kernels")) == []


def test_a_kernel_that_lost_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = qemu.Qemu(qemu.ARCHES["x86_64"], "/usr/bin/qemu", "QEMU emulator version 9.0.0", (9, 0, 0), "1")
    monkeypatch.setattr(qemu, "find", lambda *_: found)
    one = add(write(tmp_path / "k.deb", made.deb(made.kernel_files())), name="vendor")
    one.check()
    for path in (*one.modules, os.path.join(one.folder, "config"), one.vmlinux):
        whole = Path(path).read_bytes()
        os.unlink(path)
        damaged = store.find("vendor")
        with pytest.raises(EnvironmentMissing, match=r"kernel `vendor` is damaged: .* is missing") as error:
            damaged.check()
            _ = damaged.config
        assert error.value.command == "bpfsmith lab remove vendor"
        if not path.endswith("config"):
            with pytest.raises(EnvironmentMissing, match="is damaged"):
                spec_of(damaged)
        (row,) = [kernel_json(kernel) for kernel in store.all()]
        assert "is missing" in {told["what"]: told["lost"] for told in row["lacks"]}["files"]
        Path(path).write_bytes(whole)
    damaged = store.find("vendor")
    damaged.series_named, damaged.name = True, "6.12-full"
    assert damaged.damaged("x").command == "bpfsmith lab remove 6.12-full && bpfsmith lab get --flavour full 6.12"
    with open(one.vmlinux, "r+b") as file:
        file.truncate(100)
    with pytest.raises(EnvironmentMissing, match="is cut off"):
        store.find("vendor").btf_bytes()


def test_no_space_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from bpfsmith.lab import prepare

    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prepare, "_write_image", full)
    with pytest.raises(EnvironmentMissing, match="no space"):
        add(write(tmp_path / "k.deb", made.deb(made.kernel_files())))
    assert os.listdir(store.folder("kernels")) == []
    assert os.listdir(store.folder("downloads")) == []


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFSMITH_CACHE", write(tmp_path / "file", b""))
    with pytest.raises(InputError, match="BPFSMITH_CACHE"):
        store.folder()


# ---------------------------------------------------------------- decompression


def test_decompress() -> None:
    data = b"bytes that are packed" * 999
    for kind in KINDS[:-1]:
        stream = made.packed(kind, data)
        assert compression(stream) == kind
        assert decompress(kind, stream, len(data)) == data
        with pytest.raises(ReadError, match="more than 100 bytes"):
            decompress(kind, stream, 100)
        with pytest.raises(ReadError):
            decompress(kind, stream[: len(stream) // 2], 1 << 20)
    with pytest.raises(ReadError, match="no way of compressing"):
        decompress("rar", b"", 1)


def test_unpacker(tmp_path: Path) -> None:
    data = os.urandom(5_000)
    path = write(tmp_path / "x", b"head" + made.packed("xz", data) + b"tail")
    part = Unpacker("xz", path, 4)
    assert part.read(10) + part.read(0) + part.read(4000) + part.read() == data
    assert Unpacker("", path, 0, 4).read() == b"head"
    with pytest.raises(FileNotFoundError):
        Unpacker("xz", str(tmp_path / "none"))


# ---------------------------------------------------------------- the command line


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "list"]) == 0
    assert "no kernel is prepared" in capsys.readouterr().out
    package = write(tmp_path / "k.deb", made.deb(made.kernel_files()))
    assert main(["lab", "add", package, "--name", "vendor"]) == 0
    assert f"vendor: ready ({made.RELEASE}," in capsys.readouterr().out
    assert main(["lab", "list"]) == 0
    assert "vendor" in capsys.readouterr().out
    assert main(["lab", "list", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(document)
    assert [one["name"] for one in document["kernels"]] == ["vendor"]
    assert document["kernels"][0]["features"]["btf"] is None  # made up: its configuration does not say so
    assert main(["lab", "remove", "vendor", "vendr"]) == 2
    assert main(["lab", "remove", "vendor"]) == 0
    assert "vendor: removed" in capsys.readouterr().out
    assert listing().kernels == []
    assert main(["lab", "add", str(tmp_path / "none")]) == 2
    assert main(["lab", "add", str(tmp_path)]) == 2
    assert main(["lab"]) == 2
    assert main(["lab", "gt"]) == 2


@pytest.mark.parametrize(("word", "hint"), [(6.1, 'write "6.1"'), (6, 'write "6"'), (None, 'such as "6.12"')])
def test_a_kernel_is_named_by_text(word: object, hint: str) -> None:
    for way in (store.find, lab.open, lab.describe, lambda one: lab.kernel(one).__enter__()):
        with pytest.raises(UnknownName, match="a kernel is named by text") as wrong:
            way(word)  # type: ignore[arg-type]
        assert wrong.value.hint == hint


def test_a_cache_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write(tmp_path / "vmlinuz", made.bzimage(made.vmlinux()))
    one = add(image, name="mine")

    def refuse(path: str, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    for name, way in (
        ("rename", lambda: store.discard(one)),
        ("mkdir", lambda: add(image, name="other")),
        ("makedirs", lambda: store.folder("new")),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(EnvironmentMissing, match="permission denied") as missing:
                way()
        assert (missing.value.exit_code, missing.value.hint) == (3, "set BPFSMITH_CACHE to a folder of yours")
    monkeypatch.setenv("BPFSMITH_CACHE", image)
    with pytest.raises(InputError, match="BPFSMITH_CACHE names a file") as wrong:
        store.folder("kernels")
    assert wrong.value.hint == "set BPFSMITH_CACHE to a folder of yours"
