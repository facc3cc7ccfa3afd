"""`bpfsmith run` without a kernel: what it is told in words, where programs go, plans, signals, and how it speaks."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import bpfsmith
from bpfsmith.cli import main
from bpfsmith.kernel.fake import FakeDoor, installed
from bpfsmith.model.errors import InputError, PermissionMissing, TargetMissing, UnknownName, VerifierRejected
from bpfsmith.render import run_rejected
from bpfsmith.render.run_json import JsonOutput
from bpfsmith.render.run_text import TextOutput, render, value_text
from bpfsmith.run.aim import Aim
from bpfsmith.run.arrange import arrange, short
from bpfsmith.run.codec import parse_type
from bpfsmith.run.preview import preview
from bpfsmith.run.runreport import MapShown, ProgramRun, RunReport, StreamRun, plain
from bpfsmith.run.schema import schema
from bpfsmith.run.session import Signals
from bpfsmith.run.words import entries, pairs, seconds_of, sizes, value_of

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
INSIDE = FIXTURES / "inside.bpf.o"
COUNT = FIXTURES / "count_packets.bpf.o"


# ------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("3", 3), (0.25, 0.25), ("1.5 s", 1.5)],
)
def test_times(text: str | float, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "10x", "-1s", "nan", "inf", "1e30", "ten"])
def test_no_times(text: str) -> None:
    with pytest.raises(InputError, match="is no time"):
        seconds_of(text)


@settings(deadline=None)
@given(st.text())
def test_words_never_break(text: str) -> None:
    for read in (
        seconds_of,
        lambda word: sizes([word]),
        lambda word: entries([word]),
        lambda word: pairs([word], "--x"),
    ):
        with contextlib.suppress(InputError):
            read(text)
    value_of(text)


def test_sizes_and_entries() -> None:
    assert sizes(["A=64k", "B=1M", "C=10"]) == {"A": 65536, "B": 1 << 20, "C": 10}
    for wrong in ("A", "A=", "A=0", "A=-1", "=3", "A=1x"):
        with pytest.raises(InputError):
            sizes([wrong])
    assert entries(['C[0]={"a": 1}', "C[0x2]=7", "S[[1, 2]]=x", 'N["k"]="7"']) == {
        "C": {0: {"a": 1}, 2: 7}, "S": {(1, 2): "x"}, "N": {"k": "7"},
    }  # fmt: skip
    with pytest.raises(InputError, match="is no entry"):
        entries(["C=1"])


# ------------------------------------------------------------ where programs go


def _program(kind: str, section: str, attach_type: str | None = None, attach_to: str | None = None) -> Any:
    return SimpleNamespace(name="one", type=kind, section=section, attach_type=attach_type, attach_to=attach_to)


@pytest.mark.parametrize(
    ("program", "aim", "found"),
    [
        (_program("xdp", "xdp"), Aim(("eth0", "eth1")), [(("eth0",), {}), (("eth1",), {})]),
        (_program("sched_cls", "tc"), Aim(("eth0",), "egress"), [(("eth0", "egress"), {})]),
        (_program("sched_cls", "tcx/ingress", "tcx_ingress"), Aim(("eth0",)), [(("eth0", "ingress"), {})]),
        (_program("tracepoint", "tracepoint/a/b", None, "a/b"), Aim(func="x/y"), [((), {})]),
        (_program("tracepoint", "tracepoint"), Aim(func="sched/sched_switch"), [(("sched", "sched_switch"), {})]),
        (_program("kprobe", "uprobe"), Aim(func="/bin/sh:main", pid=7), [(("/bin/sh", "main"), {"pid": 7})]),
        (_program("kprobe", "usdt"), Aim(func="/bin/sh:lib:probe"), [(("/bin/sh", "lib", "probe"), {})]),
        (_program("perf_event", "perf_event"), Aim(func="cpu-clock:99"), [(("cpu-clock",), {"frequency": 99})]),
        (_program("cgroup_skb", "cgroup_skb/egress", "cgroup_inet_egress"), Aim(cgroup="/c"), [(("/c",), {})]),
        (_program("sk_msg", "sk_msg"), Aim(), [(("SOCKETS",), {})]),
        (_program("socket_filter", "socket"), Aim(("lo",)), [((), {"packets_of": "lo"})]),
        (_program("xdp", "xdp"), Aim(("eth0",), given={"one": "eth9"}), [(("eth9",), {})]),
        (_program("sched_cls", "tc"), Aim(given={"one": "eth9:ingress"}), [(("eth9", "ingress"), {})]),
        (
            _program("xdp", "xdp"),
            Aim(given={"one": {"iface": "e", "mode": "skb"}}),
            [((), {"iface": "e", "mode": "skb"})],
        ),
        (_program("xdp", "xdp/devmap", "xdp_devmap"), Aim(("eth0",)), []),
        (_program("syscall", "syscall"), Aim(("eth0",)), []),
    ],
)
def test_places(program: Any, aim: Aim, found: list[Any]) -> None:
    places, note = aim.places(program, set(), ["SOCKETS"])
    assert [(place.args, place.options) for place in places] == found
    assert bool(note) != bool(found)


@pytest.mark.parametrize(
    ("program", "option"),
    [
        (_program("xdp", "xdp"), "--iface"),
        (_program("sched_cls", "tc"), "--iface"),
        (_program("cgroup_skb", "cgroup_skb/egress", "cgroup_inet_egress"), "--cgroup"),
        (_program("tracepoint", "tracepoint"), "--func sched/sched_switch"),
        (_program("kprobe", "uprobe"), "--func"),
        (_program("kprobe", "kprobe"), "--func"),
        (_program("perf_event", "perf_event"), "--func cpu-clock"),
    ],
)
def test_what_is_missing_is_named(program: Any, option: str) -> None:
    with pytest.raises(TargetMissing, match=r"`one` \(section") as caught:
        Aim().places(program, set(), [])
    assert option in caught.value.hint


def test_targets_of_nobody() -> None:
    with pytest.raises(UnknownName, match="no program `tow`"):
        Aim(given={"tow": "eth0"}).check(["one", "two"])


@pytest.mark.parametrize(
    ("program", "aim", "option"),
    [
        (_program("tracepoint", "tracepoint/a/b", None, "a/b"), Aim(pid=7), "--pid"),
        (_program("tracepoint", "tracepoint/a/b", None, "a/b"), Aim(func="x/y"), "--func"),
        (_program("tracepoint", "tracepoint"), Aim(("lo",), func="x/y"), "--iface"),
        (_program("xdp", "xdp"), Aim(("lo",), "ingress"), "--direction"),
        (_program("xdp", "xdp"), Aim(("lo",), cgroup="/c"), "--cgroup"),
    ],
)
def test_what_says_nothing_to_any_program_is_refused(program: Any, aim: Aim, option: str) -> None:
    with pytest.raises(InputError, match=f"`{option}` says nothing to any of these programs"):
        aim.check_used([program])
    aim.check_used([program, *EVERY])


EVERY = [
    _program("sched_cls", "tc"),
    _program("kprobe", "uprobe"),
    _program("cgroup_skb", "cgroup_skb/egress", "cgroup_inet_egress"),
]


# ------------------------------------------------------------ plans


def test_plan(capsys: pytest.CaptureFixture[str]) -> None:
    door = FakeDoor()
    with installed(door):
        told = preview(str(COUNT), iface="eth0").to_json()
        assert main(["run", str(COUNT), "--iface", "eth0", "--plan"]) == 0
        text = capsys.readouterr().out
        assert main(["run", str(COUNT), "--iface", "eth0", "--plan", "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out) == told
    assert door.commands() == []  # nothing was asked of the kernel
    assert [row["command"] for row in told["load"]["commands"]].count("BPF_PROG_LOAD") == 1
    assert told["attach"][0]["targets"] == ["`eth0`"]
    assert "attach count_packets (xdp) to `eth0`" in text


def test_plan_of_tail_calls() -> None:
    told = {"iface": "eth0", "programs": ["filter", "parse"], "kconfig": {"CONFIG_HZ": 250}}
    with installed(FakeDoor()):
        rows = preview(str(INSIDE), **told).attach  # its declaration puts `filter` into `steps`
        both = preview(str(INSIDE), **told, entries={"steps": {1: "parse"}}).attach
    assert {row["program"]: row["note"] for row in rows} == {"filter": "reached by tail calls", "parse": ""}
    assert [row["targets"] for row in both] == [[], []]


PACKETS = FIXTURES.parents[1] / "examples/packet-counter/prebuilt/packet-counter.bpf.o"


def test_what_cannot_be_attached_is_left_out_and_one_choice_is_taken() -> None:
    obj = bpfsmith.read(PACKETS)
    with installed(FakeDoor()):
        found = arrange(obj, Aim(("lo",)), None, {"select": None})
        assert found.entries == {"STAGES": {0: "packet_filter"}}
        assert [(one.name, len(places)) for one, places, _ in found.rows] == [
            ("packet_filter", 0),
            ("packet_parser", 1),
        ]
        assert {one.name: short(why, one).partition("left out: ")[2][:14] for one, why in found.left} == {
            "connect_begin": "this kernel ha", "connect_end": "this kernel ha",
            "count_openat": "says no tracep", "count_openat2": "says no tracep",
        }  # fmt: skip
        assert set(found.options["autoload"]) == {one.name for one, _ in found.left}
        told = arrange(obj, Aim(("lo",)), {"STAGES": {0: "packet_parser"}}, {})
        assert told.entries == {"STAGES": {0: "packet_parser"}}  # as the caller says, sense or not
        with pytest.raises(InputError, match="one XDP program") as caught:
            arrange(obj, Aim(("lo",), given={"packet_filter": "lo"}), None, {})
        assert "`--put 'STAGES[0]=packet_filter'`" in caught.value.hint
        named = arrange(obj, Aim(func="do_unlinkat"), None, {"select": ["connect_begin"]})
        assert (len(named.rows), named.left) == (1, [])  # attaching it says why it cannot be
        with pytest.raises(TargetMissing, match="says no"):  # nothing is left
            arrange(obj, Aim(), None, {})
        plan = preview(str(PACKETS))  # which takes no target
    assert [row["program"] for row in plan.attach if row["targets"]] == []
    assert "PROG_LOAD   program `packet_parser`" in plan.text()
    assert "says no interface" in plan.text()


def test_without_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    door = FakeDoor(uid=1000, files={"/proc/self/status": "CapEff:\t0000000000000000\n"})
    door.fail("BPF_MAP_CREATE", 1)
    door.fail("BPF_BTF_LOAD", 1)
    with installed(door):
        with pytest.raises(PermissionMissing, match="CAP_BPF"):
            bpfsmith.run(COUNT, iface="lo", duration=0)
        assert main(["run", str(COUNT), "--iface", "lo"]) == 3
    assert "CAP_BPF" in capsys.readouterr().err
    assert not door.open_fds()


def test_wrong_words(capsys: pytest.CaptureFixture[str]) -> None:
    with installed(FakeDoor()):
        for words in (["--for", "soon"], ["--map-size", "X"], ["--put", "X"], ["--set", "X"], ["--attach", "X"]):
            assert main(["run", str(COUNT), "--iface", "lo", *words]) == 2
            assert "error: " in capsys.readouterr().err
        for words, said in (
            (["--for", "-1s"], "write `--for=-1s`"),
            (["--map-size", "EVENTS=99999999999"], "--map-size EVENTS=99999999999"),
            (["--interval", "0s", "--watch", "X"], "--interval 0s"),
            (["--interval", "1s"], "without `--watch`"),
        ):
            assert main(["run", str(COUNT), "--iface", "lo", *words]) == 2
            assert said in capsys.readouterr().err
    with pytest.raises(InputError):
        bpfsmith.run(COUNT, maps="some")
    with pytest.raises(InputError, match="interval"):
        bpfsmith.run(COUNT, interval=0)


# ------------------------------------------------------------ signals


def test_signals_only_stop() -> None:
    stopped = []
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        signals.stop = lambda: stopped.append(signals.name)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped == ["SIGTERM"]
        with pytest.raises(KeyboardInterrupt):  # somebody is in a hurry
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.name == ""
    finally:
        signal.signal(signal.SIGHUP, before)


# ------------------------------------------------------------ how it speaks


def _record() -> Any:
    codec = parse_type([("packets", "u64"), ("name", "char[8]"), ("raw", "u8[3]")])
    return codec.decode(codec.encode({"packets": 3, "name": "a b", "raw": [1, 2, 3]}))


def _report() -> RunReport:
    report = RunReport("prog.o")
    one = ProgramRun("count", "xdp", ["`eth0`"])
    one.runs, one.ns, one.missed = 2000, 400_000, 0
    report.programs = [one, ProgramRun("filter", "xdp", [], "reached by tail calls")]
    stream = StreamRun("EVENTS", "perf_event_array", "struct event")
    stream.count, stream.lost = 10, 2
    report.streams = [stream]
    report.maps = [MapShown("FLOWS", "hash", [(1, _record())], True)]
    report.globals = {"seen": 5}
    report.seconds, report.stopped, report.logs = 2.0, "SIGINT", 1
    return report


def test_text() -> None:
    out = io.StringIO()
    sink = TextOutput(out)
    report = _report()
    sink.started(report, 0.0123)
    sink.event("EVENTS", _record(), 1.5)
    sink.event("EVENTS", bytes(range(70)), 2)
    sink.lost("EVENTS", 2, 2)
    sink.log(SimpleNamespace(level="WARN", target="t", message="m\x1b[31m"), 2.25)
    sink.shown(report.maps[0], 3)
    assert (
        out.getvalue()
        == """\
prog.o: 2 programs, ready in 12.3 ms
  count    xdp   eth0
  filter   xdp   reached by tail calls

    1.500  EVENTS  packets=3 name='a b' raw=[1 2 3]
    2.000  EVENTS  00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f 20212223 24252627 \
28292a2b 2c2d2e2f 30313233 34353637 38393a3b 3c3d3e3f ... 70 bytes
    2.000  2 records of `EVENTS` lost
    2.250  warn   t: m\\x1b[31m
    3.000  FLOWS  the first 1 entries
           1  packets=3 name='a b' raw=[1 2 3]
           ...
""".replace("raw=[1 2 3]", f"raw={value_text(_record().raw)}")
    )
    assert (
        render(report)
        == """
2.0 s, ended by SIGINT
  program   runs  per second  ns per run
  count    2,000       1,000         200

  events  records  per second  lost
  EVENTS       10         5.0     2

  log records  1

  FLOWS  hash, the first 1 entries
    1  packets=3 name='a b' raw=[1 2 3]
    ...

  seen  5
""".replace("raw=[1 2 3]", f"raw={value_text(_record().raw)}")
    )


def test_json_lines() -> None:
    out = io.StringIO()
    sink = JsonOutput(out)
    report = _report()
    sink.started(report, 0.5)
    sink.event("EVENTS", _record(), 1.5)
    sink.event("EVENTS", b"\x01\xff", 1.5)
    sink.finished(report)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["kind"] for row in rows] == ["start", "event", "event", "summary"]
    assert rows[0]["version"] == 1
    assert rows[1]["data"]["packets"] == 3
    assert rows[2]["data"] == "01ff"
    assert rows[3]["programs"][0]["ns_per_run"] == 200
    assert rows[3] == report.to_json()
    sink.log(SimpleNamespace(level="INFO", target="t", module="m", file="f.rs", line=3, message="x"), 1)
    sink.lost("EVENTS", 3, 1)
    sink.shown(report.maps[0], 1)
    sink.text("rows", "a line\n")
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {row["kind"] for row in rows} == {"start", "event", "log", "lost", "map", "text", "summary"}
    Draft202012Validator.check_schema(schema())
    for row in rows:
        Draft202012Validator(schema()).validate(row)


def test_plain_values() -> None:
    assert plain({1: (2, b"a"), "x": float("nan")}) == {"1": [2, "61"], "x": "nan"}
    json.dumps(plain([None, True, 1.5, {"a": {1, 2}}]), allow_nan=False)


def test_rejected_shows_the_line(tmp_path: Path) -> None:
    source = tmp_path / "prog.c"
    source.write_text("one\ntwo\nthree\nfour\nfive\nsix\n")
    error = VerifierRejected("rejected", "count", "0: (95) exit\nR0 !read_ok\n", "R0 !read_ok", 13, str(source), 3)
    lines = f"  --> {source}:3\n   1 | one\n   2 | two\n > 3 | three\n   4 | four\n   5 | five\n"
    assert run_rejected.source(error) == lines
    assert run_rejected.log(error) == "0: (95) exit\nR0 !read_ok\n\n"
    error.path = "/nowhere/prog.c"
    assert run_rejected.source(error) == ""
    error.hint = "at `return *value;`"
    assert run_rejected.source(error) == "  --> /nowhere/prog.c:3\n > 3 | return *value;\n"
