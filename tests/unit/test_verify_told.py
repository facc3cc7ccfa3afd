"""`verify`: every way of printing what came of it, and how a user is told what is missing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import bpfsmith
from bpfsmith.check.report import Report
from bpfsmith.cli import main
from bpfsmith.lab import start
from bpfsmith.model.errors import InputError
from bpfsmith.render import renderer
from bpfsmith.verdict import Judged
from bpfsmith.verify import _kernels
from bpfsmith.verify._kernels import KernelsMissing
from bpfsmith.verify.claims import held, loads
from bpfsmith.verify.report import Result
from bpfsmith.verify.schema import schema
from unit import verify_lab
from unit.verify_lab import FIXTURES, VERDICTS, Guest, Lab

# ------------------------------------------------------------ how it is told


def test_sentences() -> None:
    def row(**verdicts: str) -> Any:
        return [
            SimpleNamespace(kernel=name.replace("_", "."), verdict=word.partition(":")[0],
                            message=word.partition(":")[2], why="", reason="")
            for name, word in verdicts.items()
        ]  # fmt: skip

    assert loads(row(k5_10="accepted", k6_1="accepted", k6_12="accepted")) == "loads on k5.10 .. k6.12"
    assert (
        loads(row(a="accepted", b="rejected:R1 is bad", c="accepted")) == "loads on a .. c except b, because R1 is bad"
    )
    assert loads(row(a="rejected:x", b="accepted", c="accepted")) == "loads on b and c; not on a, because x"
    assert loads(row(a="rejected:x", b="cannot:y")) == "loads on none of a and b: a: x; b: y"
    assert loads(row(a="rejected:x")) == "does not load on a: x"


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({"6.1": "rejected", "6.12": "accepted", "7.3": "accepted"}, "as the facts say (from 6.4 on)"),
        ({"6.12-full": "accepted"}, "as the facts say (from 6.4 on)"),
        ({"6.12": "cannot", "7.3": "cannot"}, "not proved for 6.12 (btf) and 7.3 (btf): the facts say from 6.4 on"),
        ({"6.1": "rejected"}, "not proved: no kernel from 6.4 on, as the facts say, was asked"),
        ({"vendor": "accepted"}, "earlier than the facts say (from 6.4 on): vendor"),
        ({"host": "rejected"}, "contradicted by host: the facts say from 6.4 on, for what it calls"),
        ({"odd": "accepted"}, "not proved for odd (of no known series): the facts say from 6.4 on"),
    ],
)
def test_claims_are_held_by_the_numbers_of_releases(verdicts: dict[str, str], said: str) -> None:
    releases = {"6.1": "6.1.0-40-cloud", "6.12": "6.12.73+deb13", "7.3": "7.3-rc1", "6.12-full": "6.12.73+deb13-amd64",
                "vendor": "5.14.0-570.el9.x86_64", "host": "6.8.0-45-generic", "odd": "mine"}  # fmt: skip
    results = [
        Result(name, Judged(verdict, "btf" if verdict == "cannot" else "")) for name, verdict in verdicts.items()
    ]
    assert held(results, "6.4", releases) == said


def test_json(lab: Lab) -> None:
    Draft202012Validator.check_schema(schema())
    validator = Draft202012Validator(schema())
    report = bpfsmith.verify(VERDICTS, kernels="6.1,6.12", against=VERDICTS, effort=True, prove=True)
    document = json.loads(json.dumps(report.to_json()))
    assert not list(validator.iter_errors(document))
    cell = document["programs"][0]["results"][0]
    assert list(cell) == [
        "kernel", "verdict", "reason", "message", "instruction", "path", "line", "processed", "states", "stack", "ns",
        "log", "cause",
    ]  # fmt: skip
    assert document["kernels"][0] == {"name": "6.1", "release": "6.1.1-cloud"}
    assert document["notes"]
    optional = next(row for row in document["programs"] if row["program"] == "optional")
    assert optional["section"] == "?xdp"


def test_findings(lab: Lab) -> None:
    report = bpfsmith.verify(VERDICTS, kernels="6.1,6.12", programs=["accepted", "unchecked", "no_target"])
    found = {(one.code, one.severity, one.program, one.kernels) for one in report.findings()}
    assert found == {
        ("CHK006", "error", "unchecked", ("6.1", "6.12")), ("CHK007", "note", "no_target", ("6.1", "6.12")),
    }  # fmt: skip
    told = Report(report.findings())
    for name in ("sarif", "github"):
        assert "verdicts.bpf.c" in renderer(name).render(told)
    assert '"uri": "tests/fixtures/verdicts.bpf.c"' in renderer("sarif").render(told), "the file as it is here"


@pytest.mark.parametrize("form", ["text", "json", "markdown", "sarif", "github"])
def test_the_command(lab: Lab, capsys: pytest.CaptureFixture[str], form: str) -> None:
    code = main(["verify", str(VERDICTS), "--kernels", "5.10..", "--format", form, "--against", str(VERDICTS)])
    out = capsys.readouterr().out
    assert code == 1
    assert "R0 invalid mem access 'map_value_or_null'" in out
    if form == "text":
        assert "unchecked  rejected on 5.10, 6.1, 6.12, 6.18, 7.3" in out, "each thing once"
        assert out.splitlines()[-1].startswith("10 programs on 5 kernels: ")
        assert all(len(line) <= 200 for line in out.splitlines())


def test_check_is_proved_on_the_kernels_of_the_configuration(lab: Lab, tmp_path: Path) -> None:
    """Each object on those that its own configuration asks for."""
    paths = []
    for name, kernels in (("old", '["5.10..6.1"]'), ("new", '["7.3"]'), ("any", None)):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / f"{name}.o")
        paths[-1].write_bytes(VERDICTS.read_bytes())
        if kernels is not None:
            (tmp_path / name / "bpfsmith.toml").write_text(f"kernels = {kernels}\n")

    def asked(*chosen: Path, **options: Any) -> list[set[str]]:
        report = bpfsmith.check(chosen, prove=True, **options)
        return [
            {word.partition(" ")[0] for word in one.removeprefix("asked: ").split(", ")}
            for one in report.loads if one.startswith("asked: ")
        ]  # fmt: skip

    assert asked(paths[0]) == [{"5.10", "6.1"}]
    assert asked(*paths[:2]) == [{"5.10", "6.1"}, {"7.3"}]
    assert asked(paths[2]) == [{"5.10", "6.1", "6.12", "6.18", "7.3"}]
    assert asked(*paths, kernels="6.12") == [{"6.12"}]
    report = bpfsmith.check(paths[1], prove=True)
    assert {one.kernels for one in report.findings if one.code == "CHK006"} == {("7.3",)}


def test_nothing_prepared_in_a_script(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.prepared = []
    assert main(["verify", str(VERDICTS)]) == 3
    assert "bpfsmith lab get" in capsys.readouterr().err
    assert main(["verify", str(VERDICTS), "--kernels", "6.1"]) == 3
    assert "bpfsmith lab get 6.1" in capsys.readouterr().err


def test_yes_fetches_what_is_missing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith.cli import verify

    asked: list[tuple[str, ...]] = []

    def fetch(series: Any, arch: str, flavour: str) -> None:
        assert (arch, flavour) == ("", "")
        asked.append(tuple(series))
        lab.prepared = [*lab.prepared, *series]

    lab.prepared = ["5.10"]
    monkeypatch.setattr(verify, "_fetch", fetch)
    assert main(["verify", str(VERDICTS), "--kernels", "6.1", "--yes", "--program", "accepted"]) == 0
    lab.prepared = []
    assert main(["verify", str(VERDICTS), "--yes", "--program", "accepted"]) == 0
    assert asked == [("6.1",), ("5.10", "6.1", "6.12", "6.18", "7.3")]
    lab.prepared = ["6.1"]
    assert main(["verify", str(VERDICTS), "--yes", "--kernels", "..6.12", "--program", "accepted"]) == 0
    assert asked[2:] == [("5.10", "6.12")], "a range is fetched as a whole"


def test_a_range_that_is_not_prepared_as_a_whole(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.prepared = ["6.1", "6.12"]
    words = ["verify", str(VERDICTS), "--kernels", "5.10..6.18", "--program", "accepted"]
    assert main([*words, "--format", "json"]) == 0
    told = capsys.readouterr()
    said = "not prepared: 5.10, 6.18; `bpfsmith lab get 5.10 6.18` gets them"
    assert said in json.loads(told.out)["notes"]
    assert said in told.err
    assert main([*words, "--strict"]) == 3
    assert "kernels `5.10` and `6.18` are not prepared" in capsys.readouterr().err


def test_kernels_of_other_kinds_that_are_missing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that gets them has the words they need."""
    from bpfsmith.cli import verify

    monkeypatch.setattr("bpfsmith.lab.kernels.matrix.native_arch", lambda: "x86_64")
    lab.prepared = []
    words = ["verify", str(VERDICTS), "--kernels", "6.12-arm64,6.1-full,6.18"]
    assert main(words) == 3
    told = capsys.readouterr().err
    assert "kernels `6.12-arm64`, `6.1-full` and `6.18` are not prepared" in told
    assert "lab get --arch arm64 6.12 && bpfsmith lab get --flavour full 6.1 && bpfsmith lab get 6.18" in told
    asked = []
    monkeypatch.setattr(verify, "_fetch", lambda *kind: asked.append(kind))
    main([*words, "--yes"])
    assert asked == [(["6.12"], "arm64", ""), (["6.1"], "", "full"), (["6.18"], "", "")]
    with pytest.raises(KernelsMissing) as caught:
        _kernels.targets("6.12-full-arm64")
    assert caught.value.wanted == (("6.12", "arm64", "full"),)
    assert caught.value.message == "kernel `6.12-full-arm64` is not prepared"


@pytest.mark.parametrize(("answer", "fetched"), [("y\n", True), ("\n", False), ("", False)])
def test_on_a_terminal_it_asks_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, fetched: bool
) -> None:
    from bpfsmith.cli import verify

    def fetch(series: Any, arch: str, flavour: str) -> None:
        lab.prepared = [*lab.prepared, *series]

    lab.prepared = []
    monkeypatch.setattr(verify, "_fetch", fetch)
    monkeypatch.setattr(verify, "_terminal", lambda: True)
    monkeypatch.setattr(verify, "_megabytes", lambda _: 190)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    code = main(["verify", str(VERDICTS), "--program", "accepted"])
    told = capsys.readouterr()
    assert code == (0 if fetched else 3)
    assert told.err.count("[y/N]") == 1
    assert "5.10, 6.1, 6.12, 6.18, 7.3" in told.err
    assert "190 MB" in told.err
    assert ("1 program on 5 kernels: 5 accepted" in told.out) == fetched


lab = verify_lab.lab  # the fixture


# ------------------------------------------------------------ what is said


def test_a_number_for_kernels_is_told_as_text(lab: Lab) -> None:
    with pytest.raises(InputError) as caught:
        bpfsmith.verify(VERDICTS, kernels=6.1)  # type: ignore[arg-type]
    assert caught.value.hint == 'write `"6.1"`'


def test_options_are_named_as_on_the_command_line(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--timeout", "0"], ["--log-level", "9"], ["--kernels", ""]):
        assert main(["verify", str(VERDICTS), *words]) == 2
        assert words[0] in capsys.readouterr().err


def test_a_boot_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    boot = lab.start

    def start_one(prepared: Any, memory: int | None = None, *, report: Callable[[str], None], **_: Any) -> Guest:
        report(f"booting kernel {prepared.name} once")
        return boot(prepared, memory)

    monkeypatch.setattr(start, "start", start_one)
    main(["verify", str(VERDICTS), "--kernels", "6.1", "--program", "accepted"])
    assert "booting kernel 6.1 once\n" in capsys.readouterr().err


def test_several_kernels_are_got_with_them() -> None:
    assert KernelsMissing("", ["6.1", "6.12"]).hint == "get them with `bpfsmith lab get 6.1 6.12`"
    assert KernelsMissing("", ["6.1"]).hint == "get it with `bpfsmith lab get 6.1`"


def test_removing_what_is_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path))
    assert main(["lab", "remove", "6.12"]) == 2
    assert "nothing to remove" in capsys.readouterr().err


def test_an_object_for_other_machines(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(FIXTURES / "inside-be.bpf.o"), "--kernels", "6.12"]) == 3
    told = capsys.readouterr().err
    assert "big-endian" in told
    assert "build it for `bpfel`" in told


def test_folders_of_the_kernel_are_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith.read import _find

    entered: list[str] = []

    def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
        folders = ["home", "proc", "sys", "dev"]
        yield top, folders, []
        entered.extend(folders)

    monkeypatch.setattr(_find.os, "walk", walk)
    _find.find("/")
    assert entered == ["home"]
    entered.clear()
    _find.find("/usr")
    assert "sys" in entered


def test_what_is_no_kernel_has_help(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for path in (str(tmp_path / "nope"), str(VERDICTS)):
        assert main(["lab", "add", path]) == 2
        assert "help: " in capsys.readouterr().err
