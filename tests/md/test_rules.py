"""Every rule's Markdown file: bad blocks are found exactly, good and fine ones yield nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import compiler  # noqa: E402
import project  # noqa: E402
from harness import KINDS, Case, cases, problems  # noqa: E402

import bpfsmith  # noqa: E402
from bpfsmith import rules  # noqa: E402
from bpfsmith.rules import _kernel_types  # noqa: E402

FILES = sorted(path for path in [*HERE.glob("*.md"), *HERE.glob("source/*.md")] if path.name != "README.md")
CASES = [case for file in FILES for case in cases(file)]
C_CASES = [case for case in CASES if case.language == "c"]
OBJECT_CASES = [case for case in CASES if case.language == "rust-object"]
RUST_CASES = [case for case in CASES if case.language == "rust"]


def _check(case: Case, path: str, folder: Path) -> None:
    report = bpfsmith.check(
        path,
        kernels=case.options.get("kernels"),
        loaders=case.options["loaders"].split(",") if "loaders" in case.options else None,
        btf=[_btf(one, folder) for one in case.options["btf"].split(",")] if "btf" in case.options else None,
        config=_empty_config(folder),
    )
    assert not report.errors, [str(error) for error in report.errors]
    found = problems(case, report.to_json()["findings"])
    assert not found, f"{case.file.name}:{case.line} ({case.kind}):\n  " + "\n  ".join(found)


def _empty_config(folder: Path) -> str:
    path = folder / "bpfsmith.toml"
    path.touch()
    return str(path)


def _btf(series: str, folder: Path) -> str:
    """The types of a kernel: those of the corpus, else of a kernel of the lab."""
    import os

    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    found = sorted((Path(home) / "bpfsmith" / "corpus").glob(f"*/btf/{series}.btf"))
    if found:
        return str(found[-1])
    from bpfsmith.lab import store

    prepared = [one for one in store.all() if one.series == series and one.arch == "x86_64" and one.has_btf]
    if not prepared:
        if os.environ.get("BPFSMITH_MD_BTF") == "required":
            pytest.fail(f"there are no types of {series}, which are required here")
        pytest.skip(f"no types of {series}: run `./dev setup`, or `bpfsmith lab get {series}`")
    path = folder / f"{series}.btf"
    path.write_bytes(prepared[-1].btf_bytes())
    return str(path)


@pytest.fixture(autouse=True)
def _own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the kernels that a block names count, not those of this machine."""
    monkeypatch.setattr(_kernel_types, "RUNNING", "/nonexistent")
    monkeypatch.setattr(_kernel_types, "_of_lab", lambda _series: [])


@pytest.mark.toolchain
@pytest.mark.parametrize("case", C_CASES, ids=lambda case: case.id)
def test_c(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiler.pick(case) is None:
        pytest.skip(f"no clang {case.options.get('clang', '')} with the BPF back end: `apt-get install clang`")
    monkeypatch.chdir(tmp_path)
    compiler.compile_case(case, tmp_path)
    _check(case, "block.o", tmp_path)


@pytest.mark.toolchain("rust")
@pytest.mark.parametrize("case", OBJECT_CASES, ids=lambda case: case.id)
def test_rust_object(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compiler.compile_rust_case(case, tmp_path)
    _check(case, "block.o", tmp_path)


@pytest.mark.parametrize("case", RUST_CASES, ids=lambda case: case.id)
def test_rust(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(tmp_path, case.files, case.options)
    monkeypatch.chdir(tmp_path)
    _check(case, ".", tmp_path)


def test_each_rule_has_its_file_with_all_kinds() -> None:
    by_code = {file.stem: file for file in FILES}
    missing = []
    for entry in rules.listing():
        if entry.rule.group == "engine":
            continue
        kinds = {case.kind for case in CASES if case.code == entry.code}
        missing.extend(f"tests/md: {entry.code} has no `{kind}` block" for kind in KINDS if kind not in kinds)
    codes = {entry.code for entry in rules.listing()}
    missing.extend(f"{file.name} belongs to no rule" for code, file in by_code.items() if code not in codes)
    assert not missing, "\n".join(missing)


def test_titles_name_the_rule() -> None:
    for file in FILES:
        entry = rules.find(file.stem)
        if entry is not None:
            assert file.read_text(encoding="utf-8").splitlines()[0] == f"# {entry.code} {entry.name}", file.name
