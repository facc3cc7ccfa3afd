"""Causes of the families beside null, bounds and pointer arithmetic, out of small logs written for them."""

from __future__ import annotations

import pytest

from bpfsmith._native import VerifierLog
from bpfsmith.verify.cause import Cause, Trace, explain_cause
from bpfsmith.verify.messages import classify

END = "processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
START = "0: R1=ctx() R10=fp0\n"


def cause(text: str, kernel: str | None = None) -> Cause:
    log = VerifierLog(START + text + END)
    match = classify(log)
    assert match is not None
    return explain_cause(Trace(log, None, kernel), match, strict=True)


CLOBBERED = """\
; __u64 now = bpf_ktime_get_ns(); @ p.c:7
0: (85) call bpf_ktime_get_ns#5       ; R0=scalar()
; asm volatile("r3 = r1"); @ p.c:8
1: (bf) r3 = r1
R1 !read_ok
"""
NO_RETURN = """\
; packets++; @ p.c:9
0: (b7) r1 = 1                        ; R1=1
; } @ p.c:10
1: (95) exit
R0 !read_ok
"""
NO_FLAGS = """\
; map_update(&started, &pid, &ts); @ p.c:25
0: (18) r1 = 0xffff888006c70c00       ; R1=map_ptr(map=started,ks=4,vs=8)
2: (bf) r2 = r10                      ; R2=fp0 R10=fp0
3: (07) r2 += -4                      ; R2=fp-4
4: (bf) r3 = r10                      ; R3=fp0 R10=fp0
5: (07) r3 += -16                     ; R3=fp-16
6: (85) call bpf_map_update_elem#2
R4 !read_ok
"""
PADDING = """\
; key.proto = skb->protocol; @ p.c:22
0: (73) *(u8 *)(r10 -8) = r1          ; R10=fp0 fp-8=???????m
; key.mark = skb->mark; @ p.c:23
1: (63) *(u32 *)(r10 -4) = r1         ; R10=fp0 fp-8=mmmm???m
; seen = bpf_map_lookup_elem(&flows, &key); @ p.c:24
2: (bf) r2 = r10                      ; R2=fp0 R10=fp0
3: (07) r2 += -8                      ; R2=fp-8
4: (18) r1 = 0xffff888006c70c00       ; R1=map_ptr(map=flows,ks=8,vs=8)
6: (85) call bpf_map_lookup_elem#1
invalid read from stack R2 off -8+1 size 8
"""
CONTEXT = """\
; __u64 port = *(__u64 *)&ctx->remote_port; @ p.c:7
0: (79) r2 = *(u64 *)(r1 +64)
invalid bpf_context access off=64 size=8
"""
FLOW_KEYS = """\
; struct bpf_flow_keys *keys = skb->flow_keys; @ p.c:11
0: (79) r2 = *(u64 *)(r1 +144)        ; R1=ctx() R2=flow_keys()
; keys->tenant = 1; @ p.c:12
1: (63) *(u32 *)(r2 +56) = r0
invalid access to flow keys off=56 size=4
"""
LICENCE = """\
; bpf_probe_read_kernel(&pid, sizeof(pid), task); @ p.c:11
0: (85) call bpf_probe_read_kernel#113
cannot call GPL-restricted function from non-GPL compatible program
"""
TYPE = """\
; bpf_perf_event_output(&event, &events, 0, &event, sizeof(event)); @ p.c:17
0: (bf) r1 = r10                      ; R1=fp0 R10=fp0
1: (07) r1 += -16                     ; R1=fp-16
2: (85) call bpf_perf_event_output#25
R1 type=fp expected=ctx
"""
CONSTANT = """\
; event = bpf_ringbuf_reserve(&events, size, 0); @ p.c:17
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))
1: (18) r1 = 0xffff888006c70c00       ; R1=map_ptr(map=events,ks=0,vs=0)
3: (b7) r3 = 0                        ; R3=0
4: (85) call bpf_ringbuf_reserve#131
R2 is not a known constant'
"""
UNKNOWN = """\
; bpf_loop(10, step, &state, 0); @ p.c:17
0: (85) call unknown#181
invalid func unknown#181
"""
REFUSED = """\
; bpf_probe_read(&header, 4, data); @ p.c:17
0: (85) call bpf_probe_read#4
unknown func bpf_probe_read#4
"""
MAP_TYPE = """\
; value = bpf_map_lookup_elem(&events, &key); @ p.c:17
0: (18) r1 = 0xffff888006c70c00       ; R1=map_ptr(map=events,ks=4,vs=4)
2: (85) call bpf_map_lookup_elem#1
cannot pass map_type 4 into func bpf_map_lookup_elem#1
"""
LOOP = """\
; while (waiting) @ p.c:9
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=scalar()
1: (55) if r2 != 0x0 goto pc-1
infinite loop detected at insn 1
cur state: R1=ctx() R2=scalar() R10=fp0
old state: R1=ctx() R2=scalar() R10=fp0
"""
LEAK = """\
; event = bpf_ringbuf_reserve(&events, 8, 0); @ p.c:18
0: (85) call bpf_ringbuf_reserve#131  ; R0=ringbuf_mem_or_null(id=2,ref_obj_id=2,sz=8) refs=2
; if (!event) @ p.c:19
1: (15) if r0 == 0x0 goto pc+5        ; R0=ringbuf_mem(ref_obj_id=2,sz=8) refs=2
; if (skb->len < 20) @ p.c:21
2: (61) r1 = *(u32 *)(r6 +0)          ; R1=scalar() R6=ctx() refs=2
3: (a5) if r1 < 0x14 goto pc+3 7: R0=ringbuf_mem(ref_obj_id=2,sz=8) R1=scalar() R10=fp0 refs=2
; } @ p.c:26
7: (b7) r0 = 0                        ; R0=0 refs=2
8: (95) exit
Unreleased reference id=2 alloc_insn=0
BPF_EXIT instruction in main prog would lead to reference leak
"""
LOCKED = """\
; bpf_spin_lock(&bucket->lock); @ p.c:26
0: (85) call bpf_spin_lock#93
; bucket->seen = bpf_ktime_get_ns(); @ p.c:28
1: (85) call bpf_ktime_get_ns#5
function calls are not allowed while holding a lock
"""
RCU = """\
; bpf_rcu_read_lock(); @ p.c:19
0: (85) call bpf_rcu_read_lock#10
; key = bpf_lookup_user_key(1, 0); @ p.c:20
1: (85) call bpf_lookup_user_key#11
kernel func bpf_lookup_user_key is sleepable within rcu_read_lock region
"""
UNLOCKED = """\
; bpf_spin_unlock(&bucket->lock); @ p.c:28
0: (85) call bpf_spin_unlock#94
bpf_spin_unlock without taking a lock
"""
DYNPTR = """\
; bpf_dynptr_read(&word, sizeof(word), &ptr, 0, 0); @ p.c:12
0: (bf) r3 = r10                      ; R3=fp0 R10=fp0
1: (07) r3 += -16                     ; R3=fp-16
2: (85) call bpf_dynptr_read#201
Expected an initialized dynptr as arg #2
"""
ITERATOR = """\
; bpf_iter_num_next(&it); @ p.c:12
0: (bf) r1 = r10                      ; R1=fp0 R10=fp0
1: (07) r1 += -8                      ; R1=fp-8
2: (85) call bpf_iter_num_next#30
expected an initialized iter_num as arg #0
"""
RETURN = """\
; __u32 verdict = 5; @ p.c:9
0: (b7) r0 = 5                        ; R0=5
; return verdict; @ p.c:11
1: (95) exit
At program exit the register R0 has smin=5 smax=5 should have been in [0, 1]
"""
OPCODE = """\
; return sum / n < -100; @ p.c:13
0: (3f) r2 s/= r1
BPF_ALU uses reserved fields
"""
SLEEPS = """\
; bpf_copy_from_user(&buf, 8, address); @ p.c:12
0: (85) call bpf_copy_from_user#148
helper call might sleep in a non-sleepable prog
"""
KFUNC = """\
; bpf_dynptr_from_xdp(skb, 0, &ptr); @ p.c:12
0: (85) call bpf_dynptr_from_xdp#28470
calling kernel function bpf_dynptr_from_xdp is not allowed
"""
BUG = """\
; if (mark < 0x40) @ p.c:24
0: (66) if w1 s> 0x7f goto pc+1
verifier bug: REG INVARIANTS VIOLATION (false_reg1): range bounds violation u64=[0x80, 0x3f] s64=[0x80, 0x3f]
"""
ROOT = """\
; value += skb->len; @ p.c:24
0: (0f) r0 += r1                      ; R0=map_value(map=m,ks=4,vs=16) R1=scalar()
R0 tried to add from different maps, paths or scalars, pointer arithmetic with it prohibited for !root
"""

ROWS = [
    (CLOBBERED, "uninitialised", 8, "after the call of `bpf_ktime_get_ns`"),
    (NO_RETURN, "uninitialised", 10, "without a return value"),
    (NO_FLAGS, "uninitialised", 25, "the fourth, a number (r4)"),
    (PADDING, "uninitialised", 22, "bytes 1 to 3 (padding, as it seems) of `key` were never written"),
    (CONTEXT, "context-access", 7, "`bpf_sock_ops.remote_port`"),
    (FLOW_KEYS, "context-access", 12, "offset 56 of `bpf_flow_keys`"),
    (LICENCE, "environment", 11, "only GPL-compatible programs may"),
    (TYPE, "argument-type", 17, "takes the context as argument 1"),
    (CONSTANT, "argument-type", 17, "`size` of `bpf_ringbuf_reserve` has to be one constant"),
    (UNKNOWN, "environment", 17, "`bpf_loop` exists from Linux 5.17 on"),
    (REFUSED, "environment", 17, "`bpf_probe_read`"),
    (MAP_TYPE, "argument-type", 17, "it is of type `perf_event_array`"),
    (LOOP, "no-progress-loop", 9, "nothing"),
    (LEAK, "unreleased-reference", 18, "`event` of `bpf_ringbuf_reserve` is not released"),
    (LOCKED, "unreleased-reference", 28, "while the lock is held"),
    (RCU, "unreleased-reference", 20, "(it may sleep) while the RCU section is open"),
    (UNLOCKED, "unreleased-reference", 28, "none is held on this path"),
    (DYNPTR, "uninitialised", 12, "`ptr` is used as a dynptr"),
    (ITERATOR, "uninitialised", 12, "is used as an iterator"),
    (RETURN, "return-range", 11, "may return 0 or 1 here, and returns 5"),
    (OPCODE, "environment", 13, "from Linux 6.6 on"),
    (SLEEPS, "environment", 12, "`bpf_copy_from_user` may sleep"),
    (KFUNC, "environment", 12, "`bpf_dynptr_from_xdp` may not be called"),
    (BUG, "kernel-bug", 24, "a mistake of the kernel"),
    (ROOT, "environment", 24, "CAP_PERFMON"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "cls", "line", "words"), ROWS)
def test_cause(text: str, cls: str, line: int, words: str) -> None:
    found = cause(text)
    assert found.cls == cls
    assert found.confidence != "low"
    assert found.place is not None
    assert found.place.line == line
    assert words in found.headline
    assert found.symptom is not None
    assert found.advice, "something to do"
    assert all(one.text for one in found.advice)


@pytest.mark.parametrize("text", [row[0] for row in ROWS])
def test_cut_logs_do_not_fail(text: str) -> None:
    lines = (START + text + END).splitlines(keepends=True)
    for at in range(len(lines)):
        for part in ("".join(lines[at:]), "".join(lines[:at]), "".join(lines[:at] + lines[at + 1 :])):
            log = VerifierLog(part)
            explain_cause(Trace(log), classify(log), strict=True)


def test_kernel_known() -> None:
    found = cause(UNKNOWN, "5.10.262-1")
    assert "Linux 5.10 does not have it" in found.headline
    assert found.advice[0].operands["since"] == "5.17"


def test_chain_of_a_leak() -> None:
    found = cause(LEAK)
    assert [fact.slot for fact in found.because] == [0, 8]
    assert found.variables[0] == "event"
    assert "bpf_ringbuf_submit" in found.advice[0].operands["release"]


def test_words_of_a_loader() -> None:
    log = VerifierLog("libbpf: failed to find valid kernel BTF\nlibbpf: Error loading vmlinux BTF: -3\n")
    match = classify(log)
    assert match is not None
    found = explain_cause(Trace(log), match, strict=True)
    assert found.cls == "environment"
    assert "CONFIG_DEBUG_INFO_BTF=y" in found.advice[0].text


def test_attach_target_without_a_path() -> None:
    log = VerifierLog("vfs_read is not sleepable\n" + END.replace("12", "0"))
    found = explain_cause(Trace(log), classify(log), strict=True)
    assert found.cls == "attach-target"
    assert found.variables == ["vfs_read"]


def test_complexity_ranks_lines() -> None:
    body = "; total += value[i]; @ p.c:12\n1: (07) r2 += 1\n2: (a5) if r2 < 0x1000 goto pc-2\n"
    text = "; int total = 0; @ p.c:9\n0: (b7) r2 = 0                        ; R2=0\n" + body * 40
    found = cause(text + "BPF program is too large. Processed 1000001 insn\n")
    assert found.cls == "complexity"
    assert found.place is not None
    assert found.place.line == 12
    assert "1,000,001" in found.headline
    assert "followed 80 times" in found.because[0].text


@pytest.mark.parametrize(
    ("type_", "wanted"),
    [
        ("ptr_or_null_cgroup", "`bpf_kptr_xchg` or `bpf_cgroup_release`"),
        ("ptr_or_null_task_struct", "`bpf_kptr_xchg` or `bpf_task_release`"),
        ("ptr_or_null_mine", "the release function of its type"),
    ],
)
def test_what_was_taken_out_of_a_map_is_released_by_its_type(type_: str, wanted: str) -> None:
    found = cause(
        f"""\
0: (bf) r1 = r6                       ; R1_w=map_value(map=held,ks=4,vs=8) R6=map_value(map=held,ks=4,vs=8)
1: (b7) r2 = 0                        ; R2_w=0
2: (85) call bpf_kptr_xchg#194        ; R0_w={type_}(id=2,ref_obj_id=2) refs=2
3: (b7) r0 = 0                        ; R0_w=0 refs=2
4: (95) exit
Unreleased reference id=2 alloc_insn=2
"""
    )
    assert found.cls == "unreleased-reference"
    assert wanted in found.advice[0].text
