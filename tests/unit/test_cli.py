"""The command line: exit codes, streams, start-up, and that no user fault shows a traceback."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith import cli
from bpfsmith.cli._parser import use_color, words
from unit.fakes import install, object_rule

DATA = Path(__file__).resolve().parent.parent / "data"
RUN = [sys.executable, "-m", "bpfsmith"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA / "drop_all.c", tmp_path)
    shutil.copy(DATA / "drop_all.o", tmp_path)
    return tmp_path


def call(*arguments: str) -> int:
    return cli.main(arguments)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), ("--help",), ("-h",), ("help",)):
        assert call(*arguments) == 0
        assert "Commands:\n  check" in capsys.readouterr().out
    assert call("--version") == 0
    assert capsys.readouterr().out == f"bpfsmith {bpfsmith.__version__}\n"
    for arguments in (("check", "--help"), ("help", "check")):
        assert call(*arguments) == 0
        assert "--kernels SET" in capsys.readouterr().out


@pytest.mark.parametrize("command", cli.commands())
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: bpfsmith {command}")
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chek"], "did you mean `check`?"),
        (["--versio"], "did you mean `--version`?"),
        (["check", "--kernel", "6.1"], "did you mean `--kernels`?"),
        (["check", "--kernels"], "expected one argument"),
        (["check", "--format", "xml"], "invalid choice"),
        (["check", "--kernels", "6.123", "drop_all.o"], "unknown kernel `6.123`"),
        (["check", "--select", "OBJ9999", "drop_all.o"], "unknown rule `OBJ9999`"),
        (["check", "--btf", "nope", "drop_all.o"], "no such file `nope`"),
        (["check", "--config", "nope", "drop_all.o"], "cannot read `nope`: no such file"),
        (["check", "nope.o"], "no such file `nope.o`"),
        (["check", "a\0b"], "no possible path"),
        (["explain", "nothing-like-this"], "nothing is known about"),
    ],
)
def test_users_faults_are_one_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()) <= 2


def test_findings_and_errors_of_one_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", "--format", "json", "nope.o", "drop_all.o") == 2
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert [one["code"] for one in data["findings"]].count("OBJ003") == 1
    assert [one["where"] for one in data["errors"]] == ["nope.o"]
    assert "error: no such file `nope.o`" in captured.err


def test_formats_agree(capsys: pytest.CaptureFixture[str]) -> None:
    counts = []
    for kind in ("concise", "github"):
        assert call("check", "drop_all.o", "--format", kind, "--select", "OBJ003") == 1
        counts.append(len(capsys.readouterr().out.splitlines()))
    assert call("check", "drop_all.o", "--format", "sarif", "--select", "OBJ003") == 1
    counts.append(len(json.loads(capsys.readouterr().out)["runs"][0]["results"]))
    assert counts == [1, 1, 1]
    assert call("check", "drop_all.o", "--select", "OBJ003", "--fail-on", "error") == 0


def test_our_own_bugs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bpfsmith.check import engine

    def explode(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(engine, "_after", explode)
    monkeypatch.delenv("BPFSMITH_DEBUG", raising=False)
    assert call("check", "drop_all.o") == 4
    err = capsys.readouterr().err
    assert "ZeroDivisionError: boom" in err
    assert "report it with" in err
    assert "Traceback" not in err
    monkeypatch.setenv("BPFSMITH_DEBUG", "1")
    assert call("check", "drop_all.o") == 4
    assert "Traceback" in capsys.readouterr().err


def test_a_broken_rule_shows_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(self, obj, ctx):
        raise KeyError("boom")

    install(monkeypatch, object_rule(broken))
    assert call("check", "drop_all.o") == 4
    captured = capsys.readouterr()
    assert "no findings in 1 file" in captured.out
    assert "the rule OBJ900 fake-rule failed: KeyError: 'boom'" in captured.err


def test_cargo_passes_its_own_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["cargo-bpfsmith", "bpfsmith", "--version"], ["cargo-bpfsmith", "--version"]):
        monkeypatch.setattr(sys, "argv", argv)
        assert cli.main_cargo() == 0
        assert capsys.readouterr().out.startswith("bpfsmith ")


def test_color(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert not use_color("auto")
    assert use_color("always")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert use_color("auto")
    assert not use_color("never")
    monkeypatch.setenv("FORCE_COLOR", "0")
    assert not use_color("auto")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_color("auto")
    assert words(["A, B", "C", ""]) == ["A", "B", "C"]
    assert words(None) is None


def test_python_m_and_a_reader_that_goes_away() -> None:
    run = subprocess.Popen([*RUN, "explain", "helpers"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    err = run.stderr.read()
    run.stderr.close()
    assert run.wait(timeout=120) in {0, 1}
    assert err == b""


def test_names_that_are_not_utf8(here: Path) -> None:
    shutil.copy(here / "drop_all.o", os.fsencode(here) + b"/\xff\x1b.o")
    for kind, encoding in (
        ("text", "utf-8"),
        ("json", "utf-8"),
        ("json", "ascii"),
        ("sarif", "utf-8"),
        ("github", "ascii"),
    ):
        env = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(
            [*RUN, "check", b"\xff\x1b.o", "--select", "OBJ003", "--format", kind],
            capture_output=True,
            check=False,
            env=env,
        )
        assert (done.returncode, done.stderr) == (1, b""), (kind, done.stderr)
        text = done.stdout.decode("utf-8")  # what programs read does not follow the locale
        assert "\x1b" not in text
        if kind in {"json", "sarif"}:
            json.loads(text)


def test_a_deleted_folder(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gone = here / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert call("check", str(here / "drop_all.o"), "--select", "OBJ003") == 1
    assert call("check") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c() -> None:
    run = subprocess.Popen([*RUN, "explain", "helpers"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    fcntl.fcntl(run.stdout, fcntl.F_SETPIPE_SZ, 4096)
    time.sleep(0.6)  # it waits for somebody who reads more of the list
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 130
    assert err == "interrupted\n"


def test_start_up_imports_little() -> None:
    code = "import sys; from bpfsmith.cli import main; main([{}]); print(*sys.modules, file=sys.stderr)"
    heavy = {"argparse", "dataclasses", "json", "pathlib", "re", "tomllib", "typing", "inspect"}

    def loaded(*arguments: str) -> set[str]:
        source = code.format(", ".join(map(repr, arguments)))
        done = subprocess.run([sys.executable, "-S", "-c", source], capture_output=True, text=True, check=True, env=env)
        return set(done.stderr.split())

    package = str(Path(bpfsmith.__file__).resolve().parent.parent)
    env = {**os.environ, "PYTHONPATH": package}
    for arguments in ((), ("--version",)):
        assert not loaded(*arguments) & (heavy | {"bpfsmith._native"})
    helped = loaded("check", "--help")
    assert "bpfsmith.cli.explain" not in helped
    assert "bpfsmith._native" not in helped


@pytest.mark.parametrize("command", ["check", "inspect", "check --format sarif", "explain OBJ001"])
def test_documents_are_utf8_whatever_the_locale_says(here: Path, command: str) -> None:
    words = command.split()
    if words[0] != "explain":
        name = here / os.fsdecode("tröpfchen\udcff.o".encode("utf-8", "surrogateescape"))
        shutil.copy(DATA / "drop_all.o", name)
        words.append(name.name)
    if "--format" not in words:
        words += ["--format", "json"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*RUN, *words], capture_output=True, env=env, check=False)
    assert done.returncode in (0, 1), done.stderr
    json.loads(done.stdout.decode("utf-8"))
    assert b"udcff" not in done.stdout
