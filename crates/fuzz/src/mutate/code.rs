//! Changes of instructions, and instructions made up.
use std::ops::Range;

use super::bytes::{get, put};
use crate::random::Random;

/// Opcodes that analyses look at: jumps of every kind, calls, wide loads, stack and byte accesses, atomics, casts.
const CODES: &[u8] = &[
    0x05, 0x06, 0x0d, 0x15, 0x16, 0x1d, 0x2d, 0x55, 0x85, 0x85, 0x85, 0x8d, 0x95, 0x95, 0x18, 0x18,
    0xbf, 0xbf, 0xbc, 0xb7, 0xb4, 0x07, 0x04, 0x0f, 0x61, 0x69, 0x71, 0x71, 0x79, 0x7b, 0x63, 0x73,
    0x7a, 0x62, 0xdb, 0xc3, 0xe5, 0x4f, 0x67, 0x77, 0xd4, 0xdc, 0x87, 0x3f, 0x9f, 0x81, 0x89, 0x91,
    0x20, 0x40, 0xa5,
];

/// `count` slots that mean something more often than random bytes do.
#[must_use]
pub fn code(count: usize, random: &mut Random, big: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(count * 8);
    for _ in 0..count {
        let op = random.pick(CODES).unwrap_or(0x95);
        let near = |random: &mut Random| random.below(32) as u64;
        let registers = if random.once_in(3) {
            random.word() as u8
        } else {
            let dst = random.pick(&[0, 1, 2, 6, 10]).unwrap_or(0);
            let src = random.pick(&[0, 0, 1, 2, 10]).unwrap_or(0);
            if big { dst << 4 | src } else { src << 4 | dst }
        };
        let offset = match random.below(4) {
            0 => near(random),
            1 => near(random).wrapping_neg(),
            2 => 0,
            _ => random.hostile(count),
        };
        let imm = match random.below(4) {
            0 => near(random),
            1 => near(random).wrapping_neg(),
            2 => random.below(220) as u64,
            _ => random.hostile(count),
        };
        let mut slot = [op, registers, 0, 0, 0, 0, 0, 0];
        put(&mut slot, 2, 2, offset, big);
        put(&mut slot, 4, 4, imm, big);
        out.extend(slot);
    }
    out
}

/// Changes a slot within `range`, or moves a run of slots.
pub fn slots(data: &mut [u8], range: Range<usize>, random: &mut Random, big: bool) {
    let count = range.len() / 8;
    let place = |slot: usize| range.start + slot * 8;
    let at = place(random.below(count));
    match random.below(6) {
        0 => put(data, at, 1, u64::from(random.pick(CODES).unwrap_or(0)), big),
        1 => put(data, at + 1, 1, random.word(), big),
        2 => {
            // Jump to a slot of the range, or nearly.
            let target = random.below(count + 2) as u64;
            put(
                data,
                at + 2,
                2,
                target.wrapping_sub(random.below(count) as u64),
                big,
            );
        }
        3 => put(data, at + 4, 4, random.hostile(count), big),
        4 => {
            for (index, byte) in code(1 + random.below(4), random, big)
                .into_iter()
                .enumerate()
            {
                if at + index < range.end {
                    put(data, at + index, 1, u64::from(byte), big);
                }
            }
        }
        _ => {
            let from = place(random.below(count));
            for index in 0..random.below(12) * 8 {
                if at + index < range.end
                    && let Some(byte) = get(data, from + index, 1, big)
                {
                    put(data, at + index, 1, byte, big);
                }
            }
        }
    }
}
