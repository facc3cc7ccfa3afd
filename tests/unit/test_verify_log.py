"""Verifiers' logs read line by line: instructions, paths, states, messages, whoever printed them.

`tests/data/verifier_logs/KERNEL-LEVEL-PROGRAM.log` is what kernels of the lab said of `tests/fixtures/paths.bpf.o`.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfsmith._native import VerifierLog
from unit.log_styles import STYLES

FOLDER = Path(__file__).resolve().parents[1] / "data/verifier_logs"
LOGS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.log"))}
REJECTED = sorted(name for name in LOGS if not name.endswith("goes_round"))
KERNELS = ("5.10", "6.1", "6.12", "6.18", "7.3")


def read(name: str) -> VerifierLog:
    return VerifierLog(LOGS[name])


def slots(log: VerifierLog) -> list[int]:
    return [log.step(step).slot for step in log.path]


def facts(log: VerifierLog) -> tuple[object, ...]:
    """What must be the same in whatever a log is wrapped."""
    last = log.state(log.path[-1]).frames if log.path else []
    registers = [{name: value.text for name, value in frame.regs.items()} for frame in last]
    return log.message, log.verdict, log.at, slots(log), [log.source(slot) for slot in log.insns], registers


# ------------------------------------------------------------ whole logs


@pytest.mark.parametrize("name", LOGS)
def test_every_line_is_known(name: str) -> None:
    log = read(name)
    assert log.unknown == []
    assert log.beside == []
    assert log.cut == set()
    assert all(log.insn(slot).exact for slot in log.insns)  # type: ignore[union-attr]
    assert log.print() == log.text
    # A line whose end the kernel forgot is two.
    assert "".join(log.text.split()) == "".join(LOGS[name].split())


@pytest.mark.parametrize("name", LOGS)
def test_what_became_of_it(name: str) -> None:
    log = read(name)
    accepted = name.endswith("goes_round")
    assert log.verdict == ("accepted" if accepted else "rejected")
    assert log.loader == "kernel"
    assert log.level == (int(name.split("-")[1]) if log.steps else log.level)
    # What was pruned is counted too; at level 1 a branch that was finished is not in the log any more.
    assert log.counts["processed"] >= log.steps - 1
    if accepted:
        assert log.message == ""
    elif "through_a_call" in name:
        assert log.message == "R0 invalid mem access 'map_value_or_null'"
    assert all(one["stack"] is not None for one in log.subprograms if name.startswith("7.3"))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("level", ["1", "2"])
def test_the_path_into_the_subprogram_and_back(kernel: str, level: str) -> None:
    log = read(f"{kernel}-{level}-through_a_call")
    path = [log.step(step) for step in log.path]
    assert path[0].slot == 0 and path[0].how == "start"
    hows = [step.how for step in path]
    assert hows.count("call") == hows.count("return") == 2
    assert {step.frame for step in path} == {0, 1}
    assert path[-1].frame == 0 and log.at == path[-1].slot
    # Nothing in it twice, and each step follows the one before it.
    assert all(one.parent == before.id for before, one in itertools.pairwise(path))
    state = log.state(log.path[-1]).frames[0]
    assert state.regs["r0"].type == "map_value" and state.regs["r0"].maybe_null
    assert state.regs["r7"].type == "map_value" and not state.regs["r7"].maybe_null


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("level", ["1", "2"])
def test_branches_that_were_finished_are_not_on_the_path(kernel: str, level: str) -> None:
    log = read(f"{kernel}-{level}-one_way")
    path = slots(log)
    assert len(path) == len(set(path))
    checks = [slot for slot in path if log.insn(slot).kind == "branch"]  # type: ignore[union-attr]
    assert log.insn(path[-1]).kind == "load"  # type: ignore[union-attr]
    assert log.steps >= len(path)
    # The way that was taken does not come past the check of the packet's end.
    ends = [log.state(step).frames[0].regs for step in log.path if log.step(step).slot in checks]
    assert not any(regs.get("r2") and regs["r2"].type == "pkt_end" for regs in ends[2:])


@pytest.mark.parametrize("kernel", KERNELS[1:])
@pytest.mark.parametrize("level", ["1", "2"])
def test_callbacks_have_a_frame_of_their_own(kernel: str, level: str) -> None:
    log = read(f"{kernel}-{level}-in_a_callback")
    steps = [log.step(number) for number in range(log.steps)]
    assert "callback" in {step.how for step in steps}
    inside = next(step for step in steps if step.how == "callback")
    assert inside.frame == 1
    if level == "2":
        frames = log.state(inside.id).frames
        assert frames[1].regs["r2"].type == "fp"
    assert log.message.startswith("math between fp pointer and register with unbounded min value")


def test_spills_and_their_values() -> None:
    log = read("6.12-2-in_a_callback")
    stack = log.state(log.path[-1]).frames[0].stack
    assert stack[-8].kind == "spill"
    assert stack[-8].value is not None and stack[-8].value.known == 4
    assert stack[-40].value is not None and stack[-40].value.id == 2


def test_the_report_of_7_3() -> None:
    report = read("7.3-1-through_a_call").report
    assert report is not None
    assert report.category and report.reason and report.suggestion
    assert report.slot == read("7.3-1-through_a_call").at
    assert report.path and all(text for _, text in report.path)


# ------------------------------------------------------------ whatever they are wrapped in


@pytest.mark.parametrize("style", STYLES)
def test_pastes_say_the_same(style: str) -> None:
    show, loader = STYLES[style]
    for name in REJECTED:
        log = VerifierLog(show(LOGS[name]))
        assert facts(log) == facts(read(name)), name
        assert log.loader == (loader or "kernel")
        assert len(log.loads) == 1
        if loader is not None:
            assert log.errno == 13
        if loader not in (None, "aya") and style not in ("JSON", "an error of Go, escaped"):
            assert log.program == "handle"


def test_one_line_of_cilium() -> None:
    line = "field X: program x: load program: permission denied: {} (4703 line(s) omitted)"
    log = VerifierLog(line.format("2908: (69) r5 = *(u16 *)(r1 +36): R1 invalid mem access 'map_value_or_null'"))
    assert (log.loader, log.program, log.errno, log.at) == ("cilium", "x", 13, 2908)
    assert log.message == "R1 invalid mem access 'map_value_or_null'"
    assert log.cut == {"head"}
    packet = "invalid access to packet, off=0 size=8, R4(id=1,off=0,r=0): R4 offset is outside of the packet"
    assert VerifierLog(line.format(packet)).message == "R4 offset is outside of the packet"
    whole = f"{line.format(packet)}\nVerifier log: load program: permission denied:\n"
    whole += "".join(f"\t{one}\n" for one in LOGS["6.12-1-one_way"].splitlines())
    log = VerifierLog(whole)
    assert len(log.loads) == 1 and facts(log) == facts(read("6.12-1-one_way"))


def test_one_line_and_the_log_up_to_where_it_stops() -> None:
    """The line tells the instruction that the log no longer has."""
    line = "program x: load program: permission denied: 12: (71) r1 = *(u8 *)(r9 +3): R9 invalid mem access 'inv'"
    part = "load program: permission denied:\n\t10: (54) w1 &= 1\n\t11: (79) r9 = *(u64 *)(r10 -8)\n\t; if (info->fl"
    log = VerifierLog(f"{line} (646 line(s) omitted)\n{part}")
    assert (log.at, log.message, log.verdict) == (12, "R9 invalid mem access 'inv'", "rejected")
    # Of a log that stops elsewhere nothing is made up.
    assert VerifierLog(f"{line} (646 line(s) omitted)\n{part.replace('11:', '3:')}").message == ""


def test_one_line_that_a_terminal_broke() -> None:
    log = VerifierLog(
        "load program: invalid argument: Unreleased \nreference id=3 alloc_insn=10 (28 line(s) omitted) \n"
    )
    assert log.message == "Unreleased reference id=3 alloc_insn=10"


GAPS = {
    "behind a call": "0: (85) call bpf_ktime_get_ns#5\n4: (b7) r0 = 0\n5: (95) exit\n",
    "behind an exit": "0: (b7) r0 = 0\n1: (95) exit\n7: (b7) r0 = 1\n8: (95) exit\n",
    "behind a jump": "0: (05) goto pc+2\n5: (b7) r0 = 0\n6: (95) exit\n",
}


@pytest.mark.parametrize("name", GAPS)
def test_lines_that_are_missing(name: str) -> None:
    assert "middle" in VerifierLog(GAPS[name] + "R0 !read_ok\n").cut


def test_no_line_is_missing_where_the_kernel_goes_on() -> None:
    branches = "0: (15) if r1 == 0x0 goto pc+1\n1: (95) exit\n\nfrom 0 to 2: R1=0 R10=fp0\n2: (95) exit\n"
    later = "0: (85) call bpf_timer_set_callback#170 4: R1=map_ptr() R10=fp0 async_cb\n4: (95) exit\n"
    for text in (branches, later):
        assert VerifierLog(text + "R0 !read_ok\n").cut == set()


def test_an_instruction_of_which_only_the_front_is_there() -> None:
    log = VerifierLog("libbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n0: (b7) r0 = 0\n1: (67)")
    assert (log.message, log.cut) == ("", {"tail"})


def test_the_shortest_of_bcc_and_4_19() -> None:
    log = VerifierLog(
        "bpf: Failed to load program: Invalid argument\n0: (bf) r6 = r1\n1: (85) call unknown#180\n"
        "invalid func unknown#180\nprocessed 2 insns (limit 131072), stack depth 0+16\n\n"
    )
    assert (log.loader, log.errno, log.message, log.at) == ("bcc", 22, "invalid func unknown#180", 1)
    assert log.stack == [0, 16] and log.counts == {"processed": 2, "limit": 131072}


def test_several_loads() -> None:
    first, second = LOGS["6.1-1-one_way"], LOGS["6.1-1-through_a_call"]
    for paste in (first + second, STYLES["libbpf"][0](first) + STYLES["libbpf"][0](second)):
        log = VerifierLog(paste)
        assert [one.message for one in log.loads] == [read("6.1-1-one_way").message, log.message]
        assert log.message == "R0 invalid mem access 'map_value_or_null'"
        assert slots(log.loads[0]) == slots(read("6.1-1-one_way"))
    # The last that was rejected is the one that is meant.
    log = VerifierLog(first + LOGS["6.1-2-goes_round"])
    assert log.verdict == "rejected" and [one.verdict for one in log.loads] == ["rejected", "accepted"]


def test_lines_of_one_length_are_not_broken() -> None:
    said = "Global function spin_lock_test6_missing_unlock() doesn't return scalar. Only those are supported."
    log = VerifierLog(
        f"{said:.80}\nbpf_spin_unlock is missing\nprocessed 9 insns (limit 1000000) max_states_per_insn 0\n"
    )
    assert log.message == "bpf_spin_unlock is missing"


def test_head_and_tail() -> None:
    text = LOGS["6.12-2-through_a_call"]
    lines = text.splitlines(keepends=True)
    late = VerifierLog("".join(lines[12:]))
    assert late.cut == {"head"} and late.message == read("6.12-2-through_a_call").message
    early = VerifierLog("".join(lines[:-8]))
    assert early.cut == {"tail"} and early.verdict == "unknown" and early.message == ""
    assert VerifierLog("").loader is None
    assert VerifierLog("hello\nworld\n").verdict == "unknown"


# ------------------------------------------------------------ notations


def value(state: str, register: str = "r1") -> object:
    return VerifierLog(f"0: {state}\n0: (95) exit\n").state(0).frames[-1].regs[register]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R1=inv(id=0,umax_value=255,var_off=(0x0; 0xff))", {"type": "scalar", "umax": 255, "smin": 0, "u32max": 255}),
        ("R1_w=invP5", {"known": 5, "precise": True, "marks": "w", "smax": 5}),
        ("R1=inv-7", {"known": -7, "umin": 2**64 - 7, "s32min": -7}),
        ("R1=ctx(id=0,off=0,imm=0)", {"type": "ctx", "off": 0, "id": None}),
        ("R1_rw=map_value_or_null(id=3,off=0,ks=4,vs=8,imm=0)", {"type": "map_value", "maybe_null": True, "id": 3}),
        ("R1=map_value(id=0,off=16,ks=4,vs=48,imm=0)", {"off": 16, "map": (None, 4, 48)}),
        ("R1=map_value(map=seen,ks=4,vs=8,off=4)", {"off": 4, "map": ("seen", 4, 8)}),
        ("R1=pkt(id=2,off=14,r=34,imm=0)", {"type": "pkt", "off": 14, "range": 34, "id": 2}),
        ("R1=pkt(r=14,imm=4)", {"off": 4, "range": 14}),
        ("R1=fp-8", {"type": "fp", "off": -8, "frame": None}),
        ("R1=fp[0]-40", {"type": "fp", "off": -40, "frame": 0}),
        ("R1=fp0,call_-1", {"type": "fp", "off": 0}),
        ("R1=scalar(smin=umin=smin32=umin32=1,smax=umax=smax32=umax32=100,var_off=(0x0; 0x7f))",
         {"umin": 1, "umax": 100, "smin": 1, "s32max": 100, "var_off": (0, 127)}),
        ("R1=scalar(smin=0xffffffff80000000,smax=0x7fffffff)", {"smin": -(2**31), "smax": 2**31 - 1}),
        ("R1=Pscalar(id=4+8)", {"precise": True, "id": 4}),
        ("R1=P0", {"precise": True, "known": 0}),
        ("R1=0xffff", {"known": 65535}),
        ("R1=trusted_ptr_or_null_task_struct(id=2,ref_obj_id=5)",
         {"type": "ptr_task_struct", "flags": ["trusted"], "maybe_null": True, "ref": 5}),
        ("R1=rcu_ptr_cgroup()", {"type": "ptr_cgroup", "flags": ["rcu"], "maybe_null": False}),
        ("R1=rdonly_mem_or_null(id=2,sz=14)", {"type": "mem", "flags": ["rdonly"], "mem_size": 14}),
        ("R1=ringbuf_mem(ref_obj_id=2,off=0,imm=0)", {"type": "mem", "flags": ["ringbuf"], "ref": 2}),
        ("R1=mem(id=0,ref_obj_id=2,off=0,imm=0)", {"type": "mem", "ref": 2}),
        ("R1=sock_common_or_null(id=1)", {"type": "sock_common", "maybe_null": True}),
        ("R1=pkt_end(id=0,off=0,imm=0)", {"type": "pkt_end", "umax": None}),
    ],
)  # fmt: skip
def test_values(text: str, expected: dict[str, object]) -> None:
    made = value(f"{text} R10=fp0")
    assert {name: getattr(made, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "kind", "letters", "inside"),
    [
        ("fp-8=mmmmmmmm", "bytes", "mmmmmmmm", None),
        ("fp-8_w=0000????", "bytes", "0000????", None),
        ("fp-8=map_value", "spill", "rrrrrrrr", "map_value"),
        ("fp-8=inv5", "spill", "rrrrrrrr", "inv5"),
        ("fp-8=0", "spill", "rrrrrrrr", "0"),
        ("fp-8=????0", "spill", "????rrrr", "0"),
        ("fp-8=mmmmscalar(id=1)", "spill", "mmmmrrrr", "scalar(id=1)"),
        ("fp-16=dynptr_skb(id=1,dynptr_id=1)", "dynptr", "dddddddd", None),
        ("fp-8=iter_num(ref_id=1,state=active,depth=2)", "iter", "iiiiiiii", None),
    ],
)
def test_slots(text: str, kind: str, letters: str, inside: str | None) -> None:
    log = VerifierLog(f"0: R10=fp0 {text}\n0: (95) exit\n")
    (one,) = log.state(0).frames[0].stack.values()
    assert (one.kind, one.bytes, one.value and one.value.text) == (kind, letters, inside)
    assert log.unknown == []


def test_helpers_that_old_kernels_number_are_named_as_the_facts_do() -> None:
    """Up to 4.10 a log has a call's number alone."""
    from bpfsmith import facts

    names = {row.number: row.name for row in facts.helpers.all() if row.number <= 44}
    assert len(names) == 44
    log = VerifierLog("".join(f"{number}: (85) call {number}\n" for number in names))
    assert {number: insn.call for number in names if (insn := log.insn(number)) is not None} == names


def test_what_is_held() -> None:
    log = VerifierLog(
        "0: R0=sock(id=2,ref_obj_id=2) R10=fp0 refs=2,7 cb\n0: (b7) r0 = 0    ; R0=0 refs=7\n1: (95) exit\n"
    )
    assert log.state(0).refs == [2, 7] and log.state(0).locks == ["cb"]
    assert log.state(1).refs == [7] and log.state(1).locks == []


def test_what_an_instruction_overwrites_is_forgotten() -> None:
    log = VerifierLog(
        "0: R1=ctx(id=0,off=0,imm=0) R10=fp0\n0: (b7) r2 = 5\n1: (bf) r3 = r2\n2: (07) r2 += 1\n"
        "3: (7b) *(u64 *)(r10 -8) = r1\n4: (85) call bpf_ktime_get_ns#5\n5: (95) exit\n"
    )  # fmt: skip
    last = log.state(5).frames[0].regs
    assert sorted(last) == ["r10"]
    third = log.state(3).frames[0].regs
    assert third["r3"].known == 5 and "r2" not in third and third["r3"].line_no is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(85) call bpf_map_lookup_elem#1", {"call": "bpf_map_lookup_elem", "call_kind": "helper", "imm": 1}),
        ("(85) call bpf_obj_new_impl#67936", {"call": "bpf_obj_new_impl", "call_kind": "kfunc"}),
        ("(85) call pc+4", {"call": "pc+4", "call_kind": "subprogram", "target": 15}),
        ("(18) r1 = 0xffff888007d6d200", {"kind": "imm64", "next": 12, "imm": 0xFFFF888007D6D200 - 2**64}),
        ("(7b) *(u64 *)(r10 -8) = r1", {"kind": "store", "off": -8, "width": 8, "reads": [10, 1], "writes": []}),
        ("(62) *(u32 *)(r10 -4) = 7", {"kind": "store", "imm": 7, "reads": [10]}),
        ("(71) r0 = *(u8 *)(r2 +13)", {"kind": "load", "width": 1, "off": 13, "reads": [2], "writes": [0]}),
        ("(2d) if r3 > r1 goto pc+1", {"kind": "branch", "op": ">", "target": 12, "reads": [3, 1], "width": 8}),
        ("(56) if w1 != 0x5 goto pc+194", {"op": "!=", "imm": 5, "width": 4, "uses_imm": True, "target": 205}),
        ("(c6) if w0 s< 0xffffffff goto pc-3", {"op": "s<", "imm": -1, "target": 8}),
        ("(05) goto pc-4", {"kind": "jump", "target": 7}),
        ("(06) gotol pc+40000", {"kind": "jump", "target": 40011}),
        ("(e5) may_goto pc+2", {"kind": "branch", "target": 13}),
        ("(bf) r6 = r1", {"kind": "mov", "dst": 6, "src": 1}),
        ("(bf) r6 = (s8)r1", {"kind": "alu", "off": 8}),
        ("(87) r2 = -r2", {"kind": "alu", "op": "-"}),
        ("(dc) r2 = be16 r2", {"kind": "alu", "imm": 16, "op": "be"}),
        ("(db) r1 = atomic64_fetch_add((u64 *)(r2 +0), r1)", {"kind": "atomic", "imm": 1, "writes": [1]}),
        ("(c3) lock *(u32 *)(r1 +8) += r0", {"kind": "atomic", "off": 8, "reads": [1, 0], "writes": []}),
        ("(db) r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r3)", {"kind": "atomic", "src": 3, "writes": [0]}),
        ("(28) r0 = *(u16 *)skb[12]", {"kind": "load", "imm": 12, "width": 2}),
        ("(95) exit", {"kind": "exit", "reads": [0]}),
    ],
)  # fmt: skip
def test_instructions(text: str, expected: dict[str, object]) -> None:
    insn = VerifierLog(f"10: {text}\n").insn(10)
    assert insn is not None and insn.exact and insn.text == text
    assert {name: getattr(insn, name) for name in expected} == expected


@pytest.mark.parametrize("text", ["(bf) r6 += r1", "(07) w2 += 8", "(71) r0 = *(u32 *)(r2 +0)", "(ff) what is this"])
def test_text_that_contradicts_its_opcode(text: str) -> None:
    log = VerifierLog(f"0: {text}\n")
    insn = log.insn(0)
    assert insn is not None and not insn.exact
    assert [line for _, line in log.unknown] == [f"0: {text}"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("; int x = 5; @ file.c:12", ("file.c", 12, "int x = 5;")),
        ("; let y = a @ b; @ src/main.rs:7", ("src/main.rs", 7, "let y = a @ b;")),
        ("; @ main.rs:64", ("main.rs", 64, "")),
        ("; return 0;", (None, None, "return 0;")),
    ],
)
def test_sources(line: str, expected: object) -> None:
    assert VerifierLog(f"{line}\n0: (95) exit\n").source(0) == expected


# ------------------------------------------------------------ hostile


def use(log: VerifierLog) -> None:
    """All of it, briefly."""
    for load in log.loads:
        load.print()
        path = load.path
        for step in path[-3:]:
            load.events(step)
            for frame in load.state(step).frames:
                [(one.umax, one.s32min, one.var_off) for one in frame.regs.values()]
        if path:
            load.after(path[-1])


@pytest.mark.parametrize("name", ["5.10-2-one_way", "6.1-1-one_way", "6.18-1-through_a_call", "7.3-1-one_way"])
def test_cut_at_every_byte(name: str) -> None:
    data = LOGS[name].encode()
    for at in range(len(data)):
        head = VerifierLog(data[:at])
        tail = VerifierLog(data[at:])
        if at % 16 == 0:
            use(head)
            use(tail)


def test_lines_in_another_order() -> None:
    chance = random.Random(7)
    for text in LOGS.values():
        lines = text.splitlines(keepends=True)
        for _ in range(5):
            chance.shuffle(lines)
            use(VerifierLog("".join(lines)))


@given(st.one_of(st.binary(max_size=2000), st.text(max_size=2000)))
def test_any_bytes(data: bytes | str) -> None:
    log = VerifierLog(data)
    use(log)
    assert log.verdict in ("rejected", "accepted", "unknown")


def test_a_hundred_megabytes_of_noise() -> None:
    chance = random.Random(3)
    piece = chance.randbytes(1 << 20) + b"\n" + LOGS["6.1-2-goes_round"].encode() * 20
    reader = VerifierLog.reader(keep=1 << 20)
    for _ in range(90):
        reader.feed(piece)
    log = reader.finish()
    assert len(log.text) <= 2 << 20


def test_a_log_that_does_not_fit_keeps_its_path() -> None:
    lines = ["0: R1=ctx() R10=fp0", "0: (85) call bpf_get_prandom_u32#7 ; R0_w=scalar()", "1: (b7) r6 = 7 ; R6_w=7"]
    for _ in range(30_000):
        lines += ["2: (15) if r0 == 0x1 goto pc+3 ; R0=scalar()", "3: (b7) r0 = 0 ; R0_w=0", "4: (95) exit", ""]
        lines += ["from 2 to 6: R0=1 R6=7 R10=fp0", "6: (bf) r0 = r6 ; R0_w=7 R6=7", "7: (05) goto pc-6"]
    lines += ["2: (71) r1 = *(u8 *)(r9 +0)", "R9 !read_ok", "processed 9 insns (limit 1000000) max_states_per_insn 0"]
    data = "\n".join(lines).encode()
    reader = VerifierLog.reader(keep=1 << 18)
    for at in range(0, len(data), 100_000):
        reader.feed(data[at : at + 100_000])
    log = reader.finish()
    assert log.cut == {"middle"}
    assert (log.message, log.at) == ("R9 !read_ok", 2)
    assert log.visits(3) == 30_000
    path = log.path
    assert 3 not in {log.step(step).slot for step in path[-500:]}
    assert log.state(path[-1]).frames[0].regs["r0"].known == 7
