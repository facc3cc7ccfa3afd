//! Dominators and natural loops of one function.

use crate::Cfg;

const NONE: usize = usize::MAX;

/// Immediate dominators and the loops they tell, for the reachable part of a function.
///
/// Lengauer and Tarjan's algorithm with path compression, then loop bodies by collapsing inner loops first:
/// both close to linear, whatever the input.
#[derive(Clone, Debug, Default)]
pub struct Loops {
    idom: Vec<usize>,
    /// Interval of each block in the dominator tree: `a` dominates `b` when `b`'s start lies in `a`'s interval.
    interval: Vec<(usize, usize)>,
    loops: Vec<Loop>,
    /// Innermost loop of each block.
    innermost: Vec<usize>,
    irreducible: Vec<(usize, usize)>,
}

/// One natural loop; loops with the same header are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loop {
    /// The block every way into the loop goes through.
    pub header: usize,
    /// Index of the loop around it.
    pub parent: Option<usize>,
}

fn at(list: &[usize], index: usize) -> usize {
    list.get(index).copied().unwrap_or(NONE)
}

fn put(list: &mut [usize], index: usize, value: usize) {
    if let Some(slot) = list.get_mut(index) {
        *slot = value;
    }
}

impl Loops {
    /// Computes both.
    #[must_use]
    pub fn new(cfg: &Cfg) -> Self {
        let tree = DepthFirst::new(cfg);
        let mut loops = Self {
            idom: tree.dominators(cfg),
            ..Self::default()
        };
        loops.intervals(cfg, &tree);
        loops.find(cfg, &tree);
        loops
    }

    /// Immediate dominator of a block; None for block 0 and unreachable ones.
    #[must_use]
    pub fn idom(&self, block: usize) -> Option<usize> {
        self.idom.get(block).copied().filter(|b| *b != NONE)
    }

    /// Every path from the start to `b` goes through `a` (a block dominates itself). False for unreachable blocks.
    #[must_use]
    pub fn dominates(&self, a: usize, b: usize) -> bool {
        match (self.interval.get(a), self.interval.get(b)) {
            (Some((from, to)), Some((b, end))) => *end != 0 && from <= b && b < to,
            _ => false,
        }
    }

    /// The loops, inner ones after the loops around them.
    #[must_use]
    pub fn loops(&self) -> &[Loop] {
        &self.loops
    }

    /// Index of the innermost loop a block is in.
    #[must_use]
    pub fn innermost(&self, block: usize) -> Option<usize> {
        self.innermost.get(block).copied().filter(|l| *l != NONE)
    }

    /// Back edges (from, to) into a block that does not dominate their start: loops with more than one way in.
    #[must_use]
    pub fn irreducible(&self) -> &[(usize, usize)] {
        &self.irreducible
    }

    /// Blocks of each loop, inner loops' blocks included, ascending. Stops adding after `cap` blocks in all, which only
    /// absurdly deep nests reach.
    #[must_use]
    pub fn bodies(&self, cap: usize) -> Vec<Vec<usize>> {
        let mut bodies = vec![Vec::new(); self.loops.len()];
        let mut left = cap;
        for (block, innermost) in self.innermost.iter().enumerate() {
            let mut l = *innermost;
            while let (Some(body), Some(found)) = (bodies.get_mut(l), self.loops.get(l)) {
                if left == 0 {
                    return bodies;
                }
                left -= 1;
                body.push(block);
                l = found.parent.unwrap_or(NONE);
            }
        }
        bodies
    }

    fn intervals(&mut self, cfg: &Cfg, tree: &DepthFirst) {
        let mut size = vec![1_usize; cfg.len()];
        for block in tree.order.iter().rev().copied() {
            let below = at(&size, block);
            if let Some(parent) = self.idom(block) {
                let sum = at(&size, parent) + below;
                put(&mut size, parent, sum);
            }
        }
        let mut next = vec![0_usize; cfg.len()];
        self.interval = vec![(0, 0); cfg.len()];
        for block in tree.order.iter().copied() {
            let start = self.idom(block).map_or(0, |parent| at(&next, parent));
            let own = at(&size, block);
            if let Some(interval) = self.interval.get_mut(block) {
                *interval = (start, start + own);
            }
            put(&mut next, block, start + 1);
            if let Some(parent) = self.idom(block) {
                put(&mut next, parent, start + own);
            }
        }
    }

    fn find(&mut self, cfg: &Cfg, tree: &DepthFirst) {
        self.innermost = vec![NONE; cfg.len()];
        // Representative of each collapsed block: the header of the outermost loop found so far around it.
        let mut up: Vec<usize> = (0..cfg.len()).collect();
        let mut found: Vec<Loop> = Vec::new();
        let mut own_loop = vec![NONE; cfg.len()];
        let mut body: Vec<usize> = Vec::new();
        for header in tree.order.iter().rev().copied() {
            body.clear();
            let mut is_header = false;
            for pred in cfg
                .preds(header)
                .iter()
                .copied()
                .filter(|p| cfg.is_reachable(*p))
            {
                if self.dominates(header, pred) {
                    is_header = true;
                    body.push(pred);
                } else if tree.is_ancestor(header, pred) {
                    self.irreducible.push((pred, header));
                }
            }
            if !is_header {
                continue;
            }
            let index = found.len();
            found.push(Loop {
                header,
                parent: None,
            });
            put(&mut own_loop, header, index);
            put(&mut self.innermost, header, index);
            while let Some(block) = body.pop() {
                let top = representative(&mut up, block);
                if top == header {
                    continue;
                }
                put(&mut up, top, header);
                match found.get_mut(at(&own_loop, top)) {
                    Some(inner) => inner.parent = Some(index),
                    None => put(&mut self.innermost, top, index),
                }
                body.extend(cfg.preds(top).iter().filter(|p| cfg.is_reachable(**p)));
            }
        }
        // Outer loops were found last; the list is better read from the outside in.
        let count = found.len();
        let flip = |l: usize| if l == NONE { NONE } else { count - 1 - l };
        self.loops = found
            .into_iter()
            .rev()
            .map(|l| Loop {
                parent: l.parent.map(flip),
                ..l
            })
            .collect();
        self.innermost.iter_mut().for_each(|l| *l = flip(*l));
        self.irreducible.sort_unstable();
    }
}

/// Union-find lookup with path halving.
fn representative(up: &mut [usize], mut block: usize) -> usize {
    loop {
        let parent = at(up, block);
        if parent == block || parent == NONE {
            return block;
        }
        let grand = at(up, parent);
        put(up, block, grand);
        block = grand;
    }
}

/// A depth-first spanning tree.
struct DepthFirst {
    /// Blocks in preorder.
    order: Vec<usize>,
    /// Preorder number of a block.
    number: Vec<usize>,
    /// Last preorder number below a block.
    last: Vec<usize>,
    parent: Vec<usize>,
}

impl DepthFirst {
    fn new(cfg: &Cfg) -> Self {
        let count = cfg.len();
        let mut tree = Self {
            order: Vec::with_capacity(count),
            number: vec![NONE; count],
            last: vec![0; count],
            parent: vec![NONE; count],
        };
        if cfg.is_empty() {
            return tree;
        }
        let mut stack = vec![(0, 0)];
        tree.enter(0);
        while let Some((block, next)) = stack.last_mut() {
            let block = *block;
            if let Some(edge) = cfg.out(block).get(*next) {
                *next += 1;
                if at(&tree.number, edge.to) == NONE {
                    put(&mut tree.parent, edge.to, block);
                    tree.enter(edge.to);
                    stack.push((edge.to, 0));
                }
            } else {
                let last = tree.order.len() - 1;
                put(&mut tree.last, block, last);
                stack.pop();
            }
        }
        tree
    }

    fn enter(&mut self, block: usize) {
        put(&mut self.number, block, self.order.len());
        self.order.push(block);
    }

    fn is_ancestor(&self, a: usize, b: usize) -> bool {
        at(&self.number, a) <= at(&self.number, b) && at(&self.number, b) <= at(&self.last, a)
    }

    /// Lengauer and Tarjan, 1979, simple version; all tables by preorder number.
    fn dominators(&self, cfg: &Cfg) -> Vec<usize> {
        let count = self.order.len();
        let mut semi: Vec<usize> = (0..count).collect();
        let mut label = semi.clone();
        let mut ancestor = vec![NONE; count];
        let mut idom = vec![NONE; count];
        let mut bucket = vec![NONE; count];
        let mut bucket_next = vec![NONE; count];
        let mut path = Vec::new();
        let mut eval =
            |v: usize, ancestor: &mut Vec<usize>, label: &mut Vec<usize>, semi: &[usize]| {
                path.clear();
                let mut top = v;
                while at(ancestor, top) != NONE && at(ancestor, at(ancestor, top)) != NONE {
                    path.push(top);
                    top = at(ancestor, top);
                }
                for v in path.drain(..).rev() {
                    let up = at(ancestor, v);
                    if at(semi, at(label, up)) < at(semi, at(label, v)) {
                        let better = at(label, up);
                        put(label, v, better);
                    }
                    let root = at(ancestor, up);
                    put(ancestor, v, root);
                }
                if at(ancestor, v) == NONE {
                    v
                } else {
                    at(label, v)
                }
            };
        for w in (1..count).rev() {
            let block = at(&self.order, w);
            let parent = at(&self.number, at(&self.parent, block));
            for pred in cfg.preds(block) {
                let v = at(&self.number, *pred);
                if v == NONE {
                    continue;
                }
                let u = eval(v, &mut ancestor, &mut label, &semi);
                if at(&semi, u) < at(&semi, w) {
                    let better = at(&semi, u);
                    put(&mut semi, w, better);
                }
            }
            let home = at(&semi, w);
            let head = at(&bucket, home);
            put(&mut bucket_next, w, head);
            put(&mut bucket, home, w);
            put(&mut ancestor, w, parent);
            let mut v = at(&bucket, parent);
            put(&mut bucket, parent, NONE);
            while v != NONE {
                let u = eval(v, &mut ancestor, &mut label, &semi);
                let dominator = if at(&semi, u) < at(&semi, v) {
                    u
                } else {
                    parent
                };
                put(&mut idom, v, dominator);
                v = at(&bucket_next, v);
            }
        }
        let mut by_block = vec![NONE; cfg.len()];
        for w in 1..count {
            if at(&idom, w) != at(&semi, w) {
                let better = at(&idom, at(&idom, w));
                put(&mut idom, w, better);
            }
            put(
                &mut by_block,
                at(&self.order, w),
                at(&self.order, at(&idom, w)),
            );
        }
        by_block
    }
}
