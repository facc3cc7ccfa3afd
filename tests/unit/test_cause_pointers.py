"""Causes of packet, stale-pointer, number-as-pointer and arithmetic rejections, out of small logs written for them; names and places."""  # noqa: E501

from __future__ import annotations

import pytest

from bpfsmith._native import VerifierLog
from bpfsmith.verify.cause import Cause, Trace, explain_cause
from bpfsmith.verify.cause.names import argument, assigned, compares, followed, index
from bpfsmith.verify.messages import classify

END = "processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
PACKET = """\
0: R1=ctx() R10=fp0
; void *data = (void *)(long)ctx->data; @ x.c:4
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
; void *end = (void *)(long)ctx->data_end; @ x.c:5
1: (61) r3 = *(u32 *)(r1 +4)          ; R1=ctx() R3=pkt_end()
"""
OUTSIDE = "R{reg} offset is outside of the packet"


def cause(*parts: str) -> Cause:
    log = VerifierLog("".join((*parts, END)))
    match = classify(log)
    assert match is not None
    return explain_cause(Trace(log), match, strict=True)


def line(found: Cause) -> int | None:
    assert found.place is not None
    return found.place.line


def read(slot: int, register: int, off: int, size: int, state: str) -> str:
    """A load of the packet that is rejected; `state` as `id=0,off=12,r=0`."""
    kind = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}[size]
    code = {1: "71", 2: "69", 4: "61", 8: "79"}[size]
    start = int(state.partition("off=")[2].partition(",")[0]) + off
    return (
        f"; return ip->ttl; @ x.c:9\n{slot}: ({code}) r0 = *({kind} *)(r{register} +{off})\n"
        f"invalid access to packet, off={start} size={size}, R{register}({state})\n{OUTSIDE.format(reg=register)}\n"
    )


def test_no_check_at_all() -> None:
    found = cause(PACKET, read(2, 2, 12, 2, "id=0,off=0,r=0"))
    assert (found.cls, line(found), found.confidence) == ("missing-bounds-check", 9, "high")


def check(text: str, adds: int, jump: str = "2d", taken: str = "r") -> str:
    there = f"r={adds}"
    return (
        f"2: (bf) r4 = r2                       ; R2=pkt(r=0) R4=pkt(r=0)\n"
        f"3: (07) r4 += {adds}                      ; R4=pkt(off={adds},r=0)\n"
        f"; {text} @ x.c:7\n4: ({jump}) if r4 > r3 goto pc+8         ; R3=pkt_end() R4=pkt(off={adds},{there})\n"
        f"5: (bf) r5 = r2                       ; R2=pkt({there}) R5=pkt({there})\n"
    )


def test_the_next_header_is_not_checked() -> None:
    found = cause(PACKET, check("if (data + sizeof(*eth) > end)", 14), read(6, 5, 22, 1, "id=0,off=0,r=14"))
    assert (found.cls, line(found)) == ("missing-bounds-check", 9)
    assert any("first 14 bytes" in fact.text for fact in found.because)


def test_more_is_read_than_was_checked() -> None:
    found = cause(PACKET, check("if (data + 6 > end)", 6), read(6, 5, 0, 8, "id=0,off=0,r=6"))
    assert (found.cls, line(found)) == ("check-wrong", 7)
    assert "6 bytes" in found.headline and "8 are used" in found.headline


def test_the_check_compares_where_the_header_begins() -> None:
    found = cause(PACKET, check("if ((void *)ip > end)", 34), read(6, 5, 40, 2, "id=0,off=0,r=34"))
    assert (found.cls, line(found)) == ("check-wrong", 7)


def test_the_check_leaves_on_the_wrong_way() -> None:
    found = cause(
        PACKET,
        "2: (bf) r4 = r2                       ; R2=pkt(r=0) R4=pkt(r=0)\n"
        "3: (07) r4 += 34                      ; R4=pkt(off=34,r=0)\n"
        "; if ((void *)(ip + 1) < end) @ x.c:7\n"
        "4: (ad) if r4 < r3 goto pc+8         ; R3=pkt_end() R4=pkt(off=34,r=0)\n",
        read(5, 2, 22, 1, "id=0,off=0,r=0"),
    )
    assert (found.cls, line(found)) == ("check-wrong", 7)
    assert "should leave" in found.headline


LENGTH = "smin=0,smax=umax=60,var_off=(0x0; 0x3c)"
VARIABLE = f"""\
2: (61) r6 = *(u32 *)(r1 +8)          ; R1=ctx() R6=scalar({LENGTH})
3: (bf) r4 = r2                       ; R2=pkt(r=0) R4=pkt(r=0)
4: (0f) r4 += r6                      ; R4=pkt(id=1,r=0,{LENGTH}) R6=scalar({LENGTH})
5: (bf) r7 = r4                       ; R4=pkt(id=1,r=0,{LENGTH}) R7=pkt(id=1,r=0,{LENGTH})
6: (07) r7 += 4                       ; R7=pkt(id=1,off=4,r=0,{LENGTH})
; if (data + len + 4 > end) @ x.c:7
7: (2d) if r7 > r3 goto pc+8         ; R3=pkt_end() R7=pkt(id=1,off=4,r=4,{LENGTH})
8: (bf) r5 = r2                       ; R2=pkt(r=0) R5=pkt(r=0)
9: (0f) r5 += r6                      ; R5=pkt(id=2,r=0,{LENGTH}) R6=scalar({LENGTH})
"""


def test_the_pointer_is_computed_once_more() -> None:
    found = cause(PACKET, VARIABLE, read(10, 5, 0, 1, "id=2,off=0,r=0"))
    assert (found.cls, line(found)) == ("check-on-copy", 7)


def test_an_offset_that_may_be_huge() -> None:
    wide = VARIABLE.replace("umax=60,var_off=(0x0; 0x3c)", "umax=0xffffffff,var_off=(0x0; 0xffffffff)")
    wide = (
        wide.replace("r=4", "r=0").replace("8: (bf) r5 = r2", "8: (bf) r5 = r4").replace("R2=pkt(r=0) R5=pkt(r=0)", "")
    )
    first = wide.partition("9: (0f)")[0].replace("8: (bf) r5 = r4                       ; ", "8: (bf) r5 = r4\n")
    found = cause(PACKET, first, read(9, 4, 0, 1, "id=1,off=0,r=0"))
    assert found.cls == "missing-bounds-check"
    assert "65535" in found.headline


MOVE = """\
6: (85) call bpf_xdp_adjust_head#44   ; R0=scalar()
; data = (void *)(long)ctx->data; @ x.c:8
7: (61) r2 = *(u32 *)(r8 +0)          ; R2=pkt(r=0) R8=ctx()
"""


def test_checked_before_the_packet_moved() -> None:
    head = PACKET.replace("0: (61)", "0: (bf) r8 = r1                       ; R1=ctx() R8=ctx()\n1: (61)")
    head = head.replace("1: (61) r3", "2: (61) r3")
    first = check("if (data + 34 > end)", 34)
    for slot in (5, 4, 3, 2):
        first = first.replace(f"{slot}: (", f"{slot + 1}: (")
    move = "; bpf_xdp_adjust_head(ctx, 4); @ x.c:8\n7: (85) call bpf_xdp_adjust_head#44   ; R0=scalar()\n"
    again = "; data = (void *)(long)ctx->data; @ x.c:9\n8: (61) r2 = *(u32 *)(r8 +0)          ; R2=pkt(r=0) R8=ctx()\n"
    found = cause(head, first, move, again, read(9, 2, 12, 2, "id=0,off=0,r=0"))
    assert (found.cls, line(found)) == ("stale-pointer", 8)


def test_a_pointer_from_before_the_packet_moved() -> None:
    found = cause(
        PACKET,
        "2: (bf) r6 = r2                       ; R2=pkt(r=0) R6=pkt(r=0)\n"
        "; bpf_xdp_adjust_head(ctx, 4); @ x.c:7\n3: (85) call bpf_xdp_adjust_head#44   ; R0=scalar()\n"
        "; eth->proto = 8; @ x.c:8\n4: (6a) *(u16 *)(r6 +12) = 8\nR6 invalid mem access 'scalar'\n",
    )
    assert (found.cls, line(found), found.variables) == ("stale-pointer", 7, ["data"])


def test_a_released_socket_is_read() -> None:
    found = cause(
        "; sk = bpf_sk_lookup_tcp(ctx, &tuple, 12, 0, 0); @ s.c:4\n"
        "0: (85) call bpf_sk_lookup_tcp#84     ; R0=sock_or_null(id=1,ref_obj_id=1) refs=1\n"
        "1: (15) if r0 == 0x0 goto pc+9        ; R0=sock(ref_obj_id=1) refs=1\n"
        "2: (bf) r6 = r0                       ; R0=sock(ref_obj_id=1) R6=sock(ref_obj_id=1) refs=1\n"
        "3: (bf) r1 = r0                       ; R0=sock(ref_obj_id=1) R1=sock(ref_obj_id=1) refs=1\n"
        "; bpf_sk_release(sk); @ s.c:6\n4: (85) call bpf_sk_release#86        ;\n"
        "; return sk->mark; @ s.c:7\n5: (61) r0 = *(u32 *)(r6 +8)\nR6 invalid mem access 'scalar'\n",
    )
    assert (found.cls, line(found), found.variables) == ("stale-pointer", 6, ["sk"])


# ---------------------------------------------------------------- numbers used as pointers


def test_the_current_task_is_followed() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; struct task_struct *task = (void *)bpf_get_current_task(); @ t.c:4\n"
        "0: (85) call bpf_get_current_task#35  ; R0=scalar()\n"
        "; return task->pid; @ t.c:5\n1: (61) r0 = *(u32 *)(r0 +1256)\nR0 invalid mem access 'scalar'\n",
    )
    assert (found.cls, line(found), found.variables) == ("pointer-to-scalar", 4, ["task"])


def test_an_argument_of_a_probe_is_followed() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; struct sock *sk = (void *)PT_REGS_PARM1(ctx); @ t.c:4\n"
        "0: (79) r6 = *(u64 *)(r1 +112)        ; R1=ctx() R6=scalar()\n"
        "; return sk->port; @ t.c:5\n1: (69) r0 = *(u16 *)(r6 +14)\nR6 invalid mem access 'scalar'\n",
    )
    assert (found.cls, line(found), found.variables) == ("pointer-to-scalar", 4, ["sk"])
    assert found.advice[0].kind == "probe-read"


def test_only_half_of_a_pointer_is_kept() -> None:
    found = cause(
        PACKET,
        "; __u32 low = (long)data; @ x.c:6\n2: (bc) w4 = w2                       ; R2=pkt(r=0) R4=scalar(smin=0,smax=umax=0xffffffff)\n"  # noqa: E501
        "; return *(__u8 *)(long)low; @ x.c:7\n3: (71) r0 = *(u8 *)(r4 +0)\nR4 invalid mem access 'scalar'\n",
    )
    assert (found.cls, line(found)) == ("pointer-to-scalar", 6)


# ---------------------------------------------------------------- arithmetic


def test_a_moved_context() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; p = (void *)ctx + 8; @ c.c:4\n0: (07) r1 += 8                       ; R1=ctx(off=8)\n"
        "; return *p; @ c.c:5\n1: (61) r0 = *(u32 *)(r1 +0)\ndereference of modified ctx ptr R1 off=8 disallowed\n",
    )
    assert (found.cls, line(found)) == ("pointer-arithmetic", 4)


def test_a_pointer_is_masked() -> None:
    found = cause(PACKET, "; data & ~7; @ x.c:6\n2: (57) r2 &= -8\nR2 bitwise operator &= on pointer prohibited\n")
    assert (found.cls, line(found), found.variables) == ("pointer-arithmetic", 6, ["data"])


def test_what_is_read_only_is_written() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; limit = 3; @ c.c:4\n0: (18) r1 = 0xffffc90000e16000       ; R1=map_value(map=c.rodata,ks=4,vs=8)\n"  # noqa: E501
        "2: (62) *(u32 *)(r1 +0) = 3\nwrite into map forbidden, value_size=8 off=0 size=4\n",
    )
    assert (found.cls, line(found)) == ("context-access", 4)


# ---------------------------------------------------------------- names and places


@pytest.mark.parametrize(
    ("text", "call", "name"),
    [
        ("struct hits *hits = bpf_map_lookup_elem(&table, &zero);", "bpf_map_lookup_elem", "hits"),
        ("__u32 zero = 0, cpu = bpf_get_smp_processor_id();", "bpf_get_smp_processor_id", "cpu"),
        ("__u32 zero = 0, cpu = bpf_get_smp_processor_id();", None, None),
        ("let Some(value) = MAP.get(&key) else {", None, "value"),
        ("if let Some(value) = MAP.get_ptr_mut(0) {", None, "value"),
        ("let mut at: usize = 14;", None, "at"),
        ("let (start, end) = (ctx.data(), ctx.data_end());", None, None),
        ("*calls += 1;", None, None),
        ("entry->field = next;", None, None),
        ("if (!(v = bpf_map_lookup_elem(&m, &k)))", "bpf_map_lookup_elem", "v"),
        ("if (v == 3)", None, None),
        ("Some(x) => 3,", None, None),
    ],
)
def test_assigned(text: str, call: str | None, name: str | None) -> None:
    assert assigned(text, call) == name


def test_names_in_uses() -> None:
    assert followed("stats->hits++;") == "stats"
    assert followed("unsafe { (*event).time = now() };") == "event"
    assert followed("a->x = b->y;") is None
    assert index("hits->slots[cpu]++;") == "cpu"
    assert index("unsafe { *levels.add(name) }") == "name"
    assert index("a[i] = b[j];") is None
    assert argument("bpf_probe_read_user(head.cast(), len as u32, from)", "bpf_probe_read_user", 1) == "len"
    assert argument("bpf_probe_read_kernel(buf, sizeof(buf), from)", "bpf_probe_read_kernel", 1) is None
    assert compares("if len > 64 {", "len")
    assert not compares("let len = n.get::<u32>();", "len")


def test_a_line_of_a_library_is_not_the_users() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; #[xdp] @ main.rs:8\n0: (b7) r1 = 0                        ; R1=0\n"
        "1: (63) *(u32 *)(r10 -4) = r1         ; R1=0 R10=fp0 fp-8=0000????\n"
        "2: (bf) r2 = r10                      ; R2=fp0 R10=fp0\n3: (07) r2 += -4                      ; R2=fp-4\n"
        "; let calls = unsafe { CALLS.get_ptr_mut(&pid).unwrap_unchecked() }; @ main.rs:12\n"
        "4: (18) r1 = 0xffff888006c70c00       ; R1=map_ptr(map=CALLS,ks=4,vs=8)\n"
        "; fun(map, key) @ helpers.rs:24\n6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=CALLS,ks=4,vs=8)\n"  # noqa: E501
        ";  @ mut_ptr.rs:1200\n7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n",
    )
    assert found.cls == "missing-null-check"
    assert found.place is not None and found.place.path == "main.rs"
    assert found.confidence == "medium"  # the nearest line, not the very one
    assert found.because[0].place is not None and found.because[0].place.line == 12


def test_without_a_path_nothing_is_claimed() -> None:
    found = cause("R0 invalid mem access 'map_value_or_null'\n")
    assert found.confidence == "low"
    assert found.place is None


def test_the_length_as_a_number_is_checked() -> None:
    found = cause(
        PACKET,
        "2: (bf) r4 = r3                       ; R3=pkt_end() R4=pkt_end()\n"
        "3: (1f) r4 -= r2                      ; R2=pkt(r=0) R4=scalar()\n"
        "; if (end - data < 34) @ x.c:7\n4: (a5) if r4 < 0x22 goto pc+8        ; R4=scalar(umin=34)\n",
        read(5, 2, 22, 1, "id=0,off=0,r=0"),
    )
    assert (found.cls, line(found)) == ("verifier-imprecision", 7)


def test_a_right_check_the_compiler_rewrote() -> None:
    found = cause(
        PACKET,
        "; if start + 1 > end { @ main.rs:7\n2: (3d) if r2 >= r3 goto pc+8         ; R2=pkt(r=0) R3=pkt_end()\n",
        read(3, 2, 0, 1, "id=0,off=0,r=0"),
    )
    assert (found.cls, line(found)) == ("verifier-imprecision", 7)


def test_a_number_is_passed_as_a_map() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; map = ctx->arg; @ c.c:4\n0: (79) r1 = *(u64 *)(r1 +16)         ; R1=scalar()\n"
        "; bpf_map_lookup_elem(map, &key); @ c.c:5\n1: (bf) r2 = r10                      ; R2=fp0 R10=fp0\n"
        "2: (85) call bpf_map_lookup_elem#1\nR1 type=scalar expected=map_ptr\n",
    )
    assert (found.cls, line(found)) == ("argument-type", 5)


def test_a_check_of_where_a_variable_pointer_begins() -> None:
    """What is missing is counted from the pointer that was compared, not from the start of the packet."""
    found = cause(
        PACKET,
        "2: (bf) r4 = r2                       ; R2=pkt(r=0) R4=pkt(r=0)\n"
        "3: (07) r4 += 34                      ; R4=pkt(off=34,r=0)\n"
        "; if (eth + 1 > end) @ x.c:6\n4: (2d) if r4 > r3 goto pc+8         ; R3=pkt_end() R4=pkt(off=34,r=34)\n"
        "; int len = ip->ihl * 4; @ x.c:7\n5: (71) r5 = *(u8 *)(r2 +14)         ; R2=pkt(r=34) R5=scalar(umax=255,var_off=(0x0; 0xff))\n"  # noqa: E501
        "6: (57) r5 &= 60                      ; R5=scalar(umax=60,var_off=(0x0; 0x3c))\n"
        "; void *udp = data + 14 + len; @ x.c:8\n7: (07) r2 += 14                      ; R2=pkt(off=14,r=34)\n"
        "8: (0f) r2 += r5                      ; R2=pkt(id=1,off=14,r=0,umax=60,var_off=(0x0; 0x3c)) R5=scalar(umax=60,var_off=(0x0; 0x3c))\n"  # noqa: E501
        "; if (udp > end) @ x.c:9\n9: (2d) if r2 > r3 goto pc+3         ; R2=pkt(id=1,off=14,r=14,umax=60,var_off=(0x0; 0x3c)) R3=pkt_end()\n"  # noqa: E501
        "; return udp->dest; @ x.c:12\n10: (69) r0 = *(u16 *)(r2 +2)\n"
        "invalid access to packet, off=16 size=2, R2(id=1,off=16,r=14)\n" + OUTSIDE.format(reg=2) + "\n",
    )
    assert (found.cls, line(found)) == ("check-wrong", 9)
    assert found.headline.endswith("begins, not where it ends")
    assert [one.text for one in found.advice] == ["compare the address at least 4 bytes further on with the end"]


def test_numbers_that_calls_give_are_no_addresses() -> None:
    """Only some calls answer an address as a number: the time is none."""
    found = cause(
        "0: R1=ctx() R10=fp0\n; x = bpf_ktime_get_ns(); @ x.c:4\n0: (85) call bpf_ktime_get_ns#5     ; R0=scalar()\n"
        "; return *x; @ x.c:5\n1: (61) r0 = *(u32 *)(r0 +0)\nR0 invalid mem access 'scalar'\n",
    )
    assert found.cls == "pointer-to-scalar"
    assert "probe_read" not in found.headline + "".join(one.text for one in found.advice)


def test_a_call_that_gave_null_on_this_path() -> None:
    """Iterators are followed both ways; on the one where they are drained the answer is the number 0."""
    found = cause(
        "0: R1=ctx() R10=fp0\n; item = bpf_iter_num_next(&it); @ x.c:4\n"
        "0: (85) call bpf_iter_num_next#100     ; R0=0 fp-8=iter_num(ref_id=1,state=drained,depth=0) refs=1\n"
        "; return *item; @ x.c:5\n1: (61) r0 = *(u32 *)(r0 +0)\nR0 invalid mem access 'scalar'\n",
    )
    assert (found.cls, line(found)) == ("missing-null-check", 5)


def test_a_moved_pointer_is_said_once() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; x @ x.c:4\n0: (07) r1 += 8                       ; R1=ctx(off=8)\n"
        "1: (61) r0 = *(u32 *)(r1 +8)\ndereference of modified ctx ptr R1 off=8 disallowed\n",
    )
    assert found.cls == "pointer-arithmetic"
    assert found.headline == "the pointer to the context was moved before its use"
