"""Stack of functions: what is said of a recursion, with no more than the kernel's words."""

from __future__ import annotations

from bpfsmith._native import VerifierLog
from bpfsmith.verify.cause import Trace, explain_cause
from bpfsmith.verify.messages import classify


def test_recursion_by_its_words() -> None:
    log = VerifierLog("recursive call from walk() to walk()\nprocessed 0 insns (limit 1000000) peak_states 0\n")
    found = explain_cause(Trace(log), classify(log), strict=True)
    assert found.cls == "stack-limit"
    assert "`walk` calls itself" in found.headline
    assert found.advice[0].text


def test_recursion_is_a_back_edge_of_a_call() -> None:
    text = """\
0: R1=ctx() R10=fp0
0: (b7) r2 = 3                        ; R2=3
1: (85) call pc-2
back-edge from insn 1 to 0
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
    log = VerifierLog(text)
    found = explain_cause(Trace(log), classify(log), strict=True)
    assert found.cls == "stack-limit"


def test_recursion_that_is_quoted_only() -> None:
    text = """\
18: return depth(*parent) + 1;
7: static __attribute__((noinline)) int depth(__u32 node)
back-edge from insn 18 to 7
processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
    log = VerifierLog(text)
    found = explain_cause(Trace(log), classify(log), strict=True)
    assert found.cls == "stack-limit"
    assert found.place is not None and found.place.text == "return depth(*parent) + 1;"


def test_a_loop_is_no_recursion() -> None:
    text = """\
9: for (int i = 0; i < depth(n); i++)
4: int depth = 3;
back-edge from insn 9 to 4
processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
    log = VerifierLog(text)
    assert explain_cause(Trace(log), classify(log), strict=True).cls == "environment"


def test_an_assertion_that_traps() -> None:
    text = """\
0: R1=ctx() R10=fp0
; BUG_ON(slot >= 16); @ p.c:26
0: (a6) if w6 < 0x10 goto pc+1        ; R6=scalar()
1: (85) call __bpf_trap#55290
unexpected __bpf_trap() due to uninitialized variable?
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
    log = VerifierLog(text)
    found = explain_cause(Trace(log), classify(log), strict=True)
    assert found.cls == "panic-or-unreachable"
    assert found.place is not None and found.place.line == 26
