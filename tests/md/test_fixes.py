"""What the fixes of source rules write: one run makes them, a second changes nothing, the rule has nothing more to say,
and (grouped into few crates) the compiler takes the result of every safe one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import crates  # noqa: E402
import project  # noqa: E402
from harness import Case, cases  # noqa: E402

import bpfsmith  # noqa: E402
from bpfsmith.check.fix import SAFE, UNSAFE, fix_for  # noqa: E402

BAD = [case for page in sorted((HERE / "source").glob("*.md")) for case in cases(page) if case.kind == "bad"]


def _mend(case: Case, folder: Path, *, unsafe: bool) -> bpfsmith.Report:
    project.write(folder, case.files, case.options)
    return bpfsmith.check(".", kernels=case.options.get("kernels"), select=case.code, fix=True, unsafe_fixes=unsafe)


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.id)
def test_fixes_mend_what_was_found(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project.write(tmp_path, case.files, case.options)
    before = bpfsmith.check(".", kernels=case.options.get("kernels"), select=case.code)
    without = sum(fix_for(one, UNSAFE) is None for one in before.findings)
    for unsafe in (False, True):
        report = _mend(case, tmp_path, unsafe=unsafe)
        assert not report.errors, [str(error) for error in report.errors]
        left = [one for one in report.findings if fix_for(one, UNSAFE if unsafe else SAFE) is not None]
        assert not left, "\n".join(f"{one.span}: {one.message}" for one in left)
        after = _tree(tmp_path)
        again = bpfsmith.check(
            ".", kernels=case.options.get("kernels"), select=case.code, fix=True, unsafe_fixes=unsafe
        )
        assert again.mended is not None
        assert not again.mended.files
        assert _tree(tmp_path) == after
        if unsafe:
            said = "\n".join(f"{one.span}: {one.message}" for one in report.findings)
            assert len(report.findings) <= without, said


# ---------------------------------------------------------------- the compiler's word


def _mended(folder: Path) -> Iterator[Case]:
    """The bad cases as their safe fixes leave them; those that still have something of the rule are left out."""
    for case in BAD:
        if case.options.get("compile") == "no":
            continue
        place = folder / case.id
        place.mkdir(parents=True)
        os.chdir(place)
        report = _mend(case, place, unsafe=False)
        if report.mended is None or not report.mended.files or report.findings:
            continue
        if any(one.endswith((".toml", ".lock")) for one in report.mended.files):
            continue  # these crates have manifests of their own
        options = {name: value for name, value in case.options.items() if name != "fails"}
        made = Case(case.file, case.line, "mended", case.language, options)
        made.files = {path: (place / path).read_text(encoding="utf-8") for path in case.files}
        yield made


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    before = Path.cwd()
    try:
        return list(_mended(tmp_path_factory.mktemp("mended")))
    finally:
        os.chdir(before)


def _folder(side: str) -> Path:
    from shell import CACHE

    return CACHE / "build" / f"mended-{side}"


def _target() -> str:
    from shell import CACHE

    return str(CACHE / "build/md-target")  # the releases of Aya are compiled there already


@pytest.mark.toolchain("rust")
def test_mended_user_side_compiles(mended: list[Case]) -> None:
    import rust

    compiler = rust.for_host()
    env = {**os.environ, **compiler.env, "CARGO_TARGET_DIR": _target()}
    found = crates.check(_folder("user"), "user", crates.blocks(mended), [str(compiler.cargo)], env)
    assert not found, "\n".join(found)


@pytest.mark.toolchain("rust")
def test_mended_kernel_side_compiles(mended: list[Case]) -> None:
    import bpf_toolchain

    own = bpf_toolchain.env()
    env = {**os.environ, **own, "CARGO_TARGET_DIR": _target(), "CARGO_BUILD_TARGET": "bpfel-unknown-none"}
    found = crates.check(_folder("ebpf"), "ebpf", crates.blocks(mended), [own["CARGO"]], env)
    assert not found, "\n".join(found)


@pytest.mark.full
@pytest.mark.toolchain("rust")
def test_mended_user_side_of_new_releases_compiles(mended: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    import new_rust
    import rust

    new_rust.install()
    monkeypatch.setattr(crates, "TOO_NEW", ())
    monkeypatch.setattr(crates, "_USER", crates.NEW_USER)
    env = {**os.environ, **new_rust.env(), "CARGO_TARGET_DIR": _target() + "-new"}
    new = [one for one in crates.blocks(mended) if one.version in crates.NEW_USER and one.side == "user"]
    found = crates.check(_folder("new"), "user", new, [str(rust.for_host().cargo)], env)
    assert not found, "\n".join(found)
