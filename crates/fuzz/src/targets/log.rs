//! Verifier logs, and whatever people paste.
use bpfsmith_vlog::{Load, Paste, Reader, Value, printed, read, tokens};

use crate::mutate;
use crate::random::Random;

/// Steps whose states are worked out.
const STATES: usize = 16;

pub(super) fn run(data: &[u8]) {
    let paste = read(data);
    all(&paste);
    let mut reader = Reader::new(1 << 16);
    for piece in data.chunks(data.len() / 3 + 1) {
        reader.feed(piece);
    }
    all(&reader.finish());
}

fn all(paste: &Paste) {
    assert!(!paste.loads.is_empty(), "a paste has a load");
    for load in &paste.loads {
        one(paste, load);
    }
    for line in 0..paste.text.len() {
        assert!(paste.text.kind(line).is_some());
    }
}

fn one(paste: &Paste, load: &Load) {
    assert!(load.first <= load.end && load.end <= paste.text.len());
    let path = load.path();
    assert!(path.windows(2).all(|pair| pair.first() < pair.last()));
    for (at, step) in load.steps.iter().enumerate() {
        assert!(step.parent as usize != at && load.insns.contains_key(&step.slot));
    }
    let every = path.len() / STATES + 1;
    for step in path.iter().step_by(every) {
        let state = paste.state(load, *step);
        for frame in &state.frames {
            for fact in frame.regs.iter().flatten() {
                let value = Value::read(paste.fact_text(fact));
                let _ = (
                    value.bounds(),
                    value.bounds32(),
                    value.off(),
                    value.id(),
                    value.map(),
                );
            }
        }
    }
    if let Some(last) = path.last() {
        let _ = paste.after(load, *last);
    }
    for insn in load.insns.values().take(1000) {
        let _ = (insn.reads(), insn.writes(), insn.next());
    }
    for line in (load.first..load.end).take(200) {
        let _ = tokens(paste.text.line(line)).count();
    }
    assert_eq!(
        printed(&paste.text, load).lines().count(),
        (load.first..load.end)
            .map(|line| paste.text.line(line).lines().count().max(1))
            .sum::<usize>(),
        "every line is written again"
    );
}

const PIECES: &[&str] = &[
    "\n",
    "\r\n",
    "\\n",
    "\u{1b}[31m",
    "> ",
    "12: ",
    "from 1 to 2: ",
    "from 4294967295 to 0: safe\n",
    "99999999: (85) call pc-5\n",
    "0: (95) exit\n",
    "R1_w=",
    "fp-8=",
    "frame31: ",
    "frame1:",
    "; ",
    "var_off=(0x0; ",
    "refs=2,",
    "caller:\n",
    "to caller at 7:\n",
    "processed 1 insns (limit 1)\n",
    "libbpf: -- BEGIN PROG LOAD LOG --\n",
    "load program: permission denied: ",
    "Verifier output: ",
    "Verification failed: x\n",
    "Live regs before insn:\n",
    "func#0 @0\n",
    "level=warning msg=\"",
    "{\"msg\": \"",
    "```\n",
    "&lt;",
    ": safe",
];

/// One change of a log: its lines in another order, cut, or with words of logs and loaders put in.
pub(super) fn mutate(data: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    match random.below(6) {
        0 => {
            let at = random.below(data.len() + 1);
            data.truncate(at);
        }
        1 => {
            let mut lines: Vec<Vec<u8>> = data
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            let (from, to) = (random.below(lines.len()), random.below(lines.len()));
            lines.swap(from, to);
            *data = lines.join(&b'\n');
        }
        2 | 3 => {
            let at = random.below(data.len() + 1);
            let piece = random.pick(PIECES).unwrap_or_default().as_bytes();
            let many = if random.below(8) == 0 {
                1 << random.below(10)
            } else {
                1
            };
            data.splice(at..at, piece.repeat(many));
        }
        4 => mutate::text(data, random, seeds),
        _ => mutate::bytes(data, random, seeds),
    }
}
