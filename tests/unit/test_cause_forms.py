"""The same mistake in the forms compilers give it: causes out of small logs, one a form."""

from __future__ import annotations

import pytest

from bpfsmith._native import VerifierLog
from bpfsmith.verify.cause import Cause, Trace, explain_cause
from bpfsmith.verify.messages import classify

VALUE = """\
0: R1=ctx() R6=map_value(map=table,ks=4,vs=200) R10=fp0
; __u64 slot = now(); @ p.c:10
0: (85) call bpf_ktime_get_ns#5       ; R0_w=scalar()
"""
MATH = "math between map_value pointer and register with unbounded min value is not allowed\n"
PACKET = """\
0: R1=ctx() R10=fp0
; begin @ p.c:4
0: (61) r2 = *(u32 *)(r1 +80)         ; R1=ctx() R2_w=pkt_end()
1: (61) r1 = *(u32 *)(r1 +76)         ; R1_w=pkt(r=0)
"""
END = "processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"


def cause(*parts: str) -> Cause:
    log = VerifierLog("".join((*parts, END)))
    match = classify(log)
    assert match is not None
    return explain_cause(Trace(log), match, strict=True)


def said(found: Cause) -> tuple[str, int | None]:
    assert found.place is not None
    return found.cls, found.place.line


# ---------------------------------------------------------------- comparisons of numbers


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        # the low byte, by the bits above a power of two
        ("1: (bf) r1 = r0                       ; R0=scalar(id=2) R1_w=scalar(id=2)\n"
         "2: (57) r1 &= 240                    ; R1_w=scalar(umax=240,var_off=(0x0; 0xf0))\n"
         "3: (55) if r1 != 0x0 goto pc+5       ; R1_w=0\n", "check-wrong"),
        # the low half, taken by shifts
        ("1: (bf) r1 = r0                       ; R0=scalar(id=2) R1_w=scalar(id=2)\n"
         "2: (67) r1 <<= 32                    ; R1_w=scalar(smax=0x7fffffff00000000)\n"
         "3: (77) r1 >>= 32                    ; R1_w=scalar(umax=0xffffffff)\n"
         "4: (25) if r1 > 0xf goto pc+5        ; R1_w=scalar(umax=15)\n", "check-wrong"),
        # the other way
        ("1: (a5) if r0 < 0x10 goto pc+9        ; R0=scalar(umin=16)\n", "check-wrong"),
        # the limit in a register, from the other side
        ("1: (b7) r1 = 16                       ; R1_w=16\n"
         "2: (ad) if r0 < r1 goto pc+9          ; R0=scalar(umin=16) R1=16\n", "check-wrong"),
    ],
)  # fmt: skip
def test_a_comparison_in_many_forms(test: str, expected: str) -> None:
    slot = test.count("\n") + 1
    found = cause(
        VALUE,
        "; if (slot > 15) @ p.c:11\n",
        test,
        f"; table[slot]++; @ p.c:12\n{slot}: (67) r0 <<= 3    ; R0_w=scalar()\n{slot + 1}: (0f) r6 += r0\n",
        MATH,
    )
    assert said(found) == (expected, 11)


def test_the_check_is_kept_as_a_bit() -> None:
    found = cause(
        VALUE,
        "; flags |= ((slot - 32) >> 63) << 2; @ p.c:11\n"
        "1: (bf) r2 = r0                       ; R0=scalar(id=1) R2_w=scalar(id=1)\n"
        "2: (07) r2 += -32                     ; R2_w=scalar()\n"
        "3: (77) r2 >>= 61                     ; R2_w=scalar(umax=7,var_off=(0x0; 0x7))\n"
        "4: (57) r2 &= 4                       ; R2_w=scalar(umax=4,var_off=(0x0; 0x4))\n"
        "; if (flags & 4) @ p.c:12\n"
        "5: (15) if r2 == 0x0 goto pc+7        ; R2=scalar(umin=1,umax=4,var_off=(0x0; 0x4))\n"
        "; table[slot]++; @ p.c:13\n6: (67) r0 <<= 3                     ; R0_w=scalar()\n7: (0f) r6 += r0\n",
        MATH,
    )
    assert said(found) == ("check-lost", 11)


def test_a_copy_is_cut_to_the_limit() -> None:
    found = cause(
        VALUE,
        "; size = slot < 16 ? slot : 16; @ p.c:11\n"
        "1: (bf) r9 = r0                       ; R0=scalar(id=3) R9_w=scalar(id=3)\n"
        "2: (a5) if r0 < 0x10 goto pc+1        ; R0=scalar(id=3,umin=16)\n"
        "3: (b7) r9 = 16                       ; R9_w=16\n"
        "; table[slot]++; @ p.c:12\n4: (67) r0 <<= 3                     ; R0_w=scalar()\n5: (0f) r6 += r0\n",
        MATH,
    )
    assert said(found) == ("check-on-copy", 11)


def test_an_atomic_answer_is_another_reading() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; ring = bpf_map_lookup_elem(&rings, &zero); @ p.c:8\n"
        "0: (85) call bpf_map_lookup_elem#1    ; R0_w=map_value_or_null(id=1,map=rings,ks=4,vs=1032)\n"
        "1: (15) if r0 == 0x0 goto pc+12       ; R0_w=map_value(map=rings,ks=4,vs=1032)\n"
        "; if (ring->head >= 128) @ p.c:10\n"
        "2: (79) r1 = *(u64 *)(r0 +0)          ; R0=map_value(map=rings,ks=4,vs=1032) R1=scalar()\n"
        "3: (25) if r1 > 0x7f goto pc+10       ; R1=scalar(umax=127,var_off=(0x0; 0x7f))\n"
        "4: (b7) r1 = 1                        ; R1_w=1\n"
        "; at = __sync_fetch_and_add(&ring->head, 1); @ p.c:11\n"
        "5: (db) r1 = atomic64_fetch_add((u64 *)(r0 +0), r1)  ; R0=map_value(map=rings,ks=4,vs=1032) R1_w=scalar()\n"
        "; ring->entries[at] = 1; @ p.c:12\n"
        "6: (67) r1 <<= 3                      ; R1_w=scalar()\n7: (0f) r0 += r1\n",
        MATH,
    )
    assert said(found) == ("check-on-copy", 10)


def test_a_difference_of_numbers_that_were_compared() -> None:
    found = cause(
        VALUE,
        "; if (a > 64 || b > a) @ p.c:11\n"
        "1: (25) if r0 > 0x40 goto pc+9        ; R0=scalar(umax=64,var_off=(0x0; 0x7f))\n"
        "2: (79) r1 = *(u64 *)(r6 +0)          ; R1_w=scalar() R6=map_value(map=table,ks=4,vs=200)\n"
        "3: (2d) if r1 > r0 goto pc+8          ; R0=scalar(umax=64) R1=scalar(umax=64)\n"
        "; rest = a - b; @ p.c:12\n"
        "4: (1f) r0 -= r1                      ; R0_w=scalar(smin=-64,smax=64) R1=scalar(umax=64)\n"
        "; table[rest]++; @ p.c:13\n5: (67) r0 <<= 3                     ; R0_w=scalar()\n6: (0f) r6 += r0\n",
        MATH,
    )
    assert said(found) == ("verifier-imprecision", 12)


def test_a_mask_of_32_bits_that_keeps_too_much() -> None:
    found = cause(
        VALUE,
        "; slot = slot & 0x1f; @ p.c:11\n"
        "1: (54) w0 &= 31                      ; R0_w=scalar(umax=31,var_off=(0x0; 0x1f))\n"
        "; table[slot]++; @ p.c:12\n"
        "2: (67) r0 <<= 3                     ; R0_w=scalar(umax=248,var_off=(0x0; 0xf8))\n"
        "3: (0f) r6 += r0                     ; R6_w=map_value(map=table,ks=4,vs=200,umax=248,var_off=(0x0; 0xf8))\n"
        "4: (79) r1 = *(u64 *)(r6 +0)\n"
        "invalid access to map value, value_size=200 off=248 size=8\n"
        "R6 max value is outside of the allowed memory range\n",
    )  # fmt: skip
    assert said(found) == ("check-wrong", 11)


def test_a_mask_of_another_number_in_the_line_is_none() -> None:
    found = cause(
        VALUE,
        "; bit = words[slot >> 6] >> (slot & 63); @ p.c:11\n"
        "1: (77) r0 >>= 51                     ; R0_w=scalar(umax=8191,var_off=(0x0; 0x1fff))\n"
        "2: (57) r0 &= 8184                    ; R0_w=scalar(umax=8184,var_off=(0x0; 0x1ff8))\n"
        "3: (0f) r6 += r0  ; R6_w=map_value(map=table,ks=4,vs=200,umax=8184,var_off=(0x0; 0x1ff8))\n"
        "4: (79) r1 = *(u64 *)(r6 +0)\n"
        "invalid access to map value, value_size=200 off=8184 size=8\n"
        "R6 max value is outside of the allowed memory range\n",
    )  # fmt: skip
    assert said(found) == ("missing-bounds-check", 11)


def test_half_a_slot_of_the_stack_is_lost() -> None:
    found = cause(
        VALUE,
        "; if (slot >= 16) return 0; @ p.c:11\n"
        "1: (25) if r0 > 0xf goto pc+9         ; R0=scalar(umax=15,var_off=(0x0; 0xf))\n"
        "; kept = slot; @ p.c:12\n"
        "2: (6b) *(u16 *)(r10 -6) = r0         ; R0=scalar(umax=15,var_off=(0x0; 0xf)) R10=fp0 fp-8=??mm????\n"
        "; table[kept]++; @ p.c:13\n"
        "3: (69) r1 = *(u16 *)(r10 -6)         ; R1_w=scalar(umax=0xffff,var_off=(0x0; 0xffff)) R10=fp0 fp-8=??mm????\n"
        "4: (67) r1 <<= 3                      ; R1_w=scalar(umax=0x7fff8,var_off=(0x0; 0x7fff8))\n"
        "5: (0f) r6 += r1  ; R6_w=map_value(map=table,ks=4,vs=200,umax=0x7fff8,var_off=(0x0; 0x7fff8))\n"
        "6: (79) r1 = *(u64 *)(r6 +0)\n"
        "invalid access to map value, value_size=200 off=524280 size=8\n"
        "R6 max value is outside of the allowed memory range\n",
    )  # fmt: skip
    assert said(found) == ("check-lost", 13)


# ---------------------------------------------------------------- packets


def packet(check: str, use: str, off: int, at: int, have: int, line: str = "5: (71) r1 = *(u8 *)(r1 +{at})\n") -> Cause:
    return cause(
        PACKET,
        f"; {check} @ p.c:5\n"
        "2: (bf) r3 = r1                       ; R1_w=pkt(r=0) R3_w=pkt(r=0)\n"
        f"3: (07) r3 += {off}                     ; R3_w=pkt(off={off},r=0)\n"
        f"4: (2d) if r3 > r2 goto pc+4          ; R2_w=pkt_end() R3_w=pkt(off={off},r={off})\n"
        f"; {use} @ p.c:7\n",
        line.format(at=at),
        f"invalid access to packet, off={at} size=1, R1(id=0,off={at},r={have})\nR1 offset is outside of the packet\n",
    )


def test_the_message_knows_the_range_that_no_state_tells() -> None:
    found = packet("if ((void *)(eth + 1) > end)", "if (ip->protocol == 6)", 14, 23, 14)
    assert said(found) == ("missing-bounds-check", 7)


@pytest.mark.parametrize(
    ("check", "use", "off", "at", "expected"),
    [
        ("if (data + 14 + sizeof(ip) > end)", "if (ip->daddr == 6)", 22, 30, ("check-wrong", 5)),
        ("if (data + 34 + 8 > end)", "if (t->window == 3)", 42, 48, ("check-wrong", 5)),
        ("if ((void *)(ip + 1) > end)", "if (u->dest == 53)", 34, 36, ("missing-bounds-check", 7)),
    ],
)
def test_where_the_header_begins_tells_what_the_check_was_meant_for(
    check: str, use: str, off: int, at: int, expected: tuple[str, int]
) -> None:
    assert said(packet(check, use, off, at, off)) == expected


def test_a_range_is_lost_by_what_is_added() -> None:
    found = cause(
        PACKET.replace("r1 = *(u32 *)(r1 +76)", "r5 = *(u32 *)(r1 +76)").replace("R1_w=pkt", "R5_w=pkt"),
        "; if (at + 64 > end) @ p.c:5\n"
        "2: (bf) r4 = r5                       ; R4_w=pkt(r=0) R5_w=pkt(r=0)\n"
        "3: (07) r4 += 78                      ; R4_w=pkt(off=78,r=0)\n"
        "4: (2d) if r4 > r2 goto pc+10         ; R2=pkt_end() R4_w=pkt(off=78,r=78)\n"
        "; step = skb->mark & 31; @ p.c:6\n"
        "5: (61) r1 = *(u32 *)(r1 +8)          ; R1_w=scalar(umax=0xffffffff)\n"
        "6: (54) w1 &= 31                      ; R1_w=scalar(umax=31,var_off=(0x0; 0x1f))\n"
        "; at += step; @ p.c:7\n"
        "7: (0f) r5 += r1                      ; R1_w=scalar(umax=31) R5_w=pkt(id=1,r=0,umax=31,var_off=(0x0; 0x1f))\n"
        "; if (at[0] == 0xff) @ p.c:8\n"
        "8: (71) r1 = *(u8 *)(r5 +14)\n"
        "invalid access to packet, off=14 size=1, R5(id=1,off=14,r=0)\nR5 offset is outside of the packet\n",
    )
    assert said(found) == ("check-lost", 7)


def test_the_length_of_a_packet_is_compared_in_a_register() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n"
        "; if (ctx->len < 34) @ p.c:4\n"
        "0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2_w=scalar(umax=0xffffffff)\n"
        "1: (b7) r3 = 34                       ; R3_w=34\n"
        "2: (2d) if r3 > r2 goto pc+5          ; R2_w=scalar(umin=34,umax=0xffffffff) R3_w=34\n"
        "3: (61) r1 = *(u32 *)(r1 +76)         ; R1_w=pkt(r=0)\n"
        "; return ip->saddr == 4; @ p.c:6\n"
        "4: (61) r1 = *(u32 *)(r1 +26)\n"
        "invalid access to packet, off=26 size=4, R1(id=0,off=26,r=0)\nR1 offset is outside of the packet\n",
    )
    assert said(found) == ("check-wrong", 4)


# ---------------------------------------------------------------- null


LOOKUP = """\
0: R1=ctx() R10=fp0
; v = bpf_map_lookup_elem(&table, &key); @ p.c:11
0: (18) r1 = 0xffff888006c70c00       ; R1_w=map_ptr(map=table,ks=4,vs=64)
2: (85) call bpf_map_lookup_elem#1    ; R0_w=map_value_or_null(id=1,map=table,ks=4,vs=64)
"""


def test_the_way_of_null_goes_on_with_the_constant() -> None:
    found = cause(
        LOOKUP,
        "; if (v) @ p.c:12\n3: (55) if r0 != 0x0 goto pc+2        ; R0_w=0\n"
        "4: (b7) r1 = 0                        ; R1_w=0\n"
        "; v->n = 1; @ p.c:14\n5: (63) *(u32 *)(r1 +4) = r1\nR1 invalid mem access 'scalar'\n",
    )
    assert said(found) == ("check-wrong", 12)


def test_half_a_null_check_by_shifts() -> None:
    found = cause(
        LOOKUP,
        "; if ((__u32)(long)v == 0) @ p.c:12\n"
        "3: (bf) r1 = r0                       ; R1_w=map_value_or_null(id=1,map=table,ks=4,vs=64)\n"
        "4: (67) r1 <<= 32\n"
        "R1 pointer arithmetic on map_value_or_null prohibited, null-check it first\n",
    )  # fmt: skip
    assert said(found) == ("check-wrong", 12)


def test_two_pointers_that_may_be_null_are_joined_without_states() -> None:
    found = cause(
        "0: (18) r1 = 0xffff888006c70c00\n2: (85) call bpf_map_lookup_elem#1\n3: (bf) r6 = r0\n"
        "4: (18) r1 = 0xffff888006c70c00\n6: (85) call bpf_map_lookup_elem#1\n"
        "; if (!v && !w)\n7: (bf) r1 = r6\n8: (4f) r1 |= r0\nR1 pointer |= pointer prohibited\n",
    )
    assert found.cls == "check-wrong"


# ---------------------------------------------------------------- constants, loops, pointers that ended


def test_a_number_is_cut_to_what_does_not_fit() -> None:
    found = cause(
        VALUE,
        "; if (slot > 40) slot = 40; @ p.c:11\n"
        "1: (25) if r0 > 0x28 goto pc+1        ; R0=scalar(umin=41)\n"
        "2: (b7) r0 = 40                       ; R0_w=40\n"
        "; table[slot]++; @ p.c:12\n"
        "3: (67) r0 <<= 3                      ; R0_w=320\n"
        "4: (0f) r6 += r0                      ; R0_w=320 R6_w=map_value(map=table,ks=4,vs=200,off=320)\n"
        "5: (79) r1 = *(u64 *)(r6 +0)\n"
        "invalid access to map value, value_size=200 off=320 size=8\n"
        "R6 min value is outside of the allowed memory range\n",
    )
    assert said(found) == ("check-wrong", 11)


def test_what_a_released_socket_gave_is_stale_without_states() -> None:
    found = cause(
        "; tcp = bpf_tcp_sock(sk);\n0: (85) call bpf_tcp_sock#96\n1: (bf) r7 = r0\n"
        "; bpf_sk_release(sk);\n2: (bf) r1 = r6\n3: (85) call bpf_sk_release#86\n"
        "; window = tcp->snd_cwnd;\n4: (15) if r7 == 0x0 goto pc+7\n"
        " R0_w=inv(id=0) R6_w=inv(id=0) R7_w=inv(id=0) R10=fp0\n"
        "5: (61) r1 = *(u32 *)(r7 +0)\nR7 invalid mem access 'inv'\n",
    )
    assert (found.cls, found.place and found.place.text) == ("stale-pointer", "bpf_sk_release(sk);")


def test_a_checked_number_is_read_again_from_memory() -> None:
    found = cause(
        LOOKUP.replace("vs=64", "vs=200"),
        "3: (15) if r0 == 0x0 goto pc+20       ; R0_w=map_value(map=table,ks=4,vs=200)\n"
        "; if (len > 15) return 0; @ p.c:12\n"
        "4: (79) r1 = *(u64 *)(r10 -8)         ; R1_w=scalar() R10=fp0\n"
        "5: (25) if r1 > 0xf goto pc+18        ; R1=scalar(umax=15,var_off=(0x0; 0xf))\n"
        "; v->len = len; @ p.c:13\n"
        "6: (7b) *(u64 *)(r0 +0) = r1          ; R0=map_value(map=table,ks=4,vs=200) R1=scalar(umax=15)\n"
        "; v->slots[v->len]++; @ p.c:14\n"
        "7: (79) r2 = *(u64 *)(r0 +0)          ; R0=map_value(map=table,ks=4,vs=200) R2_w=scalar()\n"
        "8: (67) r2 <<= 3                      ; R2_w=scalar()\n9: (0f) r0 += r2\n",
        MATH,
    )
    assert said(found) == ("check-lost", 14)


def test_a_packet_is_checked_for_a_length_that_may_be_nought() -> None:
    found = cause(
        PACKET,
        "; if ((void *)(tlv + 1) > end) @ p.c:5\n"
        "2: (bf) r3 = r1                       ; R1_w=pkt(r=0) R3_w=pkt(r=0)\n"
        "3: (07) r3 += 4                       ; R3_w=pkt(off=4,r=0)\n"
        "4: (2d) if r3 > r2 goto pc+9          ; R2_w=pkt_end() R3_w=pkt(off=4,r=4)\n"
        "5: (71) r5 = *(u8 *)(r1 +1)           ; R1=pkt(r=4) R5_w=scalar(umax=255,var_off=(0x0; 0xff))\n"
        "; if ((void *)tlv->value + length > end) @ p.c:7\n"
        "6: (bf) r4 = r3                       ; R3=pkt(off=4,r=4) R4_w=pkt(off=4,r=4)\n"
        "7: (0f) r4 += r5                      ; R4_w=pkt(id=1,off=4,r=4,umax=255,var_off=(0x0; 0xff)) R5_w=scalar()\n"
        "8: (2d) if r4 > r2 goto pc+5          ; R2=pkt_end() R4_w=pkt(id=1,off=4,r=4,umax=255,var_off=(0x0; 0xff))\n"
        "; if (tlv->value[0] == 1) @ p.c:8\n"
        "9: (61) r1 = *(u32 *)(r3 +0)\n"
        "invalid access to packet, off=4 size=4, R3(id=0,off=4,r=4)\nR3 offset is outside of the packet\n",
    )
    assert said(found) == ("check-wrong", 7)


# ---------------------------------------------------------------- loops written out, readings made again

ELEMENT = "{at}: (63) *(u32 *)(r6 +{off}) = r1        ; R1=1 R6=map_value(map=table,ks=4,vs=16)\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v->a[i] = 1;", "check-wrong"),
        ("*v = *with;", "missing-bounds-check"),
        ("v->a[3] = 1;", "missing-bounds-check"),
    ],
)
def test_a_loop_that_was_written_out(text: str, expected: str) -> None:
    stores = "".join(ELEMENT.format(at=1 + n, off=4 * n) for n in range(4))
    found = cause(
        "0: R1=ctx() R6=map_value(map=table,ks=4,vs=16) R10=fp0\n; for (i = 0; i <= 4; i++) @ p.c:10\n"
        f"0: (b7) r1 = 1                        ; R1_w=1\n; {text} @ p.c:11\n",
        stores,
        "5: (63) *(u32 *)(r6 +16) = r1\ninvalid access to map value, value_size=16 off=16 size=4\n",
    )
    assert said(found) == (expected, 10 if expected == "check-wrong" else 11)


def test_another_reading_is_no_matter_of_width() -> None:
    """4 bytes are read, compared whole by a 32-bit comparison, and read again for their use."""
    found = cause(
        "0: R1=ctx() R6=map_value(map=table,ks=4,vs=200) R10=fp0\n"
        "; if (number < 8) @ p.c:10\n"
        "0: (18) r7 = 0xffffc90000123000       ; R7_w=map_value(map=.bss,ks=4,vs=4)\n"
        "2: (61) r2 = *(u32 *)(r7 +0)          ; R2_w=scalar(umax=0xffffffff,var_off=(0x0; 0xffffffff))\n"
        "3: (26) if w2 > 0x7 goto pc+9         ; R2_w=scalar(umax=7,var_off=(0x0; 0x7))\n"
        "; v->a[number] = 1; @ p.c:11\n"
        "4: (61) r3 = *(u32 *)(r7 +0)          ; R3_w=scalar(umax=0xffffffff,var_off=(0x0; 0xffffffff))\n"
        "5: (0f) r6 += r3                      ; R6_w=map_value(map=table,ks=4,vs=200,umax=0xffffffff)\n"
        "6: (73) *(u8 *)(r6 +0) = r2\n"
        "R6 unbounded memory access, make sure to bounds check any such access\n",
    )
    assert said(found) == ("check-on-copy", 10)
