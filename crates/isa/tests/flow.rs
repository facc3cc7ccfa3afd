//! Control flow, calls and features on small programs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails; clippy only exempts functions marked as tests"
)]

use std::ops::Range;

use bpfsmith_isa::{
    Arg, CallKind, Cfg, EdgeKind, Endian, Feature, Insn, JumpTable, Loops, MapUseKind, Program, asm,
};
use proptest::prelude::*;

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

const LOOP: &str = "
    r1 = 0
    if r1 > 0x9 goto pc+3      ; block 1: header
    r1 += 1
    if r1 == 0x5 goto pc+1
    goto pc-4
    r0 = r1
    exit";

#[test]
fn blocks_edges_dominators_loops() {
    let insns = asm(LOOP);
    let cfg = Cfg::new(&insns, 0..insns.len(), &[]);
    let blocks: Vec<Range<usize>> = cfg.blocks().collect();
    assert_eq!(blocks, [0..1, 1..2, 2..4, 4..5, 5..7]);
    let edges: Vec<(usize, usize, EdgeKind)> =
        cfg.edges().iter().map(|e| (e.from, e.to, e.kind)).collect();
    let (fall, taken, goto) = (EdgeKind::Fall, EdgeKind::Taken, EdgeKind::Goto);
    assert_eq!(
        edges,
        [
            (0, 1, fall),
            (1, 2, fall),
            (1, 4, taken),
            (2, 3, fall),
            (2, 4, taken),
            (3, 1, goto)
        ]
    );
    let loops = Loops::new(&cfg);
    let idom: Vec<Option<usize>> = (0..5).map(|b| loops.idom(b)).collect();
    assert_eq!(idom, [None, Some(0), Some(1), Some(2), Some(1)]);
    assert_eq!(loops.loops().len(), 1);
    assert_eq!(loops.bodies(usize::MAX), [[1, 2, 3]]);
    assert!(loops.irreducible().is_empty());
    assert!(loops.dominates(1, 4) && !loops.dominates(2, 4));
    assert!(cfg.unreachable(&insns).is_empty() && cfg.endless(&insns).is_empty());
}

#[test]
fn nested_loops_know_their_parents() {
    let insns = asm("
        r1 = 0
        r2 = 0
        r2 += 1
        if r2 < 0x5 goto pc-2
        r1 += 1
        if r1 < 0x5 goto pc-5
        exit");
    let loops = Loops::new(&Cfg::new(&insns, 0..insns.len(), &[]));
    let headers: Vec<(usize, Option<usize>)> =
        loops.loops().iter().map(|l| (l.header, l.parent)).collect();
    assert_eq!(headers, [(1, None), (2, Some(0))]);
    assert_eq!(loops.bodies(usize::MAX), [vec![1, 2, 3], vec![2]]);
    assert_eq!(loops.innermost(2), Some(1));
}

#[test]
fn loops_with_two_entries_are_irreducible() {
    let insns = asm("
        if r1 == 0x0 goto pc+2
        r2 = 1
        if r2 == 0x0 goto pc+1
        goto pc-3
        exit");
    let loops = Loops::new(&Cfg::new(&insns, 0..insns.len(), &[]));
    assert_eq!((loops.irreducible().len(), loops.loops().len()), (1, 0));
}

#[test]
fn odd_jumps_are_noted() {
    let insns = asm("
        if r1 == 0x0 goto pc+1
        r1 = 0x1
        goto pc+100
        r0 = 0
        exit
        r0 = 1");
    let cfg = Cfg::new(&insns, 0..insns.len(), &[]);
    assert_eq!(
        cfg.bad_jumps(),
        [0, 3],
        "into the second half of slot 1, and away"
    );
    assert_eq!(cfg.unreachable(&insns), [4, 5, 6]);
    let insns = asm("call x#6");
    assert_eq!(Cfg::new(&insns, 0..1, &[]).falls_off(), [0]);
}

#[test]
fn gotox_with_and_without_its_table() {
    let insns = asm("gotox r1\nr0 = 1\nexit\nr0 = 2\nexit");
    let table = JumpTable {
        slot: 0,
        targets: vec![1, 3],
    };
    let cfg = Cfg::new(&insns, 0..5, std::slice::from_ref(&table));
    assert_eq!(
        cfg.edges()
            .iter()
            .map(|e| (e.to, e.kind))
            .collect::<Vec<_>>(),
        [(1, EdgeKind::Indirect), (2, EdgeKind::Indirect)]
    );
    assert!(cfg.unknown_jumps().is_empty());
    let cfg = Cfg::new(&insns, 0..5, &[]);
    assert_eq!(cfg.unknown_jumps(), [0]);
    assert!(
        cfg.unreachable(&insns).is_empty(),
        "nothing is called dead that a jump table may reach"
    );
    let funcs = one(&insns);
    let exits = |tables: &[JumpTable]| {
        Program::new(&insns, &funcs, tables)
            .values(Endian::Little, &[])
            .exits
    };
    assert!(exits(&[]).iter().all(|exit| exit.value.is_none()));
    assert_eq!(exits(&[table]).len(), 2);
    assert_eq!(
        exits(&[JumpTable {
            slot: 0,
            targets: vec![1, 3]
        }])[1]
            .value,
        Some(2)
    );
}

#[test]
fn endless_loops() {
    let insns = asm("if r1 == 0x0 goto pc+1\ngoto pc-1\nexit");
    let funcs = one(&insns);
    assert_eq!(Program::new(&insns, &funcs, &[]).endless(), [1]);
    let insns = asm("exit\ngoto pc-1");
    assert!(
        Program::new(&insns, &one(&insns), &[]).endless().is_empty(),
        "not reached"
    );
}

#[test]
fn calls_callbacks_and_chains() {
    let insns = asm("
        *(u64 *)(r10 -40) = r1        ; 0: entry
        call pc+5                     ; 1 -> 7
        r2 = subprog[+7]              ; 2 -> 10
        call bpf_loop#181             ; 4
        r0 = 0
        exit
        *(u32 *)(r10 -4) = r1         ; 7: middle
        call bpf_get_prandom_u32#7
        exit
        r2 = r10                      ; 10: callback
        r2 += -72
        call bpf_map_lookup_elem#1
        exit");
    let funcs = [0..7, 7..10, 10..14];
    let program = Program::new(&insns, &funcs, &[]);
    let calls: Vec<(usize, CallKind, i32, Option<usize>)> = program
        .calls()
        .iter()
        .map(|c| (c.slot, c.kind, c.number, c.callee))
        .collect();
    assert_eq!(
        calls,
        [
            (1, CallKind::Subprog, 0, Some(1)),
            (2, CallKind::Callback, 0, Some(2)),
            (4, CallKind::Helper, 181, None),
            (8, CallKind::Helper, 7, None),
            (12, CallKind::Helper, 1, None),
        ]
    );
    let values = program.values(Endian::Little, &[]);
    assert_eq!(values.stack, [40, 4, 72]);
    let chains: Vec<_> = program
        .chains(&values.stack, &[])
        .into_iter()
        .map(|c| (c.rounded, c.rounded_jit, c.unrounded, c.funcs))
        .collect();
    assert_eq!(
        chains,
        [(160, 128, 112, vec![0, 2]), (96, 64, 44, vec![0, 1])]
    );
    let chains = program.chains(&values.stack, &[2]);
    assert_eq!(
        chains[0].funcs,
        [2],
        "an asynchronous callback has a stack of its own"
    );
    assert!(values.call_args.iter().any(|c| c.args[1] == Arg::Func(2)));
    let features: Vec<&str> = program
        .features()
        .into_iter()
        .map(|(f, _)| f.name())
        .collect();
    assert_eq!(features, ["bpf2bpf", "callback"]);
}

#[test]
fn timer_callbacks_are_found() {
    let insns =
        asm("r2 = subprog[+3]\ncall bpf_timer_set_callback#170\nr0 = 0\nexit\nr0 = 0\nexit");
    let funcs = [0..5, 5..7];
    let program = Program::new(&insns, &funcs, &[]);
    assert_eq!(
        program.values(Endian::Little, &[]).timer_callbacks(),
        [] as [usize; 0]
    );
    let insns =
        asm("r2 = subprog[+4]\ncall bpf_timer_set_callback#170\nr0 = 0\nexit\nr0 = 0\nexit");
    let program = Program::new(&insns, &funcs, &[]);
    assert_eq!(program.values(Endian::Little, &[]).timer_callbacks(), [1]);
}

#[test]
fn map_uses_and_dead_code() {
    let insns = asm("r1 = map[2]\nr2 = map[1][0]+8\nr0 = 0\nexit\nr1 = map[5]\nexit");
    let funcs = one(&insns);
    let program = Program::new(&insns, &funcs, &[]);
    let uses: Vec<_> = program
        .map_uses()
        .iter()
        .map(|u| (u.slot, u.map, u.kind, u.offset))
        .collect();
    assert_eq!(
        uses,
        [(0, 2, MapUseKind::Ref, 0), (2, 1, MapUseKind::Value, 8)]
    );
    assert_eq!(program.unreachable(), [6, 8]);
    assert_eq!(program.features(), [(Feature::MapValue, 2)]);
}

#[test]
fn features_of_the_instruction_set() {
    let insns = asm("
        w0 = 1
        if w0 == 0x1 goto pc+0
        r1 s/= r2
        r1 = (s8)r1
        r1 = *(s8 *)(r10 -1)
        r1 = bswap16 r1
        gotol pc+0
        may_goto pc-2
        r1 = load_acquire((u64 *)(r2 +0))
        store_release((u64 *)(r2 +0), r1)
        r1 = addr_space_cast(r1, 0, 1)
        lock *(u64 *)(r10 -8) += r1
        r1 = atomic64_fetch_add((u64 *)(r10 -8), r1)
        r1 = atomic64_xchg((u64 *)(r10 -8), r1)
        r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r1)
        call kernel-function#9
        exit");
    let funcs = one(&insns);
    let names: Vec<(&str, usize)> = Program::new(&insns, &funcs, &[])
        .features()
        .into_iter()
        .map(|(f, slot)| (f.name(), slot))
        .collect();
    assert_eq!(
        names,
        [
            ("alu32", 0),
            ("jmp32", 1),
            ("atomic_add", 11),
            ("atomic_fetch", 12),
            ("atomic_xchg", 13),
            ("atomic_cmpxchg", 14),
            ("sdiv", 2),
            ("movsx", 3),
            ("memsx", 4),
            ("bswap", 5),
            ("gotol", 6),
            ("may_goto", 7),
            ("load_acquire", 8),
            ("store_release", 9),
            ("addr_space_cast", 10),
            ("kfunc", 15),
            ("bounded_loop", 7),
        ]
    );
}

/// Dominators by their definition: `a` dominates `b` when `b` cannot be reached without `a`.
fn dominates(cfg: &Cfg, a: usize, b: usize) -> bool {
    let mut seen = vec![false; cfg.len()];
    let mut work = vec![0];
    while let Some(block) = work.pop() {
        if block == a || std::mem::replace(&mut seen[block], true) {
            continue;
        }
        work.extend(cfg.out(block).iter().map(|e| e.to));
    }
    cfg.is_reachable(a) && cfg.is_reachable(b) && !seen[b]
}

fn jumps() -> impl Strategy<Value = Vec<Insn>> {
    let jump = (0..4_u8, -6..6_i16).prop_map(|(kind, off)| match kind {
        0 => Insn {
            code: 0x05,
            off,
            ..Insn::default()
        },
        1 => Insn {
            code: 0x95,
            ..Insn::default()
        },
        _ => Insn {
            code: 0x15,
            off,
            imm: 1,
            ..Insn::default()
        },
    });
    prop::collection::vec(jump, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn dominators_and_loops_by_definition(insns in jumps()) {
        let cfg = Cfg::new(&insns, 0..insns.len(), &[]);
        let loops = Loops::new(&cfg);
        for a in 0..cfg.len() {
            for b in 0..cfg.len() {
                prop_assert_eq!(loops.dominates(a, b), dominates(&cfg, a, b), "{} {}", a, b);
            }
        }
        // The natural loop of a header: what reaches a back edge's start without the header.
        let bodies = loops.bodies(usize::MAX);
        for (index, found) in loops.loops().iter().enumerate() {
            let mut body = vec![false; cfg.len()];
            body[found.header] = true;
            let back = cfg.preds(found.header).iter().filter(|p| loops.dominates(found.header, **p));
            let mut work: Vec<usize> = back.copied().collect();
            prop_assert!(!work.is_empty());
            while let Some(block) = work.pop() {
                if !std::mem::replace(&mut body[block], true) {
                    work.extend(cfg.preds(block).iter().filter(|p| cfg.is_reachable(**p)));
                }
            }
            let expected: Vec<usize> = (0..cfg.len()).filter(|b| body[*b]).collect();
            prop_assert_eq!(&bodies[index], &expected);
        }
        let headers = (0..cfg.len()).filter(|h| cfg.preds(*h).iter().any(|p| loops.dominates(*h, *p))).count();
        prop_assert_eq!(headers, loops.loops().len());
    }

    /// Nothing panics and everything ends, on any slots and any ranges.
    #[test]
    fn any_slots_are_safe(
        bytes in prop::collection::vec(any::<[u8; 8]>(), 0..120),
        codes in prop::collection::vec(prop::sample::select(vec![0x05_u8, 0x15, 0x85, 0x18, 0x95, 0x0d, 0xe5, 0x7b, 0x79, 0xbf, 0x07]), 0..120),
        cuts in prop::collection::vec(0..140_usize, 0..5),
    ) {
        let mut insns: Vec<Insn> = bytes.iter().map(|b| Insn::decode(*b, Endian::Little)).collect();
        for (insn, code) in insns.iter_mut().zip(codes) {
            *insn = Insn { code, off: insn.off % 16, imm: insn.imm % 32, src: insn.src % 12, dst: insn.dst % 12 };
        }
        let mut bounds = cuts;
        bounds.push(0);
        bounds.sort_unstable();
        let funcs: Vec<Range<usize>> = bounds.windows(2).map(|w| w[0]..w[1]).collect();
        let program = Program::new(&insns, &funcs, &[JumpTable { slot: 3, targets: vec![0, 5, 999] }]);
        let values = program.values(Endian::Big, &[1, 2]);
        let _ = (program.chains(&values.stack, &[1]), program.features(), program.unreachable(), program.endless());
        let _ = (program.map_uses(), program.falls_off());
        for cfg in program.cfgs() {
            let _ = Loops::new(cfg).bodies(1000);
        }
    }
}

#[test]
fn a_million_slots_are_fine() {
    let patterns: [&[Insn]; 4] = [
        &[Insn {
            code: 0x15,
            dst: 1,
            off: 1,
            imm: 3,
            ..Insn::default()
        }],
        &[
            Insn {
                code: 0x07,
                dst: 0,
                imm: 1,
                ..Insn::default()
            },
            Insn {
                code: 0x15,
                dst: 1,
                off: -2,
                ..Insn::default()
            },
        ],
        &[
            Insn {
                code: 0x7b,
                dst: 10,
                src: 1,
                off: -8,
                imm: 0,
            },
            Insn {
                code: 0x15,
                dst: 1,
                off: -32768,
                ..Insn::default()
            },
        ],
        &[
            Insn {
                code: 0x15,
                dst: 1,
                off: 32767,
                ..Insn::default()
            },
            Insn {
                code: 0x85,
                src: 1,
                imm: 1,
                ..Insn::default()
            },
        ],
    ];
    for (index, pattern) in patterns.into_iter().enumerate() {
        let mut insns: Vec<Insn> = pattern.iter().copied().cycle().take(1_000_000).collect();
        insns.push(Insn {
            code: 0x95,
            ..Insn::default()
        });
        let funcs = one(&insns);
        let start = std::time::Instant::now();
        let program = Program::new(&insns, &funcs, &[]);
        let values = program.values(Endian::Little, &[]);
        let _ = (
            program.chains(&values.stack, &[]),
            program.features(),
            program.endless(),
        );
        let loops = Loops::new(&program.cfgs()[0]);
        let _ = loops.bodies(1 << 22);
        println!(
            "pattern {index}: {:?}, {} loops, complete {}",
            start.elapsed(),
            loops.loops().len(),
            values.complete
        );
    }
}
