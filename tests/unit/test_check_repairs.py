"""`check --fix --prove`: which files are repaired, and what is said of kernels."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith.check.prove import _with_evidence
from bpfsmith.check.repairs import Repairs, folders_of, outside
from bpfsmith.check.report import Report
from bpfsmith.cli._failure import report
from bpfsmith.explain._job import kind_of
from bpfsmith.explain.report import ExplainReport
from bpfsmith.model.errors import InputError
from bpfsmith.model.finding import Edit, Finding, Fix, Span
from bpfsmith.repair.report import Proof
from bpfsmith.repair.search import _first_error, _shown_by
from bpfsmith.repair.tools import BuildFailed, Runner
from bpfsmith.rules._sources import Sources
from bpfsmith.verdict import Judged
from bpfsmith.verify.explained._finding import LogSources, _changed
from bpfsmith.verify.report import Result, Row

TEXT = "int a;\nint b;\nint c;\nint d;\n"


def written(path: Path, text: str = TEXT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(("source", "built"), [("x.bpf.c", "x.o"), ("src/x.bpf.c", "build/x.o"), ("x.c", "out/x.o")])
def test_of_a_copied_folder_the_copy_is_meant(tmp_path: Path, source: str, built: str) -> None:
    old, new = written(tmp_path / "a" / source), written(tmp_path / "b" / source)
    there, here = written(tmp_path / "a" / built, ""), written(tmp_path / "b" / built, "")
    known = Sources()
    assert known.find(str(old), str(here)) == known.shown(str(new))
    assert known.find(str(old), str(there)) == known.shown(str(old))
    new.write_text(TEXT.replace("int c", "long c"))  # it was worked on since
    assert Sources().find(str(old), str(here)) == known.shown(str(new))
    new.write_text("something else\n")
    assert Sources().find(str(old), str(here)) == known.shown(str(old)), "a file of that name only"


def test_a_relative_path_is_looked_for_beside_an_object_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "a" / "x.c")
    new = written(tmp_path / "b" / "x.c")
    monkeypatch.chdir(tmp_path / "a")
    assert Sources().find("x.c", str(tmp_path / "b" / "x.o")) == str(new)
    assert Sources().find("x.c", str(tmp_path / "a" / "x.o")) == "x.c"


def test_what_lies_outside_of_what_was_given_is_not_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path / "a" / "x.bpf.c")
    folder = tmp_path / "b"
    folder.mkdir()
    asked: list[str] = []
    monkeypatch.setattr("bpfsmith.repair.repair", lambda path, *_, **__: asked.append(path) or [])
    monkeypatch.setattr("bpfsmith.check.repairs.Repairs._sources", lambda _: [str(source)])
    report = bpfsmith.check(folder, fix=True, prove=True)
    assert asked == [] and source.read_text() == TEXT
    said = [one for one in report.errors if "is not repaired" in one.message]
    assert len(said) == 1 and said[0].where == str(source) and str(source.parent) in said[0].hint
    assert report.exit_code == 2
    bpfsmith.check([folder, source.parent], fix=True, prove=True)
    assert asked == [str(source)], "its folder was given too"


def test_the_folders_of_a_call(tmp_path: Path) -> None:
    one = written(tmp_path / "ws" / "x.o")
    link = tmp_path / "link"
    os.symlink(tmp_path / "ws", link)
    assert folders_of([str(one)]) == folders_of([str(link)]) == [str(tmp_path / "ws")]
    assert outside(str(link / "x.o"), [str(tmp_path / "ws")]) is None
    assert outside(str(tmp_path / "wsx" / "x.c"), [str(tmp_path / "ws")]) is not None


def mended(still: dict[str, str], *, diff: bool = False) -> Report:
    """What is left of a check of `p`, which 5.10 and 7.3 reject, after a change that 7.3 accepts."""
    fix = Fix("proved", "check it", [Edit(Span("x.c", 1, 1, 1, 1), "y")])
    proof = Proof(
        "x.o", "p", fix, shown="only-failing-branch", kernels=[one for one in ("5.10", "7.3") if one not in still]
    )
    proof.still = still
    repairs = Repairs(["x.o"], None)
    repairs._proofs.append(proof)

    def rejected(kernel: str) -> Finding:
        said = f"{kernel}: the verifier rejects `p`"
        return Finding("CHK006", "rejected-by-kernel", "error", said, None, program="p", kernels=[kernel])

    both = [rejected("5.10"), rejected("7.3")]
    loads = ["p: loads on none of 5.10 and 7.3", "q: loads on 7.3", "asked: 5.10 (5.10.0), 7.3 (7.3.4)"]
    return repairs.left(Report(both, loads=loads), [rejected("7.3")], unsafe=False, diff=diff)


def test_a_program_is_repaired_only_for_kernels_that_accept_it() -> None:
    left = mended({"5.10": "BPF_STX uses reserved fields"})
    assert [one.kernels for one in left.findings] == [("5.10",)], "its rejection stands"
    assert "`p` is repaired for 7.3; 5.10 rejects it still: BPF_STX uses reserved fields" in left.notes[-1]
    assert left.loads == ("q: loads on 7.3", "asked: 5.10 (5.10.0), 7.3 (7.3.4)"), "of what was built before nothing"
    left = mended({})
    assert left.findings == ()
    assert left.notes == ("`p` is repaired for 5.10, 7.3; what is built is older: build again",)
    assert mended({}, diff=True).notes == ("`p` would be repaired for 5.10, 7.3",)


def test_a_fix_says_who_rejects_it_still() -> None:
    assert _shown_by("only-failing-branch", ["7.3"], [], ["5.10"]).startswith(
        " (7.3 accepts it, 5.10 still refuses it; "
    )
    assert _shown_by(None, [], [], ["5.10", "7.3"]).startswith(" (5.10, 7.3 still refuse it; ")


def test_what_a_failed_build_printed_is_shown_as_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = {"reason": "compiler-message", "message": {"rendered": "error[E0425]: no `x`\n --> src/main.rs:2:5\n"}}
    noise = "\n".join(f"Compiling {number}" for number in range(40))
    text = f'{noise}\nwarning: {json.dumps(message)}\n{{"reason":"build-finished","success":false}}\n{noise}'
    (tmp_path / "out").write_text(text)
    with pytest.raises(BuildFailed) as caught:
        Runner(20)(["sh", "-c", "cat out; exit 1"], str(tmp_path), os.environ)
    report(caught.value)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:3] == ["  | error[E0425]: no `x`", "  |  --> src/main.rs:2:5"]
    assert len(lines) < 20 and lines[-1].startswith("  help: ")
    assert not any("\\n" in one or "reason" in one for one in lines)
    assert _first_error(caught.value.output) == "error[E0425]: no `x`"


def test_a_source_is_not_taken_for_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path / "x.bpf.c")
    assert kind_of(str(source)) == "source"
    assert kind_of(str(written(tmp_path / "x.log"))) == "log"
    with pytest.raises(InputError, match="is a source") as caught:
        bpfsmith.explain(str(source))
    assert "--prove" in caught.value.hint
    asked: list[str] = []
    monkeypatch.setattr(
        "bpfsmith.explain._objects.built_in_copy", lambda path, *_: asked.append(path) or ExplainReport([])
    )
    bpfsmith.explain(str(source), prove=True, kernels="7.3")
    assert asked == [str(source)]


def test_a_refusal_belongs_to_what_speaks_of_it() -> None:
    result = Result("7.3", Judged("rejected", message="R1 invalid"))
    result.line = 9
    row = Row("x.o", "p", "tc", "aya")
    row.results.append(result)

    def said(code: str, line: int, kernels: tuple[str, ...] = ()) -> list[str]:
        found = Finding(
            code, "x", "note", "y", Span("x.c", line, 1, line, 2), object="x.o", program="p", kernels=kernels
        )
        return [one.text for one in _with_evidence(found, {("x.o", "p"): row}).evidence]

    assert said("OBJ011", 9) == [], "which loader knows a section is nothing the verifier speaks of"
    assert said("OBJ001", 9) == ["7.3 rejects it: R1 invalid"]
    assert said("OBJ001", 4) == ["7.3 rejects the program at line 9: R1 invalid"]
    assert said("OBJ008", 9, ("7.3",)) == ["7.3 rejects it: R1 invalid"]


def test_a_source_that_changed_since_the_build_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "x.c", "// new\n" + TEXT)
    sources = LogSources(str(tmp_path / "x.o"))
    assert sources.quote(str(path), 3, "int c;") == (sources.shown(str(path)), 4)
    assert _changed(sources.changed).endswith("(its line 3 is line 4 now): build again")
    sources = LogSources(str(tmp_path / "x.o"))
    assert sources.quote(str(path), 2, "int a;")[1] == 2 and not sources.changed
    sources.quote(str(path), 3, "int e;")
    assert "reads otherwise now" in _changed(sources.changed)
