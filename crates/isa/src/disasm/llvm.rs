//! `llvm-objdump -d --no-show-raw-insn` of LLVM 22.
//!
//! LLVM 19 and older without `--mcpu=v3` differ in two things: plain loads and stores below eight bytes name `rN` where
//! LLVM 20 and later name `wN`, and `gotox` (LLVM 22) is `<unknown>`.

use std::fmt::{self, Display, Write};

use super::{alu_operator, comparison, prefix, signed, unsigned};
use crate::Insn;
use crate::op::{alu, class, jmp, mode};

/// What `llvm-objdump` prints for bytes it takes for no instruction.
pub const UNKNOWN: &str = "<unknown>";

/// r11 is LLVM's pseudo stack pointer and the last register its tables have.
const LAST_REGISTER: u8 = 11;

/// The instruction at `slot` as `llvm-objdump` prints it, without the `<symbol>` it appends to targets; empty past the
/// end. Text that is no instruction to LLVM is `<unknown>`, and it then goes on with the next slot.
#[must_use]
pub fn llvm(insns: &[Insn], slot: usize) -> String {
    let mut out = String::with_capacity(40);
    if let Some(insn) = insns.get(slot) {
        let next = slot.checked_add(1).and_then(|n| insns.get(n));
        if !matches!(text(&mut out, *insn, next), Ok(true)) {
            out.clear();
            out.push_str(UNKNOWN);
        }
    }
    out
}

/// A number as LLVM writes it: hexadecimal with its sign in front.
struct Hex(i64);

impl Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

/// A jump distance: always with a sign.
struct Jump(i64);

impl Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

/// Inside of a memory operand's parentheses.
struct Address(u8, i16);

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.1 < 0 { '-' } else { '+' };
        write!(f, "r{} {sign} {:#x}", self.0, self.1.unsigned_abs())
    }
}

type Text = Result<bool, fmt::Error>;

const NOTHING: Text = Ok(false);

/// Writes the text; Ok(false) when LLVM's tables have no such instruction.
fn text(out: &mut String, i: Insn, next: Option<&Insn>) -> Text {
    let dst_ok = i.dst <= LAST_REGISTER;
    let src_ok = i.src <= LAST_REGISTER;
    match i.class() {
        class::ALU | class::ALU64 if dst_ok => alu_text(out, i),
        class::JMP | class::JMP32 => jump(out, i),
        class::ST if i.mode() == mode::MEM && dst_ok => {
            write!(
                out,
                "*({} *)({}) = {}",
                unsigned(i.code),
                Address(i.dst, i.off),
                Hex(i.imm.into())
            )?;
            Ok(true)
        }
        class::STX if dst_ok && src_ok => stx(out, i),
        class::LDX if dst_ok && src_ok => {
            let (p, word) = match i.mode() {
                mode::MEM if i.width() == 8 => ('r', "u64"),
                mode::MEM => ('w', unsigned(i.code)),
                mode::MEMSX if i.width() < 8 => ('r', signed(i.code)),
                _ => return NOTHING,
            };
            write!(out, "{p}{} = *({word} *)({})", i.dst, Address(i.src, i.off))?;
            Ok(true)
        }
        class::LD => ld(out, i, next),
        _ => NOTHING,
    }
}

fn ld(out: &mut String, i: Insn, next: Option<&Insn>) -> Text {
    let sized = i.width() < 8;
    match i.mode() {
        mode::ABS if sized => write!(
            out,
            "r0 = *({} *)skb[{}]",
            unsigned(i.code),
            Hex(i.imm.into())
        )?,
        mode::IND if sized && i.src <= LAST_REGISTER => {
            write!(out, "r0 = *({} *)skb[r{}]", unsigned(i.code), i.src)?;
        }
        mode::IMM if !sized && i.off == 0 && i.dst <= LAST_REGISTER => {
            let Some(next) = next else { return NOTHING };
            if i.src == 0 {
                let value = (i64::from(next.imm) << 32) | i64::from(i.imm as u32);
                write!(out, "r{} = {} ll", i.dst, Hex(value))?;
            } else {
                write!(out, "ld_pseudo\tr{}, {:#x}, {:#x}", i.dst, i.src, i.imm)?;
            }
        }
        _ => return NOTHING,
    }
    Ok(true)
}

fn alu_text(out: &mut String, i: Insn) -> Text {
    let (dst, src, off) = (i.dst, i.src, i.off);
    let wide = i.class() == class::ALU64;
    let p = prefix(i.code);
    match i.op() {
        alu::NEG if !i.is_reg() => {
            write!(out, "{p}{dst} = -{p}{dst}")?;
            return Ok(true);
        }
        alu::END if matches!(i.imm, 16 | 32 | 64) => {
            let order = match (wide, i.is_reg()) {
                (false, false) => "le",
                (false, true) => "be",
                (true, false) => "bswap",
                (true, true) => return NOTHING,
            };
            write!(out, "r{dst} = {order}{} r{dst}", i.imm)?;
            return Ok(true);
        }
        _ => {}
    }
    if i.is_reg() && src > LAST_REGISTER {
        return NOTHING;
    }
    let operator = match (i.op(), off) {
        (alu::DIV, 1) => "s/=",
        (alu::MOD, 1) => "s%=",
        (alu::MOV, 1) if wide && i.is_reg() => {
            let (from, to) = ((i.imm as u32) >> 16, i.imm as u16);
            write!(out, "r{dst} = addr_space_cast(r{src}, {from:#x}, {to:#x})")?;
            return Ok(true);
        }
        (alu::MOV, 8 | 16 | 32) if i.is_reg() && (wide || off < 32) => {
            write!(out, "{p}{dst} = (s{off}){p}{src}")?;
            return Ok(true);
        }
        (_, 0) => match alu_operator(i.code) {
            Some(operator) => operator,
            None => return NOTHING,
        },
        _ => return NOTHING,
    };
    write!(out, "{p}{dst} {operator} ")?;
    if i.is_reg() {
        write!(out, "{p}{src}")?;
    } else {
        write!(out, "{}", Hex(i.imm.into()))?;
    }
    Ok(true)
}

fn stx(out: &mut String, i: Insn) -> Text {
    let (dst, src) = (i.dst, i.src);
    let word = unsigned(i.code);
    let p = if i.width() == 8 { 'r' } else { 'w' };
    let at = Address(dst, i.off);
    if i.mode() == mode::MEM {
        write!(out, "*({word} *)({at}) = {p}{src}")?;
        return Ok(true);
    }
    if i.mode() != mode::ATOMIC {
        return NOTHING;
    }
    // LLVM looks at the low nine bits of `imm` only, and at bit 8 only where the other eight name nothing by themselves.
    let full = i.width() >= 4;
    let bits = if i.width() == 8 { "_64" } else { "32_32" };
    match (i.imm & 0xff, i.imm & 0x1ff) {
        (0xe1, _) if full => write!(out, "{p}{src} = xchg{bits}({at}, {p}{src})")?,
        (0xf1, _) if full => write!(out, "{p}0 = cmpxchg{bits}({at}, {p}0, {p}{src})")?,
        _ => {
            let (operator, name) = match i.imm & 0xf0 {
                0x00 => ("+=", "add"),
                0x40 => ("|=", "or"),
                0x50 => ("&=", "and"),
                0xa0 => ("^=", "xor"),
                _ => ("", ""),
            };
            if full && i.imm & 0xf == 1 && !name.is_empty() {
                write!(
                    out,
                    "{p}{src} = atomic_fetch_{name}(({word} *)({at}), {p}{src})"
                )?;
            } else if i.imm & 0x1f0 == 0x100 {
                write!(
                    out,
                    "{p}{dst} = load_acquire(({word} *)({}))",
                    Address(src, i.off)
                )?;
            } else if i.imm & 0x1f0 == 0x110 {
                write!(out, "store_release(({word} *)({at}), {p}{src})")?;
            } else if full && !name.is_empty() {
                write!(out, "lock *({word} *)({at}) {operator} {p}{src}")?;
            } else {
                return NOTHING;
            }
        }
    }
    Ok(true)
}

fn jump(out: &mut String, i: Insn) -> Text {
    let long = i.class() == class::JMP32;
    let off = Jump(i.off.into());
    match (i.op(), i.is_reg(), long) {
        (jmp::JA, false, false) => write!(out, "goto {off}")?,
        (jmp::JA, false, true) => write!(out, "gotol {}", Jump(i.imm.into()))?,
        (jmp::JA, true, false) if i.dst <= LAST_REGISTER => write!(out, "gotox r{}", i.dst)?,
        (jmp::CALL, false, false) => write!(out, "call {}", Hex(i.imm.into()))?,
        (jmp::CALL, true, false) if i.dst <= LAST_REGISTER => write!(out, "callx r{}", i.dst)?,
        (jmp::EXIT, false, false) if i.imm == 0 => out.write_str("exit")?,
        (jmp::JCOND, false, false) => write!(out, "may_goto {off}")?,
        (_, reg, _) => {
            let Some(compare) = comparison(i.code) else {
                return NOTHING;
            };
            if i.dst > LAST_REGISTER || (reg && i.src > LAST_REGISTER) {
                return NOTHING;
            }
            let p = prefix(i.code);
            write!(out, "if {p}{} {compare} ", i.dst)?;
            if reg {
                write!(out, "{p}{}", i.src)?;
            } else {
                write!(out, "{}", Hex(i.imm.into()))?;
            }
            write!(out, " goto {off}")?;
        }
    }
    Ok(true)
}
