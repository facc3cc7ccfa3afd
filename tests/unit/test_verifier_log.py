"""Verifiers' logs of real kernels: what they say last, where, and what they counted.

`tests/data/verifier_logs.json` holds what 5.10 .. 7.3 said of `tests/fixtures/verdicts.bpf.o`: with statistics alone,
and with instructions too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfsmith.run.verifier_log import parse

ROOT = Path(__file__).resolve().parents[1]
LOGS: dict[str, dict[str, list[str]]] = json.loads((ROOT / "data/verifier_logs.json").read_text(encoding="utf-8"))
KERNELS = list(LOGS)
OLD = ("5.10", "6.1", "6.12")
MESSAGES = {
    "accepted": "",
    "endless": "infinite loop detected at insn 0",
    "unchecked": "R0 invalid mem access 'map_value_or_null'",
    "missing_field": "invalid func unknown#195896080",
    "weak_function": "invalid func unknown#2002000000",
}
PLACES = {"leaks": 9, "unchecked": 7, "missing_field": 0, "weak_function": 1, "endless": 0}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("program", MESSAGES)
def test_the_message_is_the_same_with_and_without_instructions(kernel: str, program: str) -> None:
    short, long = map(parse, LOGS[kernel][program])
    assert short.message == long.message == MESSAGES[program]


@pytest.mark.parametrize("kernel", KERNELS)
def test_messages_that_kernels_word_otherwise(kernel: str) -> None:
    leak = "Unreleased reference id=2 alloc_insn=4"
    if kernel not in OLD:
        leak = "BPF_EXIT instruction in main prog would lead to reference leak"
    assert {parse(log).message for log in LOGS[kernel]["leaks"]} == {leak}
    deep = 640 if kernel in ("5.10", "6.1") else 608  # frames are rounded to 32 bytes, since 6.8 to 16
    assert {parse(log).message for log in LOGS[kernel]["too_deep"]} == {
        f"combined stack size of 2 calls is {deep}. Too large"
    }


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("program", PLACES)
def test_the_instruction(kernel: str, program: str) -> None:
    assert parse(LOGS[kernel][program][1]).instruction == PLACES[program]


@pytest.mark.parametrize("kernel", KERNELS)
def test_counts(kernel: str) -> None:
    told = parse(LOGS[kernel]["accepted"][0])
    assert told.processed == 46
    assert told.limit == 1_000_000
    assert told.stack == [16, 0]
    assert told.states is not None
    assert told.peak is not None
    assert told.ns is not None
    assert told.ns % 1000 == 0
    assert told.ns > 0


def test_subprograms_have_lines_of_their_own_since_7_3() -> None:
    assert parse(LOGS["6.18"]["too_deep"][0]).subprograms == []
    told = parse(LOGS["7.3"]["too_deep"][0])
    assert [(name, stack) for name, _, _, stack in told.subprograms] == [("too_deep", 304), ("deep", 304)]
    assert told.stack == [304, 304]
    assert sum(own for _, own, _, _ in told.subprograms) == told.processed


def test_the_report_of_7_3() -> None:
    told = parse(LOGS["7.3"]["leaks"][1])
    assert told.report["Category"] == "Resource Lifetime Safety: Unreleased resource"
    assert told.report["Reason"].startswith("Owned resource (id=2) was acquired at instruction 4")
    assert told.report["Reason"].endswith("exit path.")
    assert told.report["Suggestion"].startswith("Release or transfer ownership")
    assert parse(LOGS["7.3"]["leaks"][0]).report == {}
    assert parse(LOGS["6.18"]["leaks"][1]).report == {}


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_log_without_its_end_still_says_something(kernel: str) -> None:
    """Kernels before 6.4 keep the beginning of a log that is too long."""
    whole = LOGS[kernel]["unchecked"][1]
    for end in range(0, len(whole), 97):
        parse(whole[:end])
    for start in range(0, whole.index(MESSAGES["unchecked"]), 97):
        told = parse(whole[start:])
        assert (told.message, told.instruction) in {(MESSAGES["unchecked"], 7), (MESSAGES["unchecked"], None)}


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    parse(text)


@given(st.lists(st.sampled_from([
    "subprog 0 (", "subprog 1 (x) main stack", "subprog 2 (x) main stack 8 stack", "processed ", "max_states_per_insn",
    "processed max_states_per_insn", "stack depth ", "stack depth 8+", "stack depth 8+x", "verification time ",
    "verification time x usec", "Verification failed", "Reason:", " x", "", "7: (", "7: (85)", ": (",
    "unreachable insn ", "unreachable insn x", "back-edge from insn 4 to 2",
])))  # fmt: skip
def test_no_line_is_too_strange(lines: list[str]) -> None:
    for text in ("\n".join(lines), " ".join(lines)):
        told = parse(text)
        assert told.stack is None or all(depth >= 0 for depth in told.stack)
