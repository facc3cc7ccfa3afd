"""Runs tests of this repository inside a guest of the lab: ships them with pytest, compiles for them here, reports
each.

The tests, the examples and the documentation are in the guest at the same paths as here; pytest and numpy come from
this environment. Test files go in as pytest would keep them (assertions rewritten), because doing that in an emulator
takes longer than the tests. What they compile is asked for through a folder (`BPFSMITH_BUILDER`, see
`tests/kernel/conftest.py`).
"""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROGS = ROOT / "tests/kernel/progs"
SITE, BUILD, PROBE = "/site", "/build", "/root/static_probe"
PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py", "numpy", "numpy.libs")
SHIPPED = ("tests/kernel", "tests/corpus", "tests/fixtures", "examples", "docs", "tools/dev")
SINGLE = (
    "tests/conftest.py", "tests/lacking.py", "tests/guide.py", "tests/network.py", "tests/streams.py",
    "tests/snapshots.py", "tests/waiting.py", "pyproject.toml", "README.md",
)  # fmt: skip
SKIPPED = {"target", "__pycache__", "isa_src", "include", "f2py", "testing", "_pyinstaller", "distutils"}
MEMORY = 1024
MARK = "@@ "

Files = dict[str, tuple[int, bytes]]

# A plugin: every report on standard output as it comes, whatever pytest captures.
REPORTER = """
import hashlib, json, os
SLOW = os.environ.get("GUEST_SLOW", "@").split(",")
out = os.fdopen(os.dup(1), "w", buffering=1)
def pytest_runtest_logreport(report):
    reason = ""
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    elif report.failed:
        reason = report.longreprtext
    row = {"id": report.nodeid, "when": report.when, "outcome": report.outcome, "reason": reason,
           "seconds": round(report.duration, 3)}
    out.write("@@ " + json.dumps(row) + "\\n")
def pytest_collection_modifyitems(config, items):
    # A sample that stays the same: of each file the tests whose names have the smallest hashes.
    most = int(os.environ.get("GUEST_SAMPLE", "0"))
    if not most:
        return
    files = {}
    for item in items:
        if not any(item.iter_markers("full")) and not any(word in item.nodeid for word in SLOW):
            files.setdefault(item.path, []).append(item)
    kept = {id(one) for rows in files.values() for one in sorted(rows, key=mark)[:most]}
    config.hook.pytest_deselected(items=[one for one in items if id(one) not in kept])
    items[:] = [one for one in items if id(one) in kept]
def mark(item):
    return hashlib.sha256(item.nodeid.encode()).digest()
"""


class Result(NamedTuple):
    """One test in one guest. `outcome`: `passed`, `failed` or `skipped`; `reason`: pytest's words."""

    test: str
    outcome: str
    reason: str
    seconds: float


class Outcome(NamedTuple):
    """One run of pytest in a guest. `text`: the rest of what it printed."""

    kernel: str
    results: list[Result]
    status: int
    text: str
    seconds: float

    def of(self, outcome: str) -> list[Result]:
        return [one for one in self.results if one.outcome == outcome]


# ------------------------------------------------------------ what goes in


def _tree(files: Files, source: Path, place: str, only: tuple[str, ...] = ()) -> None:
    if source.is_file():
        files[place] = (0o644, source.read_bytes())
        return
    for root, folders, names in os.walk(source):
        folders[:] = [one for one in folders if one not in SKIPPED and not (only and one == "tests")]
        for name in names:
            path = os.path.join(root, name)
            if os.path.isfile(path) and (not only or name.endswith(only) or ".so." in name):
                mode = 0o755 if os.access(path, os.X_OK) else 0o644
                files[os.path.join(place, os.path.relpath(path, source))] = (mode, Path(path).read_bytes())


def payload(config: Any) -> Files:
    """Everything the guest needs besides the tools image."""
    from bpfsmith.lab.pyimage import byte_code
    from bpfsmith.lab.shared import closure

    files: Files = {}
    site = Path(importlib.util.find_spec("pytest").origin or "").parents[1]  # type: ignore[union-attr]
    for name in PACKAGES:
        if (site / name).exists():
            _tree(files, site / name, f"{SITE}/{name}", (".py", ".so", "entry_points.txt"))
    found = closure(glob.glob(str(site / "numpy/**/*.so"), recursive=True))
    for name, path in found.libraries.items():
        if not path.startswith(str(site)):
            files[f"{found.folder}/{name}"] = (0o755, Path(path).read_bytes())
    for name in (*SHIPPED, *SINGLE):
        _tree(files, ROOT / name, str(ROOT / name))
    files[f"{SITE}/guest_reporter.py"] = (0o644, REPORTER.encode())
    tag = sys.implementation.cache_tag
    for place in [one for one in files if one.endswith(".py")]:
        data = files[place][1]
        folder, _, stem = place[:-3].rpartition("/")
        rewritten = _rewritten(place, config) if stem.startswith("test_") or stem == "conftest" else None
        if rewritten is not None:
            ending, code = rewritten
            files[f"{folder}/__pycache__/{stem}{ending}"] = (0o644, code)
        elif place.startswith((SITE, str(ROOT / "tools"), str(ROOT / "tests"))):
            try:
                files[f"{folder}/__pycache__/{stem}.{tag}.pyc"] = (0o644, byte_code(data, place))
            except SyntaxError:
                continue  # a template
    probe = _static_probe()
    if probe:
        files[PROBE] = (0o755, probe)
    return files


def _rewritten(place: str, config: Any) -> tuple[str, bytes] | None:
    """(ending, contents) of what pytest keeps of a test file, as this version of it writes that."""
    from _pytest.assertion import rewrite

    try:
        told, code = rewrite._rewrite_test(Path(place), config)
        out = io.BytesIO()
        rewrite._write_pyc_fp(out, told, code)
    except (AttributeError, TypeError, OSError):
        return None
    return rewrite.PYC_TAIL, out.getvalue()


def _static_probe() -> bytes:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return b""
    made = cache() / "static_probe"
    subprocess.run([compiler, "-O1", "-o", made, PROGS / "static_probe.c"], check=True)
    return made.read_bytes()


# ------------------------------------------------------------ compiling for it


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home) / "bpfsmith" / "guest-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Builder:
    """Compiles what tests in guests ask for; objects are kept by the hash of all that goes in. `header`: a folder with
    `vmlinux.h`."""

    def __init__(self, clang: Any, header: Path) -> None:
        self._clang = clang
        self._header = header
        headers = b"".join(path.read_bytes() for path in sorted(PROGS.glob("*.h")))
        self._mark = hashlib.sha256(headers + clang.version.encode()).hexdigest()

    def build(self, stem: str, code: str, *flags: str) -> bytes | str:
        """The object, or what clang said."""
        mark = hashlib.sha256("\0".join(["1", self._mark, stem, code, *flags]).encode()).hexdigest()[:24]
        folder = cache() / mark
        made = folder / f"{stem}.bpf.o"
        if not made.exists():
            folder.mkdir(exist_ok=True)
            source, part = folder / f"{stem}.bpf.c", folder / f"part.{os.getpid()}"
            source.write_text(code)
            words = ["-g", "-O2", "-target", "bpf", "-D__TARGET_ARCH_x86", "-Wall", "-I", PROGS, *flags,
                     "-I", f"/usr/include/{os.uname().machine}-linux-gnu", "-I", self._header]  # fmt: skip
            done = subprocess.run(
                [self._clang.path, *words, "-c", source, "-o", part], capture_output=True, text=True, check=False
            )
            if done.returncode:
                return done.stderr
            part.rename(made)
        return made.read_bytes()


def vmlinux_h(prepared: list[Any]) -> Path:
    """A folder with `vmlinux.h` of a prepared kernel. `debian_archive.Missing` without bpftool."""
    import build_corpus
    from toolchain import bpftool

    one = next((kernel for kernel in prepared if kernel.name == "6.18"), prepared[-1])
    folder = cache() / one.key
    if not (folder / "vmlinux.h").exists():
        folder.mkdir(exist_ok=True)
        raw, part = folder / "vmlinux.btf", folder / f"part.{os.getpid()}"
        raw.write_bytes(one.btf_bytes())
        tool = bpftool(build_corpus.home())
        with part.open("wb") as out:
            subprocess.run([tool, "btf", "dump", "file", raw, "format", "c"], stdout=out, check=True)
        part.rename(folder / "vmlinux.h")
        raw.unlink()
    return folder


def answer(guest: Any, builder: Builder) -> None:
    """Compiles what was asked for since the last time."""
    try:
        names = [name for name in guest.door.listdir(BUILD) if name.endswith(".json")]
    except OSError:
        return
    for name in names:
        stem = name.removesuffix(".json")
        made = builder.build(*json.loads(guest.get(f"{BUILD}/{name}")))
        if isinstance(made, str):
            guest.put(f"{BUILD}/{stem}.txt", made.encode())
        else:
            guest.put(f"{BUILD}/{stem}.tmp", made)
            # A rename, so that no test reads half an object.
            guest.exec(["mv", f"{BUILD}/{stem}.tmp", f"{BUILD}/{stem}.o"])
        guest.door.unlink(f"{BUILD}/{name}")


# ------------------------------------------------------------ running


def run(
    kernel: str, words: Iterable[str], files: Files, builder: Builder, *, timeout: float = 1800,
    sample: int = 0, slow: Iterable[str] = (), seen: Callable[[str], object] = lambda _: None,
) -> Outcome:  # fmt: skip
    """pytest with these words in a guest of `kernel`. What a guest that dies had reported until then is in the
    answer."""
    from bpfsmith import lab
    from bpfsmith.model.errors import GuestFailed

    began = time.monotonic()
    with lab.open(kernel, image="tools", memory=MEMORY) as guest:
        guest.put_many(files)
        guest.door.makedirs(BUILD)
        env = {
            "PATH": "/usr/bin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "PYTHONPATH": SITE, "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1", "BPFSMITH_BUILDER": BUILD, "BPFSMITH_LAB_GUEST": kernel,
        }  # fmt: skip
        if sample:
            env |= {"GUEST_SAMPLE": str(sample), "GUEST_SLOW": ",".join(slow) or "@"}
        if PROBE in files:
            env["BPFSMITH_STATIC_PROBE"] = PROBE
        if os.environ.get("BPFSMITH_FULL") == "1":
            env["BPFSMITH_FULL"] = "1"
        options = ["-p", "guest_reporter", "-p", "no:cacheprovider", "-q", "--tb=short"]
        command = ["python3", "-m", "pytest", *options, *words]
        running = guest.start(command, env=env, cwd=str(ROOT))
        text, end = bytearray(), time.monotonic() + timeout
        status = -1
        try:
            while not running.done:
                for _, data in running.output(0.25):
                    text += data
                    seen(data.decode(errors="replace"))
                answer(guest, builder)
                if time.monotonic() > end:
                    text += b"\nthe time is over\n"
                    break
            else:
                for _, data in running.output(0):
                    text += data
                status = running.result() >> 8
        except GuestFailed as error:
            text += f"\n{error}\n{error.console}\n".encode()
    told = text.decode(errors="replace")
    rest = "\n".join(line for line in told.splitlines() if MARK not in line)
    return Outcome(kernel, list(_results(told)), status, rest, time.monotonic() - began)


def _results(text: str) -> Iterator[Result]:
    """One per test: the worst of its set-up, call and end."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for match in re.finditer(rf"{re.escape(MARK)}(\{{.*\}})", text):
        row = json.loads(match[1])
        rows.setdefault(row["id"], []).append(row)
    for test, told in rows.items():
        worst = next((one for word in ("failed", "skipped") for one in told if one["outcome"] == word), told[-1])
        yield Result(test, worst["outcome"], worst["reason"], sum(one["seconds"] for one in told))
