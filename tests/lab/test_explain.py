"""`explain` of objects: guests of real kernels judge, and each of them leads to the same line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import bpfsmith
from bpfsmith import cli, lab
from bpfsmith.explain.report import ExplainReport
from bpfsmith.explain.schema import schema
from bpfsmith.lab import store

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
OBJECT = ROOT / "examples/rejected/prebuilt/dns-guard.bpf.o"
VERDICTS = ROOT / "tests/fixtures/verdicts.bpf.o"


def test_an_object(prepared: list[store.Prepared], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFSMITH_DEBUG", "1")
    names = [one.name for one in prepared]
    made = bpfsmith.explain(OBJECT, kernels=names)
    assert isinstance(made, ExplainReport)
    assert made.exit_code == 1
    assert sorted(name for one in made.programs for name in one.kernels) == sorted(names)
    for one in made.programs:
        assert (one.program, one.verdict, one.family) == ("dns_guard", "rejected", "V08")
        assert one.cls in ("check-wrong", "missing-bounds-check")
        assert one.line[0] == "src/main.rs"
        Draft202012Validator(schema()).validate(one.to_json())


def test_one_kernel_is_one_document(middle: store.Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(OBJECT), "--kernels", middle.name, "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["program"], document["kernel"], document["verdict"]) == ("dns_guard", middle.name, "rejected")
    assert document["cause"]["path"] == "src/main.rs"
    assert document["cause"]["column"]


def test_several_programs(middle: store.Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    """What is rejected first, what is accepted last, what could not be tried as a note."""
    words = ["explain", str(VERDICTS), "--kernels", middle.name]
    names = ("accepted", "unchecked", "leaks", "missing_field", "no_target")
    assert cli.main([*words, *(word for name in names for word in ("--program", name))]) == 1
    out = capsys.readouterr().out
    assert out.index("error[V06 missing-null-check]") < out.index(f"`accepted` is accepted by {middle.name}")
    assert "needs field `struct task_struct.nobody_has_this`" in out
    assert "unreleased-reference" in out
    assert f"note: `no_target` could not be tried on {middle.name} (no-target-given)" in out
    assert cli.main([*words, "--program", "accepted"]) == 0
    assert cli.main([*words, "--program", "no_target"]) == 3


def test_a_verdict_carries_its_cause(middle: store.Prepared) -> None:
    with lab.kernel(middle.name) as kernel:
        judged = kernel.verify(VERDICTS, programs="unchecked")["unchecked"]
    assert judged.cause is not None
    assert judged.cause.cls == "missing-null-check"


def test_the_table_of_verify(middle: store.Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(VERDICTS), "--kernels", middle.name, "--program", "unchecked"]) == 1
    assert "= missing-null-check: `count` may be null" in capsys.readouterr().out
    report = bpfsmith.verify(VERDICTS, kernels=middle.name, programs="unchecked")
    finding = report.findings()[0]
    assert finding.code == "CHK006"
    assert finding.evidence[0].kind == "cause"
    assert finding.labels
