"""`verify --effort`: what is counted from a log of level 2, and how near the limits a program is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith._native import VerifierLog
from bpfsmith.model.program import Program
from bpfsmith.render.inspect_table import Paint
from bpfsmith.render.verify_effort import effort as shown
from bpfsmith.render.verify_effort import percent, rows
from bpfsmith.verdict import Judged, parse
from bpfsmith.verify.effort import Effort
from bpfsmith.verify.effort_limits import Limit, frames_allowed, limits
from bpfsmith.verify.effort_walk import Walk
from unit.verify_lab import VERDICTS

LOGS = sorted((Path(__file__).resolve().parents[1] / "data/verifier_logs").glob("*-2-goes_round.log"))

OPEN = """0: R1=ctx() R10=fp0
0: (bf) r6 = r1                       ; R6_w=ctx()
1: (85) call bpf_get_prandom_u32#7    ; R0_w=scalar()
2: (15) if r0 == 0x0 goto pc+4        ; R0_w=scalar()
3: (15) if r0 == 0x1 goto pc+3        ; R0_w=scalar()
4: (15) if r0 == 0x2 goto pc+2        ; R0_w=scalar()
5: (b7) r0 = 1                        ; R0_w=1
6: (95) exit

from 4 to 7: R0=2 R6=ctx() R10=fp0
7: (b7) r0 = 0                        ; R0_w=0
8: (95) exit

from 3 to 7: safe

from 2 to 7: R0=0 R6=ctx() R10=fp0
7: (b7) r0 = 0                        ; R0_w=0
8: (95) exit
processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
"""


def told(verdict: str, log: str) -> Judged:
    made = Judged(verdict)
    made.told = parse(log)
    made.message = made.told.message
    return made


def program(name: str) -> Program:
    one = bpfsmith.read(VERDICTS).program(name)
    assert one is not None
    return one


def limit(found: list[Limit], name: str) -> Limit:
    return next(one for one in found if one.name == name)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_states_are_those_the_kernel_counted(path: Path) -> None:
    log = VerifierLog(path.read_text(encoding="utf-8"))
    walk = Walk(log, path.stem.partition("-")[0])
    assert sum(walk.kept.values()) == log.counts["total_states"]
    assert walk.steps + sum(walk.pruned.values()) == log.counts["processed"]
    assert (walk.pending, walk.frames) == (2, 2)


def test_branches_that_wait() -> None:
    walk = Walk(VerifierLog(OPEN), "6.12")
    assert (walk.pending, walk.pending_at) == (3, 4)
    assert walk.opened == {2: 1, 3: 1, 4: 1}
    assert walk.pruned == {7: 1}
    assert walk.visits[7] == 2


def test_a_log_without_its_head_has_what_waited_before() -> None:
    cut = OPEN[OPEN.index("4: (15)") :]
    walk = Walk(VerifierLog(cut), "6.12")
    assert walk.pending <= 3
    assert walk.pruned == {7: 1}


@pytest.mark.parametrize("text", ["", "processed 3 insns\n", "from 1 to x: safe\n", "7: safe\nfrom 2 to 7: safe\n"])
def test_nothing_to_count(text: str) -> None:
    walk = Walk(VerifierLog(text), "7.3")
    assert (walk.pending, walk.frames, walk.steps) == (0, 1, 0)


def test_rounds_of_a_loop() -> None:
    turn = "1: (07) r1 += 1   ; R1_w=1\n2: (a5) if r1 < 0x5 goto pc-2   ; R1_w=1\n"
    log = "0: (b7) r1 = 0   ; R1_w=0\n" + turn * 4 + "3: (b7) r0 = 0   ; R0_w=0\n4: (95) exit\nprocessed 11 insns\n"
    walk = Walk(VerifierLog(log), "6.1")
    assert walk.rounds == {(2, 1): 3}
    assert walk.entered == {1: 1}


# ------------------------------------------------------------ limits


def found(verdict: str, log: str, series: str, name: str = "too_deep", arch: str = "x86_64") -> list[Limit]:
    one = program(name)
    return limits(one, told(verdict, log), Walk(VerifierLog(log), series), series, arch, whole=True)


def test_stacks_are_rounded_as_the_kernel_does() -> None:
    log = "stack depth 200+100\nprocessed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0\n"
    assert limit(found("accepted", log, "6.1"), "stack").value == 224 + 128
    assert limit(found("accepted", log, "6.12"), "stack").value == 208 + 112
    stack = limit(found("accepted", log, "6.1"), "stack")
    assert (stack.limit, stack.bound, stack.where) == (512, "exact", "too_deep -> deep")


def test_the_kernel_says_it_itself() -> None:
    log = "combined stack size of 2 calls is 640. Too large\nstack depth 300+300\nprocessed 5 insns\n"
    stack = limit(found("rejected", log, "5.10"), "stack")
    assert (stack.value, stack.bound, stack.share) == (640, "exact", 1.25)
    log = "The sequence of 8193 jumps is too complex.\nprocessed 5 insns\n"
    assert limit(found("rejected", log, "6.1"), "jumps").value == 8193
    log = "the call stack of 9 frames is too deep !\nprocessed 5 insns\n"
    assert limit(found("rejected", log, "6.1"), "frames").value == 9


def test_frames() -> None:
    assert [frames_allowed(series) for series in ("5.10", "6.18", "7.2", "7.3", "7.10", "")] == [8, 8, 8, 16, 16, 8]
    frames = limit(found("accepted", OPEN, "7.3"), "frames")
    assert (frames.value, frames.limit) == (2, 16)


def test_the_nearest_is_first_and_json_has_all() -> None:
    shares = [one.share for one in found("accepted", "stack depth 200+100\n" + OPEN, "6.1")]
    known = [one for one in shares if one is not None]
    assert known == sorted(known, reverse=True)
    assert len(known) == len(shares)
    one = program("accepted")
    effort = Effort(one, told("accepted", OPEN), OPEN, "6.12")
    document = effort.to_json()
    assert {entry["name"] for entry in document["limits"]} == {"instructions", "jumps", "stack", "frames"}
    jumps = next(entry for entry in document["limits"] if entry["name"] == "jumps")
    assert (jumps["value"], jumps["limit"], jumps["bound"]) == (3, 8192, "exact")
    assert document["states_per_instruction"] == 0
    assert document["tail_calls"] == []


def test_part_of_a_log_is_said_to_be_one() -> None:
    """Branches a rejected program left open are never come back to."""
    one = program("accepted")
    rejected = Effort(one, told("rejected", OPEN), OPEN, "6.12")
    assert limit(rejected.limits, "jumps").bound == "at-least"
    short = Effort(one, told("accepted", OPEN.replace("processed 12", "processed 99")), OPEN, "6.12")
    assert limit(short.limits, "jumps").bound == "at-least"


# ------------------------------------------------------------ how it is shown


class _Result:
    def __init__(self, kernel: str, effort: Any) -> None:
        self.kernel, self.effort, self.ns = kernel, effort, None


class _Row:
    def __init__(self, program: str, results: list[_Result]) -> None:
        self.program, self.results = program, results


def test_kernels_that_agree_are_one_row() -> None:
    one = program("accepted")
    results = [_Result(name, Effort(one, told("accepted", OPEN), OPEN, name)) for name in ("6.12", "6.18", "7.3")]
    table = rows(results)
    assert [(what, value, kernels) for what, value, _, _, _, kernels in table if what == "call frames"] == [
        ("call frames", "2", ["6.12", "6.18"]), ("call frames", "2", ["7.3"]),
    ]  # fmt: skip
    assert [kernels for what, *_, kernels in table if what == "instructions"] == [["6.12", "6.18", "7.3"]]
    text = shown(_Row("accepted", results), Paint(False), 100)
    assert text[0] == "accepted: how near the limits"
    assert all(len(line) <= 100 for line in text)
    assert "  on 6.12, 6.18, 7.3: 12 instructions, 1 states, 1 at once" in text


def test_percent() -> None:
    assert [percent(share) for share in (0.0, 0.0004, 0.5, 1.25)] == ["0 %", "< 0.1 %", "50.0 %", "125.0 %"]
