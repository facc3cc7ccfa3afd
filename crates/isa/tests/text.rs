//! Encoding, text and back, on examples and on random slots.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails; clippy only exempts functions marked as tests"
)]

use bpfsmith_isa::disasm::{NoNames, Spelled, kernel, llvm};
use bpfsmith_isa::{Endian, Insn, asm, decode_all, encode_all};
use proptest::prelude::*;

/// Kernel text, LLVM text.
const PAIRS: &[(&str, &str)] = &[
    ("(bf) r1 = r0", "r1 = r0"),
    ("(07) r2 += -8", "r2 += -0x8"),
    ("(04) w2 += 8", "w2 += 0x8"),
    ("(b7) r0 = 0", "r0 = 0x0"),
    ("(18) r1 = 0x700000005", "r1 = 0x700000005 ll"),
    ("(18) r1 = 0xffffffffffffffff", "r1 = -0x1 ll"),
    ("(3f) r1 s/= r2", "r1 s/= r2"),
    ("(94) w1 s%= 3", "w1 s%= 0x3"),
    ("(bf) r1 = (s32)r2", "r1 = (s32)r2"),
    ("(bc) w1 = (s8)w2", "w1 = (s8)w2"),
    (
        "(bf) r1 = addr_space_cast(r2, 0, 1)",
        "r1 = addr_space_cast(r2, 0x0, 0x1)",
    ),
    ("(87) r1 = -r1", "r1 = -r1"),
    ("(d4) r1 = le16 r1", "r1 = le16 r1"),
    ("(dc) r1 = be32 r1", "r1 = be32 r1"),
    ("(d7) r1 = bswap64 r1", "r1 = bswap64 r1"),
    ("(61) r1 = *(u32 *)(r6 +0)", "w1 = *(u32 *)(r6 + 0x0)"),
    ("(79) r1 = *(u64 *)(r10 -16)", "r1 = *(u64 *)(r10 - 0x10)"),
    ("(91) r1 = *(s8 *)(r6 +3)", "r1 = *(s8 *)(r6 + 0x3)"),
    ("(73) *(u8 *)(r10 -1) = r3", "*(u8 *)(r10 - 0x1) = w3"),
    ("(7a) *(u64 *)(r10 -8) = -1", "*(u64 *)(r10 - 0x8) = -0x1"),
    ("(30) r0 = *(u8 *)skb[23]", "r0 = *(u8 *)skb[0x17]"),
    ("(48) r0 = *(u16 *)skb[r7 + 0]", "r0 = *(u16 *)skb[r7]"),
    (
        "(db) lock *(u64 *)(r1 +8) += r2",
        "lock *(u64 *)(r1 + 0x8) += r2",
    ),
    (
        "(c3) lock *(u32 *)(r1 +8) |= r2",
        "lock *(u32 *)(r1 + 0x8) |= w2",
    ),
    (
        "(db) r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)",
        "r2 = atomic_fetch_add((u64 *)(r1 + 0x0), r2)",
    ),
    (
        "(c3) r2 = atomic_fetch_xor((u32 *)(r1 +0), r2)",
        "w2 = atomic_fetch_xor((u32 *)(r1 + 0x0), w2)",
    ),
    (
        "(db) r2 = atomic64_xchg((u64 *)(r1 +0), r2)",
        "r2 = xchg_64(r1 + 0x0, r2)",
    ),
    (
        "(c3) r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)",
        "w0 = cmpxchg32_32(r1 + 0x0, w0, w2)",
    ),
    (
        "(db) r1 = load_acquire((u64 *)(r2 +0))",
        "r1 = load_acquire((u64 *)(r2 + 0x0))",
    ),
    (
        "(d3) r1 = load_acquire((u8 *)(r2 +0))",
        "w1 = load_acquire((u8 *)(r2 + 0x0))",
    ),
    (
        "(cb) store_release((u16 *)(r1 -2), r2)",
        "store_release((u16 *)(r1 - 0x2), w2)",
    ),
    ("(05) goto pc-3", "goto -0x3"),
    ("(06) gotol pc+70000", "gotol +0x11170"),
    ("(0d) gotox r1", "gotox r1"),
    ("(e5) may_goto pc+1", "may_goto +0x1"),
    ("(15) if r0 == 0x0 goto pc+5", "if r0 == 0x0 goto +0x5"),
    (
        "(c6) if w0 s< 0xffffffff goto pc-5",
        "if w0 s< -0x1 goto -0x5",
    ),
    ("(4d) if r1 & r2 goto pc+0", "if r1 & r2 goto +0x0"),
    ("(be) if w1 <= w2 goto pc+0", "if w1 <= w2 goto +0x0"),
    ("(85) call pc+6", "call 0x6"),
    ("(85) call unknown#1", "call 0x1"),
    ("(85) call kernel-function#77", "call 0x4d"),
    ("(95) exit", "exit"),
];

#[test]
fn known_texts() {
    for (log, objdump) in PAIRS {
        let insns = asm::assemble(log).unwrap();
        assert_eq!(kernel(&insns, 0, &NoNames), *log);
        assert_eq!(llvm(&insns, 0), *objdump, "{log}");
        // Without the opcode the line means the same.
        assert_eq!(asm::assemble(&log[5..]).unwrap(), insns, "{log}");
    }
}

#[test]
fn what_an_ld_imm64_stands_for_is_spelled() {
    let text = "(18) r1 = map[3]\n(18) r2 = map[1][0]+8\n(18) r3 = btf_id[9]+0\n(18) r4 = subprog[-2]\n\
                (18) r5 = map_idx[0]\n(18) r6 = map_idx[2][0]-1\n";
    let insns = asm::assemble(text).unwrap();
    let names = Spelled(&insns);
    let back: String = (0..insns.len())
        .step_by(2)
        .map(|slot| kernel(&insns, slot, &names) + "\n")
        .collect();
    assert_eq!(back, text);
}

#[test]
fn names_come_from_the_caller() {
    struct Helpers;
    impl bpfsmith_isa::disasm::Names for Helpers {
        fn helper(&self, number: i32) -> Option<&str> {
            (number == 1).then_some("bpf_map_lookup_elem")
        }
    }
    let insns = asm::assemble("call x#1\ncall x#2").unwrap();
    assert_eq!(
        kernel(&insns, 0, &Helpers),
        "(85) call bpf_map_lookup_elem#1"
    );
    assert_eq!(kernel(&insns, 1, &Helpers), "(85) call unknown#2");
}

#[test]
fn registers_swap_on_big_endian() {
    let [insn] = asm::assemble("*(u64 *)(r10 -8) = r1").unwrap()[..] else {
        panic!("one instruction")
    };
    assert_eq!(
        insn.encode(Endian::Little),
        [0x7b, 0x1a, 0xf8, 0xff, 0, 0, 0, 0]
    );
    assert_eq!(
        insn.encode(Endian::Big),
        [0x7b, 0xa1, 0xff, 0xf8, 0, 0, 0, 0]
    );
}

#[test]
fn odd_lines_are_named() {
    let error = asm::assemble("r0 = 0\n; comment\n\nr0 <> 3\n").unwrap_err();
    assert_eq!(
        (error.line, error.to_string().as_str()),
        (4, "line 4: `r0 <> 3` is not an instruction")
    );
    for bad in [
        "r16 = 0",
        "(07) r0 -= 1",
        "exit 1",
        "(zz) exit",
        "(",
        "call 5",
        "r0 = ",
        "if r0 goto pc+1",
        "r0 = 99999999999",
    ] {
        assert!(asm::assemble(bad).is_err(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn slots_survive(bytes: [u8; 8]) {
        for endian in [Endian::Little, Endian::Big] {
            prop_assert_eq!(Insn::decode(bytes, endian).encode(endian), bytes);
        }
    }

    #[test]
    fn programs_survive(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for endian in [Endian::Little, Endian::Big] {
            let whole = bytes.len() / 8 * 8;
            prop_assert_eq!(&encode_all(&decode_all(&bytes, endian), endian)[..], &bytes[..whole]);
        }
    }

    /// What the kernel's text says is read back: text -> slots -> text is the identity on texts.
    #[test]
    fn text_survives(first: [u8; 8], second: [u8; 8]) {
        let insns = decode_all(&[first, second].concat(), Endian::Little);
        let names = Spelled(&insns);
        let text = kernel(&insns, 0, &names);
        prop_assert!(!llvm(&insns, 0).is_empty());
        if let Ok(back) = asm::assemble(&text) {
            prop_assert_eq!(kernel(&back, 0, &Spelled(&back)), text);
        }
    }

    #[test]
    fn any_text_is_safe(text in "[-+a-z0-9()*&=<>\\[\\]#;:. \n]{0,80}") {
        let _ = asm::assemble(&text);
    }
}

/// Every slot that LLVM takes for an instruction has kernel text that assembles to the same instruction.
#[test]
fn every_opcode_assembles_back() {
    let mut seen = 0;
    for code in 0..=255_u8 {
        for (off, imm) in [
            (0, 0),
            (0, 16),
            (1, 0),
            (8, 0),
            (-4, 0),
            (0, 0x41),
            (0, 0x100),
            (0, 0x110),
            (0, 0xe1),
            (0, 0xf1),
        ] {
            let insns = [
                Insn {
                    code,
                    dst: 1,
                    src: 0,
                    off,
                    imm,
                },
                Insn::default(),
            ];
            let text = kernel(&insns, 0, &Spelled(&insns));
            if llvm(&insns, 0) == "<unknown>" || text.contains("BUG") || insns[0].is_callx() {
                continue;
            }
            let back = asm::assemble(&text).unwrap_or_else(|error| panic!("{code:02x}: {error}"));
            assert_eq!(kernel(&back, 0, &Spelled(&back)), text);
            assert_eq!(back[0].code, code);
            seen += 1;
        }
    }
    assert!(seen > 900, "{seen}");
}
