//! Control flow of one function: blocks, edges, what is reachable.

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

impl EdgeKind {
    /// The word shown to users: `fall`, `taken`, `goto`, `indirect`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fall => "fall",
            Self::Taken => "taken",
            Self::Goto => "goto",
            Self::Indirect => "indirect",
        }
    }
}

/// Where a `gotox` can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JumpTable {
    /// Slot of the `gotox`.
    pub slot: usize,
    /// Target slots.
    pub targets: Vec<usize>,
}

/// One edge between blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Block it leaves.
    pub from: usize,
    /// Block it enters.
    pub to: usize,
    /// How.
    pub kind: EdgeKind,
}

/// Blocks and edges of one function. Block 0 starts at the function's first slot; blocks are in slot order and cover
/// the whole range. Slots count from the start of the program.
#[derive(Clone, Debug, Default)]
pub struct Cfg {
    range: Range<usize>,
    /// First slot of each block.
    starts: Vec<usize>,
    /// Slot of the last instruction of each block.
    lasts: Vec<usize>,
    edges: Vec<Edge>,
    /// Edges leaving block `b` are `edges[first_edge[b]..first_edge[b + 1]]`.
    first_edge: Vec<usize>,
    preds: Vec<usize>,
    first_pred: Vec<usize>,
    /// Reachable blocks in reverse postorder.
    order: Vec<usize>,
    /// Position in `order`, or `usize::MAX`.
    rank: Vec<usize>,
    /// Slots of reachable instructions after which control leaves the function without `exit`.
    falls_off: Vec<usize>,
    /// Slots of reachable jumps with a target outside the function or inside an instruction.
    bad_jumps: Vec<usize>,
    /// Slots of `gotox` without a jump table, reachable ones.
    unknown_jumps: Vec<usize>,
}

/// What a slot is to the block cutter.
const INSIDE: u8 = 0;
const START: u8 = 1;
const LEADER: u8 = 2;

impl Cfg {
    /// Cuts the slots `range` of a linked program into blocks. Jumps that leave the range or land in the second half of
    /// an `ld_imm64` lead nowhere and are listed by [`Cfg::bad_jumps`].
    #[must_use]
    pub fn new(insns: &[Insn], range: Range<usize>, tables: &[JumpTable]) -> Self {
        let end = range.end.min(insns.len());
        let range = range.start.min(end)..end;
        let mut cfg = Self {
            range,
            ..Self::default()
        };
        if cfg.range.is_empty() {
            cfg.first_edge.push(0);
            cfg.first_pred.push(0);
            return cfg;
        }
        let block_at = cfg.cut(insns, tables);
        let (bad, unknown, off_end) = cfg.connect(insns, tables, &block_at);
        cfg.order();
        if unknown.iter().any(|b| cfg.is_reachable(*b)) {
            cfg.connect_unknown(&unknown);
        }
        cfg.predecessors();
        let last = |b: &usize| cfg.lasts.get(*b).copied().filter(|_| cfg.is_reachable(*b));
        let (bad, unknown, off_end): (Vec<usize>, Vec<usize>, Vec<usize>) = (
            bad.iter().filter_map(last).collect(),
            unknown.iter().filter_map(last).collect(),
            off_end.iter().filter_map(last).collect(),
        );
        cfg.bad_jumps = bad;
        cfg.unknown_jumps = unknown;
        cfg.falls_off = off_end;
        cfg
    }

    /// Finds leaders; fills `starts` and `lasts`; returns the block that starts at each slot (relative), if any.
    fn cut(&mut self, insns: &[Insn], tables: &[JumpTable]) -> Vec<usize> {
        let base = self.range.start;
        let code = insns.get(self.range.clone()).unwrap_or_default();
        let mut kind = vec![INSIDE; code.len()];
        let mut at = 0;
        while let Some(insn) = code.get(at) {
            if let Some(k) = kind.get_mut(at) {
                *k = START;
            }
            at += if insn.is_ld_imm64() { 2 } else { 1 };
        }
        let mut mark = |slot: usize| {
            let found = slot.checked_sub(base).and_then(|at| kind.get_mut(at));
            if let Some(k) = found.filter(|k| **k == START) {
                *k = LEADER;
            }
        };
        mark(base);
        let mut at = 0;
        while let Some(insn) = code.get(at) {
            let slot = base + at;
            if insn.is_jmp_class() {
                if let Some(target) = insn.jump_target(slot) {
                    mark(target);
                    mark(slot + 1);
                } else if insn.is_exit() || insn.is_gotox() {
                    mark(slot + 1);
                }
            }
            at += if insn.is_ld_imm64() { 2 } else { 1 };
        }
        tables
            .iter()
            .flat_map(|table| &table.targets)
            .for_each(|target| mark(*target));

        let mut block_at = vec![usize::MAX; code.len()];
        let mut previous = base;
        for (at, kind) in kind.iter().enumerate() {
            if *kind == LEADER {
                if !self.starts.is_empty() {
                    self.lasts.push(previous);
                }
                if let Some(block) = block_at.get_mut(at) {
                    *block = self.starts.len();
                }
                self.starts.push(base + at);
            }
            if *kind != INSIDE {
                previous = base + at;
            }
        }
        self.lasts.push(previous);
        block_at
    }

    /// Makes the edges. Returns blocks that end in a bad jump, in a `gotox` without table, and those that run off the end.
    fn connect(
        &mut self,
        insns: &[Insn],
        tables: &[JumpTable],
        block_at: &[usize],
    ) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
        let base = self.range.start;
        let find = |slot: usize| {
            let at = slot.checked_sub(base)?;
            block_at.get(at).copied().filter(|b| *b != usize::MAX)
        };
        let (mut bad, mut unknown, mut off_end) = (Vec::new(), Vec::new(), Vec::new());
        self.edges.reserve(self.starts.len().saturating_mul(2));
        for (from, last) in self.lasts.iter().copied().enumerate() {
            self.first_edge.push(self.edges.len());
            let Some(insn) = insns.get(last) else {
                continue;
            };
            let fall = |edges: &mut Vec<Edge>, off_end: &mut Vec<usize>| {
                if from + 1 < self.starts.len() {
                    edges.push(Edge {
                        from,
                        to: from + 1,
                        kind: EdgeKind::Fall,
                    });
                } else {
                    off_end.push(from);
                }
            };
            if insn.is_exit() {
                continue;
            }
            if insn.is_gotox() {
                match tables.iter().find(|table| table.slot == last) {
                    Some(table) => {
                        let mut targets: Vec<usize> =
                            table.targets.iter().filter_map(|t| find(*t)).collect();
                        targets.sort_unstable();
                        targets.dedup();
                        self.edges.extend(targets.into_iter().map(|to| Edge {
                            from,
                            to,
                            kind: EdgeKind::Indirect,
                        }));
                    }
                    None => unknown.push(from),
                }
                continue;
            }
            if insn.is_goto() || insn.is_cond_jump() {
                if insn.is_cond_jump() {
                    fall(&mut self.edges, &mut off_end);
                }
                let kind = if insn.is_goto() {
                    EdgeKind::Goto
                } else {
                    EdgeKind::Taken
                };
                match insn.jump_target(last).and_then(find) {
                    Some(to) => self.edges.push(Edge { from, to, kind }),
                    None => bad.push(from),
                }
                continue;
            }
            fall(&mut self.edges, &mut off_end);
        }
        self.first_edge.push(self.edges.len());
        (bad, unknown, off_end)
    }

    /// Lets the `gotox` without table reach what nothing else does, so that code behind jump tables counts as reachable.
    fn connect_unknown(&mut self, unknown: &[usize]) {
        let Some(from) = unknown.iter().copied().find(|b| self.is_reachable(*b)) else {
            return;
        };
        let mut entered = vec![false; self.starts.len()];
        for edge in &self.edges {
            if let Some(e) = entered.get_mut(edge.to) {
                *e = true;
            }
        }
        for orphans_only in [true, false] {
            let targets: Vec<usize> = (0..self.starts.len())
                .filter(|b| !self.is_reachable(*b))
                .filter(|b| !orphans_only || entered.get(*b) == Some(&false))
                .collect();
            if targets.is_empty() {
                continue;
            }
            let at = self
                .first_edge
                .get(from + 1)
                .copied()
                .unwrap_or(self.edges.len());
            let added = targets.len();
            let new = targets.into_iter().map(|to| Edge {
                from,
                to,
                kind: EdgeKind::Indirect,
            });
            self.edges.splice(at..at, new);
            for first in self.first_edge.iter_mut().skip(from + 1) {
                *first += added;
            }
            self.order();
        }
    }

    /// Reverse postorder from block 0.
    fn order(&mut self) {
        let count = self.starts.len();
        let mut seen = vec![false; count];
        let mut post = Vec::with_capacity(count);
        let mut stack: Vec<(usize, usize)> = vec![(0, 0)];
        if let Some(s) = seen.first_mut() {
            *s = true;
        }
        while let Some((block, next)) = stack.last_mut() {
            match self.out(*block).get(*next) {
                Some(edge) => {
                    *next += 1;
                    if let Some(s) = seen.get_mut(edge.to).filter(|s| !**s) {
                        *s = true;
                        stack.push((edge.to, 0));
                    }
                }
                None => {
                    post.push(*block);
                    stack.pop();
                }
            }
        }
        post.reverse();
        self.rank = vec![usize::MAX; count];
        for (position, block) in post.iter().enumerate() {
            if let Some(rank) = self.rank.get_mut(*block) {
                *rank = position;
            }
        }
        self.order = post;
    }

    fn predecessors(&mut self) {
        let count = self.starts.len();
        let mut first = vec![0_usize; count + 1];
        for edge in &self.edges {
            if let Some(f) = first.get_mut(edge.to + 1) {
                *f += 1;
            }
        }
        let mut sum = 0;
        for f in &mut first {
            sum += *f;
            *f = sum;
        }
        let mut fill = first.clone();
        let mut preds = vec![0; self.edges.len()];
        for edge in &self.edges {
            if let Some(at) = fill.get_mut(edge.to) {
                if let Some(p) = preds.get_mut(*at) {
                    *p = edge.from;
                }
                *at += 1;
            }
        }
        self.preds = preds;
        self.first_pred = first;
    }

    /// The function's slots.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Number of blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// True for a function without slots.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Slots of a block; empty when there is no such block.
    #[must_use]
    pub fn block(&self, block: usize) -> Range<usize> {
        match self.starts.get(block) {
            Some(start) => {
                *start
                    ..self
                        .starts
                        .get(block + 1)
                        .copied()
                        .unwrap_or(self.range.end)
            }
            None => 0..0,
        }
    }

    /// Slots of all blocks, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.len()).map(|b| self.block(b))
    }

    /// Slot of a block's last instruction.
    #[must_use]
    pub fn last(&self, block: usize) -> Option<usize> {
        self.lasts.get(block).copied()
    }

    /// Block that holds a slot.
    #[must_use]
    pub fn block_of(&self, slot: usize) -> Option<usize> {
        if !self.range.contains(&slot) {
            return None;
        }
        self.starts
            .partition_point(|start| *start <= slot)
            .checked_sub(1)
    }

    /// All edges, by leaving block.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Edges that leave a block.
    #[must_use]
    pub fn out(&self, block: usize) -> &[Edge] {
        slice(&self.edges, &self.first_edge, block)
    }

    /// Blocks with an edge into a block, reachable or not.
    #[must_use]
    pub fn preds(&self, block: usize) -> &[usize] {
        slice(&self.preds, &self.first_pred, block)
    }

    /// Reachable blocks in reverse postorder, block 0 first.
    #[must_use]
    pub fn reverse_postorder(&self) -> &[usize] {
        &self.order
    }

    /// Position of a block in the reverse postorder, when reachable.
    #[must_use]
    pub fn rank(&self, block: usize) -> Option<usize> {
        self.rank.get(block).copied().filter(|r| *r != usize::MAX)
    }

    /// A path from the function's start reaches the block.
    #[must_use]
    pub fn is_reachable(&self, block: usize) -> bool {
        self.rank(block).is_some()
    }

    /// The edge goes back to a block before it in the reverse postorder: with it there is a loop.
    #[must_use]
    pub fn is_back_edge(&self, edge: Edge) -> bool {
        self.rank(edge.to)
            .zip(self.rank(edge.from))
            .is_some_and(|(to, from)| to <= from)
    }

    /// Slots of reachable instructions after which control runs past the function's end: a call that does not return
    /// (a panic), or broken code.
    #[must_use]
    pub fn falls_off(&self) -> &[usize] {
        &self.falls_off
    }

    /// Slots of reachable jumps that leave the function or land inside an instruction.
    #[must_use]
    pub fn bad_jumps(&self) -> &[usize] {
        &self.bad_jumps
    }

    /// Slots of reachable `gotox` whose jump table was not given. Where there is one, the edges are a guess: it is
    /// taken to reach all blocks that nothing else reaches.
    #[must_use]
    pub fn unknown_jumps(&self) -> &[usize] {
        &self.unknown_jumps
    }

    /// Slots of instructions no path from the function's start reaches, ascending.
    #[must_use]
    pub fn unreachable(&self, insns: &[Insn]) -> Vec<usize> {
        let dead = (0..self.len()).filter(|b| !self.is_reachable(*b));
        dead.flat_map(|b| instructions(insns, self.block(b)).map(|(slot, _)| slot))
            .collect()
    }

    /// First slots of the loops that no path leaves: reachable blocks that are jumped back to and from which neither an
    /// exit nor an end of the function can be reached.
    #[must_use]
    pub fn endless(&self, insns: &[Insn]) -> Vec<usize> {
        let mut leaves = vec![false; self.len()];
        let mut work = Vec::new();
        for block in self.order.iter().copied() {
            let last = self.lasts.get(block).copied().unwrap_or_default();
            let ends = insns.get(last).is_none_or(|i| i.is_exit() || i.is_gotox())
                || self.falls_off.binary_search(&last).is_ok()
                || self.bad_jumps.binary_search(&last).is_ok();
            if ends {
                work.push(block);
            }
        }
        while let Some(block) = work.pop() {
            match leaves.get_mut(block) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            work.extend(self.preds(block).iter().filter(|p| self.is_reachable(**p)));
        }
        let stuck = |b: usize| self.is_reachable(b) && !leaves.get(b).copied().unwrap_or(true);
        let mut headers: Vec<usize> = self
            .edges
            .iter()
            .filter(|e| stuck(e.from) && self.is_back_edge(**e))
            .map(|e| e.to)
            .collect();
        headers.sort_unstable();
        headers.dedup();
        headers
            .into_iter()
            .filter_map(|b| self.starts.get(b).copied())
            .collect()
    }
}

fn slice<'a, T>(items: &'a [T], first: &[usize], at: usize) -> &'a [T] {
    match (first.get(at), first.get(at + 1)) {
        (Some(from), Some(to)) => items.get(*from..*to).unwrap_or_default(),
        _ => &[],
    }
}

/// Instructions of a slot range with their slots; the second half of an `ld_imm64` is stepped over.
pub(crate) fn instructions(
    insns: &[Insn],
    range: Range<usize>,
) -> impl Iterator<Item = (usize, Insn)> + '_ {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let insn = insns.get(at).filter(|_| at < range.end)?;
        let slot = at;
        at += if insn.is_ld_imm64() { 2 } else { 1 };
        Some((slot, *insn))
    })
}
