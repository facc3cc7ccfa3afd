//! A linked program: functions, calls, maps.

use std::ops::Range;

use crate::cfg::instructions;
use crate::op::pseudo;
use crate::{Cfg, Chain, Endian, Feature, Insn, JumpTable, Values, features, stack, values};

/// What a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A kernel helper; the number is its id.
    Helper,
    /// A kernel function; the number is its BTF id as it stands in the slot.
    Kfunc,
    /// A function of this program, called directly.
    Subprog,
    /// A function of this program whose address is taken; the kernel may call it.
    Callback,
    /// A call through a register, which no kernel accepts; the number is the register.
    Register,
}

impl CallKind {
    /// The word shown to users: `helper`, `kfunc`, `subprog`, `callback`, `register`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Helper => "helper",
            Self::Kfunc => "kfunc",
            Self::Subprog => "subprog",
            Self::Callback => "callback",
            Self::Register => "register",
        }
    }
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
    cfgs: Vec<Cfg>,
    calls: Vec<Call>,
    reachable: Vec<bool>,
    roots: Vec<usize>,
    /// (first slot, function), ascending.
    starts: Vec<(usize, usize)>,
    /// Functions whose result is unknown to callers, ascending.
    replaceable: Vec<usize>,
}

impl<'a> Program<'a> {
    /// Builds each function's [`Cfg`] and the call graph. Ranges beyond the slots are cut.
    ///
    /// A function that no instruction at all refers to (the kernel calls it: an exception callback) counts as reachable.
    #[must_use]
    pub fn new(insns: &'a [Insn], funcs: &'a [Range<usize>], tables: &[JumpTable]) -> Self {
        let cfgs = funcs
            .iter()
            .map(|range| Cfg::new(insns, range.clone(), tables))
            .collect();
        let (calls, reachable) = (Vec::new(), vec![false; funcs.len()]);
        let mut starts: Vec<(usize, usize)> = funcs
            .iter()
            .enumerate()
            .map(|(f, range)| (range.start, f))
            .collect();
        starts.sort_unstable();
        let mut program = Self {
            insns,
            funcs,
            cfgs,
            calls,
            reachable,
            roots: Vec::new(),
            starts,
            replaceable: Vec::new(),
        };
        program.find_calls();
        program
    }

    /// Names the functions whose result nothing is known of, ascending: another function may stand in their place when
    /// the program runs, and the verifier looks at them by themselves.
    #[must_use]
    pub fn with_replaceable(mut self, functions: Vec<usize>) -> Self {
        self.replaceable = functions;
        self
    }

    pub(crate) fn is_replaceable(&self, function: usize) -> bool {
        self.replaceable.binary_search(&function).is_ok()
    }

    fn find_calls(&mut self) {
        // Calls of each function with whether their block is reachable from the function's start.
        let mut all: Vec<Vec<(Call, bool)>> = Vec::with_capacity(self.funcs.len());
        let mut referred = vec![false; self.funcs.len()];
        for (caller, cfg) in self.cfgs.iter().enumerate() {
            let mut calls = Vec::new();
            for (block, range) in cfg.blocks().enumerate() {
                let live = cfg.is_reachable(block);
                for (slot, insn) in instructions(self.insns, range) {
                    let Some((kind, number)) = classify(insn) else {
                        continue;
                    };
                    let callee = insn
                        .call_target(slot)
                        .and_then(|target| self.func_at(target));
                    if let Some(r) = callee.and_then(|f| referred.get_mut(f)) {
                        *r = true;
                    }
                    calls.push((
                        Call {
                            slot,
                            kind,
                            number,
                            caller,
                            callee,
                        },
                        live,
                    ));
                }
            }
            all.push(calls);
        }
        self.roots = (0..self.funcs.len())
            .filter(|f| *f == 0 || !referred.get(*f).copied().unwrap_or(false))
            .collect();
        let mut work = self.roots.clone();
        while let Some(f) = work.pop() {
            match self.reachable.get_mut(f) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            for (call, _) in all.get(f).into_iter().flatten().filter(|(_, live)| *live) {
                work.extend(call.callee);
                self.calls.push(*call);
            }
        }
        self.calls.sort_unstable_by_key(|call| call.slot);
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
        &self.cfgs
    }

    /// Control flow of the functions that can run.
    pub fn reachable_cfgs(&self) -> impl Iterator<Item = &Cfg> {
        self.cfgs
            .iter()
            .zip(&self.reachable)
            .filter(|(_, live)| **live)
            .map(|(cfg, _)| cfg)
    }

    /// The function can run: the entry, what it calls or passes as callback, and what nothing refers to.
    #[must_use]
    pub fn is_reachable(&self, func: usize) -> bool {
        self.reachable.get(func).copied().unwrap_or(false)
    }

    /// The entry and the functions no instruction refers to.
    #[must_use]
    pub fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// Function that starts at a slot.
    #[must_use]
    pub fn func_at(&self, slot: usize) -> Option<usize> {
        let found = self
            .starts
            .binary_search_by_key(&slot, |(start, _)| *start)
            .ok()?;
        self.starts.get(found).map(|(_, f)| *f)
    }

    /// Function whose range holds a slot.
    #[must_use]
    pub fn func_of(&self, slot: usize) -> Option<usize> {
        let after = self.starts.partition_point(|(start, _)| *start <= slot);
        let (_, f) = self.starts.get(after.checked_sub(1)?)?;
        self.funcs
            .get(*f)
            .filter(|range| range.contains(&slot))
            .map(|_| *f)
    }

    /// Calls in reachable code of reachable functions, by slot.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Map loads in reachable code of reachable functions, by slot.
    #[must_use]
    pub fn map_uses(&self) -> Vec<MapUse> {
        let mut uses = Vec::new();
        for cfg in self.reachable_cfgs() {
            for block in cfg.reverse_postorder() {
                let loads = instructions(self.insns, cfg.block(*block))
                    .filter(|(_, insn)| insn.is_ld_imm64());
                uses.extend(loads.filter_map(|(slot, insn)| {
                    let high = self.insns.get(slot + 1).map_or(0, |second| second.imm);
                    let (kind, offset) = match insn.src {
                        pseudo::MAP_FD | pseudo::MAP_IDX => (MapUseKind::Ref, 0),
                        pseudo::MAP_VALUE | pseudo::MAP_IDX_VALUE => (MapUseKind::Value, high),
                        _ => return None,
                    };
                    Some(MapUse {
                        slot,
                        map: insn.imm,
                        kind,
                        offset,
                    })
                }));
            }
        }
        uses.sort_unstable_by_key(|u| u.slot);
        uses
    }

    /// Slots of instructions that no path from the entry reaches, ascending; functions never called included.
    #[must_use]
    pub fn unreachable(&self) -> Vec<usize> {
        let mut slots = Vec::new();
        for (cfg, live) in self.cfgs.iter().zip(&self.reachable) {
            if *live {
                slots.extend(cfg.unreachable(self.insns));
            } else {
                slots.extend(instructions(self.insns, cfg.range()).map(|(slot, _)| slot));
            }
        }
        slots.sort_unstable();
        slots
    }

    /// First slot of each reachable loop that no path leaves (`goto -1` and the like), ascending.
    #[must_use]
    pub fn endless(&self) -> Vec<usize> {
        let mut slots: Vec<usize> = self
            .reachable_cfgs()
            .flat_map(|cfg| cfg.endless(self.insns))
            .collect();
        slots.sort_unstable();
        slots
    }

    /// Slots of reachable instructions after which control runs past the end of their function, ascending.
    #[must_use]
    pub fn falls_off(&self) -> Vec<usize> {
        let mut slots: Vec<usize> = self
            .reachable_cfgs()
            .flat_map(|cfg| cfg.falls_off().iter().copied())
            .collect();
        slots.sort_unstable();
        slots
    }

    /// Features of the instruction set in use, each with the first slot that needs it.
    #[must_use]
    pub fn features(&self) -> Vec<(Feature, usize)> {
        features::of_program(self)
    }

    /// What is known of values. `opaque`: slots (ascending) whose immediate is not what will run, because a CO-RE or
    /// extern relocation will change it; their results count as unknown. `endian` decides how bytes lie on the stack.
    #[must_use]
    pub fn values(&self, endian: Endian, opaque: &[usize]) -> Values {
        values::compute(self, endian, opaque)
    }

    /// Whether each slot can be reached when branches on known constants go one way only; `opaque` as in
    /// [`Program::values`]. `None` when the program is too big to say.
    #[must_use]
    pub fn reached(&self, endian: Endian, opaque: &[usize]) -> Option<Vec<bool>> {
        values::reached(self, endian, opaque)
    }

    /// Call chains from the entry and the asynchronous callbacks, deepest first; see [`crate::stack`].
    #[must_use]
    pub fn chains(&self, depths: &[u32], async_callbacks: &[usize]) -> Vec<Chain> {
        stack::chains(self, depths, async_callbacks)
    }
}

fn classify(insn: Insn) -> Option<(CallKind, i32)> {
    if insn.is_func_addr() {
        return Some((CallKind::Callback, 0));
    }
    if !insn.is_call() {
        return None;
    }
    Some(match insn.src {
        _ if insn.is_reg() => (CallKind::Register, insn.dst.into()),
        pseudo::CALL_SUBPROG => (CallKind::Subprog, 0),
        pseudo::CALL_KFUNC => (CallKind::Kfunc, insn.imm),
        _ => (CallKind::Helper, insn.imm),
    })
}
