//! A program with its subprograms appended: what [`crate::Object::link`] gives.

use bpfsmith_isa::{Endian, Insn, JumpTable};

/// A function inside a linked program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkedFunction {
    /// Index into `Object::functions`.
    pub function: usize,
    /// First slot in the linked program.
    pub start: usize,
    /// Slots.
    pub len: usize,
}

impl LinkedFunction {
    /// Its slots, as `bpfsmith_isa::Program::new` wants them.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start.saturating_add(self.len)
    }
}

/// What a slot refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The map itself: index into `Object::maps`.
    Map(usize),
    /// A place in the value of a data map: map index and byte offset.
    MapValue(usize, i32),
    /// An extern: index into `Object::externs`; of a kfunc call, ksym or kconfig load.
    Extern(usize),
    /// A function's address (callback): index into `Object::functions`.
    Function(usize),
    /// A jump table of LLVM 22: byte offset and size in `.jumptables`.
    JumpTable(u64, u64),
}

/// One reference of a linked program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRef {
    /// Slot of the instruction in the linked program.
    pub slot: usize,
    /// What it refers to.
    pub target: Target,
}

/// One CO-RE relocation of a linked program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSlot {
    /// Slot of the instruction in the linked program.
    pub slot: usize,
    /// The record (its `insn_off` is the section's).
    pub relo: bpfsmith_btf::ext::CoreRelo,
    /// Its number in `.BTF.ext`, for `Against::relocation`.
    pub number: usize,
}

/// One line record of a linked program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// First slot it covers; it ends where the next begins.
    pub slot: usize,
    /// BTF string offset of the file name (`Object::string`).
    pub file_off: u32,
    /// BTF string offset of the source text, 0 without.
    pub text_off: u32,
    /// 1-based; 0 when the compiler had none.
    pub line: u32,
    /// 1-based; 0 when the compiler had none.
    pub column: u32,
}

/// A program with its subprograms appended, before CO-RE.
///
/// A load of a map has source register 1 and the map's index as `imm`. A load of data, a kconfig extern or a jump
/// table has source register 2, the map's index as `imm` (-1: a jump table) and the offset in the second half. A
/// callback has source register 4 and the distance to the function, a typed ksym source register 3, a kfunc call
/// source register 2 and `imm` 0.
#[derive(Clone, Debug, Default)]
pub struct Linked {
    /// Slots.
    pub insns: Vec<Insn>,
    /// Functions in layout order; the first is the program.
    pub functions: Vec<LinkedFunction>,
    /// References by slot, ascending.
    pub refs: Vec<SlotRef>,
    /// CO-RE relocations by slot, ascending.
    pub core: Vec<CoreSlot>,
    /// Targets of each `gotox` whose function loads jump tables.
    pub jump_tables: Vec<JumpTable>,
}

impl Linked {
    /// What keeping it costs, in slots. Crafted relocations stand at one slot by the thousand.
    pub(crate) fn weight(&self) -> usize {
        let records = self.refs.len().saturating_add(self.core.len());
        let records = records.saturating_mul(8);
        self.insns.len().saturating_add(records).max(1)
    }

    /// The slots as bytes.
    #[must_use]
    pub fn bytes(&self, endian: Endian) -> Vec<u8> {
        bpfsmith_isa::encode_all(&self.insns, endian)
    }
}
