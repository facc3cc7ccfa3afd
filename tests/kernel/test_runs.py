"""Programs run by hand, what the kernel counts of them, and their dumps."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith.run.measure import stats_enabled
from bpfsmith.run.testrun import TestRun as Result

pytestmark = [pytest.mark.root, pytest.mark.toolchain]

FRAME = bytes(12) + b"\x08\x00" + bytes(86)


@pytest.fixture
def programs(load_known: Callable[..., Any], bpf_object: Callable[..., Path]) -> Iterator[Any]:
    with load_known(bpf_object("runs")) as loaded:
        yield loaded.programs


def test_packet_programs(programs: Any) -> None:
    result = programs["packet"].test_run(FRAME)
    assert (result.retval, result.verdict, result.ctx_out) == (2, "XDP_PASS", None)
    assert result.data_out == b"\x01" + FRAME[1:]
    assert programs["packet"].test_run(FRAME[:13] + b"\x01" + FRAME[14:]).verdict == "XDP_DROP"
    assert programs["packet"].test_run().data_out is not None
    longer = programs["grows"].test_run(FRAME)
    assert (longer.verdict, len(longer.data_out)) == ("XDP_TX", len(FRAME) + 16)
    assert programs["egress"].test_run(FRAME).retval == 1
    assert programs["filter"].test_run(FRAME).retval == len(FRAME) - 14
    assert programs["xmit"].test_run(FRAME).verdict == "BPF_DROP"
    assert programs["hook"].test_run(FRAME).verdict == "NF_ACCEPT"


def test_contexts_by_field_and_as_bytes(programs: Any) -> None:
    result = programs["shaped"].test_run(FRAME, {"mark": 5, "cb": [0, 41]})
    assert (result.verdict, result.ctx_out["mark"], result.ctx_out["cb"]) == ("TC_ACT_SHOT", 7, [0, 42, 0, 0, 0])
    result = programs["shaped"].test_run(FRAME)
    assert (result.signed, result.verdict, result.ctx_out) == (-1, "TC_ACT_UNSPEC", None)
    result = programs["shaped"].test_run(FRAME, bytes(8) + (5).to_bytes(4, "little") + bytes(180))
    assert isinstance(result.ctx_out, bytes)
    assert int.from_bytes(result.ctx_out[8:12], "little") == 7
    result = programs["packet"].test_run(FRAME, {"ingress_ifindex": 1, "rx_queue_index": 0})
    assert result.ctx_out["data_end"] - result.ctx_out["data"] == len(FRAME)
    assert programs["lookup"].test_run(ctx={"family": 2, "protocol": 6, "local_port": 81}).verdict == "SK_PASS"


def test_flow_dissector(programs: Any) -> None:
    packet = FRAME[:14] + b"\x45" + bytes(85)
    result = programs["dissect"].test_run(packet, repeat=3)
    assert result.verdict == "BPF_OK"
    assert (result.ctx_out["thoff"], result.ctx_out["ip_proto"]) == (34, 17)
    assert len(result.data_out) == 56


def test_programs_without_a_packet(programs: Any) -> None:
    assert programs["raw"].test_run(ctx=[20, 22], cpu=0).retval == 42
    if 1 in os.sched_getaffinity(0):
        assert programs["raw"].test_run(ctx=[20, 22], cpu=1).retval == 1042
    result = programs["call"].test_run(ctx=(21).to_bytes(8, "little") + bytes(8))
    assert (result.retval, int.from_bytes(result.ctx_out[8:], "little")) == (3, 42)


def test_repetitions_are_counted_and_timed(programs: Any) -> None:
    result = programs["packet"].test_run(FRAME, repeat=1000)
    assert result.repeat == 1000
    assert result.duration < 1_000_000
    assert "XDP_PASS" in repr(result)


def test_live_frames(programs: Any) -> None:
    result = programs["packet"].test_run(FRAME[:13] + b"\x01" + FRAME[14:], repeat=8, live_frames=True, batch_size=4)
    assert isinstance(result, Result)
    assert result.data_out is None


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("packet", {"data": bytes(13)}, "at least the 14 bytes"),
        ("packet", {"data": "text"}, "`data` is bytes"),
        ("packet", {"ctx": {"rx_queue": 1}}, "did you mean `rx_queue_index`"),
        ("packet", {"ctx": {"rx_queue_index": 1 << 40}}, "does not fit"),
        ("packet", {"cpu": 1}, "sched_setaffinity"),
        ("packet", {"batch_size": 4}, "live_frames"),
        ("packet", {"repeat": 0}, "from 1"),
        ("shaped", {"ctx": {"hash": 3}}, "`hash` of `__sk_buff` cannot be set"),
        ("shaped", {"ctx": {"cb": [1] * 6}}, "5 elements"),
        ("shaped", {"live_frames": True}, "only `xdp`"),
        ("raw", {"data": FRAME}, "take no packet"),
        ("raw", {"repeat": 2}, "runs once per call"),
        ("raw", {"ctx": {"args": 1}}, "bytes"),
        ("call", {"ctx": [1, 2]}, "bytes"),
    ],
)
def test_wrong_arguments(programs: Any, name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(bpfsmith.InputError, match=message):
        programs[name].test_run(**arguments)


def test_types_only_their_event_runs(programs: Any) -> None:
    with pytest.raises(bpfsmith.Unsupported, match="cause the event") as caught:
        programs["tracepoint"].test_run()
    assert caught.value.feature == "test_run of tracepoint"


def test_statistics(programs: Any) -> None:
    program = programs["packet"]
    with stats_enabled():
        before = program.stats()
        program.test_run(FRAME, repeat=50)
        gained = program.stats() - before
    assert (gained.run_cnt, gained.recursion_misses) == (50, 0)
    assert 0 < gained.ns_per_run < 1_000_000
    assert "50 runs" in repr(gained)


def test_info_and_dumps_are_bpftools(programs: Any, tmp_path: Path) -> None:
    program = programs["packet"]
    info = program.info()
    told = json.loads(_bpftool("-j", "prog", "show", "id", str(program.id)))
    for ours, theirs in (("id", "id"), ("tag", "tag"), ("name", "name"), ("type", "type"), ("map_ids", "map_ids")):
        assert info[ours] == told[theirs]
    assert (info["xlated_prog_len"], info["jited_prog_len"]) == (told["bytes_xlated"], told["bytes_jited"])
    assert list(info["maps"].values()) == ["RUNS"]
    assert info["verified_insns"] > 0
    _bpftool("prog", "dump", "xlated", "id", str(program.id), "file", str(tmp_path / "xlated"))
    assert (tmp_path / "xlated").read_bytes() == program.xlated()
    assert len(program.jited()) == told["bytes_jited"]
    text = _bpftool("prog", "dump", "xlated", "id", str(programs["grows"].id))
    theirs = [line for line in text.splitlines() if line.lstrip()[:1].isdigit()]
    assert programs["grows"].xlated_text().splitlines() == theirs
    assert "map[id:" in programs["tracepoint"].xlated_text()
    assert " RUNS\n" in programs["tracepoint"].xlated_text()
    assert sum(info["jited_func_lens"]) <= len(program.jited())


def test_streams_or_why_not(programs: Any) -> None:
    try:
        assert programs["packet"].streams() == {"stdout": "", "stderr": ""}
    except bpfsmith.Unsupported as error:
        assert error.since == "6.17"


def test_closed(bpf_object: Callable[..., Path]) -> None:
    loaded = bpfsmith.load(bpf_object("runs"), select="packet")
    program = loaded.programs["packet"]
    loaded.close()
    for use in (program.test_run, program.stats, program.info, program.xlated, program.streams):
        with pytest.raises(bpfsmith.Closed, match="`packet` was closed"):
            use()


def _bpftool(*words: str) -> str:
    from build_corpus import home
    from toolchain import bpftool

    return subprocess.run([str(bpftool(home())), *words], check=True, capture_output=True, text=True).stdout
