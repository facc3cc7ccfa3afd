"""Cargo projects: crates and roles, lock files, versions, built objects, build commands. Nothing is run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bpfsmith.model.errors import InputError
from bpfsmith.source.build import build_command
from bpfsmith.source.cargo import read_toml, toolchain
from bpfsmith.source.names import resolve
from bpfsmith.source.project import find_project
from bpfsmith.source.versions import VersionRange

REGISTRY = 'source = "registry+https://github.com/rust-lang/crates.io-index"\n'
BPF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\x00\xf7\x00" + bytes(44)
HOST = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00" + bytes(44)


def put(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def package(name: str, dependencies: str = "", more: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n{more}\n[dependencies]\n{dependencies}'


KERNEL = "#![no_std]\n#![no_main]\nmod maps;\n"


@pytest.fixture(autouse=True)
def _no_target_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return put(
        tmp_path,
        {
            "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\n[workspace.dependencies]\naya = "0.14"\n'
            'shared = { path = "crates/shared" }\n',
            "Cargo.lock": f'version = 4\n[[package]]\nname = "aya"\nversion = "0.14.0"\n{REGISTRY}'
            f'[[package]]\nname = "aya-ebpf"\nversion = "0.2.1"\n{REGISTRY}'
            '[[package]]\nname = "agent"\nversion = "0.1.0"\ndependencies = ["aya"]\n'
            '[[package]]\nname = "probes"\nversion = "0.1.0"\ndependencies = ["aya-ebpf"]\n',
            "crates/agent/Cargo.toml": package(
                "agent", 'aya.workspace = true\nshared = { workspace = true, features = ["user"] }\n'
            ),
            "crates/agent/src/main.rs": "mod net;\nfn main() {}\n",
            "crates/agent/src/net.rs": "mod tcp;\nuse super::*;\n",
            "crates/agent/src/net/tcp.rs": "",
            "crates/agent/src/orphan.rs": "fn never_compiled() {}",
            "crates/agent/src/bin/tool.rs": "fn main() {}",
            "crates/probes/Cargo.toml": package(
                "probes", 'ebpf = { package = "aya-ebpf", version = "0.2" }\nshared = { path = "../shared" }\n'
            ),
            "crates/probes/src/main.rs": KERNEL,
            "crates/probes/src/maps.rs": "use ebpf::maps::HashMap;\n",
            "crates/shared/Cargo.toml": package("shared", "aya = { workspace = true, optional = true }\n"),
            "crates/shared/src/lib.rs": "#![no_std]\n",
            "target/ignored/Cargo.toml": "not toml at all [",
            ".hidden/Cargo.toml": "not toml either [",
        },
    )


def test_roles_files_and_versions(workspace: Path) -> None:
    project = find_project(str(workspace))
    assert project is not None
    assert project.root == str(workspace)
    crates = {crate.name: crate for crate in project.crates}
    assert {name: crate.role for name, crate in crates.items()} == {
        "agent": "user",
        "probes": "kernel",
        "shared": "common",
    }
    names = {os.path.relpath(file.path, workspace): file.module for file in crates["agent"].files}
    assert names == {
        "crates/agent/src/main.rs": (),
        "crates/agent/src/bin/tool.rs": (),
        "crates/agent/src/net.rs": ("net",),
        "crates/agent/src/net/tcp.rs": ("net", "tcp"),
    }
    assert project.lock == {"aya": ["0.14.0"], "aya-ebpf": ["0.2.1"]}
    assert crates["agent"].at_least("aya", "0.14.0")
    assert not crates["agent"].at_least("aya", "0.15")
    assert crates["agent"].below("aya", "0.15")
    maps = next(file for file in crates["probes"].files if file.module == ("maps",))
    assert resolve(maps, "HashMap") == "aya_ebpf::maps::HashMap"  # the dependency is renamed
    assert crates["agent"].dependency("shared").features == ["user"]


def test_one_crate_of_the_workspace(workspace: Path) -> None:
    project = find_project(str(workspace / "crates" / "probes" / "src" / "main.rs"))
    assert project is not None
    assert [crate.name for crate in project.crates] == ["probes"]
    assert len(project.all_crates) == 3
    assert project.root == str(workspace)


def test_nothing_to_do_with_aya(tmp_path: Path) -> None:
    put(tmp_path, {"Cargo.toml": package("plain", 'serde = "1"\n'), "src/main.rs": "fn main() {}"})
    assert find_project(str(tmp_path)) is None
    assert find_project(str(tmp_path / "src")) is None
    (tmp_path / "empty").mkdir()


def test_kernel_crate_in_its_own_workspace(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "Cargo.toml": '[workspace]\nmembers = ["app", "xtask"]\n',
            ".cargo/config.toml": '[alias]\nxtask = "run --package xtask --"\n',
            "app/Cargo.toml": package("app", 'aya = "0.12"\n'),
            "app/src/main.rs": "fn main() {}",
            "xtask/Cargo.toml": package("xtask"),
            "xtask/src/main.rs": "fn main() {}",
            "app-ebpf/Cargo.toml": package("app-ebpf", 'aya-ebpf = "0.1"\n')
            + '[[bin]]\nname = "app"\npath = "src/main.rs"\n[workspace]\n',
            "app-ebpf/src/main.rs": KERNEL,
            "app-ebpf/rust-toolchain.toml": '[toolchain]\nchannel = "nightly"\n',
        },
    )
    project = find_project(str(tmp_path))
    assert project is not None
    assert {crate.name: crate.role for crate in project.crates} == {
        "app": "user",
        "xtask": "other",
        "app-ebpf": "kernel",
    }
    assert build_command(project) == "cargo xtask build-ebpf --release"
    assert toolchain(str(tmp_path / "app-ebpf")) == "nightly"
    (tmp_path / ".cargo" / "config.toml").write_text('[build]\ntarget-dir = "out"\n')
    assert project.build_hint == "cd app-ebpf && cargo build --release --target bpfel-unknown-none -Z build-std=core"
    (tmp_path / "app-ebpf" / "rust-toolchain.toml").unlink()
    assert build_command(project).startswith("cd app-ebpf && cargo +nightly build --release ")


def built(path: Path, data: bytes, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    stamp = path.stat().st_mtime - age
    os.utime(path, (stamp, stamp))
    return path


def test_built_objects_in_both_layouts(workspace: Path) -> None:
    for source in workspace.rglob("*.*"):
        os.utime(source, (1_000_000_000, 1_000_000_000))
    old = built(workspace / "target/bpfel-unknown-none/release/probes", BPF, 100)
    new = built(workspace / "target/debug/build/agent-0123456789abcdef/out/probes", BPF, 10)
    built(workspace / "target/debug/probes", HOST, 0)
    built(workspace / "target/bpfel-unknown-none/release/deps/probes-1234", BPF, 0)
    built(workspace / "target/bpfel-unknown-none/release/probes.d", b"probes: main.rs", 0)
    built(workspace / "target/debug/build/agent-0123456789abcdef/out/unrelated", BPF, 0)
    project = find_project(str(workspace))
    assert project is not None
    assert [(one.path, one.others, one.stale) for one in project.objects] == [(str(new), [str(old)], False)]
    (workspace / "crates/shared/src/lib.rs").write_text("#![no_std]\n// changed\n")
    again = find_project(str(workspace))
    assert again is not None
    assert again.objects[0].stale
    assert again.objects[0].newer_source == str(workspace / "crates/shared/src/lib.rs")


def test_target_dir_from_environment_and_configuration(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = built(
        workspace / "out/bpfeb-unknown-none/debug/probes",
        BPF[:5] + b"\x02" + BPF[6:16] + b"\x00\x01\x00\xf7" + bytes(44),
        0,
    )
    put(workspace, {".cargo/config.toml": '[build]\ntarget-dir = "out"\n'})
    project = find_project(str(workspace))
    assert project is not None
    assert [one.path for one in project.objects] == [str(elsewhere)]
    other = built(workspace / "env/x86_64-unknown-linux-gnu/release/build/agent-1/out/probes", BPF, 0)
    monkeypatch.setenv("CARGO_TARGET_DIR", str(workspace / "env"))
    project.forget_objects()
    assert [one.path for one in project.objects] == [str(other)]


def test_aya_build_is_recognised(workspace: Path) -> None:
    manifest = workspace / "crates/agent/Cargo.toml"
    manifest.write_text(manifest.read_text() + '[build-dependencies]\naya-build = "0.1"\n')
    (workspace / "crates/agent/build.rs").write_text("fn main() {}")
    project = find_project(str(workspace))
    assert project is not None
    assert project.build_hint == "cargo build"
    assert project.objects == []


def test_broken_manifest_names_the_line(workspace: Path) -> None:
    (workspace / "crates/agent/Cargo.toml").write_text('[package]\nname = "agent"\nversion = \n')
    project = find_project(str(workspace))
    assert project is not None
    assert [error.where.rpartition("/crates/")[2] for error in project.problems] == ["agent/Cargo.toml:3"]
    assert {crate.name for crate in project.crates} == {"agent", "probes", "shared"}


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 5000, b"a = 1\na = 2\n", b""])
def test_toml_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "Cargo.toml"
    path.write_bytes(data)
    try:
        assert read_toml(str(path)) == {}
    except InputError as error:
        assert "Cargo.toml" in error.where


def test_odd_manifests_do_not_fail(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "Cargo.toml": '[package]\nname = 3\nedition = { workspace = true }\nbuild = ["a"]\n'
            "[dependencies]\naya = 5\n"
            'aya-ebpf = { version = 1, path = 2, features = "x" }\n[lib]\npath = 7\n[[bin]]\n[features]\n',
            "src/main.rs": "fn main() {}",
            "Cargo.lock": "version = 4\npackage = [1, { name = 2 }]\n",
        },
    )
    project = find_project(str(tmp_path))
    assert project is not None
    assert project.crates[0].version("aya") is None


def test_links_are_not_followed_and_unreadable_files_are_left_out(workspace: Path) -> None:
    (workspace / "crates" / "loop").symlink_to(workspace)
    (workspace / "crates/agent/src/net.rs").unlink()
    (workspace / "crates/agent/src/net.rs").mkdir()
    project = find_project(str(workspace))
    assert project is not None
    assert len(project.crates) == 3


def test_workspace_members_are_those_of_cargo(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "Cargo.toml": '[workspace]\nmembers = ["./app", "crates/*"]\nexclude = ["crates/left"]\n'
            '[workspace.package]\nedition = "2024"\nrust-version = "1.87"\n'
            '[workspace.dependencies]\naya = { version = "0.14", features = ["a"] }\n[patch.crates-io]\n'
            'aya-log = { git = "https://example.org/x", tag = "aya-log-v0.3.0" }\n'
            "[profile.release]\nopt-level = 3\n[profile.release.package.probes]\ndebug = 2\n"
            '[profile.small]\ninherits = "release"\nopt-level = "z"\n',
            "app/Cargo.toml": '[package]\nname = "app"\nedition.workspace = true\nrust-version.workspace = true\n'
            '[dependencies]\naya = { workspace = true, features = ["b"], optional = true }\naya-log = "0.2"\n'
            '[target."cfg(unix)".dependencies]\nprobes = { path = "../probes" }\n',
            "app/src/main.rs": "fn main() {}",
            "probes/Cargo.toml": package("probes", 'aya-ebpf = "0.2"\n'),
            "probes/src/main.rs": KERNEL,
            "crates/left/Cargo.toml": package("left"),
            "crates/in/Cargo.toml": package("inside"),
            "crates/in/deep/Cargo.toml": package("deep"),
        },
    )
    project = find_project(str(tmp_path))
    assert project is not None
    home = {crate.name: os.path.relpath(crate.workspace, tmp_path) for crate in project.crates}
    assert home == {"app": ".", "probes": ".", "inside": ".", "left": "crates/left", "deep": "crates/in/deep"}
    crates = {crate.name: crate for crate in project.crates}
    assert (crates["app"].edition, crates["app"].rust_version) == (2024, "1.87")
    aya = crates["app"].dependency("aya")
    assert aya is not None
    assert (aya.features, aya.optional, aya.inherited) == (["a", "b"], True, True)
    assert crates["app"].dependency("probes").target == "cfg(unix)"
    assert str(crates["app"].version("aya-log")) == "0.3.0"  # as patched
    assert crates["probes"].profile("small") == {
        "inherits": "release", "opt-level": "z", "debug": 2
    }  # fmt: skip
    project.target = {"aya": "0.16.0"}
    assert crates["app"].at_least("aya", "0.16.0")
    assert crates["app"].version("aya-build") is None


def test_two_locked_versions_are_told_apart_by_the_requirement(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "Cargo.toml": package("app", 'aya = "0.13"\nnew = { package = "aya-log", version = "0.3" }\n'),
            "src/main.rs": "fn main() {}",
            "Cargo.lock": "version = 3\n\n"
            + "".join(f'[[package]]\nname = "aya"\nversion = "{one}"\n{REGISTRY}\n' for one in ("0.13.1", "0.14.0"))
            + '[[package]]\nname = "app"\nversion = "0.1.0"\ndependencies = [\n "aya 0.13.1",\n "aya 0.14.0",\n]\n',
        },
    )
    project = find_project(str(tmp_path))
    assert project is not None
    assert str(project.crates[0].version("aya")) == "0.13.1"


def _locked_to(tmp_path: Path, dependency: str, source: str) -> VersionRange | None:
    lock = f'source = "{source}"\n' if source else ""
    put(
        tmp_path,
        {
            "Cargo.toml": package("app", f"aya = {dependency}\n"),
            "src/main.rs": "fn main() {}",
            "Cargo.lock": f'version = 4\n[[package]]\nname = "aya"\nversion = "0.13.1"\n{lock}'
            '[[package]]\nname = "app"\nversion = "0.1.0"\ndependencies = ["aya"]\n',
        },
    )
    project = find_project(str(tmp_path))
    assert project is not None
    assert project.lock == {"aya": ["0.13.1"]}
    return project.crates[0].version("aya")


def test_a_locked_git_checkout_lies_between_its_release_and_the_next(tmp_path: Path) -> None:
    aya = "https://github.com/aya-rs/aya"
    known = _locked_to(tmp_path, f'{{ git = "{aya}" }}', f"git+{aya}?branch=main#abc")
    assert known is not None
    assert known.at_least("0.13.1")
    assert not known.at_least("0.13.2")
    assert not known.below("0.14.0")
    assert known.below("0.15")


def test_a_tag_names_the_release(tmp_path: Path) -> None:
    aya = "https://github.com/aya-rs/aya"
    known = _locked_to(tmp_path, f'{{ git = "{aya}", tag = "aya-v0.13.1" }}', f"git+{aya}?tag=aya-v0.13.1#abc")
    assert known is not None
    assert known.exact
    assert known.below("0.13.2")


def test_path_dependencies_have_no_version(tmp_path: Path) -> None:
    assert _locked_to(tmp_path, '{ path = "../aya" }', "") is None


def test_without_a_lock_a_git_dependency_has_only_its_tag(tmp_path: Path) -> None:
    aya = "https://github.com/aya-rs/aya"
    put(
        tmp_path,
        {
            "Cargo.toml": package(
                "app", f'aya = {{ git = "{aya}" }}\naya-log = {{ git = "{aya}", tag = "aya-log-v0.2.1" }}\n'
            ),
            "src/main.rs": "fn main() {}",
        },
    )
    project = find_project(str(tmp_path))
    assert project is not None
    assert project.crates[0].version("aya") is None
    assert project.crates[0].at_least("aya-log", "0.2.1")


@pytest.mark.parametrize(
    ("requirement", "at_least", "below", "not_at_least", "not_below"),
    [
        ("0.14", "0.14.0", "0.15", "0.14.1", "0.14.9"),
        ("^0.13.1", "0.13.1", "0.14", "0.13.2", "0.13.2"),
        ("=0.13.2", "0.13.2", "0.13.3", "0.14", "0.13.2"),
        (">=0.13, <0.15", "0.13", "0.15", "0.14", "0.14"),
        ("~0.13.1", "0.13.1", "0.14", "0.13.2", "0.13.2"),
        ("0.13.*", "0.13", "0.14", "0.13.1", "0.13.9"),
        ("1", "1.0", "2.0", "1.1", "1.9"),
        ("*", "0", "", "0.0.1", "99"),
    ],
)
def test_requirements(requirement: str, at_least: str, below: str, not_at_least: str, not_below: str) -> None:
    known = VersionRange.required(requirement)
    if known is None:
        assert requirement == "*"
        return
    assert known.at_least(at_least)
    assert known.below(below)
    assert not known.at_least(not_at_least)
    assert not known.below(not_below)


def test_exact_versions() -> None:
    known = VersionRange.of("0.13.2")
    assert known is not None
    assert known.at_least("0.13.2")
    assert known.below("0.13.3")
    assert not known.below("0.13.2")
    assert VersionRange.of("main") is None
    assert VersionRange.required(">1 <2") is None
