"""`verify`: objects by kernels, guests that die, versions compared, and every way of printing it. The kernels are made
of answers."""

from __future__ import annotations

import errno
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
from bpfsmith.kernel import fake
from bpfsmith.lab import start, store
from bpfsmith.lab.session import Session
from bpfsmith.model.errors import EnvironmentMissing, GuestFailed, InputError, UnknownName
from bpfsmith.model.kernel import Kernel
from bpfsmith.render import renderer
from bpfsmith.verdict import Judged, Request
from bpfsmith.verdict.loaders import refusal, style
from bpfsmith.verify import _kernels, _work
from bpfsmith.verify._kernels import KernelsMissing
from bpfsmith.verify.against import changes
from bpfsmith.verify.claims import held, loads
from bpfsmith.verify.report import Result, Row
from bpfsmith.verify.schema import schema

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
VERDICTS = FIXTURES / "verdicts.bpf.o"
COUNTS = (
    "verification time 5 usec\nstack depth {stack}\nprocessed {processed} insns (limit 1000000) max_states_per_insn 0 "
    "total_states 1 peak_states 1 mark_read 0\n"
)
LOG = "7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\nprocessed 8 insns\n"


class Made(Kernel):
    def lacks(self, feature: str) -> bool:
        return not self.has(feature)


class Guest:
    """A guest of a kernel made of answers; `lives`: how many programs it judges before it fails as `dies` says."""

    def __init__(self, lab: Lab, name: str, memory: int | None) -> None:
        self.lab = lab
        self.kernel = Made(name, lab.types, version=f"{name}.1")
        self.door = lab.door(name, memory)
        self.closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.lab.open.remove(self)


class Door(fake.FakeDoor):
    """A door that dies of some programs."""

    __slots__ = ("dies", "patience")

    def replay_once(self, *arguments: Any, **options: Any) -> Any:
        before = len(self.of("BPF_PROG_LOAD"))
        answer = super().replay_once(*arguments, **options)
        for fields in self.of("BPF_PROG_LOAD")[before:]:
            if (how := self.dies.get(fields["prog_name"])) is not None:
                raise how
        return answer


class Lab:
    """What `lab.start` gives: `prepared` names, `dies`: program -> error (by kernel), `rules`: what doors answer."""

    def __init__(self) -> None:
        self.prepared = ["5.10", "6.1", "6.12", "6.18", "7.3"]
        self.open: list[Guest] = []
        self.started: list[tuple[str, int | None]] = []
        self.dies: dict[str, dict[str, GuestFailed]] = {}
        self.boots: list[Exception] = []
        self.rules: list[Callable[[Door, str, int | None], None]] = []
        self.types = bpfsmith.read(FIXTURES / "inside.bpf.o").btf

    def all(self) -> list[Any]:
        return [
            SimpleNamespace(
                name=name, release=f"{name}.1-cloud", arch="x86_64", series=name, package="", key=name,
                version=f"{name}.1", series_named=True,
            )
            for name in self.prepared
        ]  # fmt: skip

    def start(self, prepared: Any, memory: int | None = None, **_: Any) -> Guest:
        self.started.append((prepared.name, memory))
        if self.boots:
            raise self.boots.pop()
        guest = Guest(self, prepared.name, memory)
        self.open.append(guest)
        return guest

    def door(self, name: str, memory: int | None) -> Door:
        door = Door(version=f"{name}.1")
        door.dies = dict(self.dies.get(name, {})) if memory is None else {}
        for program in ("accepted", "optional"):
            door.logs[program] = COUNTS.format(stack="16+0", processed=46)
        door.logs["unchecked"] = LOG
        kinds = {"unchecked": errno.EACCES}
        door.answer("BPF_PROG_LOAD", lambda fields: -kinds[n] if (n := fields["prog_name"]) in kinds else None)
        for rule in self.rules:
            rule(door, name, memory)
        return door


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    made = Lab()
    monkeypatch.setattr(store, "all", made.all)
    monkeypatch.setattr(start, "start", made.start)
    monkeypatch.setattr(start, "spec_of", lambda prepared: prepared)
    monkeypatch.setattr(start, "larger", lambda _: 1024)
    monkeypatch.setattr(_kernels, "can_load_here", lambda: False)
    monkeypatch.setattr(_kernels, "_machine", lambda: "x86_64")
    yield made
    assert not made.open, "guests are left"


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
    trace = "0: (b7) r0 = 1\n" * 3 + COUNTS.format(stack="16+0", processed=46)
    lab.rules.append(lambda door, *_: door.logs.update(accepted=trace))
    report = bpfsmith.verify(VERDICTS, kernels="6.12", programs=["accepted", "no_target"], effort=True)
    effort = report.result("accepted", "6.12").effort
    assert effort is not None
    assert (effort.processed, effort.counted, effort.share) == (46, 3, 46 / 1_000_000)
    assert [(name, stack) for name, _, stack in effort.functions] == [("accepted", 16), ("sum", 0)]
    assert effort.lines[0].count == 3
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
        "log",
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
    assert '"uri": "verdicts.bpf.c"' in renderer("sarif").render(told)


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
            {word.partition(" ")[0] for word in one.removeprefix("proved by ").split(", ")}
            for one in report.loads if one.startswith("proved by")
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
