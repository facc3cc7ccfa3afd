"""What guests of the tools image get and how commands in them are asked for, without a guest."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.lab import exec as commands
from bpfsmith.lab import files, pyimage, shared, workload
from bpfsmith.model.errors import EnvironmentMissing, InputError

# ------------------------------------------------------------ libraries


def test_libraries_are_those_the_loader_finds() -> None:
    import _ctypes

    paths = [os.path.realpath("/proc/self/exe"), *([_ctypes.__file__] if hasattr(_ctypes, "__file__") else [])]
    found = shared.closure(paths)
    said = "".join(subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout for path in paths)
    wanted = {line.split()[0]: os.path.realpath(line.split()[2]) for line in said.splitlines() if "=> /" in line}
    assert {name: os.path.realpath(path) for name, path in found.libraries.items()} == wanted
    assert all(os.path.exists(loader) for loader in found.loaders)


def test_what_is_no_elf_file_or_lacks_a_library(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an ELF file"):
        shared.closure([__file__])
    (tmp_path / "cut").write_bytes(Path("/proc/self/exe").read_bytes()[:100])
    with pytest.raises(InputError, match="cut off"):
        shared.closure([str(tmp_path / "cut")])


def test_trimmed_executables_run(tmp_path: Path) -> None:
    # Made large by sections that no loader reads.
    data = Path(os.path.realpath("/bin/true")).read_bytes()
    padded = data + bytes(len(data) * 2)
    cut = shared.trimmed(padded)
    assert len(cut) <= len(data)
    (tmp_path / "true").write_bytes(cut)
    (tmp_path / "true").chmod(0o755)
    assert subprocess.run([tmp_path / "true"], check=False).returncode == 0
    for junk in (b"", b"#!/bin/sh\n", data[:70], data[:64] + b"\xff" * 64):
        assert shared.trimmed(junk) in (junk, b"") or len(shared.trimmed(junk)) <= len(junk)


# ------------------------------------------------------------ the image


@pytest.fixture
def busybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that stands for busybox where this machine has none."""
    if not pyimage._which("busybox"):
        monkeypatch.setattr(pyimage, "_busybox", lambda: os.path.realpath("/bin/true"))


def test_the_image_is_the_same_every_time_and_holds_what_it_needs(busybox: None) -> None:
    made = pyimage.collect()
    assert made == pyimage.collect()
    assert pyimage.key() == pyimage.key()
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    home = pyimage._home()
    for place in ("/bin/busybox", f"/usr/bin/{version}", "/usr/bin/bpfsmith", home["zip"],
                  f"{home['stdlib']}/bpfsmith/cli/run.py", f"{home['stdlib']}/bpfsmith/_native.abi3.so"):  # fmt: skip
        assert made[place][1], place
    assert not [place for place in made if "_agent" in place or place.endswith(".pyi")]
    links = {place: data.decode() for place, (mode, data) in made.items() if mode >> 12 == 0o12}
    assert all(target in made for target in links.values())
    assert len(pyimage.build()) % 4 == 0


def test_the_packed_python_runs(busybox: None, tmp_path: Path) -> None:
    """The standard library and bpfsmith as a guest has them, with this machine's loader."""
    home = pyimage._home()
    for place, (mode, data) in pyimage.collect().items():
        if place.startswith((home["stdlib"], home["zip"])) and "/bpfsmith/rules" not in place:
            path = tmp_path / place.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode & 0o777)
    code = "import json, ctypes, bpfsmith._native, sys; print(json.__file__, bpfsmith.__file__)"
    done = subprocess.run(
        [os.path.realpath("/proc/self/exe"), "-S", "-c", code], capture_output=True, text=True, check=False, cwd="/",
        env={"PYTHONHOME": str(tmp_path / "usr"), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [word.startswith(str(tmp_path)) for word in done.stdout.split()] == [True, True]


def test_without_busybox_the_command_that_gets_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = pyimage._which
    monkeypatch.setattr(pyimage, "_which", lambda name: None if "busybox" in name else known(name))
    with pytest.raises(EnvironmentMissing, match="`busybox`") as caught:
        pyimage.collect()
    assert "install busybox" in caught.value.command or "busybox" in caught.value.command


# ------------------------------------------------------------ files


def test_the_folders_files_and_what_stays_behind(tmp_path: Path) -> None:
    for name in ("a.txt", "deep/b.sh", ".git/config", "target/debug/x", "node_modules/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "deep/b.sh").chmod(0o755)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link").symlink_to(tmp_path / "a.txt")
    os.mkfifo(tmp_path / "pipe")
    found = files.below(str(tmp_path), "/there")
    assert isinstance(found, dict)
    assert {place: (mode & 0o111 != 0, data) for place, (mode, data) in found.items()} == {
        "/there/a.txt": (False, b"a.txt"), "/there/deep/b.sh": (True, b"deep/b.sh"), "/there/link": (False, b"a.txt"),
    }  # fmt: skip
    assert "more than 1 files" in str(files.below(str(tmp_path), "/there", count=1))
    (tmp_path / "big").write_bytes(bytes(2 << 20))
    assert "more than 1 MB" in str(files.below(str(tmp_path), "/there", most=1 << 20))


def test_named_files_must_be_there_and_fit(tmp_path: Path) -> None:
    (tmp_path / "a:b").write_text("x")
    assert files.wanted([str(tmp_path / "a:b"), "x:/y"]) == [(str(tmp_path / "a:b"), ""), ("x", "/y")]
    assert list(files.named(str(tmp_path / "a:b"), "/p")) == ["/p"]
    for path, told in ((tmp_path / "none", "cannot be read"), (Path("/dev/null"), "neither a file nor a folder")):
        with pytest.raises(InputError, match=told):
            files.named(str(path))
    with pytest.raises(InputError, match="larger than the 0 MB"):
        files.named(str(tmp_path / "a:b"), most=0)
    with pytest.raises(InputError, match="names no file"):
        files.wanted([":x"])


def test_files_that_are_fetched_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").write_text("what is here does not matter")
    assert files.fetched(["a:b", "/x/r.json", "y/c:d:"]) == [("a", "b"), ("/x/r.json", "r.json"), ("y/c:d", "c:d")]
    for words, told in (
        (["x/r", "y/r"], "`x/r` and `y/r` would both become `r`"),
        (["x", "y:./x"], "would both become"),
        (["dir/"], "names no file"),
        (["x:dir/"], "names no file"),
        ([":x"], "names no file"),
    ):
        with pytest.raises(InputError, match=told):
            files.fetched(words)


# ------------------------------------------------------------ what a command prints


class Printing:
    """A command as `follow` sees it."""

    argv = ("tool",)

    def __init__(self, *said: bytes, result: int | OSError = 0) -> None:
        self.said = list(said)
        self._result = result

    @property
    def done(self) -> bool:
        return not self.said

    def output(self, _: float) -> list[tuple[int, bytes]]:
        return [(1, self.said.pop(0))] if self.said else []

    def result(self) -> int:
        if isinstance(self._result, OSError):
            raise self._result
        return self._result


def test_a_reader_that_goes_away_is_not_a_command_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(_: bytes) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with commands.Forwarded() as signals:
        assert commands.follow(Printing(result=3 << 8), gone, gone, signals) == 3  # type: ignore[arg-type]
        with pytest.raises(BrokenPipeError):
            commands.follow(Printing(b"x"), gone, gone, signals)  # type: ignore[arg-type]
        assert commands.follow(Printing(result=FileNotFoundError(2, "No such file")), gone, gone, signals) == 127  # type: ignore[arg-type]
    assert capsys.readouterr().err == "error: `tool` cannot be started in the guest: no such file\n"
    closed = []

    class Guest:
        def __enter__(self) -> Guest:
            return self

        def __exit__(self, *_: object) -> None:
            closed.append(self)

    monkeypatch.setattr(commands, "opened", lambda *_, **__: Guest())
    monkeypatch.setattr(commands, "settle", lambda *_, **__: ("/", ""))
    monkeypatch.setattr(commands, "_one", lambda *_: gone(b""))
    monkeypatch.setattr(commands, "_fetch", lambda *_: pytest.fail("nothing is fetched"))
    assert commands.execute(["a"], ["yes"]) == 141
    assert len(closed) == 1
    assert capsys.readouterr() == ("", "")


def test_a_guests_own_folders_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, wanted in (("/usr/bin", "/root"), ("/", "/root"), ("/usrlocal", "/usrlocal"), ("/home/me", "/home/me")):
        monkeypatch.setattr(os, "getcwd", lambda folder=folder: folder)
        assert files.here() == wanted


# ------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    ("words", "kernels", "command", "more"),
    [
        (["6.1", "--", "ls", "-l", "--memory", "5"], "6.1", ["ls", "-l", "--memory", "5"], {}),
        (["--memory", "300", "6.1", "--", "a"], "6.1", ["a"], {"memory": 300}),
        (["6.1", "--memory", "300", "--put", "x", "--", "a", "--", "b"], "6.1", ["a", "--", "b"], {"put": ["x"]}),
        (["6.1", "uname", "-r"], "6.1", ["uname", "-r"], {}),
        (["5.10,6.1", "--", "a"], "5.10,6.1", ["a"], {}),
        (["--no-folder", "6.1", "--"], "6.1", [], {"no_folder": True}),
    ],
)  # fmt: skip
def test_words_behind_the_dashes_are_the_commands(words: Any, kernels: str, command: Any, more: Any) -> None:
    from bpfsmith.cli._lab_inside import configure_exec
    from bpfsmith.cli._parser import Parser

    parser = Parser(allow_abbrev=False)
    configure_exec(parser)
    found: argparse.Namespace = parser.parse_args(words)
    assert (found.kernels, found.command) == (kernels, command)
    assert {name: getattr(found, name) for name in more} == more


def test_options_of_a_run_become_its_command_line() -> None:
    words, named = workload._words(
        "a.o",
        {"programs": ["x", "y"], "iface": "lo", "duration": 0.5, "globals": {"N": 3}, "map_sizes": {"M": 8},
         "attach": {"x": "lo"}, "entries": {"C": {0: {"a": 1}}}, "records": {"E": "struct e"}, "btf": "b.btf",
         "workload": "ping -c1 ::1", "watch": "M", "pid": None},
    )  # fmt: skip
    assert words == [
        "a.o", "--format", "json", "--program=x", "--program=y", "--iface=lo", "--for=500ms", "--set=N=3",
        "--map-size=M=8", "--attach=x=lo", '--put=C[0]={"a": 1}', "--record=E=struct e", "--btf=b.btf",
        "--workload=ping -c1 ::1", "--watch=M",
    ]  # fmt: skip
    assert named == ["b.btf"]
    for name in ("sink", "kconfig", "log_level", "stats", "other"):
        with pytest.raises(InputError, match=f"`{name}` is no option"):
            workload._words("a.o", {name: object()})


def test_what_a_command_line_cannot_say_is_refused_by_name() -> None:
    from bpfsmith.run.words import entries, seconds_of

    keys: dict[Any, Any] = {(1, (2, 3)): 1, "7": 2, "a]=b": 3, 4: {"x": [1]}}
    words, _ = workload._words("a.o", {"entries": {"M": keys}})
    assert entries([word.removeprefix("--put=") for word in words[3:]]) == {"M": keys}
    for seconds in (0.0004, 1e-9, 0.25, 2):
        words, _ = workload._words("a.o", {"duration": seconds})
        assert seconds_of(words[-1].removeprefix("--for="), "--for") == max(seconds, 0.001)
    for options, told in (
        ({"globals": {"a": b"x"}}, r"`globals\['a'\]`: b'x' has no JSON form"),
        ({"entries": {"M": {0: b"x"}}}, r"`entries\['M'\]`: b'x'"),
        ({"entries": {"M": {b"k": 0}}}, r"`entries\['M'\]`: b'k'"),
        ({"duration": 0}, "`duration`: 0 is no time"),
        ({"duration": float("nan")}, "`duration`: nan"),
    ):
        with pytest.raises(InputError, match=told):
            workload._words("a.o", options)


def test_a_report_is_the_same_after_a_journey() -> None:
    from bpfsmith.run.runreport import MapShown, ProgramRun, RunReport, StreamRun
    from bpfsmith.run.workload import Workload

    report = RunReport("a.o")
    report.seconds, report.stopped, report.logs, report.notes, report.globals = 1.5, "workload", 2, ["n"], {"x": 1}
    one = ProgramRun("p", "xdp", ["lo"], "")
    one.runs, one.ns, one.missed = 3, 900, 0
    report.programs, report.streams = [one], [StreamRun("ring", "ringbuf", "struct e")]
    report.maps = [MapShown("m", "hash", [(1, {"a": 2})], True)]
    report.workload = Workload("false")
    report.workload.status = 1
    again = RunReport.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert again.exit_code == 1


def test_a_python_nobody_may_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_: object) -> object:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(pyimage, "open", refuse, raising=False)
    for way in (pyimage._interpreter, lambda: pyimage._read("/x/python3")):
        with pytest.raises(EnvironmentMissing, match="Python of this machine cannot be read by this user") as missing:
            way()
        assert missing.value.exit_code == 3 and "-m venv" in missing.value.hint


def test_the_words_of_lab_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith.cli import _lab_inside
    from bpfsmith.lab import store

    monkeypatch.setattr(store, "all", lambda: [argparse.Namespace(name=name) for name in ("5.10", "6.12", "mine")])
    assert _lab_inside._named("5.10..6.12") == ["5.10", "6.12"]
    assert _lab_inside._named("6.12..") == ["6.12"]
    assert _lab_inside._named("mine") == ["mine"]
    with pytest.raises(InputError, match="`host` is the running kernel") as host:
        _lab_inside._named("host")
    assert host.value.hint == "run it here, without `lab exec`"
    with pytest.raises(EnvironmentMissing, match=r"no kernel of `6\.18\.\.` is prepared"):
        _lab_inside._named("6.18..")
    words = argparse.Namespace(kernels="6.12", command=["true"], timeout="0s")
    with pytest.raises(InputError, match="no command ends within `0s`"):
        _lab_inside.run_exec(words)
