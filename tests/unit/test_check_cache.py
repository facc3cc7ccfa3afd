"""A second check of what has not changed: quick, and never another answer than a first one would give."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/packet-counter"
OBJECT = EXAMPLE / "prebuilt/packet-counter.bpf.o"
CODE = (
    "import sys; from bpfsmith.cli import main; code = main(sys.argv[1:])\n"
    "sys.stderr.write(f\"{code} {'worked' if 'bpfsmith.check.engine' in sys.modules else 'known'}\\n\")"
)


class Checks:
    """Runs `check` in a project, each time in a process of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "BPFSMITH_CACHE": str(cache)}
        self.entries = cache / "check"

    def run(self, *words: str, cwd: Path | None = None) -> tuple[str, str]:
        """Everything it said, and whether it `worked` or the answer was `known`."""
        done = subprocess.run(
            [sys.executable, "-c", CODE, "check", *words],
            cwd=cwd or self.folder, env=self.env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        said, _, last = done.stderr.rstrip("\n").rpartition("\n")
        code, how = last.split()
        return f"{done.stdout}\n{said}\n{code}", how


@pytest.fixture
def checks(tmp_path: Path) -> Checks:
    folder = tmp_path / "around/project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("target", "prebuilt", "*.py"))
    old = time.time() - 3600
    for path in folder.rglob("*"):
        os.utime(path, (old, old))
    return Checks(folder, tmp_path / "cache")


def test_the_second_time_it_is_known(checks: Checks) -> None:
    first, how = checks.run()
    assert how == "worked"
    assert checks.run() == (first, "known")
    assert checks.run("--no-cache") == (first, "worked")
    assert checks.run("--format", "json")[1] == "known"  # the findings are kept, not their text
    assert checks.run("--select", "maps")[1] == "worked"
    assert checks.run(".", cwd=checks.folder / "packet-counter")[1] == "worked"
    checks.env["CARGO_TARGET_DIR"] = "elsewhere"
    assert checks.run()[1] == "worked"


def test_what_is_damaged_is_none(checks: Checks) -> None:
    first, _ = checks.run()
    (entry,) = checks.entries.iterdir()
    whole = entry.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40], whole[:100] + b"\0" + whole[101:], b"x" * 100):
        entry.write_bytes(damaged)
        assert checks.run() == (first, "worked")
        assert checks.run() == (first, "known")
    assert list(checks.entries.iterdir()) == [entry]


def test_a_folder_that_cannot_be_written(checks: Checks) -> None:
    checks.entries.parent.mkdir()
    checks.entries.write_text("no folder")
    assert checks.run()[1] == "worked"
    assert checks.run()[1] == "worked"


def test_at_once(checks: Checks) -> None:
    many = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, "check"],
            cwd=checks.folder, env=checks.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]  # fmt: skip
    assert len({one.communicate()[0] for one in many}) == 1
    assert checks.run()[1] == "known"
    assert len(list(checks.entries.iterdir())) == 1


def _appended(path: str, text: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as out:
            out.write(text)

    return edit


def _replaced(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / path
        text = file.read_text()
        file.write_text(text.replace(old, new) if old in text else text.replace(new, old))

    return edit


def _removed(path: str) -> Callable[[Path], None]:
    return lambda folder: (folder / path).unlink(missing_ok=True)


def _built(folder: Path) -> None:
    place = folder / "target/bpfel-unknown-none/release/packet-counter"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(OBJECT, place)


def _copied(folder: Path) -> None:
    shutil.copyfile(OBJECT, folder / "lying.o")


def _same_size(folder: Path) -> None:
    """Another text of the same length, and the time it had before."""
    file = folder / "packet-counter-ebpf/src/main.rs"
    state = file.stat()
    file.write_text(file.read_text().replace("xdp", "pdx", 1))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


BAD = '\nfn bad(ebpf: &mut aya::Bpf) { ebpf.program_mut("x").unwrap(); }\n'
EDITS: dict[str, Callable[[Path], None]] = {
    "touch a source": lambda folder: (folder / "packet-counter/src/main.rs").touch(),
    "touch a manifest": lambda folder: (folder / "Cargo.toml").touch(),
    "change a source": _appended("packet-counter/src/main.rs", BAD),
    "the same length and time": _same_size,
    "a new module": _appended("packet-counter/src/main.rs", "\nmod added;\n"),
    "its file": _appended("packet-counter/src/added.rs", BAD),
    "its file gone": _removed("packet-counter/src/added.rs"),
    "a new binary": _appended("packet-counter/src/bin/more.rs", BAD + "fn main() {}\n"),
    "another lock": _replaced("Cargo.lock", 'name = "aya"\nversion = "0.14.0"', 'name = "aya"\nversion = "0.13.1"'),
    "no lock": _removed("Cargo.lock"),
    "a configuration": _appended("bpfsmith.toml", 'ignore = ["AYA"]\n'),
    "no configuration": _removed("bpfsmith.toml"),
    "a configuration above": _appended("../bpfsmith.toml", 'fail-on = "never"\n'),
    "none above": _removed("../bpfsmith.toml"),
    "a tool chain": _appended("rust-toolchain.toml", '[toolchain]\nchannel = "1.60"\n'),
    "settings of Cargo": _appended(".cargo/config.toml", '[profile.release]\npanic = "unwind"\n'),
    "settings above": _appended("../.cargo/config.toml", '[build]\ntarget-dir = "x"\n'),
    "an object": _built,
    "an object in the way": _copied,
    "no object": _removed("target/bpfel-unknown-none/release/packet-counter"),
    "a broken manifest": _replaced("packet-counter/Cargo.toml", "[package]", "[package"),
    "a member gone": lambda folder: shutil.rmtree(folder / "packet-counter-common", ignore_errors=True),
}


def _agree(checks: Checks, what: str) -> None:
    time.sleep(0.03)  # a file that changes while it is read is not kept
    truth, _ = checks.run("--no-cache")
    assert checks.run()[0] == truth, what
    assert checks.run()[0] == truth, what


@pytest.mark.parametrize("name", EDITS)
def test_each_edit_is_seen(checks: Checks, name: str) -> None:
    checks.run()
    EDITS[name](checks.folder)
    _agree(checks, name)


def test_edits_in_any_order(checks: Checks) -> None:
    chance = random.Random(7)
    names = [name for name in EDITS if name not in ("the same length and time", "a member gone")]
    for step in range(12):
        name = chance.choice(names)
        try:
            EDITS[name](checks.folder)
        except FileNotFoundError:
            continue
        _agree(checks, f"{step}: {name}")


def test_the_folder_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith.check import cache

    for number in range(8):
        file = tmp_path / f"{number}"
        file.write_bytes(b"x" * 100)
        os.utime(file, (number, number))
    monkeypatch.setattr(cache, "_MAX_FOLDER", 350)
    cache._bound(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5", "6", "7"]


def test_formats_of_tracepoints_are_files_like_others_and_what_else_the_kernel_makes_up_is_not_kept() -> None:
    from bpfsmith.check.cache import _Recorder

    recorder = _Recorder()
    recorder.on = True
    recorder.note("/sys/kernel/tracing/events/sock/inet_sock_set_state/format", 4)
    recorder.note("/proc/self/task", 8)
    assert recorder.looked_at() == [("/sys/kernel/tracing/events/sock/inet_sock_set_state/format", 4)]
    recorder.note("/sys/kernel/mm/ksm/run", 4)
    with pytest.raises(ValueError, match="/sys/kernel/mm"):
        recorder.looked_at()
