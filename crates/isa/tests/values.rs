//! What is known of values: arguments, exits, stack depth, bytewise copies.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails; clippy only exempts functions marked as tests"
)]

use std::ops::Range;

use bpfsmith_isa::{Arg, Endian, Exit, Insn, Program, Values, asm};

fn asm(text: &str) -> Vec<Insn> {
    asm::assemble(text).unwrap()
}

#[expect(
    clippy::single_range_in_vec_init,
    reason = "one function is a list of one range"
)]
fn one(insns: &[Insn]) -> [Range<usize>; 1] {
    [0..insns.len()]
}

fn values(text: &str) -> Values {
    let insns = asm(text);
    let funcs = one(&insns);
    let values = Program::new(&insns, &funcs, &[]).values(Endian::Little, &[]);
    assert!(values.complete);
    values
}

fn exits(text: &str) -> Vec<Option<i64>> {
    values(text)
        .exits
        .into_iter()
        .map(|Exit { value, .. }| value)
        .collect()
}

#[test]
fn stack_depth_follows_copies() {
    for (text, depth) in [
        ("exit", 0),
        ("r1 = *(u64 *)(r10 -8)\nexit", 8),
        ("r2 = r10\nr2 += -8\ncall x#1\nexit", 8),
        (
            "r2 = r10\nr2 += -64\nr3 = r2\nr3 += 8\n*(u8 *)(r3 -16) = 1\nexit",
            72,
        ),
        (
            "r2 = r10\nr2 += -64\nr3 = *(u64 *)(r1 +0)\nr2 += r3\n*(u8 *)(r2 +0) = 1\nexit",
            64,
        ),
        (
            "r2 = r10\nr3 = *(u64 *)(r1 +0)\nr2 += r3\nr2 += -64\n*(u8 *)(r2 +0) = 1\nexit",
            64,
        ),
        ("r2 = r10\nr2 += -24\n*(u64 *)(r1 +0) = r2\nexit", 24),
        ("r2 = r10\nr2 += -24\nr6 = r2\nr2 = 0\nexit", 0),
        (
            "r2 = r10\nr2 += -24\n*(u64 *)(r10 -8) = r2\ncall x#1\nr3 = *(u64 *)(r10 -8)\nr1 = *(u8 *)(r3 -4)\nexit",
            28,
        ),
        (
            "if r1 == 0 goto pc+3\nr2 = r10\nr2 += -8\ngoto pc+2\nr2 = r10\nr2 += -48\n*(u8 *)(r2 +0) = 0\nexit",
            48,
        ),
        (
            "r2 = *(u32 *)(r1 +0)\nr2 &= 4\nr2 -= 8\nr2 += r10\nr0 = *(u32 *)(r2 +0)\nexit",
            8,
        ),
        ("lock *(u64 *)(r10 -32) += r1\nexit", 32),
        ("r1 = load_acquire((u64 *)(r10 -40))\nexit", 40),
    ] {
        assert_eq!(values(text).stack, [depth], "{text}");
    }
}

#[test]
fn exit_constants() {
    assert_eq!(exits("r0 = 2\nexit"), [Some(2)]);
    assert_eq!(exits("w0 = -1\nexit"), [Some(0xffff_ffff)]);
    assert_eq!(
        exits("r0 = 1\nif r1 == 0 goto pc+1\nr0 = 2\nexit"),
        [Some(1), Some(2)]
    );
    assert_eq!(exits("r0 = *(u64 *)(r1 +0)\nexit"), [None]);
    assert_eq!(
        exits("call x#1\nif r0 == 0x0 goto pc+1\nr0 = 1\nexit"),
        [Some(0), Some(1)]
    );
    assert_eq!(
        exits("r0 = *(u32 *)(r1 +0)\nif w0 != 0x7 goto pc+1\nexit\nr0 = 1\nexit"),
        [Some(7), Some(1)]
    );
    assert_eq!(
        exits("r0 = *(u64 *)(r1 +0)\nif w0 != 0x7 goto pc+1\nexit\nr0 = 1\nexit"),
        [None, Some(1)]
    );
    assert_eq!(exits("r0 = 3\nr0 <<= 4\nr0 |= 1\nexit"), [Some(49)]);
    let many: String = (1..12)
        .map(|n| format!("if r1 == 0x{n:x} goto pc+1\nr0 = {n}\n"))
        .collect();
    assert_eq!(
        exits(&format!("r0 = 0\n{many}exit")),
        [None],
        "too many to list"
    );
}

#[test]
fn values_through_functions() {
    let insns = asm("
        r6 = r1
        call pc+1
        exit
        call bpf_skb_load_bytes#26     ; ctx reaches here
        if r0 == 0x0 goto pc+2
        r0 = 1
        exit
        r0 = 2
        exit");
    let funcs = [0..3, 3..9];
    let values = Program::new(&insns, &funcs, &[]).values(Endian::Little, &[]);
    assert_eq!(
        values.exits,
        [
            Exit {
                slot: 2,
                value: Some(1)
            },
            Exit {
                slot: 2,
                value: Some(2)
            }
        ]
    );
    assert_eq!(values.call_args[0].args[0], Arg::Ctx(0));
}

#[test]
fn spills_survive_calls_that_cannot_reach_them() {
    let program = |call: &str| {
        values(&format!(
            "*(u64 *)(r10 -16) = r1
             *(u32 *)(r10 -4) = 7
             r2 = r10
             r2 += -4
             r1 = map[2]
             {call}
             r1 = *(u64 *)(r10 -16)
             r2 = r10
             r2 += -4
             call bpf_skb_load_bytes#26
             r1 = r2
             exit"
        ))
    };
    let read = program("call bpf_map_lookup_elem#1");
    assert_eq!(
        read.call_args[0].args[..2],
        [Arg::Map(2), Arg::Stack(-4, vec![7, 0, 0, 0])]
    );
    assert_eq!(
        read.call_args[1].args[..2],
        [Arg::Ctx(0), Arg::Stack(-4, vec![7, 0, 0, 0])]
    );
    let written = program("call bpf_probe_read_kernel#113");
    assert_eq!(
        written.call_args[1].args[..2],
        [Arg::Ctx(0), Arg::Stack(-4, vec![])],
        "above the address is forgotten"
    );
    let filled = values(
        "*(u64 *)(r10 -96) = r1
         r6 = map[0][0]+0
         r1 = r10
         r1 += -8
         call bpf_probe_read_kernel#113
         r3 = *(u64 *)(r10 -8)
         *(u64 *)(r6 +0) = r3
         r1 = r10
         r1 += -16
         call bpf_probe_read_kernel#113
         r1 = *(u64 *)(r10 -96)
         call bpf_perf_event_output#25
         exit",
    );
    assert_eq!(
        filled.call_args[2].args[0],
        Arg::Ctx(0),
        "what helpers write is no address"
    );
    let low = values(
        "*(u64 *)(r10 -8) = r1\nr1 = r10\nr1 += -16\ncall bpf_probe_read_kernel#113\nr1 = *(u64 *)(r10 -8)\ncall x#26\nexit",
    );
    assert_eq!(low.call_args[1].args[0], Arg::Unknown);
    let stray = values(
        "r2 = r10\nr3 = *(u64 *)(r1 +0)\nr2 += r3\n*(u64 *)(r10 -8) = r1\n*(u8 *)(r2 +0) = 0\nr1 = *(u64 *)(r10 -8)\ncall x#26\nexit",
    );
    assert_eq!(
        stray.call_args[0].args[0],
        Arg::Unknown,
        "a store to anywhere on the stack"
    );
}

#[test]
fn relocated_constants_are_unknown() {
    let insns = asm("r0 = 4\nexit");
    let funcs = one(&insns);
    let program = Program::new(&insns, &funcs, &[]);
    assert_eq!(program.values(Endian::Little, &[0]).exits[0].value, None);
}

#[test]
fn stack_bytes_follow_the_byte_order() {
    let text = "*(u32 *)(r10 -4) = 258\nr2 = r10\nr2 += -4\ncall x#1\nexit";
    let insns = asm(text);
    let funcs = one(&insns);
    let program = Program::new(&insns, &funcs, &[]);
    let arg = |endian| program.values(endian, &[]).call_args[0].args[1].clone();
    assert_eq!(arg(Endian::Little), Arg::Stack(-4, vec![2, 1, 0, 0]));
    assert_eq!(arg(Endian::Big), Arg::Stack(-4, vec![0, 0, 1, 2]));
    assert_eq!(
        exits("*(u64 *)(r10 -8) = 258\nr0 = *(u8 *)(r10 -7)\nexit"),
        [Some(1)]
    );
}

#[test]
fn bytewise_reading() {
    let text = "
        r2 = *(u8 *)(r1 +1)
        r2 <<= 8
        r3 = *(u8 *)(r1 +0)
        r2 |= r3
        r4 = *(u8 *)(r1 +2)
        r4 <<= 16
        r2 |= r4
        r4 = *(u8 *)(r1 +3)
        r4 <<= 24
        r2 |= r4
        r0 = r2
        exit";
    let found = values(text).byte_copies;
    assert_eq!(
        found.iter().map(|c| (c.slot, c.len)).collect::<Vec<_>>(),
        [(0, 4)]
    );
    let copy: String = (0..6)
        .map(|n| format!("r2 = *(u8 *)(r1 +{n})\n*(u8 *)(r10 -{}) = r2\n", 8 - n))
        .collect();
    assert_eq!(values(&format!("{copy}exit")).byte_copies[0].len, 6);
    let apart: String = (0..6)
        .map(|n| {
            format!(
                "r2 = *(u8 *)(r1 +{})\n*(u8 *)(r10 -{}) = r2\n",
                n * 2,
                8 - n
            )
        })
        .collect();
    assert!(values(&format!("{apart}exit")).byte_copies.is_empty());
    let compared: String = (0..6)
        .map(|n| format!("r2 = *(u8 *)(r1 +{n})\nr3 += r2\nr3 = 0\n"))
        .collect();
    assert_eq!(values(&format!("{compared}exit")).byte_copies.len(), 1);
}

#[test]
fn known_branches_go_one_way() {
    for (text, wanted) in [
        // A check that fails: the call is not reached.
        (
            "r1 = 0\nif r1 == 0x0 goto pc+1\ncall x#1\nr0 = 0\nexit",
            vec![true, true, false, true, true],
        ),
        (
            "r1 = 1\nif r1 == 0x0 goto pc+1\ncall x#1\nr0 = 0\nexit",
            vec![true, true, true, true, true],
        ),
        // Through the stack, and with 32 bits.
        (
            "w1 = 0\n*(u64 *)(r10 -8) = r1\nr2 = *(u64 *)(r10 -8)\nif w2 != 0x0 goto pc+1\nexit\ncall x#1\nexit",
            vec![true, true, true, true, true, false, false],
        ),
        // What is not known goes both ways.
        (
            "r1 = *(u32 *)(r1 +0)\nif r1 == 0x0 goto pc+1\ncall x#1\nexit",
            vec![true, true, true, true],
        ),
    ] {
        let insns = asm(text);
        let funcs = one(&insns);
        let reached = Program::new(&insns, &funcs, &[]).reached(Endian::Little, &[]);
        assert_eq!(reached.as_deref(), Some(wanted.as_slice()), "{text}");
    }
}

#[test]
fn comparisons_leave_the_constants_that_fit() {
    // -1 goes another way than what is returned.
    let text = "r0 = 1\nr1 = *(u32 *)(r1 +0)\nif r1 == 0x0 goto pc+1\nw0 = -1\nif w0 s> 0xffffffff goto pc+1\nr0 = 2\nexit";
    assert_eq!(exits(text), [Some(1), Some(2)]);
    let text = "r0 = 1\nr1 = *(u32 *)(r1 +0)\nif r1 == 0x0 goto pc+1\nr0 = 70\nif r0 > 0x40 goto pc+1\nexit\nr0 = 0\nexit";
    assert_eq!(exits(text), [Some(1), Some(0)]);
}

#[test]
fn nothing_is_known_of_what_may_be_replaced() {
    let insns = asm("call pc+1\nexit\nr0 = 31\nexit");
    let funcs = [0..2, 2..4];
    let program = Program::new(&insns, &funcs, &[]);
    let value = |program: &Program<'_>| program.values(Endian::Little, &[]).exits[0].value;
    assert_eq!(value(&program), Some(31));
    assert_eq!(value(&program.with_replaceable(vec![1])), None);
}
