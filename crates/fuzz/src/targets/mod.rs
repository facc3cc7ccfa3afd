//! What is done with bytes. Each target calls everything its part of the core offers, as the Python side does.
mod agent;
mod btf;
mod core;
mod isa;
mod log;
mod object;
mod plan;
mod source;

use std::path::Path;

use crate::mutate;
use crate::random::Random;

/// One way to use the core on arbitrary bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub what: &'static str,
    /// Panics only when the core is wrong.
    pub run: fn(&[u8]),
    pub seeds: fn(Option<&Path>) -> Vec<Vec<u8>>,
    pub mutate: fn(&mut Vec<u8>, &mut Random, &[Vec<u8>]),
    /// Cases `cargo test` runs.
    pub budget: u64,
}

pub const TARGETS: &[Target] = &[
    Target {
        name: "object",
        what: "ELF: parse, link, relocate, fingerprint, lines, analysis, inlined frames",
        run: object::run,
        seeds: object::seeds,
        mutate: mutate::elf,
        budget: 3000,
    },
    Target {
        name: "btf",
        what: "BTF: parse, dump, layout, C text, rebuild, split; `.BTF.ext`",
        run: btf::run,
        seeds: btf::seeds,
        mutate: mutate::btf,
        budget: 3000,
    },
    Target {
        name: "core",
        what: "CO-RE: one hostile BTF resolved and patched against another",
        run: core::run,
        seeds: core::seeds,
        mutate: core::mutate,
        budget: 3000,
    },
    Target {
        name: "isa",
        what: "instructions: decode, encode, both syntaxes, assemble, control flow, values, stack",
        run: isa::run,
        seeds: isa::seeds,
        mutate: isa::mutate,
        budget: 4000,
    },
    Target {
        name: "asm",
        what: "text to instructions",
        run: isa::run_text,
        seeds: isa::text_seeds,
        mutate: mutate::text,
        budget: 2000,
    },
    Target {
        name: "agent",
        what: "requests of the host to a guest",
        run: agent::run,
        seeds: agent::seeds,
        mutate: mutate::bytes,
        budget: 5000,
    },
    Target {
        name: "plan",
        what: "plans of kernel commands as messages",
        run: plan::run,
        seeds: plan::seeds,
        mutate: mutate::bytes,
        budget: 3000,
    },
    Target {
        name: "source",
        what: "Rust source to facts and JSON",
        run: source::run,
        seeds: crate::seeds::sources,
        mutate: mutate::text,
        budget: 300,
    },
    Target {
        name: "log",
        what: "verifier logs: whole and in pieces, paths, states, values, written again",
        run: log::run,
        seeds: crate::seeds::logs,
        mutate: log::mutate,
        budget: 3000,
    },
];

/// The target of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|one| one.name == name)
}
