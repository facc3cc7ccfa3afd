"""`bpfsmith migrate`: manifests in every form, what is refused, what is left to a person."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith.check._files import replace_file
from bpfsmith.cli import main
from bpfsmith.migrate._manifest import Manifest
from bpfsmith.migrate._releases import RELEASES
from bpfsmith.model.errors import InputError
from bpfsmith.source.tomltext import read

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/migrate"


def manifest(text: str, to: str = "0.14") -> Manifest:
    made = Manifest(text, RELEASES[to])
    made.run()
    tomllib.loads(made.text)
    again = Manifest(made.text, RELEASES[to])
    again.run()
    assert again.text == made.text
    return made


def dependencies(text: str, to: str = "0.14") -> str:
    return manifest(f"[dependencies]\n{text}\n", to).text.removeprefix("[dependencies]\n").removesuffix("\n")


# ---------------------------------------------------------------- places in TOML


def test_every_entry_has_its_place() -> None:
    text = '''\
a.b = "x" # c
[t."q.r"]
list = [ "one", # first
  'two', ]
inline = { k = 1, "v" = { w = true } }
[[many]]
m = """x
"""
'''
    toml = read(text)
    assert [one.path for one in toml.entries] == [
        ("a", "b"),
        ("t", "q.r", "list"),
        ("t", "q.r", "inline"),
        ("t", "q.r", "inline", "k"),
        ("t", "q.r", "inline", "v"),
        ("t", "q.r", "inline", "v", "w"),
        ("many", "m"),
    ]
    listed = toml.find("t", "q.r", "list")
    assert listed is not None
    assert [text[slice(*one)] for one in listed.items] == ['"one"', "'two'"]
    assert [(one.path, one.array) for one in toml.headers] == [(("t", "q.r"), False), (("many",), True)]
    for cut in range(len(text)):
        read(text[:cut])


# ---------------------------------------------------------------- manifests


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('aya = "0.12" # why', 'aya = "0.14" # why'),
        ('aya = "0.14.0"', 'aya = "0.14.0"'),
        ('aya = { version = "0.13", features = ["async_tokio"] }', 'aya = "0.14"'),
        (
            'aya = { version = "0.13", optional = true, features = ["async_tokio", "x"] }',
            'aya = { version = "0.14", optional = true, features = ["x"] }',
        ),
        (
            'aya = { features = ["x", "async_std"], version = "0.13" }',
            'aya = { features = ["x"], version = "0.14" }',
        ),
        ('aya-bpf = { git = "https://github.com/aya-rs/aya", branch = "main" }', 'aya-ebpf = "0.2"'),
        (
            'aya-log-ebpf = { git = "https://github.com/aya-rs/aya.git", rev = "1", default-features = false }',
            'aya-log-ebpf = { version = "0.2", default-features = false }',
        ),
        ('aya-bpf.git = "https://github.com/aya-rs/aya"\naya-bpf.rev = "1"', 'aya-ebpf.version = "0.2"'),
        (
            'b = { package = "aya-bpf", git = "https://github.com/aya-rs/aya" }',
            'b = { package = "aya-ebpf", version = "0.2" }',
        ),
        ('aya = { workspace = true, features = ["async_tokio"] }', "aya = { workspace = true }"),
        ("aya.workspace = true", "aya.workspace = true"),
        ('serde = "1"', 'serde = "1"'),
    ],
)
def test_forms_of_dependencies(before: str, after: str) -> None:
    assert dependencies(before) == after


def test_tables_of_their_own_and_for_targets() -> None:
    made = manifest("""\
[target.'cfg(target_os = "linux")'.dependencies.aya-bpf]
git = "https://github.com/aya-rs/aya"
branch = "main"   # the newest
features = [
    "const_assert", # sizes
    "other",
]

[workspace.dependencies]
aya-log = "0.1"

[features]
default = ["aya/async_tokio"]
more = ["aya-bpf/const_assert", "dep:aya-bpf"]

[workspace.package]
rust-version = "1.70" # old
""")
    data = tomllib.loads(made.text)
    table = data["target"]['cfg(target_os = "linux")']["dependencies"]["aya-ebpf"]
    assert table == {"version": "0.2", "features": ["other"]}
    assert data["workspace"]["dependencies"] == {"aya-log": "0.3"}
    assert data["features"]["default"] == []
    assert data["features"]["more"] == ["dep:aya-ebpf"]
    assert data["workspace"]["package"] == {"rust-version": "1.87"}
    assert "# old" in made.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('aya = { path = "../aya" }', "folder beside"),
        ('aya = { git = "https://github.com/me/aya" }', "not Aya's own repository"),
        ('aya-bpf = { git = "https://github.com/aya-rs/aya" }\naya-ebpf = "0.1"', "both"),
    ],
)
def test_what_only_a_person_can_decide_stays(text: str, said: str) -> None:
    made = manifest(f"[dependencies]\n{text}\n")
    assert said in made.open[0][1]
    assert made.open[0][2]
    assert text.split("\n", maxsplit=1)[0] in made.text


def test_patches_with_the_repository_go_and_others_are_named() -> None:
    made = manifest("""\
[patch.crates-io]
aya = { git = "https://github.com/aya-rs/aya" }
aya-log = { path = "../aya-log" }
serde = { path = "../serde" }
""")
    assert set(tomllib.loads(made.text)["patch"]["crates-io"]) == {"aya-log", "serde"}
    assert [one[0] for one in made.open] == [3]


def test_every_release_is_one_set() -> None:
    from bpfsmith.source.versions import VersionRange, parse_version

    for release in RELEASES.values():
        for package, version in release.versions.items():
            wanted = VersionRange.required(release.required[package])
            number = parse_version(version)
            assert wanted is not None
            assert number is not None
            assert wanted.low <= number < wanted.high, (release.name, package)


# ---------------------------------------------------------------- whole projects


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "port-guard"
    shutil.copytree(FIXTURES / "port-guard", folder)
    monkeypatch.chdir(folder)
    return folder


def _git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@y")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_a_second_migration_changes_nothing(old: Path) -> None:
    report = bpfsmith.migrate(old, to="0.14")
    assert report.exit_code == 0
    assert report.since == "0.11"
    assert not report.decisions
    assert "port-guard-ebpf/src/main.rs" in report.files
    again = bpfsmith.migrate(old, to="0.14")
    assert not again.files
    assert not again.done
    assert again.since == "0.14"


def test_nothing_is_written_with_diff_and_check(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    assert main(["migrate", "--to", "0.14", "--diff"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("--- a/")
    assert "5 files would change" in said.err
    assert main(["migrate", "--to", "0.14", "--check", "--format", "json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["from"] == "0.11"
    assert data["written"] is False
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    done = subprocess.run(["git", "apply", "-"], input=data["diff"], text=True, cwd=old, check=False)
    assert done.returncode == 0
    assert not bpfsmith.migrate(old, to="0.14").files


def test_a_member_moves_with_its_whole_workspace(old: Path) -> None:
    report = bpfsmith.migrate(old / "port-guard" / "src", to="0.13", write=False)
    assert any("port-guard-common" in path for path in report.files)


def test_line_ends_stay(old: Path) -> None:
    for path in [*old.rglob("*.rs"), *old.rglob("*.toml")]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    report = bpfsmith.migrate(old, to="0.14")
    assert report.files
    for name in report.files:
        data = (old / name).read_bytes()
        assert data.count(b"\n") == data.count(b"\r\n"), name


def test_a_dirty_tree_is_refused(old: Path) -> None:
    _git(old, "init", "-q")
    _git(old, "add", "-A")
    _git(old, "commit", "-qm", "x")
    (old / "port-guard/src/new.rs").write_text("\n")
    with pytest.raises(InputError, match="not everything is committed") as error:
        bpfsmith.migrate(old, to="0.14")
    assert "--allow-dirty" in error.value.hint
    assert bpfsmith.migrate(old, to="0.14", write=False).files
    (old / "port-guard/src/new.rs").unlink()
    assert bpfsmith.migrate(old, to="0.13").written
    with pytest.raises(InputError, match="not everything is committed"):
        bpfsmith.migrate(old, to="0.14")
    assert bpfsmith.migrate(old, to="0.14", allow_dirty=True).files


@pytest.mark.parametrize("to", ["0.17", "banana", "0.11", ""])
def test_unknown_releases_are_named(old: Path, to: str) -> None:
    with pytest.raises(InputError, match="cannot migrate to") as error:
        bpfsmith.migrate(old, to=to)
    assert "0.1" in error.value.hint


def test_there_is_no_way_back(old: Path) -> None:
    bpfsmith.migrate(old, to="0.14")
    with pytest.raises(InputError, match=r"uses aya 0\.14 already"):
        bpfsmith.migrate(old, to="0.13")


def test_what_is_no_project_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Cargo workspace that uses Aya"):
        bpfsmith.migrate(tmp_path, to="0.14")
    with pytest.raises(InputError, match="no such folder"):
        bpfsmith.migrate(tmp_path / "nothing", to="0.14")


def test_a_program_without_tokio_reads_its_log_itself(old: Path) -> None:
    main_rs = old / "port-guard/src/main.rs"
    text = main_rs.read_text().replace("#[tokio::main]\nasync fn main", "fn main")
    main_rs.write_text(text)
    report = bpfsmith.migrate(old, to="0.14", write=False)
    assert [one.code for one in report.decisions] == ["AYA122"] or [one.code for one in report.decisions] == ["AYA121"]


def test_no_log_fits_aya_015(old: Path) -> None:
    report = bpfsmith.migrate(old, to="0.15", write=False)
    assert any("no release of aya-log fits" in one.message for one in report.decisions)
    assert report.exit_code == 1


def _all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_can_be_written_or_none_is(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _all(old)
    for name in ("port-guard/Cargo.toml", "port-guard-ebpf/src/main.rs"):
        (old / name).chmod(0o444)
    report = bpfsmith.migrate(old, to="0.14")
    assert report.exit_code == 2
    assert [error.where for error in report.errors] == ["port-guard/Cargo.toml", "port-guard-ebpf/src/main.rs"]
    assert all("chmod" in error.hint for error in report.errors)
    assert not report.files
    assert not report.done
    assert not report.written
    assert _all(old) == before
    assert main(["migrate", "--to", "0.14"]) == 2
    assert "nothing was changed" in capsys.readouterr().out


def test_what_needs_no_change_may_be_read_only(old: Path) -> None:
    (old / "Cargo.toml").chmod(0o444)
    (old / "xtask/Cargo.toml").chmod(0o444)
    assert bpfsmith.migrate(old, to="0.14").exit_code == 0


def test_a_write_that_fails_takes_the_others_back(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _all(old)

    def replace(path: str, real: str, old: bytes, new: bytes) -> None:
        if path.endswith("port-guard/src/main.rs"):
            raise InputError("not mended: no space left on device", where=path)
        replace_file(path, real, old, new)

    monkeypatch.setattr("bpfsmith.check.fix.replace_file", replace)
    report = bpfsmith.migrate(old, to="0.14")
    assert report.exit_code == 2
    assert [error.where for error in report.errors] == ["port-guard/src/main.rs"]
    assert _all(old) == before


def test_a_broken_manifest_is_refused_first(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (old / "port-guard/Cargo.toml").open("a") as file:
        file.write("x = [\n")
    before = _all(old)
    assert main(["migrate", "--to", "0.14"]) == 2
    said = capsys.readouterr().err
    assert "port-guard/Cargo.toml: not valid TOML" in said
    assert "bug" not in said
    assert _all(old) == before


@pytest.mark.parametrize("lock", [True, False])
def test_there_is_no_way_from_what_nobody_knows(old: Path, lock: bool) -> None:
    path = old / "port-guard/Cargo.toml"
    path.write_text(path.read_text().replace(">=0.11", "9.9"))
    common = old / "port-guard-common/Cargo.toml"
    common.write_text(common.read_text().replace(">=0.11", "9.9"))
    if lock:
        (old / "Cargo.lock").write_text(
            'version = 4\n\n[[package]]\nname = "aya"\nversion = "9.9.0"\n'
            'source = "registry+https://github.com/rust-lang/crates.io-index"\n'
        )
    with pytest.raises(InputError, match=r"aya 9\.9\.0\+?, newer than what is known here \(0\.16\)"):
        bpfsmith.migrate(old, to="0.14")


def test_cargo_updates_only_where_a_manifest_changed(old: Path) -> None:
    (old / "Cargo.lock").write_text("version = 4\n")
    assert "cargo update --workspace" in bpfsmith.migrate(old, to="0.14").commands
    with (old / "port-guard/src/main.rs").open("a") as file:
        file.write("fn more(_: &mut aya::Bpf) {}\n")
    again = bpfsmith.migrate(old, to="0.14")
    assert again.files == ("port-guard/src/main.rs",)
    assert again.commands == ("cargo check", "cd port-guard-ebpf && cargo check")


def test_what_reads_the_log_compiles_without_a_warning(old: Path) -> None:
    bpfsmith.migrate(old, to="0.14")
    lines = (old / "port-guard/src/main.rs").read_text().splitlines()
    at = next(at for at, line in enumerate(lines) if "AsyncFd" in line)
    assert lines[at - 1].strip().startswith("#[allow(deprecated)]")  # tokio 1.54


def test_a_program_is_not_renamed_twice(old: Path) -> None:
    kernel = old / "port-guard-ebpf/src/main.rs"
    kernel.write_text(kernel.read_text().replace('name = "port_guard"', 'name = "guard"'))
    user = old / "port-guard/src/main.rs"
    user.write_text(user.read_text().replace('program_mut("port_guard")', 'program_mut("guard")'))
    report = bpfsmith.migrate(old, to="0.14", write=False)
    assert [one.code for one in report.decisions] == ["AYA011"]
    assert "call the function `guard`" in report.decisions[0].advice
