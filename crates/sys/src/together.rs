//! Steps of a plan that may run at the same time: many programs, each verified on its own.
//!
//! Verifying is nearly all the time a large object takes to load, and the kernel does it in the thread that asks, without a
//! lock for those with CAP_BPF. What is answered does not depend on how many threads there were.
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::plan::Step;
use crate::replay::{Answer, Undisturbed};

const PROG_LOAD: u32 = 5;
/// Fewer programs, or bytes of code, are verified before another thread has begun.
const LEAST_STEPS: usize = 8;
const LEAST_BYTES: usize = 64 << 10;
const MOST_THREADS: usize = 8;

/// How many of the first steps may run together: programs that need nothing of one another. At least 1.
pub(crate) fn count<B: AsRef<[u8]>>(steps: &[Step<B>]) -> usize {
    let mut made = HashSet::new();
    let mut bytes = 0;
    let mut count = 0;
    for step in steps {
        let mut used = step
            .slots
            .iter()
            .chain(step.blobs.iter().flat_map(|blob| &blob.slots));
        if step.cmd != PROG_LOAD || used.any(|(_, slot)| made.contains(slot)) {
            break;
        }
        made.extend(step.out);
        bytes += step
            .blobs
            .iter()
            .map(|blob| blob.bytes.as_ref().len())
            .sum::<usize>();
        count += 1;
    }
    if count < LEAST_STEPS || bytes < LEAST_BYTES {
        1
    } else {
        count
    }
}

/// Runs all of them on as many threads as there are processors. Answers stand in the order of the steps; after the first
/// failure there may be none for later ones.
pub(crate) fn run<B: AsRef<[u8]> + Sync>(
    steps: &[Step<B>],
    one: impl Fn(&Step<B>) -> Answer + Sync,
) -> Vec<Option<Answer>> {
    let answers = Mutex::new(steps.iter().map(|_| None).collect::<Vec<_>>());
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    // Steps are begun in order, so that all before the first failure have an answer.
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(step) = steps.get(at) else { break };
            let answer = one(step);
            if answer.0 < 0 {
                failed.store(true, Ordering::Relaxed);
            }
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = answers.get_mut(at) {
                *place = Some(answer);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(MOST_THREADS).min(steps.len()) {
            let helper = || {
                let _quiet = Undisturbed::entirely(); // Signals are for the threads the process had.
                work();
            };
            // One that cannot be had is not needed.
            if std::thread::Builder::new()
                .spawn_scoped(scope, helper)
                .is_err()
            {
                break;
            }
        }
        work();
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}
