//! The fixpoint over all functions of a program, and what is read off it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::state::{State, Value};
use super::step::{Machine, returned};
use super::{Arg, CallArgs, Exit, Values, bytes};
use crate::cfg::{Edge, EdgeKind, instructions};
use crate::op::{class, jmp};
use crate::{Endian, Insn, Program};

/// Visits of a block after which what still changes becomes unknown at once.
const PATIENCE: u32 = 24;

/// Instructions stepped through per slot of the program, and for short programs in any case.
const BUDGET_PER_SLOT: usize = 24;
const BUDGET_LEAST: usize = 1 << 21;

/// Bytes of stack contents reported with a call's argument.
const MAX_BYTES: usize = 64;

pub(crate) fn compute(program: &Program<'_>, endian: Endian, opaque: &[usize]) -> Values {
    let machine = Machine {
        program,
        big_endian: endian == Endian::Big,
        opaque,
        sets: super::state::Sets::default(),
    };
    let mut flow = Flow::new(machine);
    let complete = flow.run();
    flow.read_off(complete)
}

/// Whether each slot can be reached when branches whose condition is a known constant go one way only; `None` when the
/// time bound cut the propagation short.
pub(crate) fn reached(
    program: &Program<'_>,
    endian: Endian,
    opaque: &[usize],
) -> Option<Vec<bool>> {
    let machine = Machine {
        program,
        big_endian: endian == Endian::Big,
        opaque,
        sets: super::state::Sets::default(),
    };
    let mut flow = Flow::new(machine);
    flow.decides = true;
    if !flow.run() {
        return None;
    }
    let mut reached = vec![false; program.insns().len()];
    for (node, (f, block)) in flow.nodes.iter().enumerate() {
        if flow.states.get(node).is_none_or(Option::is_none) {
            continue;
        }
        let Some(cfg) = program.cfgs().get(*f) else {
            continue;
        };
        if let Some(slots) = reached.get_mut(cfg.block(*block)) {
            slots.fill(true);
        }
    }
    Some(reached)
}

/// A block of the whole program: functions' blocks one after the other, each function's by reverse postorder rank.
type Node = usize;

struct Flow<'p> {
    machine: Machine<'p>,
    /// First node of each function.
    first: Vec<Node>,
    /// (function, block) of each node.
    nodes: Vec<(usize, usize)>,
    states: Vec<Option<State>>,
    visits: Vec<u32>,
    queued: Vec<bool>,
    queue: BinaryHeap<Reverse<Node>>,
    /// What each function returns, once an exit was reached.
    results: Vec<Option<Value>>,
    /// Nodes that call each function.
    callers: Vec<Vec<Node>>,
    budget: usize,
    /// Whether a branch on a known constant is taken one way only.
    decides: bool,
}

impl<'p> Flow<'p> {
    fn new(machine: Machine<'p>) -> Self {
        let program = machine.program;
        let count = program.funcs().len();
        let (mut first, mut nodes) = (Vec::with_capacity(count), Vec::new());
        for (f, cfg) in program.cfgs().iter().enumerate() {
            first.push(nodes.len());
            nodes.extend(cfg.reverse_postorder().iter().map(|block| (f, *block)));
        }
        let total = nodes.len();
        Self {
            machine,
            first,
            nodes,
            states: vec![None; total],
            visits: vec![0; total],
            queued: vec![false; total],
            queue: BinaryHeap::new(),
            results: vec![None; count],
            callers: vec![Vec::new(); count],
            budget: BUDGET_LEAST.max(program.insns().len().saturating_mul(BUDGET_PER_SLOT)),
            decides: false,
        }
    }

    /// To the fixpoint; false when the budget ran out.
    fn run(&mut self) -> bool {
        let program = self.machine.program;
        for root in program.roots() {
            let mut args = [Value::Other; 5];
            if *root == 0 {
                args[0] = Value::Ctx(0);
            }
            self.enter(*root, &State::entry(args));
        }
        while let Some(Reverse(node)) = self.queue.pop() {
            if let Some(q) = self.queued.get_mut(node) {
                *q = false;
            }
            let Some(state) = self.states.get(node).cloned().flatten() else {
                continue;
            };
            let Some(v) = self.visits.get_mut(node) else {
                continue;
            };
            *v += 1;
            if !self.visit(node, state) {
                return false;
            }
        }
        true
    }

    /// Joins a state into a function's first block.
    fn enter(&mut self, f: usize, state: &State) {
        let Some(cfg) = self
            .machine
            .program
            .cfgs()
            .get(f)
            .filter(|cfg| !cfg.is_empty())
        else {
            return;
        };
        let first = self.first.get(f).copied().unwrap_or_default();
        if cfg.unknown_jumps().is_empty() {
            self.join(first, state);
        } else {
            // A jump to anywhere: nothing can be said at any block.
            for node in first..first + cfg.reverse_postorder().len() {
                self.join(node, &State::unknown());
            }
        }
    }

    fn join(&mut self, node: Node, state: &State) {
        let widen = self.visits.get(node).is_some_and(|v| *v > PATIENCE);
        let changed = match self.states.get_mut(node) {
            Some(Some(own)) => own.join(state, &mut self.machine.sets, widen),
            Some(none) => {
                *none = Some(state.clone());
                true
            }
            None => false,
        };
        if let Some(q) = self.queued.get_mut(node).filter(|q| changed && !**q) {
            *q = true;
            self.queue.push(Reverse(node));
        }
    }

    /// Steps through a block and on to its successors; false when the budget ran out.
    fn visit(&mut self, node: Node, mut state: State) -> bool {
        let program = self.machine.program;
        let Some((f, block)) = self.nodes.get(node).copied() else {
            return true;
        };
        let Some(cfg) = program.cfgs().get(f) else {
            return true;
        };
        let range = cfg.block(block);
        match self.budget.checked_sub(range.len()) {
            Some(left) => self.budget = left,
            None => return false,
        }
        for (slot, insn) in instructions(program.insns(), range) {
            if insn.is_func_addr() {
                // The kernel calls it with values of its own.
                if let Some(callback) = insn.call_target(slot).and_then(|t| program.func_at(t)) {
                    self.enter(callback, &State::entry([Value::Other; 5]));
                }
            }
            if insn.is_subprog_call() {
                match insn.call_target(slot).and_then(|t| program.func_at(t)) {
                    Some(callee) => {
                        if !self.call(node, callee, &mut state) {
                            // Nothing returned from there yet; this block comes again when something does.
                            return true;
                        }
                    }
                    None => returned(&mut state, Value::Any),
                }
                continue;
            }
            if insn.is_exit() {
                self.leave(f, state.get(0));
            }
            self.machine.step(&mut state, slot, insn);
        }
        let branch = cfg
            .last(block)
            .and_then(|last| program.insns().get(last))
            .copied();
        let base = self.first.get(f).copied().unwrap_or_default();
        for edge in cfg.out(block) {
            let Some(rank) = cfg.rank(edge.to) else {
                continue;
            };
            if self.decides
                && branch
                    .and_then(|insn| self.left(&state, insn, *edge))
                    .is_some_and(|left| left.is_empty())
            {
                continue;
            }
            match branch.and_then(|insn| self.refined(&state, insn, *edge)) {
                Some(refined) => self.join(base + rank, &refined),
                None => self.join(base + rank, &state),
            }
        }
        true
    }

    /// Enters a called function; true when it is known to return, with its result in the state.
    fn call(&mut self, node: Node, callee: usize, state: &mut State) -> bool {
        if let Some(callers) = self
            .callers
            .get_mut(callee)
            .filter(|c| c.last() != Some(&node))
        {
            callers.push(node);
        }
        // The caller's stack is not the called function's.
        let args = state.args().map(|arg| {
            if arg.may_be_stack() {
                Value::Other
            } else {
                arg
            }
        });
        self.enter(callee, &State::entry(args));
        match self.result(callee) {
            Some(result) => {
                returned(state, result);
                true
            }
            None => false,
        }
    }

    /// What a called function returns, `None` when no exit was reached yet.
    fn result(&self, callee: usize) -> Option<Value> {
        let result = self.results.get(callee).copied().flatten()?;
        Some(if self.machine.program.is_replaceable(callee) {
            Value::Other
        } else {
            result
        })
    }

    fn leave(&mut self, f: usize, result: Value) {
        let result = if result.may_be_stack() {
            Value::Any
        } else {
            result
        };
        let Some(known) = self.results.get(f).copied() else {
            return;
        };
        let joined = match known {
            Some(known) => self.machine.sets.join(known, result),
            None => result,
        };
        if known == Some(joined) {
            return;
        }
        if let Some(r) = self.results.get_mut(f) {
            *r = Some(joined);
        }
        let mut callers = self.callers.get(f).cloned().unwrap_or_default();
        callers.sort_unstable();
        callers.dedup();
        for node in callers.iter().copied() {
            if let Some(q) = self.queued.get_mut(node).filter(|q| !**q) {
                *q = true;
                self.queue.push(Reverse(node));
            }
        }
        if let Some(list) = self.callers.get_mut(f) {
            *list = callers;
        }
    }

    /// What a comparison with a constant says on one of its edges.
    fn refined(&mut self, state: &State, insn: Insn, edge: Edge) -> Option<State> {
        let test = Test::of(insn, edge)?;
        let value = state.get(insn.dst);
        let known = match self.left(state, insn, edge) {
            Some(left) if left.is_empty() => return None,
            Some(left) => self.machine.sets.value(left),
            // A 32-bit comparison says nothing about the upper half.
            None if test.says_equal() && !test.narrow => Value::Const(test.constant),
            None if test.says_equal() && value == Value::U32 => {
                Value::Const(i64::from(test.constant as u32))
            }
            None => return None,
        };
        if known == value {
            return None;
        }
        let mut refined = state.clone();
        refined.set(insn.dst, known);
        Some(refined)
    }

    /// Of the constants a compared register can hold, those that go along this edge; `None` when it can hold others.
    fn left(&self, state: &State, insn: Insn, edge: Edge) -> Option<Vec<i64>> {
        let test = Test::of(insn, edge)?;
        let constants = self.machine.sets.constants(state.get(insn.dst))?;
        Some(constants.into_iter().filter(|c| test.fits(*c)).collect())
    }

    /// Goes once more through every block, now that the states hold, and notes what was asked for.
    fn read_off(mut self, complete: bool) -> Values {
        let program = self.machine.program;
        let mut values = Values {
            stack: vec![0; program.funcs().len()],
            complete,
            ..Values::default()
        };
        for cfg in program.reachable_cfgs() {
            bytes::find(program.insns(), cfg, &mut values.byte_copies);
        }
        values.byte_copies.sort_unstable();
        for node in 0..self.nodes.len() {
            let Some((f, block)) = self.nodes.get(node).copied() else {
                continue;
            };
            if !program.is_reachable(f) {
                continue;
            }
            let Some(cfg) = program.cfgs().get(f) else {
                continue;
            };
            let state = self
                .states
                .get_mut(node)
                .and_then(Option::take)
                .filter(|_| complete);
            // Behind a call that never returns: the graph reaches it, execution does not.
            let runs = state.is_some() || !complete;
            let mut state = state.unwrap_or_else(State::unknown);
            let trusted = complete && cfg.unknown_jumps().is_empty();
            for (slot, insn) in instructions(program.insns(), cfg.block(block)) {
                if let Some(depth) = values.stack.get_mut(f) {
                    *depth = (*depth).max(reach(&state, insn));
                }
                if insn.is_helper_call() || insn.is_kfunc_call() {
                    let args = state.args().map(|arg| {
                        if trusted {
                            self.arg(&state, arg)
                        } else {
                            Arg::Unknown
                        }
                    });
                    let helper = insn.is_helper_call().then_some(insn.imm);
                    values.call_args.push(CallArgs { slot, helper, args });
                }
                if f == 0 && insn.is_exit() && runs {
                    match self
                        .machine
                        .sets
                        .constants(state.get(0))
                        .filter(|_| trusted)
                    {
                        Some(constants) => {
                            let each = constants.into_iter().map(Some);
                            values.exits.extend(each.map(|value| Exit { slot, value }));
                        }
                        None => values.exits.push(Exit { slot, value: None }),
                    }
                }
                if insn.is_subprog_call() {
                    let callee = insn.call_target(slot).and_then(|t| program.func_at(t));
                    let result = callee.and_then(|c| self.result(c));
                    returned(
                        &mut state,
                        result.filter(|_| complete).unwrap_or(Value::Any),
                    );
                } else {
                    self.machine.step(&mut state, slot, insn);
                }
            }
        }
        values.call_args.sort_by_key(|call| call.slot);
        values.exits.sort_unstable();
        values
    }

    fn arg(&self, state: &State, value: Value) -> Arg {
        match value {
            Value::Const(c) => Arg::Const(c),
            Value::Ctx(off) => Arg::Ctx(off),
            Value::Map(map) => Arg::Map(map),
            Value::InMap(map, off) => Arg::MapValue(map, off),
            Value::Stack(off) => {
                Arg::Stack(off, state.bytes(off, MAX_BYTES, self.machine.big_endian))
            }
            Value::Func(f) => Arg::Func(f),
            Value::Any
            | Value::Other
            | Value::U32
            | Value::Set(_)
            | Value::AtLeast(_)
            | Value::StackPlus(_) => Arg::Unknown,
        }
    }
}

/// A register compared with a constant, as one edge of the branch sees it.
struct Test {
    op: u8,
    taken: bool,
    narrow: bool,
    constant: i64,
}

impl Test {
    fn of(insn: Insn, edge: Edge) -> Option<Self> {
        if !insn.is_cond_jump() || insn.is_reg() || insn.is_may_goto() {
            return None;
        }
        let taken = match edge.kind {
            EdgeKind::Taken => true,
            EdgeKind::Fall => false,
            _ => return None,
        };
        Some(Self {
            op: insn.op(),
            taken,
            narrow: insn.class() == class::JMP32,
            constant: insn.imm.into(),
        })
    }

    /// Whether only the constant itself goes along.
    fn says_equal(&self) -> bool {
        matches!((self.op, self.taken), (jmp::JEQ, true) | (jmp::JNE, false))
    }

    /// Whether a register holding `c` goes along.
    fn fits(&self, c: i64) -> bool {
        let (left, right) = if self.narrow {
            (i64::from(c as i32), i64::from(self.constant as i32))
        } else {
            (c, self.constant)
        };
        // Sign extension keeps the order of unsigned numbers too.
        let (ul, ur) = (left as u64, right as u64);
        let holds = match self.op {
            jmp::JEQ => left == right,
            jmp::JNE => left != right,
            jmp::JGT => ul > ur,
            jmp::JGE => ul >= ur,
            jmp::JLT => ul < ur,
            jmp::JLE => ul <= ur,
            jmp::JSGT => left > right,
            jmp::JSGE => left >= right,
            jmp::JSLT => left < right,
            jmp::JSLE => left <= right,
            jmp::JSET => ul & ur != 0,
            _ => return true,
        };
        holds == self.taken
    }
}

/// How deep below r10 an instruction reaches, in bytes.
fn reach(state: &State, insn: Insn) -> u32 {
    let below = |off: i32| u32::try_from(off.checked_neg().unwrap_or(0)).unwrap_or(0);
    let access = |reg: u8| {
        state
            .get(reg)
            .stack_base()
            .map_or(0, |base| below(base.saturating_add(insn.off.into())))
    };
    let address = |value: Value| value.stack_base().map_or(0, below);
    match insn.class() {
        class::LDX => access(insn.src),
        class::ST => access(insn.dst),
        class::STX if insn.is_load_acquire() => access(insn.src),
        class::STX => access(insn.dst).max(address(state.get(insn.src))),
        class::JMP if insn.is_call() => state.args().into_iter().map(address).max().unwrap_or(0),
        _ => 0,
    }
}
