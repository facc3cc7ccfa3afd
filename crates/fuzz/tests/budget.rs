//! The fixed budget: the same cases on every machine, in seconds.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]
use bpfsmith_fuzz::limits::judge;
use bpfsmith_fuzz::targets::{Target, by_name};

fn spend(name: &str) {
    let target: &Target = by_name(name).expect("a target");
    let seeds = (target.seeds)(None);
    assert!(!seeds.is_empty(), "the committed seeds are there");
    for seed in &seeds {
        judge(seed.len(), || (target.run)(seed)).expect("seeds are sound");
    }
    for number in 0..target.budget {
        let data = bpfsmith_fuzz::case(target, &seeds, number);
        if let Err(failure) = judge(data.len(), || (target.run)(&data)) {
            panic!(
                "{failure}: see it with `cargo run --release -p bpfsmith-fuzz -- {name} --case {number}`"
            );
        }
    }
}

// One test for all: peak memory is counted for the whole process.
#[test]
fn nothing_hurts() {
    for target in bpfsmith_fuzz::targets::TARGETS {
        spend(target.name);
    }
}
