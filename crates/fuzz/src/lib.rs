//! Hostile bytes for every reader of the native core.
//!
//! * [`targets`]: what is done with bytes, one function per part of the core.
//! * [`mutate`]: how bytes become hostile: changes that know ELF, BTF and instructions, and random type graphs.
//! * [`limits`]: what one execution may cost; a panic, more than [`limits::SECONDS`] or too much memory is a failure.
//! * [`case`]: case *n* of a target is the same bytes on every machine, so a failure is named by its number.
//!
//! `cargo test` runs a fixed number of cases, `cargo run --release -p bpfsmith-fuzz` as many as time allows, and
//! `fuzz/` drives the same functions by coverage with libFuzzer. `docs/fuzzing.md` tells how.

pub mod limits;
pub mod mutate;
pub mod random;
pub mod seeds;
pub mod targets;

use random::Random;
use targets::Target;

/// Changes made to a seed at most.
const CHANGES: usize = 6;

/// The bytes of case `number`, made from `seeds`.
#[must_use]
pub fn case(target: &Target, seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let mut data = seeds
        .get(random.below(seeds.len()))
        .cloned()
        .unwrap_or_default();
    for _ in 0..=random.below(CHANGES) {
        (target.mutate)(&mut data, &mut random, seeds);
    }
    data
}
