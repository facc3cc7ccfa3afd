"""Causes of what only the kernel keeps: dynptrs, locks, arguments of kernel functions; out of small logs."""

from __future__ import annotations

import pytest

from bpfsmith._native import VerifierLog
from bpfsmith.verify.cause import Cause, Trace, explain_cause
from bpfsmith.verify.messages import classify

END = "processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
START = "0: R1=ctx() R10=fp0\n"


def cause(text: str) -> Cause:
    log = VerifierLog(START + text + END)
    match = classify(log)
    assert match is not None
    return explain_cause(Trace(log), match, strict=True)


CLONE = """\
; bpf_dynptr_clone(&whole, &part); @ p.c:15
0: (bf) r1 = r10                      ; R1=fp0 R10=fp0
1: (07) r1 += -32                     ; R1=fp-32
2: (bf) r2 = r10                      ; R2=fp0 R10=fp0
3: (07) r2 += -16                     ; R2=fp-16
4: (85) call bpf_dynptr_clone#58252   ; R0=scalar() fp-16=dynptr_ringbuf(id=3,ref_id=2,dynptr_id=1)
; bpf_ringbuf_submit_dynptr(&whole, 0); @ p.c:17
5: (bf) r1 = r10                      ; R1=fp0 R10=fp0
6: (07) r1 += -32                     ; R1=fp-32
7: (b7) r2 = 0                        ; R2=0
8: (85) call bpf_ringbuf_submit_dynptr#199
; bpf_dynptr_read(to, 8, &part, 0, 0); @ p.c:20
9: (bf) r1 = r10                      ; R1=fp0 R10=fp0
10: (07) r1 += -48                    ; R1=fp-48
11: (b4) w2 = 8                       ; R2=8
12: (bf) r3 = r10                     ; R3=fp0 R10=fp0
13: (07) r3 += -16                    ; R3=fp-16
14: (b4) w4 = 0                       ; R4=0
15: (b7) r5 = 0                       ; R5=0
16: (85) call bpf_dynptr_read#201
Expected an initialized dynptr as arg #2
"""
OTHER_LOCK = """\
; bpf_spin_lock(&first->lock); @ p.c:30
0: (85) call bpf_spin_lock#93
; node = bpf_list_pop_front(&second->head); @ p.c:31
1: (85) call bpf_list_pop_front#58000
bpf_spin_lock at off=16 must be held for bpf_list_head
"""
NO_LOCK = OTHER_LOCK.replace("bpf_spin_lock#93", "bpf_ktime_get_ns#5")
ASLEEP = """\
; bpf_rcu_read_lock(); @ p.c:40
0: (85) call bpf_rcu_read_lock#58001
; load(ctx); @ p.c:41
1: (85) call pc+4
global functions that may sleep are not allowed in non-sleepable context,
i.e., in a RCU/IRQ/preempt-disabled section, or in
a non-sleepable BPF program context
"""
NEVER_ASLEEP = ASLEEP.replace("bpf_rcu_read_lock#58001", "bpf_ktime_get_ns#5")
NULL_KEY = """\
; key = bpf_lookup_user_key(1, 0); @ p.c:8
0: (85) call bpf_lookup_user_key#58002   ; R0=ptr_or_null_bpf_key(id=2,ref_obj_id=2)
1: (bf) r1 = r0                       ; R0=ptr_or_null_bpf_key(id=2,ref_obj_id=2) R1=ptr_or_null_bpf_key(id=2,ref_obj_id=2)
; bpf_key_put(key); @ p.c:9
2: (85) call bpf_key_put#58003
arg#0 pointer type STRUCT bpf_key must point to scalar, or struct with scalar
"""  # noqa: E501 - a log
MOVED = """\
; bpf_ringbuf_reserve_dynptr(&events, 64, 0, &made); @ p.c:16
0: (bf) r4 = r10                      ; R4=fp0 R10=fp0
1: (07) r4 += -16                     ; R4=fp-16
2: (85) call bpf_ringbuf_reserve_dynptr#198   ; R0=scalar() fp-16=dynptr_ringbuf(id=1,ref_id=2)
; words = *(volatile __u64 *)&made; @ p.c:17
3: (79) r1 = *(u64 *)(r10 -16)
invalid read from stack off -16+0 size 8
"""


@pytest.mark.parametrize(
    ("log", "cls", "line", "words"),
    [
        (CLONE, "stale-pointer", 17, "`part` is used after `bpf_ringbuf_submit_dynptr` ended it"),
        (OTHER_LOCK, "argument-type", 31, "another one is held"),
        (NO_LOCK, "unreleased-reference", 31, "to be held"),
        (ASLEEP, "unreleased-reference", 41, "RCU section is open"),
        (NEVER_ASLEEP, "environment", 41, "may sleep, and this program may not"),
        (NULL_KEY, "missing-null-check", 9, "may be null"),
        (MOVED, "uninitialised", 17, "the bytes of a dynptr on the stack are read"),
    ],
    ids=["clone", "other-lock", "no-lock", "asleep", "never-asleep", "null-key", "moved"],
)
def test_cause(log: str, cls: str, line: int, words: str) -> None:
    found = cause(log)
    assert found.cls == cls
    assert words in found.headline
    assert found.place is not None and found.place.line == line
