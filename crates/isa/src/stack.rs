//! Stack use per call chain.
//!
//! A function's own depth is [`crate::Values::stack`]: the deepest byte below r10 that it touches or whose address it
//! hands out, in bytes and unrounded. The kernel sums frames along a chain in `check_max_stack_depth`:
//!
//! * each frame rounded up to 32 bytes, at least 32 ([`Chain::rounded`]); the sum may not exceed 512;
//! * kernels whose verifier has `round_up_stack_depth` round to 16 with no minimum when the program will be compiled
//!   by the JIT ([`Chain::rounded_jit`]);
//! * with private stacks ("bpf: Find eligible subprogs for private stack support", 6.13) eligible program types on
//!   x86-64 check each frame of 64 bytes or more by itself, and only the others are summed;
//! * a chain has at most [`MAX_FRAMES`] functions; callbacks count like called functions, except asynchronous ones
//!   (timers, work queues), which start a chain of their own (6.7 and later).

use std::collections::HashSet;

use crate::{CallKind, Program};

/// Frames the kernel allows in a chain, the entry included (`MAX_CALL_FRAMES`).
pub const MAX_FRAMES: usize = 8;

/// Chains listed at most; a program the kernel accepts has far fewer.
const MAX_CHAINS: usize = 1024;

/// Functions followed in one chain; beyond [`MAX_FRAMES`] the kernel refuses anyway.
const MAX_FOLLOWED: usize = 64;

/// One maximal chain of calls, from the entry (or an asynchronous callback) to a function that calls no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Bytes as kernels without JIT rounding count them: each frame rounded up to 32, at least 32.
    pub rounded: u32,
    /// Bytes as newer kernels count them for the JIT: each frame rounded up to 16.
    pub rounded_jit: u32,
    /// Bytes with frames as they are.
    pub unrounded: u32,
    /// Function indices, entry first.
    pub funcs: Vec<usize>,
}

/// A frame as the kernel counts it: rounded up to 32, at least 32.
#[must_use]
pub const fn round_frame(depth: u32) -> u32 {
    let least = if depth == 0 { 1 } else { depth };
    least.saturating_add(31) & !31
}

/// A frame as newer kernels count it when the JIT compiles the program: rounded up to 16.
#[must_use]
pub const fn round_frame_jit(depth: u32) -> u32 {
    depth.saturating_add(15) & !15
}

/// Chains from every root, deepest (unrounded) first; functions without an entry in `depths` count as 0.
pub(crate) fn chains(
    program: &Program<'_>,
    depths: &[u32],
    async_callbacks: &[usize],
) -> Vec<Chain> {
    let count = program.funcs().len();
    let depth = |f: usize| depths.get(f).copied().unwrap_or(0);
    let mut callees: Vec<Vec<usize>> = vec![Vec::new(); count];
    let on_their_own: HashSet<usize> = async_callbacks.iter().copied().collect();
    for call in program.calls() {
        let Some(callee) = call.callee else { continue };
        if call.kind == CallKind::Callback && on_their_own.contains(&callee) {
            continue;
        }
        if let Some(list) = callees.get_mut(call.caller) {
            list.push(callee);
        }
    }
    for list in &mut callees {
        list.sort_unstable();
        list.dedup();
    }
    let mut roots: Vec<usize> = program
        .roots()
        .iter()
        .chain(async_callbacks)
        .copied()
        .filter(|f| *f < count)
        .collect();
    roots.sort_unstable();
    roots.dedup();

    let plain = deepest(&callees, &roots, &depth);
    let rounded = deepest(&callees, &roots, &|f| round_frame(depth(f)));
    for list in &mut callees {
        list.sort_by_key(|f| std::cmp::Reverse(plain.get(*f).copied()));
    }
    let sum = |funcs: &[usize], frame: &dyn Fn(u32) -> u32| {
        funcs
            .iter()
            .fold(0_u32, |sum, f| sum.saturating_add(frame(depth(*f))))
    };
    let chain = |funcs: Vec<usize>| Chain {
        rounded: sum(&funcs, &round_frame),
        rounded_jit: sum(&funcs, &round_frame_jit),
        unrounded: sum(&funcs, &|d| d),
        funcs,
    };
    // Nearly always the callee to follow, whatever the path: thousands of roots may come to one function of thousands.
    let heaviest: Vec<Option<usize>> = callees
        .iter()
        .map(|list| list.iter().copied().max_by_key(|f| rounded.get(*f)))
        .collect();
    let mut found: Vec<Chain> = Vec::new();
    for root in roots {
        // The chain that is deepest rounded may not be the one that is deepest as it is: make sure that it is listed.
        let mut path = vec![root];
        while let Some(next) = path.last().and_then(|last| {
            let first = heaviest.get(*last).copied().flatten()?;
            if !path.contains(&first) {
                return Some(first);
            }
            let list = callees.get(*last)?;
            let fresh = list.iter().copied().filter(|f| !path.contains(f));
            fresh.max_by_key(|f| rounded.get(*f))
        }) {
            if path.len() >= MAX_FOLLOWED {
                break;
            }
            path.push(next);
        }
        let deepest_rounded = chain(path);
        let listed_before = found.len();
        enumerate(&callees, root, &mut |funcs| {
            found.push(chain(funcs.to_vec()));
            found.len() < MAX_CHAINS
        });
        if found
            .iter()
            .skip(listed_before)
            .all(|c| *c != deepest_rounded)
        {
            found.push(deepest_rounded);
        }
    }
    found.sort_by_key(|c| std::cmp::Reverse((c.unrounded, c.rounded)));
    found
}

/// Deepest sum of frames from each function down; recursion, which the kernel refuses, is cut where it closes.
fn deepest(callees: &[Vec<usize>], roots: &[usize], frame: &dyn Fn(usize) -> u32) -> Vec<u32> {
    let mut sums = vec![0; callees.len()];
    let mut seen = vec![false; callees.len()];
    for root in roots {
        let mut stack = vec![(*root, 0_usize)];
        while let Some((f, next)) = stack.last_mut() {
            let f = *f;
            if let Some(s) = seen.get_mut(f) {
                if *next == 0 && *s {
                    stack.pop();
                    continue;
                }
                *s = true;
            }
            if let Some(callee) = callees.get(f).and_then(|list| list.get(*next)) {
                *next += 1;
                if !seen.get(*callee).copied().unwrap_or(true) {
                    stack.push((*callee, 0));
                }
            } else {
                let below = callees
                    .get(f)
                    .into_iter()
                    .flatten()
                    .filter_map(|c| sums.get(*c))
                    .max()
                    .copied();
                if let Some(s) = sums.get_mut(f) {
                    *s = frame(f).saturating_add(below.unwrap_or(0));
                }
                stack.pop();
            }
        }
    }
    sums
}

/// Walks the maximal chains from `root`, first callees first, until `visit` says stop.
fn enumerate(callees: &[Vec<usize>], root: usize, visit: &mut dyn FnMut(&[usize]) -> bool) {
    let mut path = vec![root];
    let mut next = vec![0_usize];
    let mut extended = vec![false];
    while let (Some(f), Some(at), Some(grew)) =
        (path.last().copied(), next.last_mut(), extended.last_mut())
    {
        let callee = callees
            .get(f)
            .and_then(|list| list.get(*at))
            .copied()
            .filter(|_| path.len() < MAX_FOLLOWED);
        match callee {
            Some(callee) => {
                *at += 1;
                if !path.contains(&callee) {
                    *grew = true;
                    path.push(callee);
                    next.push(0);
                    extended.push(false);
                }
            }
            None => {
                if !*grew && !visit(&path) {
                    return;
                }
                path.pop();
                next.pop();
                extended.pop();
            }
        }
    }
}
