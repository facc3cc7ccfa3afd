"""Logs as people paste them: of kernels that print little, with cut heads, or a message alone. Programs of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bpfsmith


def explained(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "pasted.log"
    path.write_text(text)
    report: dict[str, Any] = bpfsmith.explain(str(path)).to_json()
    return report["programs"][0] if "programs" in report else report


NULL_44 = """0: (b7) r3 = 7
1: (63) *(u32 *)(r10 -4) = r3
2: (18) r1 = 0xffff880012345600
4: (bf) r2 = r10
5: (07) r2 += -4
6: (85) call 1
7: (bf) r8 = r0
8: (15) if r0 == 0x0 goto pc+4
 R0=map_value(ks=4,vs=16) R8=map_value_or_null(ks=4,vs=16) R10=fp
9: (85) call 5
10: (79) r1 = *(u64 *)(r8 +8)
R8 invalid mem access 'map_value_or_null'
"""


def test_a_copy_was_compared_on_a_kernel_that_knows_no_copies(tmp_path: Path) -> None:
    found = explained(tmp_path, NULL_44)
    assert found["symptom"]["family"] == "V06"
    assert found["cause"]["class"] == "check-on-copy"
    assert any(link["instruction"] == 8 and "copy" in link["fact"] for link in found["chain"])
    assert any("bpf_map_lookup_elem" in link["fact"] for link in found["chain"])


CHECKED_STATE = """; slots[pos & mask] = 1;
40: (73) *(u8 *)(r3 +0) = r1
 R0=inv0 R1_w=inv1 R3_w=map_value(id=0,off=0,ks=4,vs=512,umax_value=65535,var_off=(0x0; 0xffff)) R10=fp0
R3 unbounded memory access, make sure to bounds check any such access
processed 41 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 3 mark_read 2
"""


def test_a_state_printed_while_an_access_is_checked_is_the_one_before(tmp_path: Path) -> None:
    from bpfsmith._native import VerifierLog

    log = VerifierLog(CHECKED_STATE.encode())
    step = log.path[-1]
    assert log.state(step).frames[-1].regs["r3"].map[2] == 512
    found = explained(tmp_path, CHECKED_STATE)
    assert found["cause"]["class"] == "missing-bounds-check"
    assert any("65535" in link["fact"] for link in found["chain"])


def test_what_a_load_gives_is_not_the_state_printed_while_it_is_checked() -> None:
    from bpfsmith._native import VerifierLog

    text = """8: (b7) r7 = 3
9: (79) r7 = *(u64 *)(r6 +0)
 R6=map_value(id=0,off=0,ks=4,vs=8,imm=0) R7_w=inv3 R10=fp0
10: (15) if r7 == 0x3 goto pc+1
 R6=map_value(id=0,off=0,ks=4,vs=8,imm=0) R7=inv3 R10=fp0
11: (95) exit
"""
    log = VerifierLog(text.encode())
    loaded = log.path[1]
    assert log.state(loaded).frames[-1].regs["r7"].known == 3
    assert "r7" not in log.after(loaded).frames[-1].regs


CUT = """; if (proto == htons(ETH_P_ARP)) {
70: (55) if r4 != 0x608 goto pc-9
 R1=pkt(id=0,off=14,r=20,imm=0) R2=pkt_end(id=0,off=0,imm=0) R4_w=inv1544 R6=ctx(id=0,off=0,imm=0) R10=fp0
; op = arp->ar_op;
71: (69) r3 = *(u16 *)(r1 +6)
invalid access to packet, off=20 size=2, R1(id=0,off=20,r=20)
R1 offset is outside of the packet
"""


def test_a_packet_whose_check_is_cut_off_was_checked_all_the_same(tmp_path: Path) -> None:
    found = explained(tmp_path, CUT)
    assert found["cause"]["class"] == "missing-bounds-check"
    assert not any("nothing was compared" in link["fact"] for link in found["chain"])
    assert any("first 20 only" in link["fact"] for link in found["chain"])


LENGTH = """0: (61) r7 = *(u32 *)(r1 +4)          ; R7_w=pkt_end()
1: (61) r3 = *(u32 *)(r1 +0)          ; R3_w=pkt(r=0)
2: (3d) if r3 >= r7 goto pc+6         ; R3_w=pkt(r=1) R7_w=pkt_end()
3: (bf) r4 = r7                       ; R4_w=pkt_end() R7_w=pkt_end()
4: (1f) r4 -= r3                      ; R3_w=pkt(r=1) R4_w=scalar()
5: (57) r4 &= 1020                    ; R4_w=scalar(smin=smin32=0,smax=umax=smax32=umax32=1020,var_off=(0x0; 0x3fc))
6: (b7) r1 = 0                        ; R1_w=0
7: (b7) r2 = 0                        ; R2_w=0
8: (85) call bpf_csum_diff#28
invalid access to packet, off=0 size=1020, R3(id=0,off=0,r=1)
R3 offset is outside of the packet
"""


def test_a_comparison_of_packet_pointers_is_none_of_the_length(tmp_path: Path) -> None:
    found = explained(tmp_path, LENGTH)
    assert found["cause"]["class"] == "verifier-imprecision"  # a distance is a number like any other


RANGE = """0: (b7) r0 = 9
1: (95) exit
At program exit the register R0 has value (0x9; 0x0) should have been 0 or 1
"""


def test_values_of_programs_as_old_kernels_tell_them(tmp_path: Path) -> None:
    found = explained(tmp_path, RANGE)
    assert found["symptom"]["family"] == "V40"
    assert found["cause"]["class"] == "return-range"
    assert any(link["instruction"] == 0 and "constant 9" in link["fact"] for link in found["chain"])


MAP = """0: (18) r1 = 0xffff888100000000       ; R1_w=map_ptr(ks=4,vs=8)
2: (b7) r2 = 1                        ; R2_w=1
3: (7b) *(u64 *)(r1 +0) = r2
only read from bpf_array is supported
"""


def test_the_map_itself_instead_of_its_value(tmp_path: Path) -> None:
    found = explained(tmp_path, MAP)
    assert found["symptom"]["family"] == "V16"
    assert any("not of a value in it" in link["fact"] for link in found["chain"])


@pytest.mark.parametrize("line", ["21: (61) r1 = *(u32 *)(r3 +12): R3 invalid mem access 'map_value_or_null'"])
def test_an_instruction_and_its_message_on_one_line(tmp_path: Path, line: str) -> None:
    found = explained(tmp_path, f"program handle_exec: load program: permission denied:\n{line}\n")
    assert found["symptom"]["message"] == "R3 invalid mem access 'map_value_or_null'"
    assert found["symptom"]["instruction"] == 21


def test_a_packet_pointer_of_kernels_before_4_14(tmp_path: Path) -> None:
    text = """ R1=pkt(id=0,off=0,r=8) R2=pkt_end R5=inv R6=ctx R10=fp
30: (77) r5 >>= 2
31: (bf) r4 = r1
32: (0f) r4 += r5
cannot add integer value with 2 upper zero bits to ptr_to_packet
"""
    found = explained(tmp_path, text)
    assert found["symptom"]["family"] == "V12"
    assert found["cause"]["class"] == "missing-bounds-check"


# ------------------------------------------------------------ loads in a row, folded lines

COUNTS = "processed {} insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n"
EARLY = "BPF_STX uses reserved fields\nverification time 41 usec\nstack depth 0\n" + COUNTS.format(0)


def loads(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "loads.log"
    path.write_text(text)
    report: dict[str, Any] = bpfsmith.explain(str(path)).to_json()
    return [(one["verdict"], one["symptom"]["message"] or "") for one in report.get("programs", [report])]


NULL = ("rejected", "R8 invalid mem access 'map_value_or_null'")
RESERVED = ("rejected", "BPF_STX uses reserved fields")


@pytest.mark.parametrize(
    "between",
    (
        "processed 11 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n",
        COUNTS.format(11) + "\n\n\nCaused by:\n",
        COUNTS.format(11) + "\n\n\nCaused by:\n    Permission denied (os error 13)\n",
        COUNTS.format(11) + "```\n```\n",
        "",
    ),
)
def test_a_load_refused_before_its_first_instruction_is_told_behind_another(tmp_path: Path, between: str) -> None:
    first = [] if not between else [NULL]
    found = loads(tmp_path, NULL_44 + between + EARLY)
    assert found[-1] == RESERVED and found[:-1][: len(first)] == first
    assert len(found) == 2


def test_no_instruction_processed_is_no_acceptance(tmp_path: Path) -> None:
    assert loads(tmp_path, NULL_44 + COUNTS.format(11) + "\nverification time 9 usec\n" + COUNTS.format(0))[0] == NULL
    path = tmp_path / "counts.log"
    path.write_text("verification time 9 usec\nstack depth 0\n" + COUNTS.format(0))
    assert bpfsmith.explain(str(path)).to_json()["verdict"] == "unknown"


def test_counts_that_are_repeated_are_of_the_same_load(tmp_path: Path) -> None:
    assert loads(tmp_path, NULL_44 + COUNTS.format(11) + "\n" + COUNTS.format(11)) == [NULL]


@pytest.mark.parametrize("width", (64, 70, 77, 90))
@pytest.mark.parametrize("stripped", (False, True))
def test_lines_folded_with_a_loggers_prefix(tmp_path: Path, width: int, stripped: bool) -> None:
    log = NULL_44.replace(" R0=map", " R0=map_value(id=0,off=0,ks=4,vs=16,imm=0) R3_w=inv7 R9=inv(id=0) R0=map")
    text = "Error: the BPF_PROG_LOAD syscall returned Permission denied (os error 13). Verifier output: " + log
    pieces = []
    for line in (text + COUNTS.format(11)).splitlines():
        whole = "2026-01-02T03:04:05.678Z ERROR app::load: " + line
        cut = [whole[at : at + width] for at in range(0, len(whole), width)]
        pieces += [one.rstrip(" ") if stripped else one for one in cut]
    assert loads(tmp_path, "\n".join(pieces) + "\n") == [NULL]


def test_what_is_not_sure_is_not_called_silence(tmp_path: Path) -> None:
    text = "libbpf: prog 'x': BPF program load failed: Permission denied\n"
    text += "0: (b7) r3 = 7\nsomething the reader\n1: (63) *(u32 *)(r10 -4) = r3\n2: (95) exit\n"
    found = explained(tmp_path, text)
    assert "without a word" not in str(found)
