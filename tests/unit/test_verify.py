"""`verify`: objects by kernels, guests that die, versions compared. The kernels are made of answers."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith.cli import main
from bpfsmith.lab import start
from bpfsmith.lab.session import Session
from bpfsmith.model.errors import EnvironmentMissing, GuestFailed, InputError, UnknownName
from bpfsmith.verdict import Judged, Request
from bpfsmith.verdict.loaders import refusal, style
from bpfsmith.verify import _kernels, _work
from bpfsmith.verify._kernels import KernelsMissing
from bpfsmith.verify.against import changes
from bpfsmith.verify.report import Result, Row
from unit import verify_lab
from unit.verify_lab import COUNTS, FIXTURES, LOG, VERDICTS, Door, Guest, Lab

# ------------------------------------------------------------ which kernels


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (None, ["5.10", "6.1", "6.12", "6.18", "7.3"]),
        ("6.12", ["6.12"]),
        ("6.12,5.10", ["6.12", "5.10"]),
        (["6.12", "6.12"], ["6.12"]),
        ("5.10..", ["5.10", "6.1", "6.12", "6.18", "7.3"]),
        ("6.0..6.15", ["6.1", "6.12"]),
        ("..6.1", ["5.10", "6.1"]),
        ("6.12.1-cloud", ["6.12.1-cloud"]),
    ],
)
def test_words_for_kernels(lab: Lab, words: Any, names: list[str]) -> None:
    assert [one.name for one in _kernels.targets(words)] == names


def test_a_range_is_what_is_prepared_of_the_default_matrix(lab: Lab) -> None:
    lab.prepared = ["6.1", "6.16", "mine"]
    assert [one.name for one in _kernels.targets("5.10..")] == ["6.1"]
    assert [one.name for one in _kernels.targets("mine,6.16")] == ["mine", "6.16"]


def test_kernels_that_are_not_there(lab: Lab) -> None:
    lab.prepared = []
    with pytest.raises(KernelsMissing, match="lab get") as caught:
        _kernels.targets(None)
    assert caught.value.exit_code == 3
    assert caught.value.series == ("5.10", "6.1", "6.12", "6.18", "7.3")
    with pytest.raises(KernelsMissing) as caught:
        _kernels.targets("6.1,6.12")
    assert caught.value.series == ("6.1", "6.12")
    assert caught.value.command == "bpfsmith lab get 6.1 6.12"
    with pytest.raises(KernelsMissing) as caught:
        _kernels.targets("6.0..6.15")
    assert caught.value.series == ("6.1", "6.12")
    with pytest.raises(UnknownName):
        _kernels.targets("6.12x")
    with pytest.raises(InputError):
        _kernels.targets("6.12,")
    with pytest.raises(EnvironmentMissing):
        _kernels.targets("host")


lab = verify_lab.lab  # the fixture


# ------------------------------------------------------------ verdicts


def test_a_table(lab: Lab) -> None:
    report = bpfsmith.verify(VERDICTS, kernels="5.10..6.12")
    assert [one.name for one in report.kernels] == ["5.10", "6.1", "6.12"]
    assert [row.program for row in report.programs] == [one.name for one in bpfsmith.read(VERDICTS).programs]
    assert {one.verdict for one in report.programs[0].results} == {"accepted"}
    result = report.result("unchecked", "6.1")
    assert (result.verdict, result.message) == ("rejected", "R0 invalid mem access 'map_value_or_null'")
    assert (result.instruction, result.path) == (7, "./verdicts.bpf.c")
    assert report.result("no_target", "5.10").reason == "no-target-given"
    assert report.exit_code == 1
    with pytest.raises(UnknownName):
        report.result("uncheckd", "6.1")
    with pytest.raises(UnknownName):
        report.result("unchecked", "6.2")
    assert {name for name, _ in lab.started} == {"5.10", "6.1", "6.12"}


def test_exit_codes(lab: Lab) -> None:
    def code(**options: Any) -> int:
        return bpfsmith.verify(VERDICTS, kernels="6.12", **options).exit_code

    assert code(programs="accepted") == 0
    assert code(programs=["accepted", "unchecked"]) == 1
    assert code(programs=["accepted", "no_target"]) == 0
    assert code(programs=["accepted", "no_target"], strict=True) == 1
    assert code(programs="no_target") == 3
    with pytest.raises(UnknownName):
        code(programs="nobody")


def test_bad_files_do_not_hide_the_others(lab: Lab, tmp_path: Path) -> None:
    cut = tmp_path / "cut.o"
    cut.write_bytes(VERDICTS.read_bytes()[:600])
    report = bpfsmith.verify(
        [cut, VERDICTS, FIXTURES / "inside-be.bpf.o"], kernels="6.12", programs=["accepted", "parse"]
    )
    assert [row.program for row in report.programs] == ["accepted", "parse"]
    assert [one.verdict for row in report.programs for one in row.results] == ["accepted", "cannot"]
    assert [error.where for error in report.errors] == [str(cut)]
    assert report.exit_code == 2
    with pytest.raises(InputError):
        bpfsmith.verify(cut, kernels="6.12")
    bare = bpfsmith.read(VERDICTS)
    bare.leave_out(bare.programs)
    with pytest.raises(InputError, match="no eBPF program"):
        bpfsmith.verify(bare, kernels="6.12")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no eBPF object"):
        bpfsmith.verify(tmp_path / "empty", kernels="6.12")


@pytest.mark.parametrize(
    ("what", "reason"), [("crash", "crash"), ("lost", "crash"), ("hang", "timeout"), ("memory", "accepted")]
)
def test_a_guest_that_dies_costs_one_cell(lab: Lab, what: str, reason: str) -> None:
    lab.dies["6.12"] = {"optional": GuestFailed("it died", what, "Oops: 0000\n")}
    report = bpfsmith.verify(VERDICTS, kernels="6.1,6.12", programs=["accepted", "optional", "unchecked"])
    cell = report.result("optional", "6.12")
    assert (cell.reason or cell.verdict) == reason
    if reason != "accepted":
        assert cell.log == "Oops: 0000\n"
    else:
        assert ("6.12", 1024) in lab.started, "memory: once more in a larger guest"
    assert report.result("optional", "6.1").verdict == "accepted"
    assert report.result("accepted", "6.12").verdict == "accepted"
    assert report.result("unchecked", "6.12").verdict == "rejected"


def test_a_guest_that_cannot(lab: Lab) -> None:
    """The agent lives, and says that the guest has no memory for a command, or something nobody foresaw."""
    lab.dies["6.12"] = {"optional": OSError(errno.ENOMEM, "Cannot allocate memory")}  # type: ignore[dict-item]
    lab.dies["6.1"] = {"optional": OSError(errno.EIO, "Input/output error")}  # type: ignore[dict-item]
    report = bpfsmith.verify(VERDICTS, kernels="6.1,6.12", programs=["accepted", "optional"])
    assert report.result("optional", "6.12").verdict == "accepted", "once more in a larger guest"
    assert report.result("optional", "6.1").reason == "crash"
    assert report.result("accepted", "6.1").verdict == "accepted"


def test_wrong_values_are_the_callers_error(lab: Lab) -> None:
    with pytest.raises(InputError):
        bpfsmith.verify(VERDICTS, kernels="6.1,6.12", programs="accepted", map_sizes={"counts": 0})
    with pytest.raises(InputError):
        bpfsmith.verify(VERDICTS, kernels="6.1,6.12", programs="accepted", globals={"ROUNDS": "many"})


def test_memory_that_even_a_larger_guest_does_not_have(lab: Lab) -> None:
    lab.rules.append(lambda door, _, __: door.fail("BPF_MAP_CREATE", errno.ENOMEM))
    report = bpfsmith.verify(VERDICTS, kernels="6.12", programs="accepted")
    assert report.result("accepted", "6.12").reason == "memory"
    assert lab.started == [("6.12", None), ("6.12", 1024)]


def test_a_kernel_that_does_not_boot(lab: Lab) -> None:
    lab.boots = [GuestFailed("it did not come up", "boot", "Kernel panic")]
    assert bpfsmith.verify(VERDICTS, kernels="6.12", programs="accepted").exit_code == 0, "tried twice"
    lab.boots = [GuestFailed("it did not come up", "boot", "Kernel panic") for _ in range(2)]
    report = bpfsmith.verify(VERDICTS, kernels="6.12", programs=["accepted", "optional"])
    assert [one.reason for row in report.programs for one in row.results] == ["crash", "crash"]
    assert report.exit_code == 3


def test_without_qemu(lab: Lab) -> None:
    lab.boots = [EnvironmentMissing("there is no QEMU", "apt install qemu-system-x86") for _ in range(8)]
    with pytest.raises(EnvironmentMissing, match="QEMU"):
        bpfsmith.verify(VERDICTS, kernels="6.1,6.12")


def test_one_kernel_that_this_machine_cannot_start(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its column stays, and the exit code does not say that all is well."""
    boot = lab.start

    def start_one(prepared: Any, memory: int | None = None, **_: Any) -> Guest:
        if prepared.name == "6.18":
            raise EnvironmentMissing("there is no `qemu-system-aarch64`", "apt install qemu-system-arm")
        return boot(prepared, memory)

    monkeypatch.setattr(start, "start", start_one)
    for strict, code in ((False, 3), (True, 1)):
        report = bpfsmith.verify(VERDICTS, kernels="6.12,6.18", programs="accepted", strict=strict)
        assert [one.name for one in report.kernels] == ["6.12", "6.18"]
        assert report.result("accepted", "6.12").verdict == "accepted"
        cell = report.result("accepted", "6.18")
        assert (cell.verdict, cell.reason) == ("cannot", "crash")
        assert "qemu-system-aarch64" in (cell.message or "")
        assert report.untried == ("6.18",)
        assert report.exit_code == code
    assert bpfsmith.verify(VERDICTS, kernels="6.12,6.18", programs=["accepted", "unchecked"]).exit_code == 1
    assert main(["verify", str(VERDICTS), "--kernels", "6.12,6.18", "--program", "accepted"]) == 3
    told = capsys.readouterr()
    assert "6.18" in told.out
    assert "qemu-system-arm" in told.err


def test_what_all_kernels_lack_is_said_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The running kernel answers, and QEMU is missing for all others."""
    lab.boots = [EnvironmentMissing("there is no QEMU", "apt install qemu-system-x86") for _ in range(9)]
    monkeypatch.setattr(_kernels, "can_load_here", lambda: True)
    monkeypatch.setattr(_work, "verdict_of", lambda _: Judged("accepted", "", ""))
    assert main(["verify", str(VERDICTS), "--program", "accepted"]) == 3
    told = capsys.readouterr()
    assert told.err.count("there is no QEMU") == 1
    assert "5 kernels were not asked: 5.10, 6.1, 6.12, 6.18, 7.3" in told.err
    assert all(name in told.out for name in lab.prepared)


def test_the_folder_for_logs_is_made_first(lab: Lab) -> None:
    with pytest.raises(InputError, match="cannot write logs"):
        bpfsmith.verify(VERDICTS, kernels="6.12", log_dir="/proc/nope")
    assert not lab.started


def test_many_programs_share_guests(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_work, "_width", lambda wanted: min(wanted, 4))
    seen: list[tuple[int, int]] = []
    report = bpfsmith.verify([VERDICTS] * 1, kernels="6.12", progress=lambda done, cells: seen.append((done, cells)))
    assert 1 <= len(lab.started) <= 4
    assert max(seen) == (len(report.programs), len(report.programs))


# ------------------------------------------------------------ what is given


def test_what_is_given_must_be_of_some_object(lab: Lab) -> None:
    for wrong in ({"attach_to": {"nobody": "x"}}, {"globals": {"NOBODY": 1}}, {"map_sizes": {"nobody": 1}}):
        with pytest.raises(UnknownName):
            bpfsmith.verify(VERDICTS, kernels="6.12", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="it is not bound when it is loaded"):
        bpfsmith.verify(VERDICTS, kernels="6.12", attach_to={"accepted": "vfs_read"})
    with pytest.raises(InputError):
        bpfsmith.verify(VERDICTS, kernels="6.12", loader="bcc")
    with pytest.raises(InputError):
        bpfsmith.verify(VERDICTS, kernels="6.12", log_level=9)
    both = [VERDICTS, FIXTURES / "inside.bpf.o"]
    bpfsmith.verify(both, kernels="6.12", programs=["accepted", "parse"], globals={"ROUNDS": 9})


def test_loaders(lab: Lab) -> None:
    obj = bpfsmith.read(VERDICTS)
    assert style(obj) == "libbpf"
    assert refusal(obj, obj.programs[0], "libbpf") == ("", "")
    report = bpfsmith.verify(VERDICTS, kernels="6.12", programs="accepted", loader="aya")
    assert report.result("accepted", "6.12").reason == "loader"
    assert "aya refuses the object" in (report.result("accepted", "6.12").message or "")
    assert not lab.started, "no kernel is asked for what its loader refuses"


def test_a_session_judges_by_the_same_rules(lab: Lab) -> None:
    """`k.verify` says what `bpfsmith verify` says: loaders' rules, targets of `freplace`, words for programs."""
    prepared: Any = next(one for one in lab.all() if one.name == "6.12")
    with Session(prepared, {}) as k:
        for loader in (None, "aya", "libbpf"):
            said = k.verify(VERDICTS, loader=loader)
            report = bpfsmith.verify(VERDICTS, kernels="6.12", loader=loader)
            cells = {row.program: row.results[0] for row in report.programs}
            assert {name: (one.verdict, one.reason or None, one.message or None) for name, one in said.items()} == {
                name: (one.verdict, one.reason, one.message) for name, one in cells.items()
            }
        assert k.verify(VERDICTS, loader="aya")["accepted"].reason == "loader"
        assert list(k.verify(VERDICTS, programs="accepted")) == ["accepted"]
        assert list(k.verify(VERDICTS, programs=["accepted", "un*"])) == ["accepted", "unchecked"]
        for wrong in ({"programs": "ab"}, {"request": Request(globals={"NOBODY": 1})}):
            with pytest.raises(UnknownName):
                k.verify(VERDICTS, **wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError):
            k.verify(VERDICTS, loader="bcc")


def test_logs(lab: Lab, tmp_path: Path) -> None:
    long = "7: (79) r1 = *(u64 *)(r0 +0)\n" * 2000 + LOG
    lab.rules.append(lambda door, *_: door.logs.update(unchecked=long))
    kept = bpfsmith.verify(VERDICTS, kernels="6.12", programs="unchecked").result("unchecked", "6.12").log or ""
    assert kept.startswith("[")
    assert "left out" in kept.partition("\n")[0]
    assert len(kept) < 17_000
    assert kept.endswith("processed 8 insns\n")
    whole = bpfsmith.verify(VERDICTS, kernels="6.12", programs="unchecked", log=True).result("unchecked", "6.12").log
    assert whole == long
    report = bpfsmith.verify(VERDICTS, kernels="6.12", programs="unchecked", log_dir=tmp_path / "logs")
    path = report.result("unchecked", "6.12").log or ""
    assert path == str(tmp_path / "logs/verdicts.unchecked.6.12.log")
    assert Path(path).read_text() == long
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write logs"):
        bpfsmith.verify(VERDICTS, kernels="6.12", programs="unchecked", log_dir=tmp_path / "file/x")


def test_against_an_older_version(lab: Lab) -> None:
    def rule(door: Door, *_: Any) -> None:
        counts = iter([(120, "64"), (46, "16+0")])  # the new version first, then the old one

        def answer(fields: dict[str, Any]) -> None:
            if fields["prog_name"] == "accepted":
                processed, stack = next(counts)
                door.logs["accepted"] = COUNTS.format(stack=stack, processed=processed)

        door.answer("BPF_PROG_LOAD", answer)

    lab.rules.append(rule)
    report = bpfsmith.verify(VERDICTS, kernels="6.12", programs="accepted", against=VERDICTS)
    assert [(one.what, one.old, one.new, one.worse) for one in report.changes or ()] == [
        ("processed", 46, 120, True), ("stack", 16, 64, True),
    ]  # fmt: skip
    assert len(report.programs) == 1, "the old version has no rows of its own"
    same = bpfsmith.verify(VERDICTS, kernels="6.1", programs="unchecked", against=VERDICTS)
    assert same.changes == ()


def test_against_tells_objects_apart() -> None:
    """Two objects with a `main` each are not mixed."""

    def row(path: str, verdict: str) -> Any:
        made = Row(path, "main", "xdp", "libbpf")
        made.results.append(Result("6.12", Judged(verdict)))
        return made

    def told(old: list[Any], new: list[Any]) -> list[tuple[str, str, Any, Any]]:
        return [(one.object, one.what, one.old, one.new) for one in changes(old, new)]

    old = [row("old/a.o", "accepted"), row("old/b.o", "rejected")]
    new = [row("new/a.o", "accepted"), row("new/b.o", "rejected")]
    assert not told(old, new)
    assert not told(old, new[::-1])
    assert told(old, [new[0], row("new/b.o", "accepted")]) == [("new/b.o", "verdict", "rejected", "accepted")]
    same = [row("old/x/m.o", "accepted"), row("old/y/m.o", "rejected")]
    assert not told(same, [row("new/y/m.o", "rejected"), row("new/x/m.o", "accepted")])
    # One object on each side may be called anything.
    assert told([row("v1.o", "accepted")], [row("v2.o", "rejected")]) == [("v2.o", "verdict", "accepted", "rejected")]


def test_effort(lab: Lab) -> None:
    steps = "0: (b7) r0 = 1\n1: (07) r0 += 1\n2: (95) exit\n"
    trace = steps + COUNTS.format(stack="16+0", processed=46)
    lab.rules.append(lambda door, *_: door.logs.update(accepted=trace))
    report = bpfsmith.verify(VERDICTS, kernels="6.12", programs=["accepted", "no_target"], effort=True)
    effort = report.result("accepted", "6.12").effort
    assert effort is not None
    assert (effort.processed, effort.counted, effort.share) == (46, 3, 46 / 1_000_000)
    assert [(name, stack) for name, _, stack in effort.functions] == [("accepted", 16), ("sum", 0)]
    assert [one.count for one in effort.lines] == [2, 1]
    assert report.result("no_target", "6.12").effort is None


def test_a_guest_that_dies_of_more_keeps_the_verdict(lab: Lab) -> None:
    def rule(door: Door, *_: Any) -> None:
        loads = iter([None, GuestFailed("it died", "memory", "Oops")])

        def answer(_: dict[str, Any]) -> None:
            if (error := next(loads, None)) is not None:
                raise error

        door.answer("BPF_PROG_LOAD", answer)

    lab.rules.append(rule)
    report = bpfsmith.verify(VERDICTS, kernels="6.12", programs=["accepted", "optional"], effort=True)
    assert [one.verdict for row in report.programs for one in row.results] == ["accepted", "accepted"]
    assert [one.effort for row in report.programs for one in row.results] == [None, None]
