//! Instructions: the first byte chooses byte order and functions, the rest are slots.
use std::ops::Range;
use std::path::Path;

use bpfsmith_isa::disasm::{NoNames, Spelled, kernel, llvm};
use bpfsmith_isa::{Cfg, Endian, Insn, JumpTable, Loops, Program, asm, decode_all, encode_all};

use crate::mutate;
use crate::random::Random;

/// Blocks of loops asked for at most, as the Python bindings do.
const LOOP_BLOCKS: usize = 1 << 22;

pub(super) fn run(data: &[u8]) {
    let Some((choice, code)) = data.split_first() else {
        return;
    };
    let endian = if choice & 1 == 0 {
        Endian::Little
    } else {
        Endian::Big
    };
    let insns = decode_all(code, endian);
    let whole = code.get(..insns.len() * Insn::SIZE).unwrap_or_default();
    assert!(encode_all(&insns, endian) == whole, "encode(decode(x)) = x");
    texts(&insns);
    let funcs = functions(&insns, usize::from(choice >> 1 & 7));
    let tables = tables(&insns, usize::from(choice >> 4));
    for range in funcs
        .iter()
        .take(8)
        .cloned()
        .chain(std::iter::once(0..insns.len()))
    {
        let graph = Cfg::new(&insns, range, &tables);
        let loops = Loops::new(&graph);
        let _ = (loops.bodies(LOOP_BLOCKS), loops.irreducible().len());
        let _ = (graph.unreachable(&insns), graph.endless(&insns));
    }
    let program = Program::new(&insns, &funcs, &tables);
    let values = program.values(endian, &[]);
    let timers = values.timer_callbacks();
    let _ = program.chains(&values.stack, &timers);
    let _ = (
        program.map_uses(),
        program.features(),
        program.unreachable(),
    );
    let _ = (
        program.endless(),
        program.falls_off(),
        program.calls().len(),
    );
}

/// Any slot has a text in both syntaxes.
fn texts(insns: &[Insn]) {
    let mut text = String::new();
    for slot in 0..insns.len() {
        assert!(
            !llvm(insns, slot).is_empty(),
            "LLVM's syntax says something"
        );
        let _ = kernel(insns, slot, &NoNames);
        text.push_str(&kernel(insns, slot, &Spelled(insns)));
        text.push('\n');
    }
    let _ = asm::assemble(&text);
}

/// `count` + 1 functions of about the same length, the last two overlapping when `count` is odd.
fn functions(insns: &[Insn], count: usize) -> Vec<Range<usize>> {
    let step = insns.len() / (count + 1) + 1;
    let mut out: Vec<Range<usize>> = (0..=count)
        .map(|one| (one * step).min(insns.len())..((one + 1) * step).min(insns.len()))
        .collect();
    if count % 2 == 1
        && let Some(last) = out.last_mut()
    {
        last.start = last.start.saturating_sub(step / 2);
    }
    out
}

/// A jump table for the first `gotox` instructions, leading everywhere and outside.
fn tables(insns: &[Insn], count: usize) -> Vec<JumpTable> {
    let gotox = insns.iter().enumerate().filter(|(_, one)| one.is_gotox());
    gotox
        .take(count)
        .map(|(slot, _)| JumpTable {
            slot,
            targets: (0..insns.len() + 2).step_by(count).collect(),
        })
        .collect()
}

/// The code of the committed objects, as single functions.
pub(super) fn seeds(more: Option<&Path>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for data in crate::seeds::objects(more) {
        let Ok(object) = bpfsmith_object::Object::parse(data) else {
            continue;
        };
        for index in 0..object.programs.len().min(16) {
            if let Ok(linked) = object.link(index) {
                let mut seed = vec![u8::from(object.endian == Endian::Big)];
                seed.extend(linked.bytes(object.endian));
                out.push(seed);
            }
        }
    }
    out.push(vec![0]);
    out
}

pub(super) fn text_seeds(more: Option<&Path>) -> Vec<Vec<u8>> {
    let seeds = seeds(more);
    let text = |seed: &Vec<u8>| {
        let insns = decode_all(seed.get(1..).unwrap_or_default(), Endian::Little);
        let lines = (0..insns.len()).map(|slot| kernel(&insns, slot, &Spelled(&insns)) + "\n");
        lines.collect::<String>().into_bytes()
    };
    seeds.iter().map(text).collect()
}

pub(super) fn run_text(data: &[u8]) {
    let _ = asm::assemble(&String::from_utf8_lossy(data));
}

pub(super) fn mutate(data: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    if random.once_in(12) {
        let choice = random.word() as u8;
        if let Some(first) = data.first_mut() {
            *first = choice;
        }
    }
    let big = data.first().is_some_and(|choice| choice & 1 == 1);
    if random.once_in(8) {
        let slots = random.below(400);
        let mut fresh = vec![data.first().copied().unwrap_or_default()];
        fresh.extend(mutate::code(slots, random, big));
        *data = fresh;
        return;
    }
    let end = data.len();
    mutate::slots(data, 1..end, random, big);
    if random.once_in(4) {
        mutate::bytes(data, random, seeds);
    }
}
