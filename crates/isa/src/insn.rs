//! One 8-byte instruction slot, and its two byte orders.

use crate::op::{alu, atomic, class, jmp, mode, pseudo, size};

/// Byte order of an object; it also decides how a slot's two register nibbles lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// `bpfel`: x86-64, arm64, riscv, loongarch.
    Little,
    /// `bpfeb`: s390x, big-endian ppc64 and mips.
    Big,
}

/// One slot with every field kept as it is: decoding and encoding lose nothing, legal or not.
///
/// The second half of an `ld_imm64` is a slot of its own (`code` 0, the upper 32 bits in `imm`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Insn {
    /// Opcode: class in the lower three bits, see [`crate::op`].
    pub code: u8,
    /// Destination register, 0..=15 (the kernel accepts 0..=10).
    pub dst: u8,
    /// Source register or pseudo kind, 0..=15.
    pub src: u8,
    /// Jump distance in slots, memory offset in bytes, or an operation's variant.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

impl Insn {
    /// Bytes in a slot.
    pub const SIZE: usize = 8;

    /// Reads one slot.
    #[must_use]
    pub const fn decode(bytes: [u8; 8], endian: Endian) -> Self {
        let [code, regs, o0, o1, i0, i1, i2, i3] = bytes;
        match endian {
            Endian::Little => Self {
                code,
                dst: regs & 0xf,
                src: regs >> 4,
                off: i16::from_le_bytes([o0, o1]),
                imm: i32::from_le_bytes([i0, i1, i2, i3]),
            },
            // Bit fields of `struct bpf_insn` fill from the other end on big-endian machines: the registers swap.
            Endian::Big => Self {
                code,
                dst: regs >> 4,
                src: regs & 0xf,
                off: i16::from_be_bytes([o0, o1]),
                imm: i32::from_be_bytes([i0, i1, i2, i3]),
            },
        }
    }

    /// Writes one slot; the inverse of [`Insn::decode`] for any eight bytes.
    #[must_use]
    pub const fn encode(self, endian: Endian) -> [u8; 8] {
        let (lo, hi, [o0, o1], [i0, i1, i2, i3]) = match endian {
            Endian::Little => (
                self.dst,
                self.src,
                self.off.to_le_bytes(),
                self.imm.to_le_bytes(),
            ),
            Endian::Big => (
                self.src,
                self.dst,
                self.off.to_be_bytes(),
                self.imm.to_be_bytes(),
            ),
        };
        [self.code, (lo & 0xf) | (hi << 4), o0, o1, i0, i1, i2, i3]
    }

    /// `code & 7`, see [`class`].
    #[must_use]
    pub const fn class(self) -> u8 {
        self.code & 0x07
    }

    /// Operation of an ALU or jump instruction: `code & 0xf0`.
    #[must_use]
    pub const fn op(self) -> u8 {
        self.code & 0xf0
    }

    /// Mode of a load or store: `code & 0xe0`, see [`mode`].
    #[must_use]
    pub const fn mode(self) -> u8 {
        self.code & 0xe0
    }

    /// True when the second operand is a register.
    #[must_use]
    pub const fn is_reg(self) -> bool {
        self.code & 0x08 != 0
    }

    /// Bytes a load or store moves (meaningless for other classes).
    #[must_use]
    pub const fn width(self) -> u32 {
        match self.code & 0x18 {
            size::W => 4,
            size::H => 2,
            size::B => 1,
            _ => 8,
        }
    }

    /// First half of the 16-byte instruction.
    #[must_use]
    pub const fn is_ld_imm64(self) -> bool {
        self.code == class::LD | mode::IMM | size::DW
    }

    /// ALU or ALU64.
    #[must_use]
    pub const fn is_alu(self) -> bool {
        matches!(self.class(), class::ALU | class::ALU64)
    }

    /// JMP or JMP32, calls and exit included.
    #[must_use]
    pub const fn is_jmp_class(self) -> bool {
        matches!(self.class(), class::JMP | class::JMP32)
    }

    /// Any call (class JMP): helper, kfunc or subprogram.
    #[must_use]
    pub const fn is_call(self) -> bool {
        self.class() == class::JMP && self.op() == jmp::CALL
    }

    /// A call through a register (`callx`), which clang emits without optimisation and no kernel accepts.
    #[must_use]
    pub const fn is_callx(self) -> bool {
        self.is_call() && self.is_reg()
    }

    /// Call of a kernel helper by number (`imm`).
    #[must_use]
    pub const fn is_helper_call(self) -> bool {
        self.is_call() && !self.is_reg() && self.src == pseudo::CALL_HELPER
    }

    /// Call of a subprogram of the same program.
    #[must_use]
    pub const fn is_subprog_call(self) -> bool {
        self.is_call() && !self.is_reg() && self.src == pseudo::CALL_SUBPROG
    }

    /// Call of a kernel function by BTF id.
    #[must_use]
    pub const fn is_kfunc_call(self) -> bool {
        self.is_call() && !self.is_reg() && self.src == pseudo::CALL_KFUNC
    }

    /// `ld_imm64` of a subprogram's address.
    #[must_use]
    pub const fn is_func_addr(self) -> bool {
        self.is_ld_imm64() && self.src == pseudo::FUNC
    }

    /// Return from the function.
    #[must_use]
    pub const fn is_exit(self) -> bool {
        self.code == class::JMP | jmp::EXIT
    }

    /// Indirect jump, `gotox`.
    #[must_use]
    pub const fn is_gotox(self) -> bool {
        self.code == class::JMP | jmp::JA | 0x08
    }

    /// `goto` or `gotol`.
    #[must_use]
    pub const fn is_goto(self) -> bool {
        self.code == class::JMP | jmp::JA || self.code == class::JMP32 | jmp::JA
    }

    /// `may_goto`.
    #[must_use]
    pub const fn is_may_goto(self) -> bool {
        self.code == class::JMP | jmp::JCOND
    }

    /// A jump that may also fall through, `may_goto` included.
    #[must_use]
    pub const fn is_cond_jump(self) -> bool {
        self.is_jmp_class() && !matches!(self.op(), jmp::JA | jmp::CALL | jmp::EXIT | 0xf0)
    }

    /// Atomic instruction of any kind.
    #[must_use]
    pub const fn is_atomic(self) -> bool {
        self.class() == class::STX && self.mode() == mode::ATOMIC
    }

    /// `load_acquire`: reads memory through the source register, as a load does.
    #[must_use]
    pub const fn is_load_acquire(self) -> bool {
        self.is_atomic() && self.imm == atomic::LOAD_ACQ
    }

    /// Cast between the kernel's and user space's view of an arena pointer.
    #[must_use]
    pub const fn is_addr_space_cast(self) -> bool {
        self.code == class::ALU64 | alu::MOV | 0x08 && self.off == 1
    }

    /// Jump distance in slots from the next slot, for direct jumps; `gotol` has it in `imm`.
    #[must_use]
    pub const fn jump_offset(self) -> Option<i32> {
        if self.code == class::JMP32 | jmp::JA {
            Some(self.imm)
        } else if self.code == class::JMP | jmp::JA || self.is_cond_jump() {
            Some(self.off as i32)
        } else {
            None
        }
    }

    /// Target slot of a direct jump at `slot`; None for other instructions and targets before slot 0.
    #[must_use]
    pub fn jump_target(self, slot: usize) -> Option<usize> {
        relative(slot, self.jump_offset()?)
    }

    /// Target slot of a subprogram call or of a callback's `ld_imm64` at `slot`, in a linked program.
    #[must_use]
    pub fn call_target(self, slot: usize) -> Option<usize> {
        if self.is_subprog_call() || self.is_func_addr() {
            relative(slot, self.imm)
        } else {
            None
        }
    }
}

fn relative(slot: usize, distance: i32) -> Option<usize> {
    slot.checked_add(1)?
        .checked_add_signed(isize::try_from(distance).ok()?)
}

/// Decodes all whole slots; up to seven odd bytes at the end are left out.
#[must_use]
pub fn decode_all(bytes: &[u8], endian: Endian) -> Vec<Insn> {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|slot| Insn::decode(*slot, endian))
        .collect()
}

/// Encodes slots one after the other.
#[must_use]
pub fn encode_all(insns: &[Insn], endian: Endian) -> Vec<u8> {
    insns.iter().flat_map(|insn| insn.encode(endian)).collect()
}
