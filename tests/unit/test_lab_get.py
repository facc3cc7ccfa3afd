"""`lab get` from a made-up signed archive: signatures, hashes, what is gone, what is resumed, what is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.cli import main
from bpfsmith.lab import store
from bpfsmith.lab.catalogue import listing
from bpfsmith.lab.getting import get
from bpfsmith.lab.kernels.fetch import fetch_to, hash_of
from bpfsmith.lab.kernels.index import newest_first, offers
from bpfsmith.lab.kernels.versions import numbers, version_key
from bpfsmith.lab.progress import Progress
from bpfsmith.lab.qemu import write_file
from bpfsmith.model.errors import EnvironmentMissing, InputError, UnknownName
from unit import lab_files as made

SUITE = "bookworm-security"


class Told(Progress):
    """What was said, and every amount."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.amounts: list[tuple[str, int, int]] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def amount(self, what: str, done: int, total: int) -> None:
        self.amounts.append((what, done, total))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[made.Archive]:
    one = made.Archive(tmp_path / "debian")
    yield one
    one.close()


def image(archive: made.Archive, version: str, *, suite: str = SUITE, unsigned: bool = False, **files: Any) -> Path:
    release = f"{version}+deb12-cloud-amd64"
    name = f"linux-image-{release}" + "-unsigned" * unsigned
    content = made.deb(made.kernel_files(release, **files), name=name, version=f"{version}-1")
    return archive.add(suite, content, name=name, version=f"{version}-1")


def taken(archive: made.Archive, *names: str, progress: Progress | None = None, **words: Any) -> list[store.Prepared]:
    words = {"mirror": archive.url, "keyring": str(archive.keyring), "progress": progress, **words}
    return get(names, **words)


# ---------------------------------------------------------------- what is chosen


def test_the_newest_of_a_series(archive: made.Archive) -> None:
    for version in ("6.12.9", "6.12.90", "6.12.100", "6.1.200"):
        image(archive, version)
    archive.publish(SUITE)
    told = Told()
    (one,) = taken(archive, "6.12", progress=told)
    assert (one.name, one.release, one.package, one.version) == (
        "6.12", "6.12.100+deb12-cloud-amd64", "6.12.100-1", "6.12.100",
    )  # fmt: skip
    assert one.lacks == {} and one.origin == f"Debian {SUITE}"
    assert os.listdir(store.folder("downloads")) == []
    assert told.lines[0].startswith("reading the index of bookworm-security")
    assert told.amounts[-1][1] == told.amounts[-1][2] > 0
    # Here already: neither index nor network is asked.
    archive.folder.rename(archive.folder.with_name("away"))
    assert taken(archive, "6.12", progress=told)[0].folder == one.folder
    assert told.lines[-1].startswith("6.12: here")
    archive.folder.with_name("away").rename(archive.folder)
    assert taken(archive, "6.12", "6.1")[1].version == "6.1.200"
    assert [kernel.name for kernel in store.all()] == ["6.1", "6.12"]
    assert taken(archive, "6.12.90")[0].version == "6.12.90"
    assert store.find("6.12").version == "6.12.100"  # the newest has the name; the others their release
    assert store.find("6.12.90+deb12-cloud-amd64").version == "6.12.90"


def test_a_newer_build_is_taken_when_asked_for(archive: made.Archive) -> None:
    image(archive, "6.12.9")
    archive.publish(SUITE)
    (old,) = taken(archive, "6.12")
    image(archive, "6.12.10")
    archive.publish(SUITE)
    for kept in os.listdir(store.folder("index")):
        os.unlink(store.folder("index") + f"/{kept}")
    assert taken(archive, "6.12")[0].version == "6.12.9"
    (new,) = taken(archive, "6.12", update=True)
    assert new.version == "6.12.10" and new.folder != old.folder and os.path.exists(old.folder)
    assert taken(archive, "6.12", update=True)[0].folder == new.folder


def test_the_flavour_with_all_drivers(archive: made.Archive) -> None:
    release = "6.12.9+deb12-amd64"
    name = f"linux-image-{release}"
    archive.add(SUITE, made.deb(made.kernel_files(release), name=name), name=name, version="6.12.9-1")
    image(archive, "6.12.8")
    archive.publish(SUITE)
    (cloud,) = taken(archive, "6.12")
    (full,) = taken(archive, "6.12", flavour="full")
    assert (cloud.name, cloud.version, full.name, full.version) == ("6.12", "6.12.8", "6.12-full", "6.12.9")
    assert store.find("6.12").folder == cloud.folder and store.find("6.12-full").folder == full.folder
    assert taken(archive, "6.12", flavour="full", keyring="")[0].folder == full.folder


def test_kernels_for_another_architecture(archive: made.Archive) -> None:
    from bpfsmith.lab.kernels.matrix import ARCHES, native_arch

    other = next(arch for arch in ARCHES if arch != native_arch())
    if other != "aarch64":
        pytest.skip("made up for arm64 on another machine")
    release = "6.12.9+deb12-cloud-arm64"
    name = f"linux-image-{release}"
    kernel = bytearray(made.vmlinux(release))
    kernel[:4], kernel[56:60] = b"MZ\0\0", b"ARM\x64"
    content = made.deb(made.kernel_files(release, image=bytes(kernel)), name=name, arch="arm64")
    archive.add(SUITE, content, name=name, version="6.12.9-1", arch="arm64")
    archive.publish(SUITE, "arm64")
    (one,) = taken(archive, "6.12", arch="arm64")
    assert (one.name, one.arch, one.boot) == ("6.12-arm64", "aarch64", "image")
    with pytest.raises(EnvironmentMissing):
        store.find("6.12")  # that would be this machine's


def test_split_packages(archive: made.Archive) -> None:
    release = "7.3.4+deb13-cloud-amd64"
    files = made.kernel_files(release)
    modules = {name: data for name, data in files.items() if "lib/modules" in name}
    rest = {name: data for name, data in files.items() if name not in modules}
    kernel = {f"usr/lib/modules/{release}/vmlinuz": rest[f"boot/vmlinuz-{release}"]}
    config = {f"usr/lib/modules/{release}/config": rest[f"boot/config-{release}"]}
    for part, content in (("binary", kernel), ("modules", modules), ("base", config)):
        name = f"linux-{part}-{release}"
        archive.add(
            "trixie-backports", made.deb(content, name=name, version="7.3.4-1~bpo13+1"), name=name,
            version="7.3.4-1~bpo13+1",
        )  # fmt: skip
    # What comes beside it in the index is not taken: the unsigned twin, debug information, other flavours.
    for name in (f"linux-binary-unsigned-{release}", f"linux-image-{release}-dbg", f"linux-image-{release}"):
        archive.add("trixie-backports", made.deb({}, name=name), name=name, version="7.3.4-1~bpo13+1")
    archive.publish("trixie-backports")
    (one,) = taken(archive, "7.3")
    assert one.lacks == {} and one.has_config
    assert len(one.packages) == 3


def test_an_old_split_build_has_no_modules(archive: made.Archive) -> None:
    release = "6.19.14+deb13-cloud-amd64"
    name = f"linux-binary-{release}"
    content = made.deb({f"boot/vmlinuz-{release}": made.bzimage(made.vmlinux(release))}, name=name)
    archive.add("trixie-backports", content, name=name, version="6.19.14-1")
    archive.publish("trixie-backports")
    told = Told()
    (one,) = taken(archive, "6.19", progress=told)
    assert set(one.lacks) == {"config", "virtio", "traffic"}
    assert any("veth" in line for line in told.lines)
    offered = next(row for row in listing().offered if row.series == "6.19")
    assert offered.modules is False and offered.package == "6.19.14-1"


def test_the_unsigned_twin_and_older_builds_when_packages_are_gone(archive: made.Archive) -> None:
    signed = image(archive, "6.12.9")
    twin = image(archive, "6.12.9", unsigned=True)
    older = image(archive, "6.12.8")
    archive.publish(SUITE)
    signed.unlink()
    assert taken(archive, "6.12")[0].packages == ["linux-image-6.12.9+deb12-cloud-amd64-unsigned 6.12.9-1"]
    store.remove("6.12")
    twin.unlink()
    told = Told()
    assert taken(archive, "6.12", progress=told)[0].version == "6.12.8"
    assert any("trying an older build" in line for line in told.lines)
    store.remove("6.12")
    older.unlink()
    with pytest.raises(EnvironmentMissing, match="in the index can be fetched"):
        taken(archive, "6.12")


def test_an_index_gone_stale_is_read_again(archive: made.Archive) -> None:
    old = image(archive, "6.12.8")
    image(archive, "6.1.5")
    archive.publish(SUITE)
    taken(archive, "6.1")
    old.unlink()
    archive.packages[SUITE] = []
    image(archive, "6.12.9")
    archive.publish(SUITE)
    assert taken(archive, "6.12")[0].version == "6.12.9"


def test_all_or_nothing_is_not_asked(archive: made.Archive) -> None:
    """What came before a failure stays."""
    image(archive, "6.12.9")
    archive.publish(SUITE)
    with pytest.raises(UnknownName, match="no suite has a kernel"):
        taken(archive, "6.12", "6.1")
    assert [one.name for one in store.all()] == ["6.12"]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["5.15", "6.6", "6.13"])
def test_series_nobody_has(name: str) -> None:
    with pytest.raises(UnknownName, match=r"near ones are `\d+\.\d+` or"):
        get([name])


@pytest.mark.parametrize("name", ["latest", "", "six.twelve", "6", "6.x"])
def test_words_that_are_no_kernels(name: str) -> None:
    with pytest.raises(UnknownName):
        get([name])


def test_a_signature_of_somebody_else(archive: made.Archive, tmp_path: Path) -> None:
    image(archive, "6.12.9")
    base = archive.publish(SUITE)
    other = made.Archive(tmp_path / "other")
    try:
        with pytest.raises(EnvironmentMissing, match="is not signed by a key of"):
            taken(archive, "6.12", keyring=str(other.keyring))
    finally:
        other.close()
    signed = (base / "InRelease").read_text()
    (base / "InRelease").write_text(signed.replace("Origin: Debian", "Origin: Elsewhere"))
    with pytest.raises(EnvironmentMissing, match="is not signed by a key of"):
        taken(archive, "6.12")
    (base / "InRelease").write_text("Origin: Debian\nCodename: bookworm-security\nSHA256:\n")
    with pytest.raises(EnvironmentMissing, match="is not signed"):
        taken(archive, "6.12")
    assert store.all() == []


def test_a_signed_index_of_another_suite_is_not_taken(archive: made.Archive) -> None:
    image(archive, "6.12.9")
    archive.publish(SUITE, codename="bookworm")
    base = archive.folder / "dists"
    (base / SUITE / "InRelease").write_bytes((base / SUITE / "InRelease").read_bytes())
    archive.publish("trixie")
    (base / SUITE / "InRelease").write_bytes((base / "trixie/InRelease").read_bytes())
    with pytest.raises(EnvironmentMissing, match="calls itself trixie"):
        taken(archive, "6.12")


def test_an_index_past_its_date_is_not_taken(archive: made.Archive) -> None:
    image(archive, "6.12.9")
    for until, why in (
        ("Sat, 01 Jan 2022 00:00:00 UTC", "was good until Sat, 01 Jan 2022 00:00:00 UTC"),
        ("some day", "does not say until when"),
    ):
        archive.publish(SUITE, until=until)
        with pytest.raises(EnvironmentMissing, match=why):
            taken(archive, "6.12")
    archive.publish(SUITE, until="Fri, 01 Jan 2100 00:00:00 UTC")
    assert taken(archive, "6.12")[0].name == "6.12"


@pytest.mark.parametrize("how", ["forbidden", "signed by another"])
def test_a_suite_that_cannot_be_read_costs_that_suite(archive: made.Archive, tmp_path: Path, how: str) -> None:
    image(archive, "6.12.9")
    archive.publish(SUITE)
    other = made.Archive(tmp_path / "other")
    try:
        strange = other.publish("bookworm-backports")
    finally:
        other.close()
    archive.publish("bookworm-backports")
    where = archive.folder / "dists/bookworm-backports/InRelease"
    told = Told()
    with made.Server(archive.folder) as server:
        if how == "forbidden":
            server.status["/dists/bookworm-backports/InRelease"] = 403
        else:
            where.write_bytes((strange / "InRelease").read_bytes())
        suites = ["bookworm-backports", SUITE]
        (one,) = taken(archive, "6.12", mirror=server.url, suites=suites, progress=told)
        assert one.name == "6.12"
        why = "403|forbidden" if how == "forbidden" else "is not signed by a key of"
        said = [line for line in told.lines if line.startswith("bookworm-backports could not be read: ")]
        assert len(said) == 1 and re.search(why, said[0].lower()), told.lines
        with pytest.raises(EnvironmentMissing, match="bookworm-backports could not be read, and no other suite"):
            taken(archive, "6.1", mirror=server.url, suites=suites)


def test_an_index_that_was_changed(archive: made.Archive) -> None:
    image(archive, "6.12.9")
    base = archive.publish(SUITE)
    path = base / "main/binary-amd64/Packages.xz"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(EnvironmentMissing, match="its hash differs"):
        taken(archive, "6.12")


def test_a_package_that_was_changed(archive: made.Archive) -> None:
    path = image(archive, "6.12.9")
    archive.publish(SUITE)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(EnvironmentMissing, match="its hash differs"):
        taken(archive, "6.12")
    assert os.listdir(store.folder("downloads")) == [] and store.all() == []


def test_keyrings(archive: made.Archive, tmp_path: Path) -> None:
    image(archive, "6.12.9")
    archive.publish(SUITE)
    with pytest.raises(InputError, match="needs `--keyring FILE`"):
        taken(archive, "6.12", keyring="")
    with pytest.raises(InputError, match="no such keyring"):
        taken(archive, "6.12", keyring=str(tmp_path / "none"))
    with pytest.raises(InputError, match="is for `--mirror"):
        get(["6.12"], keyring=str(archive.keyring))
    armoured = tmp_path / "keys.asc"
    armoured.write_bytes(archive._gpg("--armor", "--export"))
    assert taken(archive, "6.12", keyring=str(armoured))[0].name == "6.12"


def test_without_gpgv(archive: made.Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    image(archive, "6.12.9")
    archive.publish(SUITE)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EnvironmentMissing, match="no `gpgv`") as error:
        taken(archive, "6.12")
    assert "gpgv" in error.value.command


def test_without_apt_and_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert main(["lab", "get", "6.12"]) == 3
    assert "--mirror URL --keyring FILE" in capsys.readouterr().err
    keyring = tmp_path / "keys"
    keyring.write_bytes(b"")
    closed = "http://127.0.0.1:9/debian"
    assert main(["lab", "get", "6.12", "--mirror", closed, "--keyring", str(keyring)]) == 3
    assert "cannot read `http://127.0.0.1:9/debian/dists/" in capsys.readouterr().err
    assert main(["lab", "get", "6.12", "--mirror", "no address", "--keyring", str(keyring)]) == 2
    assert main(["lab", "get", "5.15"]) == 2
    assert main(["lab", "get", "6.12", "--arch", "vax"]) == 2


# ---------------------------------------------------------------- transfers


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(tmp_path: Path, ranges: bool) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)
    digest = hash_of(str(tmp_path / "file"))
    target = str(tmp_path / "target")
    with made.Server(tmp_path, ranges=ranges) as server:
        server.cut = 1_000_000
        fetch_to(f"{server.url}/file", target, len(data), digest, Progress(), "file")
        assert server.asked == [("/file", None), ("/file", "bytes=1000000-")]
        assert Path(target).read_bytes() == data
        assert not os.path.exists(f"{target}.part")
        # A part of something else: noticed by its hash, and got anew.
        for rubbish in (b"rubbish" * 1000, b"x" * len(data), b"x" * (len(data) + 5)):
            Path(f"{target}.part").write_bytes(rubbish)
            fetch_to(f"{server.url}/file", target, len(data), digest, Progress(), "file")
            assert Path(target).read_bytes() == data


def test_a_server_that_ends_every_connection(tmp_path: Path) -> None:
    data = os.urandom(5_000_000)
    (tmp_path / "file").write_bytes(data)
    digest = hash_of(str(tmp_path / "file"))
    target = str(tmp_path / "target")
    with made.Server(tmp_path) as server:
        server.cut, server.cut_all = 1_000_000, True
        fetch_to(f"{server.url}/file", target, len(data), digest, Progress(), "file")
        assert Path(target).read_bytes() == data and len(server.asked) == 5
        # Pieces that are not of that file: noticed once all of them are there, and got anew.
        Path(f"{target}.part").write_bytes(b"x" * 500_000)
        fetch_to(f"{server.url}/file", target, len(data), digest, Progress(), "file")
        assert Path(target).read_bytes() == data
        with pytest.raises(EnvironmentMissing, match="its hash differs"):
            fetch_to(f"{server.url}/file", target, len(data), "0" * 64, Progress(), "file")
        assert not os.path.exists(f"{target}.part")
    with made.Server(tmp_path, ranges=False) as server:
        server.cut, server.cut_all = 1_000_000, True
        for _ in range(2):
            with pytest.raises(EnvironmentMissing, match="ended after 1000000 of 5000000 bytes"):
                fetch_to(f"{server.url}/file", target, len(data), digest, Progress(), "file")
            assert os.path.getsize(f"{target}.part") == 1_000_000


def test_a_kernel_over_http(archive: made.Archive) -> None:
    image(archive, "6.12.9")
    archive.publish(SUITE)
    with made.Server(archive.folder) as server:
        (one,) = taken(archive, "6.12", mirror=server.url)
        assert one.version == "6.12.9"
        paths = [path for path, _ in server.asked]
        assert f"/dists/{SUITE}/InRelease" in paths
        assert any("by-hash/SHA256" in path for path in paths)


def test_ctrl_c_leaves_what_can_be_resumed(archive: made.Archive, tmp_path: Path) -> None:
    path = image(archive, "6.12.9")
    archive.publish(SUITE)
    fetched: list[int] = []

    class Stop(Progress):
        def amount(self, what: str, done: int, total: int) -> None:
            fetched.append(done)
            if len(fetched) == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        taken(archive, "6.12", progress=Stop())
    (part,) = os.listdir(store.folder("downloads"))
    assert part.endswith(".deb.part")
    assert taken(archive, "6.12")[0].version == "6.12.9"
    assert os.listdir(store.folder("downloads")) == []
    assert path.exists()


def test_two_at_a_time(archive: made.Archive, tmp_path: Path) -> None:
    image(archive, "6.12.9")
    archive.publish(SUITE)
    words = [sys.executable, "-m", "bpfsmith", "lab", "get", "6.12", "--mirror", archive.url, "--keyring"]
    children = [
        subprocess.Popen([*words, str(archive.keyring)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for child in children:
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, (out, err)
    assert [one.version for one in store.all()] == ["6.12.9"]
    assert [name for name in os.listdir(store.folder("kernels")) if name.startswith(".")] == []


def test_two_that_write_one_file_do_not_share_its_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, drafts, replace = str(tmp_path / "file"), [], os.replace

    def between(new: str, old: str) -> None:
        drafts.append(new)
        if len(drafts) == 1:
            write_file(path, b"second")  # another thread of this process, while the first is at its rename
        replace(new, old)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", between)
        write_file(path, b"first")
    assert len(set(drafts)) == 2 and Path(path).read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    import io

    from bpfsmith.cli._progress import Lines

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for live in (True, False):
        out, screen = io.StringIO(), Screen() if live else io.StringIO()
        lines = Lines(out, screen)
        lines.say("6.12: preparing")
        lines.amount("linux-image", 5_000_000, 20_000_000)
        lines.amount("linux-image", 20_000_000, 20_000_000)
        assert out.getvalue() == "6.12: preparing\n  linux-image (20.0 MB)\n"
        drawn = screen.getvalue()
        assert ("[######..................] 5.0 of 20.0 MB  linux-image" in drawn) == live
        assert not live or drawn.endswith("\r")  # the bar is gone before a line is written


# ---------------------------------------------------------------- versions and indexes


def test_versions_are_ordered_as_dpkg_does() -> None:
    ordered = [
        "5.10.223-1", "5.10.262-1", "6.1.192-1", "6.1.192-2", "6.12~rc7-1~exp1", "6.12-1", "6.12.9-1~bpo12+1",
        "6.12.9-1", "6.12.9-1+b1", "6.12.9-1.1", "6.12.10-1", "6.12.117-1~deb12u1", "6.12.117-1", "7.3~rc7-1", "7.3-1",
        "7.3.4-1", "1:1.0-1",
    ]  # fmt: skip
    assert sorted(ordered, key=version_key) == ordered
    import shutil

    if shutil.which("dpkg"):
        for first, second in pairwise(ordered):
            assert subprocess.run(["dpkg", "--compare-versions", first, "lt", second], check=False).returncode == 0
    assert numbers("6.12.117+deb12-cloud") == (6, 12, 117)


def test_an_index_of_strange_packages() -> None:
    names = {
        "image-cloud-amd64": "6.12.9-1", "image-6.12.9-cloud-arm64": "6.12.9-1", "image-6.12.9-rt-amd64": "6.12.9-1",
        "image-6.12.9-amd64-dbg": "1", "modules-6.12.9-amd64": "6.12.9-1", "image-6.12.9-amd64": "6.12.9-1",
        "image-6.1.0-56-amd64": "6.1.192-2",
    }  # fmt: skip
    tail = f"Architecture: amd64\nSize: 5\nSHA256: {'a' * 64}\n"
    text = "\n".join(
        f"Package: linux-{name}\nVersion: {version}\nFilename: pool/x.deb\n{tail}" for name, version in names.items()
    )
    text += "\nPackage: linux-image-6.12.10-amd64\nVersion: 6.12.10-1\n"
    evil = f"\nPackage: linux-image-6.12.11-amd64\nVersion: 6.12.11-1\nFilename: ../../etc/x\n{tail}"
    found = offers(text + evil, "amd64", "bookworm", "http://host/debian")
    assert [(one.release, one.flavour) for one in found] == [("6.12.9-amd64", ""), ("6.1.0-56-amd64", "")]
    assert [one.series for one in newest_first(found, "6.1", "")] == ["6.1"]
    assert newest_first(found, "6.12", "cloud") == []
