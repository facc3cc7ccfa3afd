//! Text of instructions in the two syntaxes people meet: the verifier's log and `llvm-objdump`.
//!
//! Both are total: any slot has a text. What the format cannot say (fields an instruction ignores) is not shown.

mod kernel;
mod llvm;

pub use kernel::kernel;
pub use llvm::{UNKNOWN, llvm};

use crate::Insn;
use crate::op::{class, pseudo, size};

/// Names the disassembler cannot know by itself. Every method may answer `None`.
pub trait Names {
    /// Full name of a helper, e.g. `bpf_map_lookup_elem` for 1.
    fn helper(&self, _number: i32) -> Option<&str> {
        None
    }
    /// Name of a kfunc by its call's `imm` (BTF id) and `off` (module).
    fn kfunc(&self, _id: i32, _module: i16) -> Option<&str> {
        None
    }
    /// Text for the right side of an `ld_imm64` at `slot`, instead of the number.
    fn imm64(&self, _slot: usize) -> Option<String> {
        None
    }
}

/// Knows no name: helpers print as `unknown#1`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {}

/// Spells out what an `ld_imm64` stands for, which the number the kernel prints does not say: `map[3]`,
/// `map[3][0]+8`, `map_idx[1]`, `btf_id[77]`, `subprog[+5]`. [`crate::asm`] reads it back, so nothing is lost.
#[derive(Clone, Copy, Debug)]
pub struct Spelled<'a>(pub &'a [Insn]);

impl Names for Spelled<'_> {
    fn imm64(&self, slot: usize) -> Option<String> {
        let (Insn { src, imm, .. }, high) =
            (self.0.get(slot)?, self.0.get(slot.checked_add(1)?)?.imm);
        Some(match *src {
            pseudo::MAP_FD => format!("map[{imm}]"),
            pseudo::MAP_VALUE => format!("map[{imm}][0]{high:+}"),
            pseudo::BTF_ID => format!("btf_id[{imm}]{high:+}"),
            pseudo::FUNC => format!("subprog[{imm:+}]"),
            pseudo::MAP_IDX => format!("map_idx[{imm}]"),
            pseudo::MAP_IDX_VALUE => format!("map_idx[{imm}][0]{high:+}"),
            _ => return None,
        })
    }
}

/// Type word of a plain load or store.
const fn unsigned(code: u8) -> &'static str {
    match code & 0x18 {
        size::W => "u32",
        size::H => "u16",
        size::B => "u8",
        _ => "u64",
    }
}

/// Type word of a sign-extending load.
const fn signed(code: u8) -> &'static str {
    match code & 0x18 {
        size::W => "s32",
        size::H => "s16",
        size::B => "s8",
        _ => "s64",
    }
}

/// Arithmetic operator with its `=`, or None where the operation has no operator.
#[must_use]
pub const fn alu_operator(code: u8) -> Option<&'static str> {
    Some(match code >> 4 {
        0x0 => "+=",
        0x1 => "-=",
        0x2 => "*=",
        0x3 => "/=",
        0x4 => "|=",
        0x5 => "&=",
        0x6 => "<<=",
        0x7 => ">>=",
        0x9 => "%=",
        0xa => "^=",
        0xb => "=",
        0xc => "s>>=",
        _ => return None,
    })
}

/// Comparison of a conditional jump, None for jumps without.
#[must_use]
pub const fn comparison(code: u8) -> Option<&'static str> {
    Some(match code >> 4 {
        0x1 => "==",
        0x2 => ">",
        0x3 => ">=",
        0x4 => "&",
        0x5 => "!=",
        0x6 => "s>",
        0x7 => "s>=",
        0xa => "<",
        0xb => "<=",
        0xc => "s<",
        0xd => "s<=",
        _ => return None,
    })
}

/// `w` for the 32-bit arithmetic and jump classes, else `r`.
const fn prefix(code: u8) -> char {
    match code & 7 {
        class::ALU | class::JMP32 => 'w',
        _ => 'r',
    }
}
