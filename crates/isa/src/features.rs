//! Which parts of the instruction set and of the program model a program needs.

use crate::op::{alu, atomic, class, jmp, mode, pseudo};
use crate::program::{CallKind, Program};
use crate::{Insn, cfg};

/// A part that came with some kernel. The order is the one of [`Feature::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// 32-bit arithmetic.
    Alu32,
    /// Comparisons with less-than (v2).
    JumpLess,
    /// Jumps that compare 32 bits (v3).
    Jmp32,
    /// `xadd`: atomic addition without fetch, the oldest atomic.
    AtomicAdd,
    /// Atomic and, or, xor without fetch.
    AtomicBitwise,
    /// Atomic operation that returns the old value.
    AtomicFetch,
    /// Atomic exchange.
    AtomicXchg,
    /// Atomic compare and exchange.
    AtomicCmpxchg,
    /// Signed division and remainder (v4).
    Sdiv,
    /// Sign-extending move (v4).
    Movsx,
    /// Sign-extending load (v4).
    Memsx,
    /// Unconditional byte swap (v4).
    Bswap,
    /// 32-bit jump distance (v4).
    Gotol,
    /// `may_goto`.
    MayGoto,
    /// Indirect jump.
    Gotox,
    /// `load_acquire`.
    LoadAcquire,
    /// `store_release`.
    StoreRelease,
    /// Cast between arena address spaces.
    AddrSpaceCast,
    /// Calls of the program's own functions.
    Bpf2bpf,
    /// The address of a function is taken.
    Callback,
    /// Call of a kernel function.
    Kfunc,
    /// Call of a kernel function of a module (`off` names its BTF).
    KfuncModule,
    /// A jump backwards.
    BoundedLoop,
    /// Address in a map's value: global variables.
    MapValue,
    /// Address of a kernel variable by BTF id.
    KernelSymbol,
    /// Maps by index into `fd_array`.
    MapIndex,
    /// A program that tail-calls and calls its own functions.
    TailCallBpf2bpf,
    /// Legacy packet access.
    LdAbs,
    /// A call through a register, which no kernel accepts.
    Callx,
}

impl Feature {
    /// All features.
    pub const ALL: [Self; 29] = [
        Self::Alu32,
        Self::JumpLess,
        Self::Jmp32,
        Self::AtomicAdd,
        Self::AtomicBitwise,
        Self::AtomicFetch,
        Self::AtomicXchg,
        Self::AtomicCmpxchg,
        Self::Sdiv,
        Self::Movsx,
        Self::Memsx,
        Self::Bswap,
        Self::Gotol,
        Self::MayGoto,
        Self::Gotox,
        Self::LoadAcquire,
        Self::StoreRelease,
        Self::AddrSpaceCast,
        Self::Bpf2bpf,
        Self::Callback,
        Self::Kfunc,
        Self::KfuncModule,
        Self::BoundedLoop,
        Self::MapValue,
        Self::KernelSymbol,
        Self::MapIndex,
        Self::TailCallBpf2bpf,
        Self::LdAbs,
        Self::Callx,
    ];

    /// The word used in facts and messages, e.g. `jmp32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alu32 => "alu32",
            Self::JumpLess => "jlt",
            Self::Jmp32 => "jmp32",
            Self::AtomicAdd => "atomic_add",
            Self::AtomicBitwise => "atomic_bitwise",
            Self::AtomicFetch => "atomic_fetch",
            Self::AtomicXchg => "atomic_xchg",
            Self::AtomicCmpxchg => "atomic_cmpxchg",
            Self::Sdiv => "sdiv",
            Self::Movsx => "movsx",
            Self::Memsx => "memsx",
            Self::Bswap => "bswap",
            Self::Gotol => "gotol",
            Self::MayGoto => "may_goto",
            Self::Gotox => "gotox",
            Self::LoadAcquire => "load_acquire",
            Self::StoreRelease => "store_release",
            Self::AddrSpaceCast => "addr_space_cast",
            Self::Bpf2bpf => "bpf2bpf",
            Self::Callback => "callback",
            Self::Kfunc => "kfunc",
            Self::KfuncModule => "kfunc_module",
            Self::BoundedLoop => "bounded_loop",
            Self::MapValue => "map_value",
            Self::KernelSymbol => "ksym",
            Self::MapIndex => "map_index",
            Self::TailCallBpf2bpf => "tail_call_bpf2bpf",
            Self::LdAbs => "ld_abs",
            Self::Callx => "callx",
        }
    }
}

/// The feature an instruction needs by itself, whatever stands around it.
#[must_use]
pub fn of_insn(i: Insn) -> Option<Feature> {
    let reg_move = i.is_alu() && i.op() == alu::MOV && i.is_reg();
    Some(match i.class() {
        class::ALU | class::ALU64 if matches!(i.op(), alu::DIV | alu::MOD) && i.off == 1 => {
            Feature::Sdiv
        }
        class::ALU | class::ALU64 if reg_move && matches!(i.off, 8 | 16 | 32) => Feature::Movsx,
        class::ALU64 if i.is_addr_space_cast() => Feature::AddrSpaceCast,
        class::ALU64 if i.op() == alu::END => Feature::Bswap,
        class::ALU if i.op() != alu::END => Feature::Alu32,
        class::LDX if i.mode() == mode::MEMSX => Feature::Memsx,
        class::STX if i.mode() == mode::ATOMIC => match i.imm {
            atomic::LOAD_ACQ => Feature::LoadAcquire,
            atomic::STORE_REL => Feature::StoreRelease,
            atomic::XCHG => Feature::AtomicXchg,
            atomic::CMPXCHG => Feature::AtomicCmpxchg,
            imm if imm & atomic::FETCH != 0 => Feature::AtomicFetch,
            0 => Feature::AtomicAdd,
            _ => Feature::AtomicBitwise,
        },
        class::LD => match (i.mode(), i.src) {
            (mode::ABS | mode::IND, _) => Feature::LdAbs,
            (_, pseudo::MAP_VALUE) => Feature::MapValue,
            (_, pseudo::BTF_ID) => Feature::KernelSymbol,
            (_, pseudo::FUNC) => Feature::Callback,
            (_, pseudo::MAP_IDX | pseudo::MAP_IDX_VALUE) => Feature::MapIndex,
            _ => return None,
        },
        class::JMP32 if i.op() == jmp::JA => Feature::Gotol,
        class::JMP32 => Feature::Jmp32,
        class::JMP => match i.op() {
            jmp::JA if i.is_reg() => Feature::Gotox,
            jmp::JCOND => Feature::MayGoto,
            jmp::JLT | jmp::JLE | jmp::JSLT | jmp::JSLE => Feature::JumpLess,
            jmp::CALL if i.is_callx() => Feature::Callx,
            jmp::CALL if i.is_subprog_call() => Feature::Bpf2bpf,
            jmp::CALL if i.is_kfunc_call() && i.off != 0 => Feature::KfuncModule,
            jmp::CALL if i.is_kfunc_call() => Feature::Kfunc,
            _ => return None,
        },
        _ => return None,
    })
}

/// Id of `bpf_tail_call`.
const TAIL_CALL: i32 = 12;

/// Features of a program's reachable code, each with the first slot that needs it, in the order of [`Feature::ALL`].
pub(crate) fn of_program(program: &Program<'_>) -> Vec<(Feature, usize)> {
    let mut first = [usize::MAX; Feature::ALL.len()];
    let mut note = |feature: Feature, slot: usize| {
        if let Some(f) = first.get_mut(feature as usize) {
            *f = slot.min(*f);
        }
    };
    for graph in program.reachable_cfgs() {
        for block in graph.reverse_postorder() {
            for (slot, insn) in cfg::instructions(program.insns(), graph.block(*block)) {
                if let Some(feature) = of_insn(insn) {
                    note(feature, slot);
                }
                if insn.is_kfunc_call() {
                    note(Feature::Kfunc, slot);
                }
            }
        }
        for edge in graph.edges().iter().filter(|e| graph.is_back_edge(**e)) {
            note(
                Feature::BoundedLoop,
                graph.last(edge.from).unwrap_or_default(),
            );
        }
    }
    let calls_own = program.calls().iter().any(|c| c.kind == CallKind::Subprog);
    let tail_call = program
        .calls()
        .iter()
        .find(|c| c.kind == CallKind::Helper && c.number == TAIL_CALL);
    if let Some(call) = tail_call.filter(|_| calls_own) {
        note(Feature::TailCallBpf2bpf, call.slot);
    }
    let found = Feature::ALL.into_iter().zip(first);
    found.filter(|(_, slot)| *slot != usize::MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_all_is_the_order_of_the_enum() {
        for (index, feature) in Feature::ALL.into_iter().enumerate() {
            assert_eq!(feature as usize, index, "{feature:?}");
        }
    }
}
