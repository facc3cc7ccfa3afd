//! Changes that know nothing of the format, and integers of either byte order.
use crate::random::Random;

/// Inputs do not grow beyond this.
pub(super) const LARGEST: usize = 1 << 20;

/// The unsigned integer of `width` bytes at `at`.
pub(super) fn get(data: &[u8], at: usize, width: usize, big: bool) -> Option<u64> {
    let raw = data.get(at..at.checked_add(width)?)?;
    let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    Some(if big {
        raw.iter().fold(0, fold)
    } else {
        raw.iter().rev().fold(0, fold)
    })
}

/// Writes an integer of `width` bytes; nothing happens outside of the data.
pub(super) fn put(data: &mut [u8], at: usize, width: usize, value: u64, big: bool) {
    let Some(place) = at.checked_add(width).and_then(|end| data.get_mut(at..end)) else {
        return;
    };
    for (index, byte) in place.iter_mut().enumerate() {
        let shift = if big { width - 1 - index } else { index } * 8;
        *byte = (value >> shift.min(56)) as u8;
    }
}

/// One change at a random place.
pub fn bytes(data: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    let at = random.below(data.len());
    let other = random.below(data.len());
    let count = 1 + random.below(64);
    match random.below(9) {
        0 | 1 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = data.get_mut(at) {
                *byte = random.word() as u8;
            }
        }
        3 | 4 => {
            let width = random.pick(&[1, 2, 4, 8]).unwrap_or(4);
            let at = if random.once_in(4) {
                at
            } else {
                at & !(width - 1)
            };
            let value = random.hostile(data.len());
            let big = random.once_in(2);
            put(data, at, width, value, big);
        }
        5 => {
            let taken = data
                .get(other..(other + count).min(data.len()))
                .unwrap_or_default()
                .to_vec();
            for (index, byte) in taken.into_iter().enumerate() {
                if let Some(place) = data.get_mut(at + index) {
                    *place = byte;
                }
            }
        }
        6 if data.len() < LARGEST => {
            let from = seeds
                .get(random.below(seeds.len()))
                .map_or(&[][..], Vec::as_slice);
            let start = random.below(from.len());
            let taken = from
                .get(start..(start + count).min(from.len()))
                .unwrap_or_default()
                .to_vec();
            data.splice(at..at, taken);
        }
        7 => {
            data.drain(at..(at + count).min(data.len()));
        }
        _ if random.once_in(4) => data.truncate(at),
        _ => {}
    }
}
