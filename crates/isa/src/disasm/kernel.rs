//! The verifier's log, as `kernel/bpf/disasm.c` words it up to 6.19: `load_acquire` and `store_release` since 6.15
//! ("bpf: Introduce load-acquire and store-release instructions"), `gotox` since 6.19.

use std::fmt::{self, Write};

use super::{Names, alu_operator, comparison, prefix, signed, unsigned};
use crate::Insn;
use crate::op::{alu, atomic, class, jmp, mode, pseudo};

/// What the kernel's `printk` writes for a string its tables do not have.
const NULL: &str = "(null)";

/// The instruction at `slot` as the verifier's log prints it, e.g. `(07) r2 += -8`; empty past the end.
///
/// An `ld_imm64` is one instruction: do not ask for its second slot.
#[must_use]
pub fn kernel(insns: &[Insn], slot: usize, names: &dyn Names) -> String {
    let mut out = String::with_capacity(40);
    if let Some(insn) = insns.get(slot) {
        let next = slot.checked_add(1).and_then(|n| insns.get(n));
        // Writing to a String cannot fail.
        let _ = write(&mut out, *insn, next.map_or(0, |n| n.imm), slot, names);
    }
    out
}

fn write(out: &mut String, i: Insn, high: i32, slot: usize, names: &dyn Names) -> fmt::Result {
    let code = i.code;
    match i.class() {
        class::ALU | class::ALU64 => alu_text(out, i),
        class::STX => stx(out, i),
        class::ST => match i.mode() {
            mode::MEM => write!(
                out,
                "({code:02x}) *({} *)(r{} {:+}) = {}",
                unsigned(code),
                i.dst,
                i.off,
                i.imm
            ),
            // A speculation barrier the verifier itself puts in; it has no place in a user's program.
            mode::ATOMIC => write!(out, "({code:02x}) nospec"),
            _ => write!(out, "BUG_st_{code:02x}"),
        },
        class::LDX => {
            let word = match i.mode() {
                mode::MEM => unsigned(code),
                mode::MEMSX => signed(code),
                _ => return write!(out, "BUG_ldx_{code:02x}"),
            };
            write!(
                out,
                "({code:02x}) r{} = *({word} *)(r{} {:+})",
                i.dst, i.src, i.off
            )
        }
        class::LD if i.is_ld_imm64() => {
            write!(out, "({code:02x}) r{} = ", i.dst)?;
            match names.imm64(slot) {
                Some(text) => out.write_str(&text),
                None => write!(out, "{:#x}", imm64(i.imm, high)),
            }
        }
        class::LD => match i.mode() {
            mode::ABS => write!(
                out,
                "({code:02x}) r0 = *({} *)skb[{}]",
                unsigned(code),
                i.imm
            ),
            mode::IND => write!(
                out,
                "({code:02x}) r0 = *({} *)skb[r{} + {}]",
                unsigned(code),
                i.src,
                i.imm
            ),
            _ => write!(out, "BUG_ld_{code:02x}"),
        },
        _ => jump(out, i, names),
    }
}

const fn imm64(low: i32, high: i32) -> u64 {
    ((high as u32 as u64) << 32) | low as u32 as u64
}

fn alu_text(out: &mut String, i: Insn) -> fmt::Result {
    let (code, dst, src) = (i.code, i.dst, i.src);
    let p = prefix(code);
    let wide = i.class() == class::ALU64;
    match i.op() {
        alu::END if wide => return write!(out, "({code:02x}) r{dst} = bswap{} r{dst}", i.imm),
        alu::END => {
            let order = if i.is_reg() { "be" } else { "le" };
            return write!(out, "({code:02x}) r{dst} = {order}{} r{dst}", i.imm);
        }
        alu::NEG => return write!(out, "({code:02x}) {p}{dst} = -{p}{dst}"),
        alu::MOV if wide && i.is_reg() && i.off == 1 => {
            let (from, to) = ((i.imm as u32) >> 16, i.imm as u16);
            return write!(
                out,
                "({code:02x}) r{dst} = addr_space_cast(r{src}, {from}, {to})"
            );
        }
        alu::MOV if wide && i.is_reg() && i.off == -1 => {
            return write!(out, "({code:02x}) r{dst} = &(void __percpu *)(r{src})");
        }
        _ => {}
    }
    let operator = match i.op() {
        alu::DIV if i.off == 1 => "s/=",
        alu::MOD if i.off == 1 => "s%=",
        _ => alu_operator(code).unwrap_or(NULL),
    };
    write!(out, "({code:02x}) {p}{dst} {operator} ")?;
    if i.is_reg() {
        let extend = match (i.op(), i.off) {
            (alu::MOV, 8) => "(s8)",
            (alu::MOV, 16) => "(s16)",
            (alu::MOV, 32) => "(s32)",
            _ => "",
        };
        write!(out, "{extend}{p}{src}")
    } else {
        write!(out, "{}", i.imm)
    }
}

fn stx(out: &mut String, i: Insn) -> fmt::Result {
    let (code, dst, src, off) = (i.code, i.dst, i.src, i.off);
    let word = unsigned(code);
    let wide = i.width() == 8;
    let suffix = if wide { "64" } else { "" };
    if i.mode() == mode::MEM {
        return write!(out, "({code:02x}) *({word} *)(r{dst} {off:+}) = r{src}");
    }
    if i.mode() != mode::ATOMIC {
        return write!(out, "BUG_{code:02x}");
    }
    match i.imm {
        atomic::XCHG => write!(
            out,
            "({code:02x}) r{src} = atomic{suffix}_xchg(({word} *)(r{dst} {off:+}), r{src})"
        ),
        atomic::CMPXCHG => {
            write!(
                out,
                "({code:02x}) r0 = atomic{suffix}_cmpxchg(({word} *)(r{dst} {off:+}), r0, r{src})"
            )
        }
        atomic::LOAD_ACQ => write!(
            out,
            "({code:02x}) r{dst} = load_acquire(({word} *)(r{src} {off:+}))"
        ),
        atomic::STORE_REL => write!(
            out,
            "({code:02x}) store_release(({word} *)(r{dst} {off:+}), r{src})"
        ),
        imm => {
            let (operator, name) = match imm & !atomic::FETCH {
                0x00 => ("+=", "add"),
                0x40 => ("|=", "or"),
                0x50 => ("&=", "and"),
                0xa0 => ("^=", "xor"),
                _ => return write!(out, "BUG_{code:02x}"),
            };
            if imm & atomic::FETCH == 0 {
                write!(
                    out,
                    "({code:02x}) lock *({word} *)(r{dst} {off:+}) {operator} r{src}"
                )
            } else {
                write!(
                    out,
                    "({code:02x}) r{src} = atomic{suffix}_fetch_{name}(({word} *)(r{dst} {off:+}), r{src})"
                )
            }
        }
    }
}

fn jump(out: &mut String, i: Insn, names: &dyn Names) -> fmt::Result {
    let code = i.code;
    let long = i.class() == class::JMP32;
    match i.op() {
        jmp::CALL => {
            let (src, imm) = (i.src, i.imm);
            if src == pseudo::CALL_SUBPROG {
                return write!(out, "({code:02x}) call pc{imm:+}");
            }
            let name = match src {
                pseudo::CALL_HELPER => names.helper(imm).unwrap_or("unknown"),
                pseudo::CALL_KFUNC => names.kfunc(imm, i.off).unwrap_or("kernel-function"),
                _ => "unknown",
            };
            write!(out, "({code:02x}) call {name}#{imm}")
        }
        jmp::JA if i.is_gotox() => write!(out, "({code:02x}) gotox r{}", i.dst),
        jmp::JA if !i.is_reg() && long => write!(out, "({code:02x}) gotol pc{:+}", i.imm),
        jmp::JA if !i.is_reg() => write!(out, "({code:02x}) goto pc{:+}", i.off),
        jmp::JCOND if i.is_may_goto() && i.src == 0 => {
            write!(out, "({code:02x}) may_goto pc{:+}", i.off)
        }
        jmp::EXIT if !long && !i.is_reg() => write!(out, "({code:02x}) exit"),
        op => {
            let compare = match op {
                jmp::JA => "jmp",
                jmp::EXIT => "exit",
                _ => comparison(code).unwrap_or(NULL),
            };
            let p = prefix(code);
            write!(out, "({code:02x}) if {p}{} {compare} ", i.dst)?;
            if i.is_reg() {
                write!(out, "{p}{}", i.src)?;
            } else {
                write!(out, "{:#x}", i.imm)?;
            }
            write!(out, " goto pc{:+}", i.off)
        }
    }
}
