//! A linked program: functions, calls, maps.

use std::ops::Range;

use crate::{Cfg, Chain, Feature, Insn, JumpTable, Values};

/// What a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A kernel helper; the number is its id.
    Helper,
    /// A kernel function; the number is its BTF id as it stands in the slot.
    Kfunc,
    /// A function of this program, called directly.
    Subprog,
    /// A function of this program whose address is taken; the kernel or the program may call it.
    Callback,
    /// A call through a register, which no kernel accepts; the number is the register.
    Register,
}

/// One call instruction, or one `ld_imm64` of a function's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Slot of the instruction.
    pub slot: usize,
    /// What is called.
    pub kind: CallKind,
    /// Helper id, BTF id, or 0.
    pub number: i32,
    /// Index of the calling function.
    pub caller: usize,
    /// Index of the called function, when it is one of the program's.
    pub callee: Option<usize>,
}

/// How a slot uses a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapUseKind {
    /// The map itself (`ld_imm64` source 1 or 5).
    Ref,
    /// An address in its value (source 2 or 6).
    Value,
}

/// One `ld_imm64` of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapUse {
    /// Slot of the instruction.
    pub slot: usize,
    /// The first half's `imm`: the index of the map in a linked program.
    pub map: i32,
    /// The map or its value.
    pub kind: MapUseKind,
    /// Offset in the value, 0 for the map itself.
    pub offset: i32,
}

/// A linked program, its functions given as slot ranges (function 0 is the entry).
#[derive(Debug)]
pub struct Program<'a> {
    insns: &'a [Insn],
    funcs: &'a [Range<usize>],
}

impl<'a> Program<'a> {
    /// Builds each function's [`Cfg`] and the call graph. Ranges beyond the slots are cut.
    #[must_use]
    pub fn new(insns: &'a [Insn], funcs: &'a [Range<usize>], tables: &[JumpTable]) -> Self {
        let _ = tables;
        Self { insns, funcs }
    }

    /// The slots.
    #[must_use]
    pub fn insns(&self) -> &'a [Insn] {
        self.insns
    }

    /// The functions' slot ranges.
    #[must_use]
    pub fn funcs(&self) -> &'a [Range<usize>] {
        self.funcs
    }

    /// Control flow of each function, in the order of [`Program::funcs`].
    #[must_use]
    pub fn cfgs(&self) -> &[Cfg] {
        &[]
    }

    /// Calls in reachable code of reachable functions, by slot.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &[]
    }

    /// Map loads in reachable code of reachable functions, by slot.
    #[must_use]
    pub fn map_uses(&self) -> Vec<MapUse> {
        Vec::new()
    }

    /// Slots of instructions that no path from the entry reaches, ascending; functions never called included.
    #[must_use]
    pub fn unreachable(&self) -> Vec<usize> {
        Vec::new()
    }

    /// First slot of each reachable stretch of code from which no exit can be reached (`goto -1` and the like).
    #[must_use]
    pub fn endless(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Features of the instruction set in use, each with the first slot that needs it.
    #[must_use]
    pub fn features(&self) -> Vec<(Feature, usize)> {
        Vec::new()
    }

    /// What is known of values. `opaque`: slots (ascending) whose immediate is not what will run, because a CO-RE or
    /// extern relocation will change it; their results count as unknown.
    #[must_use]
    pub fn values(&self, opaque: &[usize]) -> Values {
        let _ = opaque;
        Values::default()
    }

    /// Deepest stack access of each function in bytes, unrounded; see [`crate::stack`].
    #[must_use]
    pub fn stack(&self, values: &Values) -> Vec<u32> {
        let _ = values;
        Vec::new()
    }

    /// Maximal call chains from the entry, deepest first.
    #[must_use]
    pub fn chains(&self, stack: &[u32]) -> Vec<Chain> {
        let _ = stack;
        Vec::new()
    }
}
