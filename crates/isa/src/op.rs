//! Opcode parts, as `include/uapi/linux/bpf.h` and RFC 9669 number them.

/// Instruction classes: `code & 7`.
pub mod class {
    /// Immediate and legacy packet loads.
    pub const LD: u8 = 0;
    /// Loads from memory into a register.
    pub const LDX: u8 = 1;
    /// Stores of an immediate.
    pub const ST: u8 = 2;
    /// Stores of a register, and atomics.
    pub const STX: u8 = 3;
    /// 32-bit arithmetic; the upper half of the result is zero.
    pub const ALU: u8 = 4;
    /// 64-bit jumps, calls and exit.
    pub const JMP: u8 = 5;
    /// Jumps that compare the lower halves; its `JA` is `gotol`.
    pub const JMP32: u8 = 6;
    /// 64-bit arithmetic.
    pub const ALU64: u8 = 7;
}

/// Access widths of loads and stores: `code & 0x18`.
pub mod size {
    /// Four bytes.
    pub const W: u8 = 0x00;
    /// Two bytes.
    pub const H: u8 = 0x08;
    /// One byte.
    pub const B: u8 = 0x10;
    /// Eight bytes.
    pub const DW: u8 = 0x18;
}

/// Modes of loads and stores: `code & 0xe0`.
pub mod mode {
    /// `ld_imm64`.
    pub const IMM: u8 = 0x00;
    /// Legacy packet load at a constant offset.
    pub const ABS: u8 = 0x20;
    /// Legacy packet load at a register plus constant.
    pub const IND: u8 = 0x40;
    /// Plain memory.
    pub const MEM: u8 = 0x60;
    /// Sign-extending load (v4).
    pub const MEMSX: u8 = 0x80;
    /// Atomic read-modify-write, load-acquire, store-release.
    pub const ATOMIC: u8 = 0xc0;
}

/// Arithmetic operations: `code & 0xf0` in the ALU classes, and the operation part of an atomic's `imm`.
pub mod alu {
    /// Addition.
    pub const ADD: u8 = 0x00;
    /// Subtraction.
    pub const SUB: u8 = 0x10;
    /// Multiplication.
    pub const MUL: u8 = 0x20;
    /// Division; signed when `off` is 1.
    pub const DIV: u8 = 0x30;
    /// Bitwise or.
    pub const OR: u8 = 0x40;
    /// Bitwise and.
    pub const AND: u8 = 0x50;
    /// Shift left.
    pub const LSH: u8 = 0x60;
    /// Logical shift right.
    pub const RSH: u8 = 0x70;
    /// Negation.
    pub const NEG: u8 = 0x80;
    /// Remainder; signed when `off` is 1.
    pub const MOD: u8 = 0x90;
    /// Bitwise exclusive or.
    pub const XOR: u8 = 0xa0;
    /// Move; sign-extending when `off` is 8, 16 or 32, an address-space cast when `off` is 1.
    pub const MOV: u8 = 0xb0;
    /// Arithmetic shift right.
    pub const ARSH: u8 = 0xc0;
    /// Byte order: `le`/`be` in the 32-bit class, `bswap` in the 64-bit class.
    pub const END: u8 = 0xd0;
}

/// Jump operations: `code & 0xf0` in the jump classes.
pub mod jmp {
    /// `goto`; `gotol` in the 32-bit class; `gotox` with a register source.
    pub const JA: u8 = 0x00;
    /// Equal.
    pub const JEQ: u8 = 0x10;
    /// Unsigned greater.
    pub const JGT: u8 = 0x20;
    /// Unsigned greater or equal.
    pub const JGE: u8 = 0x30;
    /// Any bit in common.
    pub const JSET: u8 = 0x40;
    /// Not equal.
    pub const JNE: u8 = 0x50;
    /// Signed greater.
    pub const JSGT: u8 = 0x60;
    /// Signed greater or equal.
    pub const JSGE: u8 = 0x70;
    /// Call of a helper, a kfunc or a subprogram.
    pub const CALL: u8 = 0x80;
    /// Return.
    pub const EXIT: u8 = 0x90;
    /// Unsigned less (v2).
    pub const JLT: u8 = 0xa0;
    /// Unsigned less or equal (v2).
    pub const JLE: u8 = 0xb0;
    /// Signed less (v2).
    pub const JSLT: u8 = 0xc0;
    /// Signed less or equal (v2).
    pub const JSLE: u8 = 0xd0;
    /// Jump on a condition the kernel holds; `may_goto` with source register 0.
    pub const JCOND: u8 = 0xe0;
}

/// `imm` of an atomic instruction, beside the plain [`alu`] operations.
pub mod atomic {
    /// The old value comes back in the source register.
    pub const FETCH: i32 = 0x01;
    /// Exchange.
    pub const XCHG: i32 = 0xe1;
    /// Compare with r0 and exchange.
    pub const CMPXCHG: i32 = 0xf1;
    /// Load with acquire ordering (6.15).
    pub const LOAD_ACQ: i32 = 0x100;
    /// Store with release ordering (6.15).
    pub const STORE_REL: i32 = 0x110;
}

/// Source register of an `ld_imm64`: what its value stands for.
pub mod pseudo {
    /// A plain 64-bit constant.
    pub const IMM64: u8 = 0;
    /// A map, by file descriptor (by index into the object's maps in a linked program).
    pub const MAP_FD: u8 = 1;
    /// An address inside a map's value; the second half's `imm` is the offset.
    pub const MAP_VALUE: u8 = 2;
    /// A kernel variable, by BTF id.
    pub const BTF_ID: u8 = 3;
    /// A subprogram's address (callback), relative to this slot as in a call.
    pub const FUNC: u8 = 4;
    /// A map, by index into the load call's `fd_array`.
    pub const MAP_IDX: u8 = 5;
    /// An address inside a map's value, by index.
    pub const MAP_IDX_VALUE: u8 = 6;
    /// Source register of a call: a helper by number.
    pub const CALL_HELPER: u8 = 0;
    /// Source register of a call: a subprogram, relative to the next slot.
    pub const CALL_SUBPROG: u8 = 1;
    /// Source register of a call: a kfunc, by BTF id.
    pub const CALL_KFUNC: u8 = 2;
}
