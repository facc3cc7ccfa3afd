"""What all tests share: what this machine can do, the corpus, compilers, and the installed command.

`./dev test` sets `BPFSMITH_WHEEL=1`: then the bpfsmith under test must come from the installed wheel.
`BPFSMITH_REQUIRE=root,toolchain,corpus` makes a test with one of these markers fail where it would be skipped, so that
a machine that lost its compiler or its rights cannot look green. A skip whose reason starts with `kernel:` stays one:
the machine's kernel is not ours to choose. `BPFSMITH_FULL=1` is `./dev test --full`.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import build_corpus
import pytest
from debian_archive import Missing
from kernel_image import BadImage
from toolchain import Clang, clangs

import lacking

ROOT = Path(__file__).resolve().parents[1]
FULL = os.environ.get("BPFSMITH_FULL") == "1"
REQUIRED = frozenset(word for word in os.environ.get("BPFSMITH_REQUIRE", "").split(",") if word)
SKIPPABLE = frozenset({"root", "toolchain", "corpus", "lab", "browser"})

sys.path.append(str(ROOT / "tools/dev"))


# ------------------------------------------------------------ what is under test


def pytest_configure(config: pytest.Config) -> None:
    """Refuses to test `src/` in the name of the wheel, and to require what no marker stands for."""
    unknown = REQUIRED - SKIPPABLE
    if unknown:
        pytest.exit(f"BPFSMITH_REQUIRE knows {', '.join(sorted(SKIPPABLE))}, not {', '.join(sorted(unknown))}", 4)
    if os.environ.get("BPFSMITH_WHEEL") == "1":
        where = _package()
        if "site-packages" not in where.parts:
            pytest.exit(f"the suite tests the installed wheel, but `bpfsmith` comes from {where}", 4)


def _package() -> Path:
    import bpfsmith

    return Path(bpfsmith.__file__ or "").resolve().parent


def pytest_report_header() -> list[str]:
    """What this run stands on."""
    found = ", ".join(clang.version for clang in clangs()) or "none"
    corpus = build_corpus.manifest(build_corpus.where())
    objects = f"{len(corpus['objects'])} objects" if corpus else "not built"
    return [
        f"bpfsmith: {_package()}{', full' if FULL else ''}; required: {', '.join(sorted(REQUIRED)) or 'nothing'}",
        f"clang: {found}; corpus: {objects}; BPF in the kernel: {_no_kernel() or 'yes'}; "
        f"BPF in Rust: {_no_rust() or 'yes'}",
    ]


# ------------------------------------------------------------ what a bare machine lacks

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
KERNEL_FILES = (("tracefs", "/sys/kernel/tracing"), ("bpf", "/sys/fs/bpf"))


@pytest.fixture(scope="session", autouse=True)
def kernel_files() -> None:
    """tracefs and bpffs, where a bare machine has not mounted them: in a mount namespace of the suite's own, which ends
    with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    lacking = [(kind, where) for kind, where in KERNEL_FILES if not os.path.ismount(where)]
    if os.geteuid() or not lacking or libc.unshare(CLONE_NEWNS):
        return
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    for kind, where in lacking:
        if libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None):
            number = ctypes.get_errno()
            warnings.warn(f"{kind} cannot be mounted on {where}: {os.strerror(number)}", stacklevel=1)


# ------------------------------------------------------------ markers


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that talk to the kernel share one worker: they count what is loaded, and what processes do. A browser is
    many processes."""
    if not config.pluginmanager.hasplugin("xdist"):  # in a guest of the lab
        return
    for item in items:
        if item.get_closest_marker("root") or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("kernel"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what this machine cannot do, with the reason and the command that changes it."""
    if item.get_closest_marker("full") and not FULL:
        pytest.skip("runs only with ./dev test --full")
    for name, reason in (("root", _no_root), ("corpus", _no_corpus), ("lab", _no_lab), ("browser", _no_browser)):
        if item.get_closest_marker(name) and (why := reason()):
            pytest.skip(why)
    for marker in item.iter_markers("toolchain"):
        for what in marker.args or ("clang",):
            why = {"clang": _no_clang, "rust": _no_rust}[what]()
            if why:
                pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test that was required is a failed one. In a guest of the lab, a test that needs what its kernel does
    not have is a skipped one: the product says so, by name."""
    report = yield
    if report.failed and os.environ.get("BPFSMITH_LAB_GUEST") and (why := lacking.reason(call.excinfo)):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: kernel: {why}")
        return report
    marked = sorted(name for name in REQUIRED if item.get_closest_marker(name))
    if not marked or not report.skipped or hasattr(report, "wasxfail"):
        return report
    if item.get_closest_marker("full") and not FULL:
        return report
    reason = str(call.excinfo.value) if call.excinfo else ""
    if not reason.removeprefix("Skipped: ").startswith("kernel:"):
        report.outcome = "failed"
        report.longrepr = f"{', '.join(marked)} must run here, but the test was skipped: {reason}"
    return report


@cache
def _no_root() -> str:
    if os.geteuid() != 0:
        return "needs root: run `sudo ./dev test`"
    return _no_kernel()


@cache
def _no_lab() -> str:
    """Why no kernel can be booted here; empty when one can."""
    from bpfsmith.lab import qemu, store
    from bpfsmith.model.errors import BpfsmithError

    try:
        qemu.find(folder=store.folder())
        here = [one for one in store.all() if one.arch == os.uname().machine]
    except BpfsmithError as error:
        return str(error)
    return "" if here else "no kernel is prepared: run `bpfsmith lab get`"


@cache
def _no_browser() -> str:
    import chromium

    return "" if chromium.found() else "no Chromium: `apt-get install chromium-headless-shell` gets it"


@cache
def _no_kernel() -> str:
    """Why this process cannot use bpf(2); empty when it can. Asks by making an array map of one element."""
    numbers = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
    number = numbers.get(os.uname().machine)
    if number is None:
        return f"no number of bpf(2) known for {os.uname().machine}"
    libc = ctypes.CDLL(None, use_errno=True)
    array = (ctypes.c_uint32 * 32)(2, 4, 4, 1)  # BPF_MAP_TYPE_ARRAY, key and value of 4 bytes, 1 entry
    fd = libc.syscall(number, 0, ctypes.byref(array), ctypes.sizeof(array))
    if fd < 0:
        return f"the kernel refuses bpf(2): {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    return ""


@cache
def _no_clang() -> str:
    if os.environ.get("BPFSMITH_BUILDER"):  # tests of the runtime in a guest: the host compiles
        return ""
    return "" if clangs() else "no clang with the BPF back end: `apt-get install clang` gets it"


@cache
def _no_rust() -> str:
    import bpf_toolchain

    lacking = bpf_toolchain.missing()
    return f"{lacking}: `{bpf_toolchain.RECIPE}` gets it" if lacking else ""


@cache
def _no_corpus() -> str:
    """Why there is no corpus; builds the sample (all of it with `--full`) where that is possible."""
    try:
        build_corpus.build(full=FULL)
    except (Missing, BadImage, OSError, subprocess.CalledProcessError) as error:
        return f"no corpus of real objects: {error}"
    return ""


# ------------------------------------------------------------ fixtures


class Corpus:
    """The corpus of real objects: the sample, or with `--full` all of it."""

    def __init__(self, path: Path, rows: list[dict[str, Any]]) -> None:
        self.path = path
        self.rows = rows

    def objects(self, group: str = "", **wanted: object) -> list[Path]:
        """Paths of the objects of groups that start with `group`, and whose manifest row has the values asked for."""
        rows = [row for row in self.rows if row["group"].startswith(group)]
        return [self.path / row["path"] for row in rows if all(row.get(key) == value for key, value in wanted.items())]

    def btf(self, series: str) -> Path:
        """BTF of Debian's kernel of `series` ("6.1", "6.12"), raw."""
        return self.path / "btf" / f"{series}.btf"

    def __iter__(self) -> Iterator[Path]:
        return iter(self.objects())

    def __len__(self) -> int:
        return len(self.rows)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Real objects; marks of the test say `corpus` too."""
    if why := _no_corpus():
        pytest.skip(why)
    path = build_corpus.where()
    rows = (build_corpus.manifest(path) or {"objects": []})["objects"]
    return Corpus(path, [row for row in rows if row["ok"] and (FULL or row["sample"])])


@pytest.fixture(scope="session")
def clang() -> Clang:
    """The newest clang; marks of the test say `toolchain` too."""
    if why := _no_clang():
        pytest.skip(why)
    if not clangs():
        pytest.skip("the compiler is on another machine")
    return clangs()[-1]


@pytest.fixture(scope="session")
def all_clangs() -> list[Clang]:
    """Every clang found, oldest first."""
    return clangs()


class Ran(NamedTuple):
    """What one run of the command left."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def run_cli(tmp_path: Path) -> Callable[..., Ran]:
    """`run_cli("check", path, cwd=..., env={...}, stdin="")` runs the installed `bpfsmith` as a process of its own."""
    installed = Path(sys.executable).with_name("bpfsmith")
    # Where only the sources are on the path (a developer's own environment) the module is the command.
    command = [str(installed)] if installed.exists() else [sys.executable, "-m", "bpfsmith"]

    def run(*words: str | Path, cwd: Path = tmp_path, env: dict[str, str] | None = None, stdin: str = "") -> Ran:
        own = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", "LC_ALL": "C.UTF-8", **(env or {})}
        done = subprocess.run(
            [*command, *map(str, words)], cwd=cwd, env=own, input=stdin, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
