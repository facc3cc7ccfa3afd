"""`./dev test`: everything that must hold, against the installed wheel; and `./dev check`, its quick part."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import apt
import bpf_toolchain
import installed
import lab_kernels
import rust
from shell import BIN, CACHE, ROOT, Failed, Missing, Timer, capture, environment, relative, run, say

# Type checking covers the package, and the programs of this folder each by itself.
LINTED = ("src", "tests", "tools", "bench", "examples")
OLDEST_CLANG, CLANGS = 14, 3
API_TESTS = ("tests/unit/test_floors.py", "tests/unit/test_snapshots.py")


def lint() -> None:
    """Formats, lints and types of Python and Rust; the floors; the public surface."""
    rust_lint()
    python_lint()
    pytest(["-q", *(name for name in API_TESTS if (ROOT / name).exists())])


def rust_lint() -> None:
    """rustfmt and clippy, nothing tolerated."""
    compiler = rust.for_host()
    if not shutil.which("cargo-clippy", path=_path(compiler)) or not shutil.which("cargo-fmt", path=_path(compiler)):
        _lints_from_debian(compiler)
    cargo(compiler, "fmt", "--all", "--check")
    cargo(compiler, "clippy", "--workspace", "--all-targets", "--quiet", "--locked", "--", "-D", "warnings")


def _path(compiler: rust.Rust) -> str:
    return os.pathsep.join([str(compiler.cargo.parent), os.environ.get("PATH", os.defpath)])


def _lints_from_debian(compiler: rust.Rust) -> None:
    what = f"no `cargo fmt` and `cargo clippy` for {compiler.rustc}"
    if compiler.rustc.parent != Path("/usr/bin"):
        raise Missing(what, "rustup component add rustfmt clippy")
    web = apt.installed("rustc-web")
    apt.install(["rustfmt-web", "rust-web-clippy"] if web else ["rustfmt", "rust-clippy"], what)


def cargo(compiler: rust.Rust, *words: str) -> None:
    """One cargo command with the chosen compiler, in this checkout's `target/` or the caller's CARGO_TARGET_DIR."""
    installed.make()  # the bindings ask the Python in `.venv` what it is
    own = {name: value for name, value in compiler.env.items() if name != "CARGO"}
    run([compiler.cargo, *words], env=own, path=[compiler.cargo.parent])


def python_lint() -> None:
    """ruff and mypy."""
    installed.make()
    installed.require("dev")
    folders = [name for name in LINTED if (ROOT / name).exists()]
    run([BIN / "ruff", "check", "--quiet", *folders])
    run([BIN / "ruff", "format", "--check", "--quiet", *folders])
    run([BIN / "mypy"])
    for program in ("tools/dev/main.py", "tools/dev/precision.py", "tests/corpus/build_corpus.py"):
        folder = str((ROOT / program).parent)
        run([BIN / "mypy", program], env={"MYPYPATH": folder})


def toolchains() -> list[str]:
    """Gets what tests build with; what cannot be had here is returned as sentences, and its tests will be skipped."""
    lacking: list[str] = []
    for step in (_clangs, _tools, _browser, bpf_toolchain.install):
        try:
            step()
        except Missing as error:
            lacking.append(str(error))
    return lacking


def _clangs() -> None:
    numbers = (re.search(r"llvm-(\d+)", str(path)) for path in Path("/usr/lib").glob("llvm-*/bin/clang"))
    have = {major for number in numbers if number and (major := int(number[1])) >= OLDEST_CLANG}
    if len(have) < CLANGS:
        names = apt.matching("clang-[0-9]+")
        offered = sorted(major for name in names if (major := int(name.split("-")[1])) >= OLDEST_CLANG)
        # The newest, the oldest and one between, the same one on Debian 12 and 13: three that differ most.
        between = [19] if 19 in offered else offered[len(offered) // 2 :][:1]
        chosen = {*offered[-1:], *offered[:1], *between} | have
        if not chosen and not shutil.which("clang"):
            raise Missing(f"no clang {OLDEST_CLANG} or newer", "apt-get install clang llvm")
        apt.install([f"clang-{major}" for major in sorted(chosen)], f"fewer than {CLANGS} versions of clang")
        have |= chosen
    if have:
        apt.install([f"llvm-{max(have)}"], f"no llvm-objdump {max(have)}")


def _tools() -> None:
    lacking = [] if shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin") else ["bpftool"]
    if not shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        lacking.append("iproute2")
    for header, package in (("libelf.h", "libelf-dev"), ("zlib.h", "zlib1g-dev"), ("bpf/bpf_helpers.h", "libbpf-dev")):
        if not Path("/usr/include", header).exists():
            lacking.append(package)
    lacking += [package for tool, package in (("make", "make"), ("xz", "xz-utils")) if not shutil.which(tool)]
    apt.install(lacking, f"no {', '.join(lacking)}")


def _browser() -> None:
    """For the page that `explain` writes."""
    if not any(shutil.which(name) for name in ("chromium-headless-shell", "chromium", "chromium-browser")):
        names = apt.offered(["chromium-headless-shell"]) or ["chromium"]  # Debian has the small one since 12
        apt.install(names, "no Chromium")


def corpus(*, full: bool) -> None:
    """Builds the sample (or all) of the corpus of real objects, outside pytest so that its time is seen."""
    run([BIN / "python", "tests/corpus/build_corpus.py", *(["--full"] if full else [])])


def everything(*, full: bool) -> None:
    """The whole suite, fast and cheap parts first, ending with pytest's summary line."""
    timer = Timer()
    try:
        with timer.part("rustfmt, clippy"):
            rust_lint()
        with timer.part("cargo test"):
            cargo(rust.for_host(), "test", "--workspace", "--locked", "--quiet")
        with timer.part("wheel, .venv"):
            installed.install()
            installed.require("test")
        with timer.part("ruff, mypy"):
            python_lint()
        with timer.part("toolchains"):
            lacking = toolchains()
            for text in lacking:
                say(f"  tests that need it will be skipped: {text}")
        with timer.part("kernels of the lab"):
            try:
                lab_kernels.prepare()
            except (Missing, Failed) as error:
                if "lab" in _required():
                    raise
                say(f"  tests that need it will be skipped: {error}")
        with timer.part("generated docs"):
            docs(check=True)
        with timer.part("corpus"):
            try:
                corpus(full=full)
            except Failed:
                if "corpus" in _required():
                    raise
        with timer.part("pytest"):
            pytest(["-n", str(os.cpu_count() or 2), "--dist", "loadgroup", "-m", "not alone"], full=full)
            if _any_alone():
                pytest(["-m", "alone"], full=full)
    finally:
        say(timer.table())


def _required() -> list[str]:
    return os.environ.get("BPFSMITH_REQUIRE", "").split(",")


def _any_alone() -> bool:
    """Whether a test measures time: those run after the others, by themselves."""
    return any("mark.alone" in path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


def pytest(words: Sequence[str], *, full: bool = False) -> None:
    """pytest against the installed wheel; `tests/conftest.py` refuses any other."""
    installed.install()
    installed.require("test")
    own = {"BPFSMITH_WHEEL": "1"} | ({"BPFSMITH_FULL": "1"} if full else {})
    tools = [CACHE / "tools/bin"]
    run([BIN / "python", "-m", "pytest", *words], env=own, path=tools)


def docs(*, check: bool) -> None:
    """Every generator in `tools/docs/`; with `check` each compares instead of writing, and fails on a difference."""
    installed.install()
    generators = sorted((ROOT / "tools/docs").glob("[a-z]*.py"))
    stale = []
    for program in generators:
        try:
            run([BIN / "python", program, *(["--check"] if check else [])])
        except Failed:
            if not check:
                raise
            stale.append(relative(str(program)))
    if stale:
        raise Failed(f"what {', '.join(stale)} made is not up to date; `./dev docs` writes it")


def facts(words: Sequence[str]) -> None:
    """Asks the kernels of the lab's matrix (or `--kernels`) for every row of the facts; then all that follows."""
    installed.install()
    run([BIN / "python", ROOT / "tools/facts/prove.py", *words])
    if "--compare" not in words:
        run([BIN / "python", ROOT / "tools/facts/generate.py"])
        docs(check=False)


def bench(words: Sequence[str]) -> None:
    """Every measurement in `bench/`, or the ones named; what starts with a dash (`--write`) is theirs."""
    installed.install()
    installed.require("test")
    options = [word for word in words if word.startswith("-")]
    words = [word for word in words if word not in options]
    programs = sorted((ROOT / "bench").glob("bench_*.py"))
    wanted = [path for path in programs if not words or any(word in path.stem for word in words)]
    if not wanted:
        say("no measurement" + (f" matches {' '.join(words)}" if words else "s in `bench/` yet"))
    for program in wanted:
        run([BIN / "python", program, *options])


def precision(words: Sequence[str]) -> None:
    """The rules on a folder of public projects, against what people judged of their findings."""
    installed.install()
    run([BIN / "python", ROOT / "tools/dev/precision.py", *words])


def versions() -> str:
    """One line on what this run stands on."""
    python = capture([BIN / "python", "--version"], env=environment()).strip()
    compiler = rust.for_host()
    return f"{python}, rustc {compiler.version[0]}.{compiler.version[1]} ({compiler.rustc})"
