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
EXPIRED = """\
; bpf_rcu_read_lock(); @ p.c:30
0: (85) call bpf_rcu_read_lock#68180
; parent = task->real_parent; @ p.c:31
1: (79) r6 = *(u64 *)(r1 +2888)       ; R6=rcu_ptr_task_struct()
; bpf_rcu_read_unlock(); @ p.c:32
2: (85) call bpf_rcu_read_unlock#68181
; parent = bpf_task_acquire(parent); @ p.c:33
3: (bf) r1 = r6                       ; R1=untrusted_ptr_task_struct() R6=untrusted_ptr_task_struct()
4: (85) call bpf_task_acquire#68527
R1 must be a rcu pointer
"""
QUEUED = """\
; item = bpf_obj_new_impl(1, NULL); @ p.c:10
0: (85) call bpf_obj_new_impl#1000    ; R0=ptr_item(ref_obj_id=2)
1: (bf) r6 = r0                       ; R0=ptr_item(ref_obj_id=2) R6=ptr_item(ref_obj_id=2)
; bpf_list_push_front_impl(&head, &item->node, NULL, 0); @ p.c:12
2: (bf) r2 = r6                       ; R2=ptr_item(ref_obj_id=2) R6=ptr_item(ref_obj_id=2)
3: (07) r2 += 16                      ; R2=ptr_item(ref_obj_id=2,off=16)
4: (85) call bpf_list_push_front_impl#1001   ; R0=scalar()
; bpf_obj_drop_impl(item, NULL); @ p.c:14
5: (bf) r1 = r6                       ; R1=scalar() R6=scalar()
6: (85) call bpf_obj_drop_impl#1002
R1 must be referenced or trusted
"""
FLAG = """\
; bpf_local_irq_restore(&flags); @ p.c:15
0: (bf) r1 = r10                      ; R1=fp0 R10=fp0
1: (07) r1 += -8                      ; R1=fp-8
2: (85) call bpf_local_irq_restore#67426
expected an initialized irq flag as arg#0
"""
TWICE = """\
; bpf_iter_num_destroy(&it); @ p.c:20
0: (bf) r1 = r10                      ; R1=fp0 R10=fp0
1: (07) r1 += -8                      ; R1=fp-8
2: (85) call bpf_iter_num_destroy#30
; bpf_iter_num_destroy(&it); @ p.c:22
3: (bf) r1 = r10                      ; R1=fp0 R10=fp0
4: (07) r1 += -8                      ; R1=fp-8
5: (85) call bpf_iter_num_destroy#30
expected an initialized iter_num as arg #0
"""
PARTLY = """\
; if (v4) @ p.c:8
0: (55) if r6 != 0x0 goto pc+2        ; R6=0
; key = long_one(skb); @ p.c:9
1: (b7) r4 = 5                        ; R4=5
2: (05) goto pc+2
; use(key); @ p.c:13
5: (63) *(u32 *)(r10 -4) = r4         ; R4=5 R10=fp0
6: (95) exit

from 0 to 3: R6=1 R10=fp0
; key = short_one(skb); @ p.c:11
3: (85) call bpf_ktime_get_ns#5       ; R0=scalar()
4: (bf) r0 = r6                       ; R0=1
; use(key); @ p.c:13
5: (63) *(u32 *)(r10 -4) = r4
R4 !read_ok
"""
ADDRESS = """\
; __u64 key = (__u64)skb; @ p.c:9
0: (7b) *(u64 *)(r10 -8) = r1         ; R1=ctx() R10=fp0 fp-8=ctx()
1: (bf) r2 = r10                      ; R2=fp0 R10=fp0
2: (07) r2 += -8                      ; R2=fp-8
; seen = bpf_map_lookup_elem(&m, &key); @ p.c:10
3: (18) r1 = 0x0                      ; R1=map_ptr(map=m,ks=8,vs=8)
5: (85) call bpf_map_lookup_elem#1
invalid read from stack R2 off -8+0 size 8
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
        (EXPIRED, "stale-pointer", 32, "is good inside the RCU section only"),
        (QUEUED, "unreleased-reference", 14, "what `bpf_list_push_front_impl` has taken before"),
        (FLAG, "uninitialised", 15, "none is open on this path"),
        (TWICE, "unreleased-reference", 22, "after `bpf_iter_num_destroy` ended it"),
        (PARTLY, "uninitialised", 11, "made here without all of its bytes"),
        (ADDRESS, "environment", 10, "are a kernel address"),
        (MOVED, "uninitialised", 17, "the bytes of a dynptr on the stack are read"),
    ],
    ids=[
        "clone",
        "other-lock",
        "no-lock",
        "asleep",
        "never-asleep",
        "null-key",
        "expired",
        "queued",
        "flag",
        "twice",
        "partly",
        "address",
        "moved",
    ],
)
def test_cause(log: str, cls: str, line: int, words: str) -> None:
    found = cause(log)
    assert found.cls == cls
    assert words in found.headline
    assert found.place is not None and found.place.line == line
