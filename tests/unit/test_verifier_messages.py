"""The table of verifier messages: which family a message belongs to, and what its operands are."""

from __future__ import annotations

import pytest

from bpfsmith.verify.messages import FAMILIES, classify, family, rows

SAID = [
    ("R0 invalid mem access 'map_value_or_null'", "V06", {"reg": 0, "type": "map_value_or_null"}),
    ("R6 invalid mem access 'inv'", "V07", {"reg": 6, "type": "inv"}),
    ("R1 invalid mem access 'scalar'", "V07", {"reg": 1}),
    ("R1 type=scalar expected=fp, pkt, pkt_meta", "V07", {"reg": 1, "expected": "fp, pkt, pkt_meta"}),
    ("R2 type=map_value_or_null expected=fp", "V06", {"type": "map_value_or_null"}),
    ("R1 type=ctx expected=map_ptr", "V20", {"type": "ctx", "expected": "map_ptr"}),
    ("R2 unbounded memory access, use 'var &= const' or 'if (var < const)'", "V10", {"reg": 2}),
    ("R2 unbounded memory access, make sure to bounds check any such access", "V09", {"reg": 2}),
    ("R2 unbounded memory access, make sure to bounds check any array access into a map", "V09", {"reg": 2}),
    ("R3 min value is negative, either use unsigned or 'var &= const'", "V10", {"reg": 3}),
    ("R3 min value is negative, either use unsigned index or do a if (index >=0) check.", "V09", {"reg": 3}),
    ("invalid access to map value, value_size=16 off=16 size=8", "V09", {"value_size": 16, "off": 16, "size": 8}),
    ("invalid access to packet, off=12 size=2, R1(id=0,off=12,r=0)", "V08", {"off": 12, "size": 2, "range": 0}),
    ("R5 pointer arithmetic on pkt_end prohibited", "V08", {"type": "pkt_end"}),
    ("R5 pointer arithmetic on mem_or_null prohibited", "V06", {"type": "mem_or_null"}),
    ("R1 pointer arithmetic on map_ptr prohibited", "V11", {"type": "map_ptr"}),
    ("invalid indirect read from stack off -16+4 size 16", "V02", {"off": -16, "at": 4, "size": 16}),
    ("invalid read from stack R2 off -16+4 size 16", "V02", {"reg": 2, "off": -16}),
    ("invalid write to stack R1 off=-520 size=8", "V03", {"reg": 1, "off": -520}),
    ("unknown func bpf_sys_close#168", "V22", {"func": "bpf_sys_close", "number": 168}),
    ("program of this type cannot use helper bpf_probe_read#4", "V22", {"func": "bpf_probe_read"}),
    ("invalid func unknown#195896080", "V60", {"number": 195896080}),
    ("At program exit the register R0 has value (0x2; 0x0) should have been in (0x0; 0x1)", "V40", {"reg": 0}),
    ("At program exit the register R0 has smin=2 smax=2 should have been in [0, 1]", "V40", {"low": 0, "high": 1}),
    ("At callback return the register R0 has value (0x2; 0x0) should have been in (0x0; 0x1)", "V38", {}),
    ("BPF program is too large. Processed 1000001 insn", "V27", {"processed": 1000001}),
    ("Unreleased reference id=2 alloc_insn=7", "V29", {"id": 2, "insn": 7}),
    ("invalid bpf_context access off=76 size=8", "V14", {"off": 76, "size": 8}),
    ("Caller passes invalid args into func#1 ('foo')", "V37", {"func": "foo"}),
    ("back-edge from insn 9 to 4", "V28", {"insn": 9, "to": 4}),
    ("R1 must be referenced or trusted", "V36", {"reg": 1}),
    ("verifier bug: error during ctx access conversion (0)(1)", "V48", {}),
    ("libbpf: map 'events': failed to create: Operation not permitted(-1)", "V62", {"map": "events"}),
    ("unreachable insn 5", "V25", {"insn": 5}),
    ("the call stack of 9 frames is too deep !", "V05", {"frames": 9}),
    ("map 'm' has to have BTF in order to use bpf_spin_lock", "V32", {"map": "m"}),
    ("global function calls are not allowed while holding a lock,", "V37", {}),
]


@pytest.mark.parametrize(("message", "code", "operands"), SAID)
def test_messages_have_their_family_and_operands(message: str, code: str, operands: dict[str, int | str]) -> None:
    found = classify(message)
    assert found is not None
    assert found.family == code, found.row
    assert found.operands.items() >= operands.items()


def test_a_wording_that_is_new_is_matched_by_its_words_and_says_so() -> None:
    found = classify("R4 memory access is unbounded, make sure to bounds check every such access")
    assert found is not None
    assert (found.family, found.confidence, found.operands["reg"]) == ("V09", "low", 4)
    assert classify("the quick brown fox jumps over the lazy dog") is None
    assert classify("") is None
    assert classify("func#1 @12") is None


def test_every_row_is_of_a_family_that_there_is_and_its_key_is_of_its_format() -> None:
    codes = {one.code for one in FAMILIES} | {"note"}
    for row in rows():
        assert row.family in codes, row
        assert row.kind in ("error", "weak", "part", "note"), row
        assert row.key in row.format, row
        assert "%" not in row.key, row
    assert len({row.format for row in rows()}) == len(rows())


def test_every_row_matches_what_its_own_format_prints() -> None:
    import re

    hole = re.compile(r"%[#+0-9\-. ]*\*?(?:hh|h|ll|l|z)?[diuxXcsp]")
    for row in rows():
        if row.kind in ("note", "part") or not re.search("[A-Za-z]{4}", hole.sub("", row.format)):
            continue
        said = hole.sub(lambda one: {"s": "abc", "c": "c"}.get(one.group(0)[-1], "7"), row.format).replace("\\n", "\n")
        found = classify(said)
        assert found is not None, row
        assert found.family == row.family or {"type", "told"} & {*row.names} or row.family == "V48", (row, found)


def test_families_are_found_by_code_and_by_name() -> None:
    assert family("v06") is family("unchecked-null")
    assert [one.code for one in FAMILIES[:48]] == [f"V{number:02}" for number in range(1, 49)]
    with pytest.raises(LookupError):
        family("V99")


@pytest.mark.parametrize("code", [one.code for one in FAMILIES])
def test_every_family_has_a_whole_page(code: str) -> None:
    from bpfsmith.explain import explain
    from bpfsmith.verify.cause import CLASSES

    row = family(code)
    assert row.page.startswith(f"# {row.code} {row.name}: {row.title}\n")
    assert row.meaning and row.fixes and row.kernels and row.causes["rust"] and row.causes["c"]
    assert row.classes and set(row.classes) <= set(CLASSES)
    assert all(len(line) <= 120 for line in row.page.partition("## Messages")[0].splitlines())
    assert explain(code).markdown in explain(row.name).markdown
    assert row.title in explain("verifier-messages").markdown


LOGS = [
    # notes before the message, of kernels before 6.6
    ("arg#0 type is not a struct\nUnrecognized arg#0 type PTR\n0: (bf) r6 = r1\nR1 !read_ok\nprocessed 1 insns "
     "(limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n", "V01"),
    # the region stands on the line before the last, whatever the last one says
    ("0: (71) r0 = *(u8 *)(r1 +5)\ninvalid access to packet, off=5 size=1, R1(id=0,off=5,r=0)\n"
     "R1 min value is outside of the allowed memory range\n", "V08"),
    ("0: (71) r0 = *(u8 *)(r1 +5)\ninvalid access to map value, value_size=4 off=5 size=1\n"
     "R1 min value is outside of the allowed memory range\n", "V09"),
    # the message has two lines
    ("7: (85) call pc+2\nglobal function calls are not allowed while holding a lock,\nuse static "
     "function instead\n", "V37"),
    ("7: (85) call pc+2\nglobal functions that may sleep are not allowed in non-sleepable context,\n"
     "i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context\n", "V31"),
    # an argument's fault, then the contract
    ("5: (85) call pc+3\nR1 is not a scalar\nCaller passes invalid args into func#1 ('foo')\n", "V37"),
    # loaders
    ("Error: map error\n\nCaused by:\n    0: failed to create map `EVENTS` with code -1\n    1: Operation not "
     "permitted (os error 1)\n", "V62"),
    ("libbpf: prog 'x': failed to find kernel BTF type ID of 'do_unlinkat': -3\nlibbpf: prog 'x': "
     "failed to load: -3\n", "V64"),
    ("field Prog: program prog: map events: map create: operation not permitted (MEMLOCK may be too low, consider "
     "rlimit.RemoveMemlock)\n", "V69"),
    ("program p: load program: permission denied: 28: (69) r5 = *(u16 *)(r1 +36): R1 invalid mem access "
     "'map_value_or_null' (4703 line(s) omitted)\n", "V06"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code"), LOGS, ids=[code for _, code in LOGS])
def test_the_message_of_a_log_is_chosen(text: str, code: str) -> None:
    found = classify(text)
    assert found is not None
    assert found.family == code, found


def test_an_accepted_program_has_no_family() -> None:
    accepted = (
        "0: (b7) r0 = 0\n1: (95) exit\nprocessed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 "
        "peak_states 0 mark_read 0\n"
    )
    assert classify(accepted) is None
