//! What one instruction does to a state.

use super::state::{Sets, State, Value};
use crate::op::{alu, atomic, class, mode, pseudo};
use crate::{Insn, Program};

/// Helpers that read but never write what their stack arguments point to: map lookup, update, delete, `trace_printk`,
/// tail call, `perf_event_output`, push, `ringbuf_output`, per-CPU lookup, and the skb and xdp output twins.
const READ_ONLY_HELPERS: [i32; 10] = [1, 2, 3, 6, 12, 25, 87, 111, 121, 130];
const READ_ONLY_PERCPU: i32 = 195;

/// The transfer function and what it needs besides the state.
pub(super) struct Machine<'p> {
    pub(super) program: &'p Program<'p>,
    pub(super) big_endian: bool,
    /// Slots whose immediate will be changed, ascending.
    pub(super) opaque: &'p [usize],
    pub(super) sets: Sets,
}

impl Machine<'_> {
    fn is_opaque(&self, slot: usize) -> bool {
        self.opaque.binary_search(&slot).is_ok()
    }

    /// Applies an instruction that is no call of the program's own functions; jumps change nothing here.
    pub(super) fn step(&mut self, state: &mut State, slot: usize, insn: Insn) {
        match insn.class() {
            class::ALU | class::ALU64 => {
                let value = self.alu(state, slot, insn);
                state.set(insn.dst, value);
            }
            class::LDX => {
                let value = match insn.mode() {
                    mode::MEM => self.load(state, insn, false),
                    mode::MEMSX => self.load(state, insn, true),
                    _ => Value::Any,
                };
                let value = if self.is_opaque(slot) {
                    self.clouded(value)
                } else {
                    value
                };
                state.set(insn.dst, value);
            }
            class::ST if insn.mode() == mode::MEM => {
                let value = if self.is_opaque(slot) {
                    None
                } else {
                    Some(Value::Const(insn.imm.into()))
                };
                store(state, insn, value);
            }
            class::STX if insn.mode() == mode::MEM => {
                let value = state.get(insn.src);
                let fits = insn.width() == 8 || matches!(value, Value::Const(_));
                store(state, insn, Some(value).filter(|_| fits));
            }
            class::STX if insn.is_atomic() => self.atomic(state, insn),
            class::LD => self.ld(state, slot, insn),
            class::JMP if insn.is_call() => call(state, insn),
            _ => {}
        }
    }

    /// What is left when the instruction's numbers are not the final ones.
    fn clouded(&self, value: Value) -> Value {
        if value.may_be_stack() {
            Value::Any
        } else if self.sets.is_u32(value) {
            Value::U32
        } else {
            Value::Other
        }
    }

    fn ld(&self, state: &mut State, slot: usize, insn: Insn) {
        if !insn.is_ld_imm64() {
            // Legacy packet loads clobber like a call.
            clobber(state, Value::U32);
            return;
        }
        let high = self
            .program
            .insns()
            .get(slot + 1)
            .map_or(0, |second| second.imm);
        let value = match insn.src {
            pseudo::IMM64 if !self.is_opaque(slot) => {
                Value::Const((i64::from(high) << 32) | i64::from(insn.imm as u32))
            }
            pseudo::MAP_FD | pseudo::MAP_IDX => Value::Map(insn.imm),
            pseudo::MAP_VALUE | pseudo::MAP_IDX_VALUE => Value::InMap(insn.imm, high),
            pseudo::FUNC => insn
                .call_target(slot)
                .and_then(|t| self.program.func_at(t))
                .map_or(Value::Other, Value::Func),
            _ => Value::Other,
        };
        state.set(insn.dst, value);
    }

    fn load(&self, state: &State, insn: Insn, signed: bool) -> Value {
        let width = insn.width();
        let narrow = if width == 8 || signed {
            Value::Other
        } else {
            Value::U32
        };
        let base = state.get(insn.src);
        let Value::Stack(base) = base else {
            // Only stack memory can hold stack addresses.
            let address = width == 8 && base.may_be_stack() && state.holds_address();
            return if address { Value::Any } else { narrow };
        };
        let off = base.saturating_add(insn.off.into());
        let size = width as i32;
        let constant = |bytes: &[u8]| {
            let order: &mut dyn Iterator<Item = &u8> = if self.big_endian {
                &mut bytes.iter()
            } else {
                &mut bytes.iter().rev()
            };
            let value = order.fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
            let unused = 64 - width * 8;
            let shifted = value << unused;
            Value::Const(if signed {
                (shifted as i64) >> unused
            } else {
                (shifted >> unused) as i64
            })
        };
        match state.load(off, size) {
            Some(value) if width == 8 => return value,
            None | Some(_) => {}
        }
        let bytes = state.bytes(off, width as usize, self.big_endian);
        if bytes.len() == width as usize {
            constant(&bytes)
        } else if width == 8 && state.holds_address() {
            Value::Any
        } else {
            // What calls write is never an address in this stack.
            narrow
        }
    }

    fn atomic(&mut self, state: &mut State, insn: Insn) {
        match insn.imm {
            atomic::LOAD_ACQ => {
                let value = self.load(state, insn, false);
                state.set(insn.dst, value);
            }
            atomic::STORE_REL => {
                let value = state.get(insn.src);
                let fits = insn.width() == 8 || matches!(value, Value::Const(_));
                store(state, insn, Some(value).filter(|_| fits));
            }
            imm => {
                store(state, insn, None);
                let result = if insn.width() == 8 {
                    Value::Other
                } else {
                    Value::U32
                };
                if imm == atomic::CMPXCHG {
                    state.set(0, result);
                } else if imm & atomic::FETCH != 0 {
                    state.set(insn.src, result);
                }
            }
        }
    }

    /// `pointer + sign * number`, for what is followed through additions.
    fn shift(&self, pointer: Value, number: Value, sign: i64) -> Option<Value> {
        let distance = match number {
            Value::Const(c) => c.checked_mul(sign).and_then(|c| i32::try_from(c).ok()),
            _ => None,
        };
        if let Some(d) = distance {
            return Some(match pointer {
                Value::Stack(off) => Value::Stack(off.checked_add(d)?),
                Value::StackPlus(off) => Value::StackPlus(off.checked_add(d)?),
                Value::Ctx(off) => Value::Ctx(off.checked_add(d)?),
                Value::InMap(map, off) => Value::InMap(map, off.checked_add(d)?),
                Value::AtLeast(low) => Value::AtLeast(low.checked_add(d)?),
                Value::U32 => Value::AtLeast(d),
                _ => return None,
            });
        }
        // The verifier takes the least the number can be. Where that is not known here, compilers index upwards from
        // the start of the object.
        match pointer {
            Value::Stack(off) | Value::StackPlus(off) if sign > 0 && !number.may_be_stack() => {
                Some(Value::StackPlus(
                    off.checked_add(self.sets.at_least(number).unwrap_or(0))?,
                ))
            }
            _ => None,
        }
    }

    fn alu(&mut self, state: &State, slot: usize, insn: Insn) -> Value {
        let wide = insn.class() == class::ALU64;
        let dst = state.get(insn.dst);
        if self.is_opaque(slot) {
            let by = if insn.op() == alu::MOV {
                Value::Other
            } else {
                dst
            };
            return match by.stack_base() {
                Some(off) => Value::StackPlus(off),
                None if by == Value::Any => Value::Any,
                None if wide => Value::Other,
                None => Value::U32,
            };
        }
        let src = if insn.is_reg() {
            state.get(insn.src)
        } else {
            Value::Const(insn.imm.into())
        };
        let low = |c: i64| i64::from(c as u32);
        match insn.op() {
            alu::MOV if !insn.is_reg() || insn.off == 0 => {
                if wide {
                    return src;
                }
                return self.sets.map(src, low).unwrap_or(Value::U32);
            }
            alu::MOV => {
                let extend: fn(i64) -> i64 = match insn.off {
                    8 => |c| i64::from(c as i8),
                    16 => |c| i64::from(c as i16),
                    32 => |c| i64::from(c as i32),
                    _ => return Value::Other,
                };
                let extended = self
                    .sets
                    .map(src, |c| if wide { extend(c) } else { low(extend(c)) });
                return extended.unwrap_or(if wide { Value::Other } else { Value::U32 });
            }
            alu::NEG => {
                let negated = self.sets.map(dst, |c| {
                    if wide {
                        c.wrapping_neg()
                    } else {
                        low(c.wrapping_neg())
                    }
                });
                return negated.unwrap_or(if wide { Value::Other } else { Value::U32 });
            }
            alu::END => {
                let big = self.big_endian;
                return self
                    .sets
                    .map(dst, |c| byte_order(c, insn, big))
                    .unwrap_or(Value::Other);
            }
            alu::ADD if wide => {
                if let Some(moved) = self.shift(dst, src, 1).or_else(|| self.shift(src, dst, 1)) {
                    return moved;
                }
            }
            alu::SUB if wide => {
                if let Some(moved) = self.shift(dst, src, -1) {
                    return moved;
                }
            }
            alu::XOR | alu::SUB if insn.is_reg() && insn.src == insn.dst => return Value::Const(0),
            _ => {}
        }
        // A mask without the sign bit leaves a small number, whatever there was.
        if matches!((insn.op(), src), (alu::AND, Value::Const(0..=0xffff_ffff)))
            && self.sets.constants(dst).is_none()
        {
            return if dst.may_be_stack() {
                Value::Any
            } else {
                Value::U32
            };
        }
        let folded = match (dst, src) {
            (left, Value::Const(right)) => {
                self.sets.map(left, |left| fold(insn, wide, left, right))
            }
            (Value::Const(left), right) => {
                self.sets.map(right, |right| fold(insn, wide, left, right))
            }
            _ => None,
        };
        match folded {
            Some(value) => value,
            None if !wide => Value::U32,
            None if dst.may_be_stack() || src.may_be_stack() => Value::Any,
            // Masking, shifting right or dividing a small number leaves it small.
            None if matches!(insn.op(), alu::AND | alu::RSH | alu::DIV | alu::MOD)
                && insn.off == 0
                && self.sets.is_u32(dst) =>
            {
                Value::U32
            }
            None => Value::Other,
        }
    }
}

fn fold(insn: Insn, wide: bool, left: i64, right: i64) -> i64 {
    if !wide {
        return i64::from(fold32(insn, left as i32, right as i32) as u32);
    }
    let (ul, ur) = (left as u64, right as u64);
    match insn.op() {
        alu::ADD => left.wrapping_add(right),
        alu::SUB => left.wrapping_sub(right),
        alu::MUL => left.wrapping_mul(right),
        alu::DIV if insn.off == 1 => {
            if right == 0 {
                0
            } else {
                left.wrapping_div(right)
            }
        }
        alu::DIV => ul.checked_div(ur).unwrap_or(0) as i64,
        alu::MOD if insn.off == 1 => {
            if right == 0 {
                left
            } else {
                left.wrapping_rem(right)
            }
        }
        alu::MOD => ul.checked_rem(ur).unwrap_or(ul) as i64,
        alu::OR => left | right,
        alu::AND => left & right,
        alu::XOR => left ^ right,
        alu::LSH => left.wrapping_shl(right as u32),
        alu::RSH => ul.wrapping_shr(right as u32) as i64,
        _ => left.wrapping_shr(right as u32),
    }
}

fn fold32(insn: Insn, left: i32, right: i32) -> i32 {
    let (ul, ur) = (left as u32, right as u32);
    match insn.op() {
        alu::ADD => left.wrapping_add(right),
        alu::SUB => left.wrapping_sub(right),
        alu::MUL => left.wrapping_mul(right),
        alu::DIV if insn.off == 1 => {
            if right == 0 {
                0
            } else {
                left.wrapping_div(right)
            }
        }
        alu::DIV => ul.checked_div(ur).unwrap_or(0) as i32,
        alu::MOD if insn.off == 1 => {
            if right == 0 {
                left
            } else {
                left.wrapping_rem(right)
            }
        }
        alu::MOD => ul.checked_rem(ur).unwrap_or(ul) as i32,
        alu::OR => left | right,
        alu::AND => left & right,
        alu::XOR => left ^ right,
        alu::LSH => left.wrapping_shl(ur),
        alu::RSH => ul.wrapping_shr(ur) as i32,
        _ => left.wrapping_shr(ur),
    }
}

/// `le`, `be` and `bswap` on a machine of the program's byte order.
fn byte_order(value: i64, insn: Insn, big_endian: bool) -> i64 {
    let swap = insn.class() == class::ALU64 || insn.is_reg() != big_endian;
    let bits = value as u64;
    let result = match (insn.imm, swap) {
        (16, true) => u64::from((bits as u16).swap_bytes()),
        (32, true) => u64::from((bits as u32).swap_bytes()),
        (16, false) => u64::from(bits as u16),
        (32, false) => u64::from(bits as u32),
        (_, true) => bits.swap_bytes(),
        (_, false) => bits,
    };
    result as i64
}

/// A store through the destination register; None when the value is not followed.
fn store(state: &mut State, insn: Insn, value: Option<Value>) {
    let hides_address = match insn.class() {
        class::STX => insn.width() == 8 && state.get(insn.src).may_be_stack(),
        _ => false,
    };
    match state.get(insn.dst) {
        Value::Stack(base) => {
            let off = base.saturating_add(insn.off.into());
            state.store(off, insn.width() as i32, value);
            state.escaped |= hides_address && value.is_none();
        }
        Value::StackPlus(_) | Value::Any => {
            state.forget(i32::MIN, i32::MAX);
            state.escaped |= hides_address;
        }
        _ => state.escaped |= hides_address,
    }
}

fn clobber(state: &mut State, result: Value) {
    state.set(0, result);
    for reg in 1..=5 {
        state.set(reg, Value::Other);
    }
}

fn call(state: &mut State, insn: Insn) {
    let reads_only = insn.is_helper_call()
        && (READ_ONLY_HELPERS.contains(&insn.imm) || insn.imm == READ_ONLY_PERCPU);
    if !reads_only {
        state.forget_reachable(state.args());
    }
    // A helper's result never points to the stack; a kfunc's can (`bpf_dynptr_slice` may return its buffer).
    clobber(
        state,
        if insn.is_helper_call() {
            Value::Other
        } else {
            Value::Any
        },
    );
}

/// What a call of one of the program's own functions leaves in the caller's state.
pub(super) fn returned(state: &mut State, result: Value) {
    state.forget_reachable(state.args());
    clobber(state, result);
}
