"""Causes of null, bounds, length and stack rejections, out of small logs written for them."""

from __future__ import annotations

import pytest

from bpfsmith._native import VerifierLog
from bpfsmith.verify.cause import Cause, Trace, explain_cause
from bpfsmith.verify.messages import classify

LOOKUP = """\
0: R1=ctx() R10=fp0
; __u32 key = 1; @ p.c:10
0: (b7) r1 = 1                        ; R1=1
1: (63) *(u32 *)(r10 -4) = r1         ; R1=1 R10=fp0 fp-8=mmmm????
2: (bf) r2 = r10                      ; R2=fp0 R10=fp0
3: (07) r2 += -4                      ; R2=fp-4
; struct stats *stats = bpf_map_lookup_elem(&table, &key); @ p.c:11
4: (18) r1 = 0xffff888006c70c00       ; R1=map_ptr(map=table,ks=4,vs=64)
6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=table,ks=4,vs=64)
"""
CHECKED = """\
; if (!stats) @ p.c:12
7: (15) if r0 == 0x0 goto pc+9        ; R0=map_value(map=table,ks=4,vs=64)
"""
END = "processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"


def cause(*parts: str) -> Cause:
    log = VerifierLog("".join((*parts, END)))
    match = classify(log)
    assert match is not None
    return explain_cause(Trace(log), match, strict=True)


def line(found: Cause) -> int | None:
    assert found.place is not None
    return found.place.line


# ---------------------------------------------------------------- null


def test_lookup_used_without_a_check() -> None:
    found = cause(
        LOOKUP,
        "; stats->hits++; @ p.c:13\n7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n",
    )
    assert (found.cls, found.confidence, line(found)) == ("missing-null-check", "high", 13)
    assert found.variables == ["stats"]
    assert [fact.slot for fact in found.because] == [6, 7]
    assert found.symptom is not None and found.symptom.slot == 7


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("stats->hits++;", 12),
        ("(*stats).hits += 1;  // one more", 12),
        ("if (key) stats->hits++;", 13),  # on one way only
        ("seen = stats && stats->hits;", 13),
        ("stats->hits++; }", 13),
        ("note(&stats->hits);", 13),  # its address alone
        ("if (key)", 13),
        ("other->hits++;", 13),
    ],
)
def test_the_first_use_in_the_source_is_named(before: str, expected: int) -> None:
    found = cause(
        LOOKUP,
        f"; {before} @ p.c:12\n7: (b7) r1 = 5                        ; R1=5\n",
        "; stats->last = now; @ p.c:13\n8: (7b) *(u64 *)(r0 +8) = r1\nR0 invalid mem access 'map_value_or_null'\n",
    )
    assert (found.cls, line(found), found.variables) == ("missing-null-check", expected, ["stats"])
    assert found.symptom is not None and found.symptom.slot == 8


def test_an_access_that_was_let_through_needs_no_check() -> None:
    found = cause(
        LOOKUP,
        "; seen = stats->hits; @ p.c:12\n7: (79) r1 = *(u64 *)(r0 +0)          ; R1=scalar()\n",
        "; stats->last = seen; @ p.c:13\n8: (7b) *(u64 *)(r0 +8) = r1\nR0 invalid mem access 'map_value_or_null'\n",
    )
    assert line(found) == 13


def test_only_the_low_half_is_compared() -> None:
    found = cause(
        LOOKUP,
        "; if (!(int)(long)stats) @ p.c:12\n"
        "7: (16) if w0 == 0x0 goto pc+9        ; R0=map_value_or_null(id=1,map=table,ks=4,vs=64)\n"
        "; stats->hits++; @ p.c:13\n8: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n",
    )
    assert (found.cls, line(found)) == ("check-wrong", 12)


SECOND = """\
8: (bf) r2 = r10                      ; R2=fp0 R10=fp0
9: (07) r2 += -4                      ; R2=fp-4
; struct stats *again = bpf_map_lookup_elem(&table, &key); @ p.c:14
10: (18) r1 = 0xffff888006c70c00      ; R1=map_ptr(map=table,ks=4,vs=64)
12: (85) call bpf_map_lookup_elem#1   ; R0=map_value_or_null(id=2,map=table,ks=4,vs=64)
; again->hits++; @ p.c:15
13: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
"""


def test_another_lookup_of_the_same_key_is_checked() -> None:
    found = cause(LOOKUP, CHECKED, SECOND)
    assert (found.cls, line(found), found.variables) == ("check-on-copy", 12, ["again"])


def test_another_lookup_of_another_key_is_no_check() -> None:
    other = "8: (b7) r1 = 7                        ; R1=7\n9: (63) *(u32 *)(r10 -4) = r1        ; R1=7\n"
    moved = SECOND.replace("8: (bf)", "10: (bf)").replace("9: (07)", "11: (07)").replace("10: (18)", "12: (18)")
    moved = moved.replace("12: (85)", "14: (85)").replace("13: (79)", "15: (79)")
    found = cause(LOOKUP, CHECKED, other, moved)
    assert (found.cls, line(found)) == ("missing-null-check", 15)


def test_checked_before_it_got_another_value() -> None:
    other = "8: (b7) r1 = 7                        ; R1=7\n9: (63) *(u32 *)(r10 -4) = r1        ; R1=7\n"
    moved = SECOND.replace("8: (bf)", "10: (bf)").replace("9: (07)", "11: (07)").replace("10: (18)", "12: (18)")
    moved = moved.replace("12: (85)", "14: (85)").replace("13: (79)", "15: (79)")
    moved = moved.replace("struct stats *again =", "stats =").replace("again->", "stats->")
    found = cause(LOOKUP, CHECKED, other, moved)
    assert (found.cls, line(found)) == ("check-wrong", 12)


def test_the_null_path_goes_on() -> None:
    found = cause(
        LOOKUP,
        CHECKED,
        '; bpf_printk("none"); @ p.c:13\n8: (b7) r6 = 0                        ; R6=0\n'
        "9: (05) goto pc+0\n10: (95) exit\n\n"
        "from 7 to 17: R0=0 R10=fp0 fp-8=mmmm????\n"
        "; stats->hits++; @ p.c:15\n17: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'scalar'\n",
    )
    assert (found.cls, line(found), found.variables) == ("check-wrong", 12, ["stats"])
    assert "does not leave" in found.headline


def test_a_cut_head_claims_less() -> None:
    found = cause(
        "6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=table,ks=4,vs=64)\n"
        "; stats->hits++; @ p.c:13\n7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n",
    )
    assert (found.cls, found.confidence) == ("missing-null-check", "medium")


# ---------------------------------------------------------------- bounds of a map's value

INDEX = """\
; __u32 slot = stats->slot; @ p.c:14
8: (61) r1 = *(u32 *)(r0 +0)          ; R0=map_value(map=table,ks=4,vs=64) R1=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))  # noqa: E501
"""  # noqa: E501
WIDE = "scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))"


def used(slot: int, known: str, largest: str, *, said: str) -> str:
    part = f"smin=0,smax=umax={largest},var_off=(0x0; 0xff)"
    return (
        f"; stats->counts[slot] = 1; @ p.c:17\n"
        f"{slot}: (0f) r0 += r1                       ; R0=map_value(map=table,ks=4,vs=64,{part}) R1={known}\n"
        f"{slot + 1}: (b7) r2 = 1                         ; R2=1\n"
        f"{slot + 2}: (73) *(u8 *)(r0 +0) = r2\n"
        f"{said}\n"
    )


UNBOUNDED = "R0 unbounded memory access, make sure to bounds check any such access"
BEYOND = "invalid access to map value, value_size=64 off=64 size=1\nR0 max value is outside of the allowed memory range"


def test_index_without_a_check() -> None:
    found = cause(LOOKUP, CHECKED, INDEX, used(9, WIDE, "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found), found.variables[0]) == ("missing-bounds-check", 17, "slot")


def test_the_check_lets_one_too_many_pass() -> None:
    small = "scalar(smin=0,smax=umax=64,var_off=(0x0; 0x7f))"
    test = f"; if (slot > 64) @ p.c:15\n9: (25) if r1 > 0x40 goto pc+7        ; R1={small}\n"
    found = cause(LOOKUP, CHECKED, INDEX, test, used(10, small, "64", said=BEYOND))
    assert (found.cls, line(found), found.confidence) == ("check-wrong", 15, "high")
    assert any("between 0 and 64" in fact.text for fact in found.because)


def test_the_check_is_the_wrong_way_round() -> None:
    large = "scalar(smin=umin=65,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))"
    test = f"; if (slot <= 64) @ p.c:15\n9: (b5) if r1 <= 0x40 goto pc+7       ; R1={large}\n"
    found = cause(LOOKUP, CHECKED, INDEX, test, used(10, large, "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found)) == ("check-wrong", 15)
    assert "should leave" in found.headline


def test_a_check_for_negative_numbers_only_sets_no_upper_limit() -> None:
    large = "scalar(smin=umin=1,umax=0x7fffffffffffffff,var_off=(0x0; 0x7fffffffffffffff))"
    test = f"; if (slot <= 0) @ p.c:15\n9: (d5) if r1 s<= 0x0 goto pc+7       ; R1={large}\n"
    found = cause(LOOKUP, CHECKED, INDEX, test, used(10, large, "0x7fffffffffffffff", said=UNBOUNDED))
    assert found.headline.endswith("sets no upper limit")
    assert not any("too large" in fact.text for fact in found.because)


def test_the_check_is_on_a_copy() -> None:
    small = "scalar(smin=0,smax=umax=63,var_off=(0x0; 0x3f))"
    copy = (
        f"9: (7b) *(u64 *)(r10 -16) = r1       ; R1={WIDE} R10=fp0 fp-16=mmmmmmmm\n"
        f"10: (79) r3 = *(u64 *)(r10 -16)      ; R3={WIDE} R10=fp0 fp-16=mmmmmmmm\n"
        f"; if (copy > 63) @ p.c:15\n11: (25) if r3 > 0x3f goto pc+7      ; R3={small}\n"
    )
    found = cause(LOOKUP, CHECKED, INDEX, copy, used(12, WIDE, "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found)) == ("check-on-copy", 15)


def test_a_copy_saved_before_the_check_is_read_back() -> None:
    small = "scalar(smin=0,smax=umax=63,var_off=(0x0; 0x3f))"
    spill = (
        f"9: (7b) *(u64 *)(r10 -16) = r1       ; R1={WIDE} R10=fp0 fp-16=mmmmmmmm\n"
        f"; if (slot > 63) @ p.c:15\n10: (25) if r1 > 0x3f goto pc+7      ; R1={small}\n"
        f"; other(); @ p.c:16\n11: (79) r1 = *(u64 *)(r10 -16)      ; R1={WIDE} R10=fp0 fp-16=mmmmmmmm\n"
    )
    found = cause(LOOKUP, CHECKED, INDEX, spill, used(12, WIDE, "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found)) == ("check-lost", 16)


def test_the_range_is_lost_on_the_stack() -> None:
    small = "scalar(smin=0,smax=umax=63,var_off=(0x0; 0x3f))"
    spill = (
        f"; if (slot > 63) @ p.c:15\n9: (25) if r1 > 0x3f goto pc+7       ; R1={small}\n"
        f"; other(); @ p.c:16\n10: (63) *(u32 *)(r10 -16) = r1      ; R1={small} R10=fp0 fp-16=mmmm\n"
        f"11: (61) r1 = *(u32 *)(r10 -16)      ; R1={WIDE} R10=fp0 fp-16=mmmm\n"
    )
    found = cause(LOOKUP, CHECKED, INDEX, spill, used(12, WIDE, "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found)) == ("check-lost", 16)


def test_only_32_bits_of_a_wide_number_are_compared() -> None:
    wide = (
        "; __u64 slot = stats->slot; @ p.c:14\n"
        "8: (79) r1 = *(u64 *)(r0 +0)          ; R0=map_value(map=table,ks=4,vs=64) R1=scalar()\n"
        "; if ((__u32)slot > 63) @ p.c:15\n"
        "9: (26) if w1 > 0x3f goto pc+7        ; R1=scalar(smin32=0,smax32=umax32=63,var_off=(0x0; 0xffffffff0000003f))\n"  # noqa: E501
    )
    found = cause(LOOKUP, CHECKED, wide, used(10, "scalar()", "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found)) == ("check-wrong", 15)
    assert "32 bits" in found.headline


def test_compared_with_a_number_that_has_no_limit() -> None:
    pair = (
        f"; __u32 n = stats->n; @ p.c:15\n9: (61) r3 = *(u32 *)(r0 +4)          ; R3={WIDE}\n"
        f"; if (slot >= n) @ p.c:16\n10: (3d) if r1 >= r3 goto pc+7        ; R1={WIDE} R3={WIDE}\n"
    )
    found = cause(LOOKUP, CHECKED, INDEX, pair, used(11, WIDE, "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found)) == ("missing-bounds-check", 17)
    assert "`n`" in found.headline


def test_a_constant_offset_beyond_the_value() -> None:
    found = cause(
        LOOKUP,
        CHECKED,
        "; stats->more = 0; @ p.c:14\n8: (7a) *(u64 *)(r0 +64) = 0\n"
        "invalid access to map value, value_size=64 off=64 size=8\n"
        "R0 min value is outside of the allowed memory range\n",
    )
    assert (found.cls, line(found)) == ("missing-bounds-check", 14)
    assert "has 64 bytes" in found.headline


# ---------------------------------------------------------------- lengths

LENGTH = """\
; int len = stats->len; @ p.c:14
8: (61) r2 = *(u32 *)(r0 +0)          ; R0=map_value(map=table,ks=4,vs=64) R2=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))  # noqa: E501
"""  # noqa: E501


def call(slot: int, said: str) -> str:
    return (
        f"; bpf_probe_read_kernel(buf, len, from); @ p.c:17\n{slot}: (bf) r1 = r10                      ; R1=fp0 R10=fp0\n"  # noqa: E501
        f"{slot + 1}: (07) r1 += -64                     ; R1=fp-64\n"
        f"{slot + 2}: (85) call bpf_probe_read_kernel#113\n{said}\n"
    )


@pytest.mark.parametrize(
    ("test", "said", "expected", "where"),
    [
        ("", "R2 unbounded memory access, use 'var &= const' or 'if (var < const)'", "missing-bounds-check", 17),
        (
            "; if (len > 64) @ p.c:15\n9: (66) if w2 s> 0x40 goto pc+7\n"
            f" ; R2={WIDE[:-1]},smin32=-0x80000000,smax32=64)\n".replace("\n ;", " ;"),
            "R2 unbounded memory access, use 'var &= const' or 'if (var < const)'",
            "check-wrong",
            15,
        ),
        (
            "; if (len > 64) @ p.c:15\n9: (25) if r2 > 0x40 goto pc+7        ; R2=scalar(smin=0,smax=umax=64,var_off=(0x0; 0x7f))\n",  # noqa: E501
            "R2 invalid zero-sized read: u64=[0,64]",
            "check-wrong",
            15,
        ),
        ("", "R2 invalid zero-sized read: u64=[0,4294967295]", "missing-bounds-check", 17),
    ],
)
def test_lengths(test: str, said: str, expected: str, where: int) -> None:
    test = test.replace("goto pc+7\n ;", "goto pc+7 ;")
    found = cause(LOOKUP, CHECKED, LENGTH, test, call(10, said))
    assert (found.cls, line(found), found.variables[0]) == (expected, where, "len")


def test_a_fixed_length_longer_than_the_buffer() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; bpf_get_current_comm(comm, 64); @ p.c:5\n0: (bf) r1 = r10                       ; R1=fp0 R10=fp0\n"  # noqa: E501
        "1: (07) r1 += -16                     ; R1=fp-16\n2: (b7) r2 = 64                        ; R2=64\n"
        "3: (85) call bpf_get_current_comm#16\ninvalid write to stack R1 off=-16 size=64\n",
    )
    assert (found.cls, line(found)) == ("missing-bounds-check", 5)
    assert "there are 16" in found.headline


# ---------------------------------------------------------------- the stack


def test_an_array_on_the_stack_indexed_without_a_check() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; __u32 slot = ctx->mark; @ p.c:4\n0: (61) r1 = *(u32 *)(r1 +8)           ; R1="
        + WIDE
        + "\n"
        "; return places[slot]; @ p.c:6\n1: (bf) r2 = r10                       ; R2=fp0 R10=fp0\n"
        "2: (07) r2 += -64                     ; R2=fp-64\n"
        "3: (0f) r2 += r1                      ; R2=fp(off=-64,smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))\n"
        "4: (71) r0 = *(u8 *)(r2 +0)\ninvalid unbounded variable-offset read from stack R2\n",
    )
    assert (found.cls, line(found), found.variables[0]) == ("missing-bounds-check", 6, "slot")


def test_reading_beyond_the_frame() -> None:
    found = cause(
        "0: R1=ctx() R10=fp0\n; return places[9]; @ p.c:6\n0: (79) r0 = *(u64 *)(r10 +8)\n"
        "invalid read from stack R10 off=8 size=8\n",
    )
    assert (found.cls, line(found)) == ("missing-bounds-check", 6)


# ---------------------------------------------------------------- what verifiers do not follow


def test_a_remainder_is_any_number() -> None:
    modulo = f"; slot %= 60; @ p.c:15\n9: (97) r1 %= 60                      ; R1={WIDE}\n"
    found = cause(LOOKUP, CHECKED, INDEX, modulo, used(10, WIDE, "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found)) == ("verifier-imprecision", 15)


def test_read_once_for_the_check_and_once_for_the_use() -> None:
    small = "scalar(smin=0,smax=umax=63,var_off=(0x0; 0x3f))"
    twice = (
        f"; if (stats->slot > 63) @ p.c:15\n9: (25) if r1 > 0x3f goto pc+7        ; R1={small}\n"
        f"; other(); @ p.c:16\n10: (61) r1 = *(u32 *)(r0 +0)         ; R0=map_value(map=table,ks=4,vs=64) R1={WIDE}\n"
    )
    found = cause(LOOKUP, CHECKED, INDEX, twice, used(11, WIDE, "0xffffffff", said=UNBOUNDED))
    assert (found.cls, line(found)) == ("check-on-copy", 15)


def test_signed_limits_that_fit_are_not_put_together() -> None:
    step = "scalar(smin=smin32=-16,smax=smax32=15)"
    found = cause(
        LOOKUP,
        CHECKED,
        f"; int step = (ctx->mark & 31) - 16; @ p.c:14\n8: (07) r1 += -16                     ; R1={step}\n"
        "9: (07) r0 += 32                      ; R0=map_value(map=table,ks=4,vs=64,off=32)\n"
        f"; return middle[step]; @ p.c:16\n10: (0f) r0 += r1                     ; "
        f"R0=map_value(map=table,ks=4,vs=64,off=32,smin=smin32=-16,smax=smax32=15) R1={step}\n"
        "11: (71) r6 = *(u8 *)(r0 +0)\n"
        "R0 unbounded memory access, make sure to bounds check any such access\n",
    )
    assert (found.cls, line(found)) == ("verifier-imprecision", 16)


def test_a_result_that_comes_back_over_the_callers_stack() -> None:
    small = "scalar(smin=0,smax=umax=9,var_off=(0x0; 0xf))"
    found = cause(
        "func#0 @0\nfunc#1 @20\n0: R1=ctx() R10=fp0\n; let class = class(&ctx)?; @ main.rs:20\n"
        f"0: (61) r2 = *(u32 *)(r1 +16)         ; R1=ctx() R2={WIDE}\n"
        "1: (bf) r1 = r10                      ; R1=fp0 R10=fp0\n2: (07) r1 += -8                      ; R1=fp-8\n"
        f"3: (85) call pc+16\ncaller:\n R10=fp0\ncallee:\n frame1: R1=fp[0]-8 R2={WIDE} R10=fp0\n"
        "; if class < 10 { Ok(class) } else { Err(class) } @ main.rs:16\n"
        f"20: (63) *(u32 *)(r1 +4) = r2         ; frame1: R1=fp[0]-8 R2={WIDE}\n"
        f"21: (25) if r2 > 0x9 goto pc+3        ; frame1: R2={small}\n"
        "22: (95) exit\nreturning from callee:\n frame1: R1=fp[0]-8 R10=fp0\nto caller at 4:\n R10=fp0\n\n"
        "from 22 to 4: R10=fp0\n; let class = class(&ctx)?; @ main.rs:20\n"
        f"4: (61) r7 = *(u32 *)(r10 -4)         ; R7={WIDE} R10=fp0\n"
        "; let slot = unsafe { TABLE.get_ptr(0).unwrap_unchecked() }; @ main.rs:21\n"
        "5: (18) r0 = 0xffffc90000e16000       ; R0=map_value(map=main.bss,ks=4,vs=10)\n"
        "; unsafe { *slot.add(class as usize) } @ main.rs:22\n"
        f"7: (0f) r0 += r7                      ; R0=map_value(map=main.bss,ks=4,vs=10,smin=0,smax=umax=0xffffffff) R7={WIDE}\n"  # noqa: E501
        "8: (71) r1 = *(u8 *)(r0 +0)\nR0 unbounded memory access, make sure to bounds check any such access\n",
    )
    assert (found.cls, line(found)) == ("check-lost", 20)
