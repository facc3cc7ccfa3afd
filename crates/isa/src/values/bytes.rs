//! Memory that is read byte by byte because its type has alignment 1.

use super::ByteCopy;
use crate::op::{alu, class, mode};
use crate::{Cfg, Insn, cfg};

/// Runs shorter than this are ordinary code.
const SHORTEST: usize = 4;

/// One `u8` load of the block at hand.
struct Load {
    /// Base register and how often it was written before: the same pair means the same address.
    base: (u8, u32),
    off: i16,
    slot: usize,
    /// Its result was or-ed together with something or stored as a byte.
    used: bool,
}

/// Finds the runs of one function, block by block.
pub(super) fn find(insns: &[Insn], graph: &Cfg, out: &mut Vec<ByteCopy>) {
    let mut loads: Vec<Load> = Vec::new();
    for block in graph.reverse_postorder() {
        loads.clear();
        scan(insns, graph, *block, &mut loads);
        collect(&mut loads, out);
    }
}

fn scan(insns: &[Insn], graph: &Cfg, block: usize, loads: &mut Vec<Load>) {
    let mut version = [0_u32; 16];
    // The load whose byte, possibly shifted, each register holds.
    let mut byte: [Option<usize>; 16] = [None; 16];
    for (slot, i) in cfg::instructions(insns, graph.block(block)) {
        let (dst, src) = (usize::from(i.dst & 15), usize::from(i.src & 15));
        let held = |reg: usize, byte: &[Option<usize>; 16]| byte.get(reg).copied().flatten();
        let mut written = None;
        match i.class() {
            class::LDX => {
                let is_byte = i.width() == 1 && i.mode() == mode::MEM;
                written = Some((dst, is_byte.then_some(loads.len())));
                if is_byte {
                    let base = (i.src, version.get(src).copied().unwrap_or(0));
                    loads.push(Load {
                        base,
                        off: i.off,
                        slot,
                        used: false,
                    });
                }
            }
            class::STX if i.width() == 1 && i.mode() == mode::MEM => mark(loads, held(src, &byte)),
            class::ALU | class::ALU64 => {
                let kept = match i.op() {
                    alu::LSH if !i.is_reg() => held(dst, &byte),
                    alu::MOV if i.is_reg() && i.off == 0 => held(src, &byte),
                    alu::OR | alu::ADD if i.is_reg() => {
                        mark(loads, held(dst, &byte));
                        mark(loads, held(src, &byte));
                        None
                    }
                    _ => None,
                };
                written = Some((dst, kept));
            }
            class::LD => written = Some((dst, None)),
            class::JMP if i.is_call() => {
                for reg in 0..=5 {
                    set(&mut version, &mut byte, reg, None);
                }
            }
            _ => {}
        }
        if let Some((reg, load)) = written {
            set(&mut version, &mut byte, reg, load);
        }
    }
}

fn set(version: &mut [u32; 16], byte: &mut [Option<usize>; 16], reg: usize, load: Option<usize>) {
    if let (Some(v), Some(b)) = (version.get_mut(reg), byte.get_mut(reg)) {
        *v = v.wrapping_add(1);
        *b = load;
    }
}

fn mark(loads: &mut [Load], load: Option<usize>) {
    if let Some(load) = load.and_then(|l| loads.get_mut(l)) {
        load.used = true;
    }
}

fn collect(loads: &mut Vec<Load>, out: &mut Vec<ByteCopy>) {
    loads.retain(|load| load.used);
    if loads.len() < SHORTEST {
        return;
    }
    loads.sort_unstable_by_key(|load| (load.base, load.off, load.slot));
    loads.dedup_by_key(|load| (load.base, load.off));
    for run in loads.chunk_by(|a, b| a.base == b.base && a.off.checked_add(1) == Some(b.off)) {
        if run.len() >= SHORTEST {
            let slot = run.iter().map(|load| load.slot).min().unwrap_or_default();
            out.push(ByteCopy {
                slot,
                len: u32::try_from(run.len()).unwrap_or(u32::MAX),
            });
        }
    }
}
