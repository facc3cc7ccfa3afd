//! What the disassembler of the `isa` crate prints as the verifier's log does is read back as the same instruction.
use bpfsmith_isa::Insn;
use bpfsmith_isa::disasm::{self, NoNames};
use bpfsmith_vlog::insn::read;

fn variants(code: u8) -> impl Iterator<Item = Insn> {
    let offs = [0, 1, -1, 8, 16, 32, -8, i16::MAX, i16::MIN];
    let imms = [
        0,
        1,
        -1,
        16,
        32,
        64,
        0x51,
        0xe1,
        0xf1,
        0x100,
        0x110,
        i32::MAX,
        i32::MIN,
    ];
    offs.into_iter().flat_map(move |off| {
        imms.into_iter().map(move |imm| Insn {
            code,
            dst: 3,
            src: 7,
            off,
            imm,
        })
    })
}

#[test]
fn every_text_is_read_back() {
    let mut met = 0;
    for code in 0..=u8::MAX {
        for insn in variants(code) {
            let insns = [
                insn,
                Insn {
                    imm: 5,
                    ..Insn::default()
                },
            ];
            let text = disasm::kernel(&insns, 0, &NoNames);
            if text.contains("BUG") || text.contains("(null)") || text.is_empty() {
                continue;
            }
            let (made, used) = read(0, &text).expect("an opcode in brackets is an instruction");
            assert_eq!(used, text.len(), "{text}");
            assert_eq!(made.text, text);
            if !made.exact {
                continue;
            }
            met += 1;
            let high = Insn {
                imm: (made.imm >> 32) as i32,
                ..Insn::default()
            };
            let again = disasm::kernel(&[made.insn, high], 0, &NoNames);
            assert_eq!(again, text);
        }
    }
    assert!(met > 5_000, "{met}");
}

#[test]
fn what_is_legal_is_exact() {
    for text in [
        "(07) r1 += -8",
        "(bf) r6 = r1",
        "(b4) w0 = 7",
        "(3f) r1 s/= r2",
        "(9f) r1 %= r2",
        "(bf) r1 = (s32)r2",
        "(bf) r1 = addr_space_cast(r2, 0, 1)",
        "(d7) r1 = bswap64 r1",
        "(d4) r1 = le16 r1",
        "(84) w1 = -w1",
        "(81) r1 = *(s32 *)(r2 -4)",
        "(c3) lock *(u32 *)(r1 +0) |= r2",
        "(db) r2 = atomic64_xchg((u64 *)(r1 +0), r2)",
        "(db) store_release((u64 *)(r1 +0), r2)",
        "(db) r1 = load_acquire((u64 *)(r2 +0))",
        "(40) r0 = *(u32 *)skb[r1 + -4]",
        "(0d) gotox r1",
        "(45) if r1 & 0x1 goto pc+2",
        "(de) if w1 s<= w2 goto pc-1",
        "(e5) may_goto pc+0",
    ] {
        assert!(
            read(5, text).is_some_and(|(one, _)| one.exact && one.text == text),
            "{text}"
        );
    }
}
