"""The example workspaces: really built, checked by the installed command, and the good one run with real packets."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import bpfsmith

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
GOOD, BROKEN = "packet-counter", "packet-counter-broken"
ROW = re.compile(r"^\|.*\| (?P<code>[A-Z]{3}\d{3}) \| (?P<seen>source|object) \|$", re.MULTILINE)


class Built(NamedTuple):
    """One example after its build: its target folder as cargo would leave it, the object and the command."""

    target_dir: Path
    object: Path
    command: Path


def _build(name: str, to: Path) -> Built:
    import examples

    made = examples.kernel_side(EXAMPLES / name, to)
    return Built(to, made, examples.user_side(EXAMPLES / name, made, to))


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return _build(GOOD, tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return _build(BROKEN, tmp_path_factory.mktemp("broken"))


def prebuilt(name: str) -> Path:
    return EXAMPLES / name / "prebuilt/packet-counter.bpf.o"


# Names that are alike in the kernel: OBJ018 says it instead once the project is built.
ALONE = {"AYA067"}


def table() -> dict[str, str]:
    """Code -> where it is seen, as the broken twin's README has it."""
    return {row["code"]: row["seen"] for row in ROW.finditer((EXAMPLES / BROKEN / "README.md").read_text())}


def _codes(stdout: str) -> set[str]:
    return {finding["code"] for finding in json.loads(stdout)["findings"]}


# ------------------------------------------------------------ without a toolchain


def test_the_table_has_about_a_dozen_half_and_half() -> None:
    rows = [row["seen"] for row in ROW.finditer((EXAMPLES / BROKEN / "README.md").read_text())]
    assert len(rows) >= 12
    assert Counter(rows)["object"] >= 5
    assert Counter(rows)["source"] >= 5


def test_committed_objects_show_the_mistakes(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    own = {"CARGO_TARGET_DIR": str(tmp_path / "nothing built")}
    for words, wanted in (
        ([f"examples/{BROKEN}"], {code for code, seen in table().items() if seen == "source"} | ALONE),
        ([f"examples/{BROKEN}", prebuilt(BROKEN)], set(table()) | ALONE),
        ([f"examples/{GOOD}"], set()),
        ([f"examples/{GOOD}", prebuilt(GOOD)], set()),
    ):
        ran = run_cli("check", *words, "--format", "json", cwd=ROOT, env=own)
        assert _codes(ran.stdout) == wanted, words
        assert ran.code == (1 if wanted else 0)
        assert not ran.stderr


def test_findings_in_committed_objects_point_into_the_sources(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    ran = run_cli("check", prebuilt(BROKEN), "--format", "json", cwd=tmp_path)
    lines = {
        finding["code"]: Path(finding["path"]).read_text().splitlines()[finding["line"] - 1]
        for finding in json.loads(ran.stdout)["findings"]
        if finding["line"]
    }
    assert "bpf_get_socket_cookie(" in lines["OBJ001"]
    assert "bpf_printk!(" in lines["OBJ002"]


def test_committed_objects_are_small_and_name_no_machine() -> None:
    import examples
    import prebuilt as maker

    for side in examples.OBJECTS:
        content = maker.where(side).read_bytes()
        assert len(content) < maker.LIMIT, side
        assert maker.traces(content) == [], side


def test_the_toolbox_is_clean(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    """Sources and committed objects, and every crate has its object, its README and its user side."""
    import examples

    folder = EXAMPLES / "toolbox"
    crates = sorted(path.parent.name for path in folder.glob("*/Cargo.toml"))
    assert crates == sorted(examples.TOOLBOX)
    assert sorted(path.name.split(".")[0] for path in folder.glob("prebuilt/*.o")) == crates
    for crate in crates:
        assert (folder / crate / "README.md").exists()
        assert (folder / crate / f"{crate.replace('-', '_')}.py").exists()
    own = {"CARGO_TARGET_DIR": str(tmp_path / "nothing built")}
    objects = [folder / "prebuilt" / f"{crate}.bpf.o" for crate in crates]
    for words in ([folder], objects):
        ran = run_cli("check", *words, "--format", "json", cwd=ROOT, env=own)
        assert json.loads(ran.stdout)["findings"] == []
        assert ran.code == 0


# ------------------------------------------------------------ with one


@pytest.mark.toolchain("rust")
def test_the_good_example_is_clean(good: Built, run_cli: Callable[..., Any]) -> None:
    own = {"CARGO_TARGET_DIR": str(good.target_dir)}
    ran = run_cli("check", f"examples/{GOOD}", "--format", "json", cwd=ROOT, env=own)
    assert json.loads(ran.stdout)["findings"] == []
    assert ran.code == 0
    text = run_cli("check", f"examples/{GOOD}", cwd=ROOT, env=own)
    assert "packet_filter: loads from 5.8" in text.stdout, "the built object was not found"


@pytest.mark.toolchain("rust")
def test_each_mistake_of_the_broken_twin_is_named(broken: Built, run_cli: Callable[..., Any]) -> None:
    own = {"CARGO_TARGET_DIR": str(broken.target_dir)}
    ran = run_cli("check", f"examples/{BROKEN}", "--format", "json", cwd=ROOT, env=own)
    assert _codes(ran.stdout) == set(table())
    assert ran.code == 1


@pytest.mark.toolchain("rust")
@pytest.mark.parametrize("name", [GOOD, BROKEN])
def test_committed_objects_equal_fresh_ones(name: str, request: pytest.FixtureRequest) -> None:
    built: Built = request.getfixturevalue("good" if name == GOOD else "broken")
    _same(built.object, prebuilt(name))


@pytest.mark.toolchain("rust")
def test_committed_objects_of_the_toolbox_equal_fresh_ones(tmp_path: Path) -> None:
    import examples
    import prebuilt as maker

    for side in examples.OBJECTS:
        if side.workspace == "toolbox":
            built = examples.kernel_side(EXAMPLES / side.workspace, tmp_path, side.package, side.program)
            _same(built, maker.where(side))


def _same(built: Path, committed: Path) -> None:
    fresh, kept = (bpfsmith.inspect(str(path)).to_json()["objects"][0] for path in (built, committed))
    assert kept["license"] == fresh["license"]
    for field in ("name", "type", "key_size", "value_size", "max_entries", "origin"):
        assert sorted(str(row[field]) for row in kept["maps"]) == sorted(str(row[field]) for row in fresh["maps"])
    # Another compiler lays out other code; the same one must make the same.
    fields = ["name", "section", "type", "helpers"]
    if _compilers(built) == _compilers(committed):
        fields += ["instructions", "stack", "fingerprint"]
    for field in fields:
        assert [row[field] for row in kept["programs"]] == [row[field] for row in fresh["programs"]], (
            f"{field} of {committed.name} differs: run `python3 tools/dev/prebuilt.py`"
        )


def _compilers(path: Path) -> set[bytes]:
    return set(re.findall(rb"rustc version [^\0]*", path.read_bytes()))


@pytest.mark.toolchain("rust")
@pytest.mark.usefixtures("good")  # Aya is compiled by then, so that the command has only its own crate to build
def test_check_builds_when_asked(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    import bpf_toolchain
    import examples

    copy = tmp_path / "copy"
    shutil.copytree(EXAMPLES / GOOD, copy, ignore=shutil.ignore_patterns("target", "prebuilt"))
    # Cargo would take a package of the same name and version for the one it built from the original.
    for path in [*copy.glob("*/Cargo.toml"), copy / "Cargo.lock"]:
        path.write_text(path.read_text().replace('version = "0.1.0"', 'version = "0.1.0-copy"'))
    (copy / "packet-counter-ebpf/src/main.rs").touch()  # copies of earlier runs were built into the same folder
    env = {"CARGO_TARGET_DIR": str(examples.SHARED), "PATH": bpf_toolchain.env()["PATH"]}
    with examples.locked():
        ran = run_cli("check", ".", "--build", "--format", "json", cwd=copy, env=env)
    assert ran.code == 0, ran.stderr
    assert json.loads(ran.stdout)["findings"] == []
    built = examples.SHARED / examples.TARGET / "release" / examples.PROGRAM
    assert str(copy).encode() in built.read_bytes(), "nothing was built"
