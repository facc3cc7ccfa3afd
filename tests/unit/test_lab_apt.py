"""`lab get` through this machine's real apt, whose configuration names a made-up archive."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfsmith.lab import store
from bpfsmith.lab.getting import get
from bpfsmith.lab.kernels import apt
from bpfsmith.model.errors import EnvironmentMissing
from unit import lab_files as made

SUITE = "bookworm-security"
RELEASE = "6.12.9+deb12-cloud-amd64"

pytestmark = pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[made.Archive]:
    one = made.Archive(tmp_path / "debian")
    one.by_hash = True
    name = f"linux-image-{RELEASE}"
    one.add(SUITE, made.deb(made.kernel_files(RELEASE), name=name, version="6.12.9-1"), name=name, version="6.12.9-1")
    one.publish(SUITE)
    yield one
    one.close()


@pytest.fixture
def server(archive: made.Archive) -> Iterator[made.Server]:
    with made.Server(archive.folder) as one:
        yield one


@pytest.fixture
def sources(tmp_path: Path, server: made.Server, archive: made.Archive, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's apt configuration: one mirror of Debian, hooks that must not run, laxness that must not count."""
    base = tmp_path / "etc"
    (base / "parts").mkdir(parents=True)
    (base / "sources").write_text(f"deb {server.url} bookworm main\ndeb {server.url} {SUITE} main\n")
    hook = f'"touch {tmp_path}/hook";'
    (base / "conf").write_text(
        f'Dir::Etc::SourceList "{base}/sources";\nDir::Etc::SourceParts "{base}/parts";\n'
        f"APT::Update::Pre-Invoke {{ {hook} }};\nAPT::Update::Post-Invoke {{ {hook} }};\n"
        'Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\n'
        'Acquire::http::Proxy "DIRECT";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(base / "conf"))
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(apt, "_KEYRINGS", (str(archive.keyring),))
    return base / "sources"


def test_by_apt(sources: Path, server: made.Server, tmp_path: Path) -> None:
    (one,) = get(["6.12"])
    assert (one.name, one.release, one.package, one.lacks) == ("6.12", RELEASE, "6.12.9-1", {})
    assert not (tmp_path / "hook").exists()
    assert os.listdir(store.folder("downloads")) == []
    assert sorted(os.listdir(store.folder("index", "apt", "lists"))) == ["partial"]
    assert any(path.endswith(".deb") for path, _ in server.asked)


def test_a_signature_of_somebody_else(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = made.Archive(tmp_path / "other")
    monkeypatch.setattr(apt, "_KEYRINGS", (str(other.keyring),))
    try:
        with pytest.raises(EnvironmentMissing, match="bookworm-security could not be read"):
            get(["6.12"])
    finally:
        other.close()
    assert store.all() == []


def test_a_package_that_was_changed(sources: Path, archive: made.Archive) -> None:
    (path,) = archive.folder.rglob("*.deb")
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(EnvironmentMissing):
        get(["6.12"])
    assert [name for name in os.listdir(store.folder("downloads")) if not name.endswith(".FAILED")] == []
    assert store.all() == []


def test_a_package_that_is_gone(sources: Path, archive: made.Archive) -> None:
    (path,) = archive.folder.rglob("*.deb")
    path.unlink()
    with pytest.raises(EnvironmentMissing, match=r"no build of 6\.12 in the index can be fetched"):
        get(["6.12"])


def test_an_interrupted_download_goes_on(sources: Path, server: made.Server) -> None:
    from bpfsmith.lab.progress import Progress

    class Stop(Progress):
        def amount(self, what: str, done: int, total: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(["6.12"], progress=Stop())
    assert get(["6.12"])[0].name == "6.12"
    assert os.listdir(store.folder("downloads")) == []


def test_an_apt_without_debian(sources: Path, server: made.Server) -> None:
    sources.write_text(f"deb {server.url} noble main\n")
    with pytest.raises(EnvironmentMissing, match="knows no mirror of Debian") as error:
        get(["6.12"])
    assert "--mirror URL --keyring FILE" in error.value.command


def test_somebody_else_with_a_suite_of_that_name(sources: Path, server: made.Server, tmp_path: Path) -> None:
    """Vendors call their suites `stable` or `trixie` too, and may stand first in the configuration."""
    own = sources.read_text()
    others = f"deb {server.url}/linux/debian trixie stable\ndeb {server.url}/chrome stable main\n"
    sources.write_text(f"{others}deb {server.url}/linux/debian-security trixie-security main\n{own}")
    assert get(["6.12"])[0].name == "6.12"
    assert any(path.startswith("/linux/debian-security/dists/bookworm-security") for path, _ in server.asked)


def test_a_mirror_that_does_not_answer(sources: Path) -> None:
    sources.write_text("deb http://127.0.0.1:9/debian bookworm main\n")
    with pytest.raises(EnvironmentMissing, match="apt could not read"):
        get(["6.12"])
