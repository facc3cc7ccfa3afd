//! Abstract values and the machine state they make up.

use std::collections::HashMap;

/// Constants kept apart where paths with different ones meet.
const MAX_SET: usize = 8;

/// Spilled values followed per function.
const MAX_CELLS: usize = 96;

/// Stack below this is not followed (the kernel allows 512 bytes).
const LOWEST: i32 = -4096;

/// What a register holds. The order of precision is: a value, then `U32` or `Other`, then `Any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Anything, an address in this function's stack included.
    Any,
    /// Anything but an address in this function's stack.
    Other,
    /// A number below 2^32.
    U32,
    /// A number not below this; only good for telling how deep into the stack an index reaches.
    AtLeast(i32),
    Const(i64),
    /// One of the constants of a [`Sets`] entry.
    Set(u32),
    Ctx(i32),
    Map(i32),
    /// Map and offset in its value.
    InMap(i32, i32),
    /// r10 plus this.
    Stack(i32),
    /// r10 plus this plus something unknown.
    StackPlus(i32),
    Func(usize),
}

impl Value {
    /// May be an address in this function's stack.
    pub(super) fn may_be_stack(self) -> bool {
        matches!(self, Self::Any | Self::Stack(_) | Self::StackPlus(_))
    }

    /// Constant part of a stack address.
    pub(super) fn stack_base(self) -> Option<i32> {
        match self {
            Self::Stack(off) | Self::StackPlus(off) => Some(off),
            _ => None,
        }
    }
}

/// Small sets of constants, each stored once.
#[derive(Debug, Default)]
pub(super) struct Sets {
    sets: Vec<Vec<i64>>,
    index: HashMap<Vec<i64>, u32>,
}

impl Sets {
    /// Constants of a value, when it has finitely many.
    pub(super) fn constants(&self, value: Value) -> Option<Vec<i64>> {
        match value {
            Value::Const(c) => Some(vec![c]),
            Value::Set(id) => self.sets.get(id as usize).cloned(),
            _ => None,
        }
    }

    /// The value that is one of these constants.
    pub(super) fn value(&mut self, mut constants: Vec<i64>) -> Value {
        constants.sort_unstable();
        constants.dedup();
        match constants.as_slice() {
            [one] => return Value::Const(*one),
            [] => return Value::Other,
            many if many.len() > MAX_SET => {
                let small = many.iter().all(|c| u32::try_from(*c).is_ok());
                return if small { Value::U32 } else { Value::Other };
            }
            _ => {}
        }
        if let Some(id) = self.index.get(&constants) {
            return Value::Set(*id);
        }
        let id = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(constants.clone());
        self.index.insert(constants, id);
        Value::Set(id)
    }

    /// Applies `f` to each constant, when there are only finitely many.
    pub(super) fn map(&mut self, value: Value, f: impl Fn(i64) -> i64) -> Option<Value> {
        if let Value::Const(c) = value {
            return Some(Value::Const(f(c)));
        }
        let constants = self.constants(value)?;
        Some(self.value(constants.into_iter().map(f).collect()))
    }

    /// True when all values are below 2^32.
    pub(super) fn is_u32(&self, value: Value) -> bool {
        match value {
            Value::U32 => true,
            Value::Const(c) => u32::try_from(c).is_ok(),
            Value::Set(id) => self
                .sets
                .get(id as usize)
                .is_some_and(|s| s.iter().all(|c| u32::try_from(*c).is_ok())),
            _ => false,
        }
    }

    /// The least number a value can be, where that is known and small.
    pub(super) fn at_least(&self, value: Value) -> Option<i32> {
        match value {
            Value::AtLeast(low) => Some(low),
            Value::U32 => Some(0),
            Value::Const(c) => i32::try_from(c).ok(),
            Value::Set(id) => i32::try_from(*self.sets.get(id as usize)?.first()?).ok(),
            _ => None,
        }
    }

    /// What holds for both.
    pub(super) fn join(&mut self, a: Value, b: Value) -> Value {
        if a == b {
            return a;
        }
        if let (Some(low), Some(other)) = (a.stack_base(), b.stack_base()) {
            return Value::StackPlus(low.min(other));
        }
        if a.may_be_stack() || b.may_be_stack() {
            return Value::Any;
        }
        if let (Some(mut all), Some(more)) = (self.constants(a), self.constants(b)) {
            all.extend(more);
            return self.value(all);
        }
        if self.is_u32(a) && self.is_u32(b) {
            Value::U32
        } else {
            Value::Other
        }
    }
}

/// A value the function spilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// First byte, relative to r10.
    pub(super) off: i32,
    pub(super) size: i32,
    pub(super) value: Value,
}

impl Cell {
    fn end(&self) -> i32 {
        self.off + self.size
    }
}

/// Registers r0..r10 and the followed part of the stack, at one point of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    regs: [Value; 11],
    /// By offset, not overlapping.
    cells: Vec<Cell>,
    /// A stack address lies somewhere in memory that is not followed.
    pub(super) escaped: bool,
}

impl State {
    /// At a function's start, with r1..r5 as given.
    pub(super) fn entry(args: [Value; 5]) -> Self {
        let mut regs = [Value::Other; 11];
        for (reg, arg) in regs.iter_mut().skip(1).zip(args) {
            *reg = arg;
        }
        regs[10] = Value::Stack(0);
        Self {
            regs,
            cells: Vec::new(),
            escaped: false,
        }
    }

    /// Nothing known but r10.
    pub(super) fn unknown() -> Self {
        let mut regs = [Value::Any; 11];
        regs[10] = Value::Stack(0);
        Self {
            regs,
            cells: Vec::new(),
            escaped: true,
        }
    }

    pub(super) fn get(&self, reg: u8) -> Value {
        self.regs
            .get(usize::from(reg))
            .copied()
            .unwrap_or(Value::Any)
    }

    pub(super) fn set(&mut self, reg: u8, value: Value) {
        // r10 cannot be written; code that tries is refused by the kernel.
        if let Some(r) = self.regs.get_mut(usize::from(reg)).filter(|_| reg < 10) {
            *r = value;
        }
    }

    pub(super) fn args(&self) -> [Value; 5] {
        let [_, r1, r2, r3, r4, r5, ..] = self.regs;
        [r1, r2, r3, r4, r5]
    }

    /// Forgets the bytes `from..to`.
    pub(super) fn forget(&mut self, from: i32, to: i32) {
        let mut escaped = false;
        self.cells.retain(|cell| {
            let keep = cell.end() <= from || cell.off >= to;
            escaped |= !keep && cell.value.may_be_stack();
            keep
        });
        self.escaped |= escaped;
    }

    /// Writes `size` bytes at `off`; None forgets what was there.
    pub(super) fn store(&mut self, off: i32, size: i32, value: Option<Value>) {
        let escaped = self.escaped;
        self.forget(off, off.saturating_add(size));
        // What is overwritten is gone, not hidden.
        self.escaped = escaped;
        if !(LOWEST..0).contains(&off) {
            self.escaped |= value.is_some_and(Value::may_be_stack);
            return;
        }
        let Some(value) = value.filter(|v| *v != Value::Any) else {
            return;
        };
        if self.cells.len() >= MAX_CELLS {
            self.escaped |= value.may_be_stack();
            return;
        }
        let at = self.cells.partition_point(|cell| cell.off < off);
        self.cells.insert(at, Cell { off, size, value });
    }

    /// An address in this stack may lie somewhere in this stack.
    pub(super) fn holds_address(&self) -> bool {
        self.escaped || self.cells.iter().any(|cell| cell.value.may_be_stack())
    }

    /// The value spilled exactly here.
    pub(super) fn load(&self, off: i32, size: i32) -> Option<Value> {
        let at = self
            .cells
            .binary_search_by_key(&off, |cell| cell.off)
            .ok()?;
        self.cells
            .get(at)
            .filter(|cell| cell.size == size)
            .map(|cell| cell.value)
    }

    /// Constant bytes from `off` up, at most `max`.
    pub(super) fn bytes(&self, off: i32, max: usize, big_endian: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = off;
        let first = self.cells.partition_point(|cell| cell.end() <= off);
        for cell in self.cells.iter().skip(first) {
            let Value::Const(c) = cell.value else { break };
            if cell.off > at || bytes.len() >= max {
                break;
            }
            let size = usize::try_from(cell.size).unwrap_or(0);
            let all = if big_endian {
                c.to_be_bytes()
            } else {
                c.to_le_bytes()
            };
            let own = if big_endian {
                all.get(8 - size.min(8)..)
            } else {
                all.get(..size)
            };
            let skip = usize::try_from(at - cell.off).unwrap_or(0);
            bytes.extend(own.unwrap_or_default().iter().skip(skip));
            at = cell.end();
        }
        bytes.truncate(max);
        bytes
    }

    /// A call may write through the addresses it gets: forgets what they can reach.
    pub(super) fn forget_reachable(&mut self, args: [Value; 5]) {
        if !args.iter().any(|arg| arg.may_be_stack()) {
            return;
        }
        if self.escaped || args.contains(&Value::Any) {
            self.forget(i32::MIN, i32::MAX);
            return;
        }
        let mut low = args
            .iter()
            .filter_map(|arg| arg.stack_base())
            .min()
            .unwrap_or(0);
        loop {
            // A structure on the stack may point further down the stack.
            let pointed = self
                .cells
                .iter()
                .filter(|cell| cell.end() > low)
                .filter_map(|cell| cell.value.stack_base());
            let lower = pointed.min().unwrap_or(low).min(low);
            if lower == low {
                break;
            }
            low = lower;
        }
        self.forget(low, i32::MAX);
    }

    /// Makes this state hold for `other` too; true when it changed. With `widen`, what differs becomes unknown at once.
    pub(super) fn join(&mut self, other: &Self, sets: &mut Sets, widen: bool) -> bool {
        let mut changed = false;
        for (own, new) in self.regs.iter_mut().zip(&other.regs) {
            if own != new {
                let mut joined = sets.join(*own, *new);
                if widen && joined != *own {
                    joined = if joined.may_be_stack() {
                        Value::Any
                    } else {
                        Value::Other
                    };
                }
                changed |= joined != *own;
                *own = joined;
            }
        }
        let mut escaped = self.escaped | other.escaped;
        self.cells.retain_mut(|cell| {
            let joined = match other.load(cell.off, cell.size) {
                Some(value) if value == cell.value => return true,
                Some(value) if !widen => sets.join(cell.value, value),
                _ => Value::Any,
            };
            if joined == cell.value {
                return true;
            }
            changed = true;
            if joined == Value::Any {
                escaped |= cell.value.may_be_stack();
                return false;
            }
            cell.value = joined;
            true
        });
        // Cells only the other side has are lost here; a stack address in them is not.
        escaped |= other
            .cells
            .iter()
            .any(|c| c.value.may_be_stack() && self.load(c.off, c.size).is_none());
        changed |= escaped != self.escaped;
        self.escaped = escaped;
        changed
    }
}
