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


IMPOSSIBLE = """\
0: R1=ctx() R10=fp0
; let (source, target) = both(&ctx); @ m.rs:20
0: (61) r2 = *(u32 *)(r1 +4)          ; R1=ctx() R2=pkt_end()
1: (61) r3 = *(u32 *)(r1 +0)          ; R1=ctx() R3=pkt(r=0)
2: (bf) r1 = r3                       ; R1=pkt(r=0) R3=pkt(r=0)
3: (07) r1 += 30                      ; R1=pkt(off=30,r=0)
4: (2d) if r1 > r2 goto pc+1          ; R1=pkt(off=30,r=0) R2=pkt_end()

from 4 to 6: R1=pkt(off=30,r=0) R2=pkt_end() R3=pkt(r=0) R10=fp0
6: (07) r3 += 34                      ; R3=pkt(off=34,r=0)
7: (2d) if r3 > r2 goto pc+1          ; R2=pkt_end() R3=pkt(off=34,r=34)
8: (63) *(u32 *)(r10 -8) = r4
R4 !read_ok
processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_a_way_that_does_not_exist() -> None:
    log = VerifierLog(IMPOSSIBLE)
    found = explain_cause(Trace(log), classify(log), strict=True)
    assert found.cls == "verifier-imprecision"
    log = VerifierLog(IMPOSSIBLE.replace("r3 += 34", "r3 += 14").replace("off=34", "off=14"))
    assert explain_cause(Trace(log), classify(log), strict=True).cls == "uninitialised"


ENDLESS = """\
0: R1=ctx() R10=fp0
; let mut n = 0; @ m.rs:17
0: (b7) r7 = 0                        ; R7=0
; let owner = slot.owner; @ m.rs:20
1: (61) r1 = *(u32 *)(r6 +0)          ; R1=scalar()
; n = (n + 1) % 64; @ m.rs:24
2: (07) r7 += 1                       ; R7=1
3: (57) r7 &= 63                      ; R7=1
; if owner == 0 { @ m.rs:21
4: (55) if r1 != 0x0 goto pc-4        ; R1=0
1: (61) r1 = *(u32 *)(r6 +0)          ; R1=scalar()
The sequence of 8193 jumps is too complex.
processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_what_ends_a_loop() -> None:
    log = VerifierLog(ENDLESS)
    assert explain_cause(Trace(log), classify(log), strict=True).cls == "no-progress-loop"
    counted = ENDLESS.replace("3: (57) r7 &= 63 ", "3: (bf) r2 = r7 ").replace("if r1 != 0x0", "if r2 != 0x40")
    log = VerifierLog(counted)
    assert explain_cause(Trace(log), classify(log), strict=True).cls == "complexity"


def test_names_of_the_newer_mangling() -> None:
    from bpfsmith.verify.cause.parts import readable

    assert readable("_RNvNtCs1NpfdXmxSul_4core9panicking9panic_fmt") == "core::panicking::panic_fmt"
    assert readable("_RNvMs7_NtCs1NpfdXmxSul_4core3numy5ilog2") == "core::num::ilog2"
    for start in ("_R", "_ZN"):
        assert isinstance(readable(start + "1" * 5000), str)
    assert readable("_RINvCsgWJahiTjS9S_8aya_ebpf6insertmmECseb0xKW4Au6K_32user") == "aya_ebpf::insert"
    assert readable("_R") == "_R"
    assert readable("plain") == "plain"
