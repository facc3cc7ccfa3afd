//! Text of instructions.

use crate::Insn;

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

/// The instruction at `slot` as the verifier's log prints it, e.g. `(07) r2 += -8`.
#[must_use]
pub fn kernel(insns: &[Insn], slot: usize, names: &dyn Names) -> String {
    let _ = (insns, slot, names);
    String::new()
}

/// The instruction at `slot` as `llvm-objdump -d --no-show-raw-insn` of LLVM 22 prints it, without the `<symbol>` suffix.
#[must_use]
pub fn llvm(insns: &[Insn], slot: usize) -> String {
    let _ = (insns, slot);
    String::new()
}
