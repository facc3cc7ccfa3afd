"""Projects that are not as they should be: one sentence each, and the rest is checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith.check import Report

LOCK = "version = 4\n" + "".join(
    f'\n[[package]]\nname = "{name}"\nversion = "{version}"\n'
    'source = "registry+https://github.com/rust-lang/crates.io-index"\n'
    for name, version in (("aya", "0.14.0"), ("aya-ebpf", "0.2.1"))
)
# A mistake in each crate: what is found of it shows that the crate was checked.
USER = "use aya::BpfLoader;\nfn main() { let _ = BpfLoader::new(); }\n"
KERNEL = """#![no_std]
#![no_main]
use aya_ebpf::{macros::xdp, programs::XdpContext};
use std::mem;
#[xdp]
pub fn pass(_ctx: XdpContext) -> u32 {
    2
}
"""


def package(name: str, dependencies: str) -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n\n[dependencies]\n{dependencies}'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["app", "probes"]\n',
        "Cargo.lock": LOCK,
        "app/Cargo.toml": package("app", 'aya = "0.14"\n'),
        "app/src/main.rs": USER,
        "probes/Cargo.toml": package("probes", 'aya-ebpf = "0.2"\n'),
        "probes/src/main.rs": KERNEL,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def check() -> Report:
    return bpfsmith.check(".", select=["AYA001", "AYA501"])


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def test_as_it_should_be(root: Path) -> None:
    report = check()
    assert codes(report) == {"AYA001", "AYA501"}
    assert (report.errors, report.exit_code) == ((), 1)


def write(path: str, text: str | bytes) -> Callable[[], None]:
    def do() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())

    return do


def link(path: str, to: str) -> Callable[[], None]:
    def do() -> None:
        if os.path.lexists(path):
            Path(path).unlink()
        Path(path).symlink_to(to)

    return do


def both(*all_of: Callable[[], None]) -> Callable[[], None]:
    def do() -> None:
        for one in all_of:
            one()

    return do


PROBES = package("probes", 'aya-ebpf = "0.2"\n')
SAME = '[[bin]]\nname = "same"\npath = "src/main.rs"\n'
BROKEN = [
    # (what is done, where it is said, a part of the sentence, what is still found)
    (write("app/Cargo.toml", "[package\n"), "app/Cargo.toml:1", "not valid TOML", {"AYA501"}),
    (
        write("app/Cargo.toml", package("app", 'aya = "0.14"\n') + "oops =\n"),
        "app/Cargo.toml:8",
        "not valid TOML",
        {"AYA001", "AYA501"},
    ),
    (write("Cargo.toml", '[workspace]\nmembers = ["app", "probes"\n[x]\n'), "Cargo.toml:3", "not valid", {"AYA501"}),
    (write("app/Cargo.toml", b'[package]\nname = "\xff"\n'), "app/Cargo.toml:2", "not UTF-8", {"AYA501"}),
    (write("app/Cargo.toml", b"# aya\n" * 800_000), "app/Cargo.toml", "larger than 4 MiB", {"AYA501"}),
    (
        write("Cargo.toml", '[workspace]\nmembers = [\n "app",\n "gone", "probes"]\n'),
        "Cargo.toml:4",
        "the workspace member `gone` does not exist",
        {"AYA001", "AYA501"},
    ),
    (
        write("Cargo.lock", "<<<<<<< HEAD\n" + LOCK),
        "Cargo.lock:1",
        "not valid TOML",
        {"AYA501"},  # which names are deprecated depends on the version
    ),
    (
        write("app/Cargo.toml", package("app", 'aya = "0.14"\nshared = { path = "../nowhere" }\n')),
        "app/Cargo.toml:8",
        "the path dependency `shared` points to `nowhere`, which does not exist",
        {"AYA001", "AYA501"},
    ),
    (
        write(
            "probes/Cargo.toml", package("probes", 'aya-ebpf = "0.2"\n') + '[[bin]]\nname = "x"\npath = "src/x.rs"\n'
        ),
        "probes/Cargo.toml:10",
        "the file `src/x.rs` of `[bin]` does not exist",
        {"AYA001", "AYA501"},
    ),
    (link("app/Cargo.toml", "Cargo.toml"), "app/Cargo.toml", "too many levels of symbolic links", {"AYA501"}),
    (write(".cargo/config.toml", "[build\n"), ".cargo/config.toml:1", "not valid TOML", {"AYA001", "AYA501"}),
    (
        write("rust-toolchain.toml", "[toolchain]\nchannel =\n"),
        "rust-toolchain.toml:2",
        "not valid TOML",
        {"AYA001", "AYA501"},
    ),
]


@pytest.mark.parametrize(("change", "where", "said", "found"), BROKEN, ids=[one[2][:40] + one[1] for one in BROKEN])
def test_the_rest_is_checked(root: Path, change: Callable[[], None], where: str, said: str, found: set[str]) -> None:
    change()
    report = check()
    assert [(error.where, said in error.message) for error in report.errors] == [(where, True)], report.errors
    assert report.errors[0].hint
    assert found <= codes(report)
    assert report.exit_code == 2


NOTED = [
    (lambda: Path("Cargo.lock").unlink(), "the project has no Cargo.lock", {"AYA001", "AYA501"}),
    (
        write("Cargo.lock", LOCK.replace("0.14.0", "0.19.1")),
        "newer than what this bpfsmith knows: aya 0.19.1 (known: up to 0.16.0)",
        {"AYA001", "AYA501"},
    ),
    (
        both(lambda: Path("Cargo.lock").unlink(), write("app/Cargo.toml", package("app", 'aya = "9.9"\n'))),
        "newer than what this bpfsmith knows: aya 9.9.0+ (known: up to 0.16.0)",
        {"AYA001", "AYA501"},
    ),
    (
        both(
            write("app/src/main.rs", USER + "mod latin;\n"),
            write("app/src/latin.rs", b'const A: &str = "\xe9";\n'),
        ),
        "app/src/latin.rs is not UTF-8 (byte 18): read with replacement characters",
        {"AYA001", "AYA501"},
    ),
    (
        write("app/src/main.rs", USER + "const A: u8 = " + "(" * 2000 + "1" + ")" * 2000 + ";\n"),
        "app/src/main.rs:3 was read in part: ",
        {"AYA001", "AYA501"},
    ),
    (write("Cargo.lock", LOCK.replace("0.14.0", "0.10.7")), "aya 0.10.7 is older than what", {"AYA501"}),
    (
        write("app/src/main.rs", USER + "mod net;\n#[cfg(windows)]\nmod other;\n"),
        "`mod net;` at app/src/main.rs:3 has no file, `app/src/net.rs` or `app/src/net/mod.rs`",
        {"AYA001", "AYA501"},
    ),
    (
        both(
            write(
                "probes/Cargo.toml",
                package("probes", 'aya-ebpf = "0.2"\n') + '[[bin]]\nname = "same"\npath = "src/main.rs"\n',
            ),
            write(
                "probes2/Cargo.toml",
                package("probes2", 'aya-ebpf = "0.2"\n') + '[[bin]]\nname = "same"\npath = "src/main.rs"\n',
            ),
            write("probes2/src/main.rs", KERNEL),
            write("Cargo.toml", '[workspace]\nmembers = ["app", "probes", "probes2"]\n'),
        ),
        "`probes` and `probes2` both build an object `same`",
        {"AYA001", "AYA501"},
    ),
]


@pytest.mark.parametrize(("change", "said", "found"), NOTED, ids=[one[1][:40] for one in NOTED])
def test_noted_once(root: Path, change: Callable[[], None], said: str, found: set[str]) -> None:
    change()
    report = check()
    assert not report.errors
    assert sum(said in note for note in report.notes) == 1, report.notes
    assert codes(report) == found
    assert report.exit_code == 1


def test_what_lies_outside_is_not_read(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "Cargo.toml").write_text("this is not read [")
    (other / "secret.rs").write_text(USER)
    write("app/Cargo.toml", package("app", f'aya = "0.14"\nshared = {{ path = "{other}" }}\n'))()
    write("app/src/main.rs", f'#[path = "{other}/secret.rs"]\nmod secret;\nfn main() {{}}\n')()
    link("app/src/out", str(other))()
    report = check()
    assert codes(report) == {"AYA501"}
    assert not report.errors
    assert sum("was not read" in note or "not read" in note for note in report.notes) == 2


def test_links_that_go_round(root: Path) -> None:
    link("app/round", "..")()
    link("app/src/loop.rs", "loop.rs")()
    report = check()
    assert codes(report) == {"AYA001", "AYA501"}
    assert not report.errors


def test_a_folder_and_a_file_that_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = os.scandir, open

    def scandir(path: str) -> object:
        if str(path).endswith("/closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    def opens(path: object, *args: object, **more: object) -> object:
        if str(path).endswith("probes/src/more.rs"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *args, **more)  # type: ignore[call-overload]

    (root / "closed").mkdir()
    write("probes/src/more.rs", "")()
    write("probes/src/main.rs", KERNEL + "mod more;\n")()
    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr("builtins.open", opens)
    report = check()
    assert {error.where for error in report.errors} >= {"closed", "probes/src/more.rs"}
    assert codes(report) == {"AYA001", "AYA501"}
    assert report.exit_code == 2


def test_objects_of_one_name_in_two_workspaces(root: Path) -> None:
    from bpfsmith.source.project import find_project

    bpf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\x00\xf7\x00" + bytes(44)
    write("two/Cargo.toml", package("probes", 'aya-ebpf = "0.2"\n') + "[workspace]\n")()
    write("two/src/main.rs", KERNEL)()
    write("target/bpfel-unknown-none/release/probes", bpf)()
    write("two/target/bpfel-unknown-none/release/probes", bpf)()
    project = find_project(str(root))
    assert project is not None
    assert [os.path.relpath(one.path, root).split("/")[0] for one in project.objects] == ["target", "two"]


def test_a_broken_manifest_of_something_else_is_nobodys_concern(root: Path) -> None:
    write("app/tests/data/Cargo.toml", "broken [")()
    assert check().errors == ()


def test_two_crates_side_by_side_are_one_project(root: Path) -> None:
    (root / "Cargo.toml").unlink()
    (root / "Cargo.lock").unlink()
    write(
        "app/src/main.rs", 'fn main() { let mut e = aya::Ebpf::load_file("x").unwrap(); e.map_mut("NONE").unwrap(); }'
    )()
    from bpfsmith.source.project import find_project

    project = find_project(str(root))
    assert project is not None
    assert {crate.name: crate.role for crate in project.crates} == {"app": "user", "probes": "kernel"}
    report = bpfsmith.check(".", select=["AYA501", "AYA053"])
    assert codes(report) == {"AYA501", "AYA053"}
    # A second kernel crate, or one further down: who belongs to whom is anyone's guess.
    write("more/Cargo.toml", PROBES.replace("probes", "more"))()
    write("more/src/main.rs", KERNEL)()
    assert find_project(str(root)) is None
    assert codes(bpfsmith.check(".", select=["AYA501"])) == {"AYA501"}


def test_a_kernel_crate_beside_the_workspace_it_shares_a_crate_with(tmp_path: Path) -> None:
    from bpfsmith.source.project import find_project

    shared = 'shared = {{ path = "{}" }}\n'
    files = {
        "probes/Cargo.toml": PROBES + shared.format("../user/shared"),
        "probes/src/main.rs": KERNEL,
        "user/Cargo.toml": '[workspace]\nmembers = ["app", "shared"]\n',
        "user/app/Cargo.toml": '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n'
        '[dependencies]\naya = "0.13"\n' + shared.format("../shared"),
        "user/app/src/main.rs": "fn main() {}",
        "user/shared/Cargo.toml": '[package]\nname = "shared"\nversion = "0.1.0"\nedition = "2021"\n',
        "user/shared/src/lib.rs": "#![no_std]",
    }
    for name, text in files.items():
        path = tmp_path / "both" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project = find_project(str(tmp_path / "both"))
    assert project is not None
    assert {crate.name: crate.role for crate in project.crates} == {
        "app": "user",
        "probes": "kernel",
        "shared": "common",
    }
    (tmp_path / "both/user/app/Cargo.toml").write_text(files["user/app/Cargo.toml"].replace("shared", "other"))
    assert find_project(str(tmp_path / "both")) is None  # nothing says that the two belong together


@pytest.mark.parametrize("name", ["Cargo.toml", "app/Cargo.toml", "Cargo.lock"])
def test_every_prefix_of_a_file_is_survived(root: Path, name: str) -> None:
    text = (root / name).read_text()
    for cut in range(0, len(text), 5):
        (root / name).write_text(text[:cut])
        report = check()
        assert "AYA501" in codes(report), text[:cut]
        assert report.exit_code in (1, 2)
