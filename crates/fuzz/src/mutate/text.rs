//! Changes that know words and brackets.
use super::bytes::{LARGEST, bytes};
use crate::random::Random;

const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "\"",
    "'",
    "r#\"",
    "\"#",
    "/*",
    "*/",
    "//",
    "#[",
    "#![",
    "!",
    "::",
    "..=",
    "=>",
    "->",
    "|",
    "||",
    "&&",
    "mut ",
    "fn ",
    "impl ",
    "match ",
    "if let ",
    "unsafe ",
    "async ",
    "macro_rules! ",
    "\u{feff}",
    "\u{200e}",
    "\u{10ffff}",
    "é",
    "\r\n",
    "\0",
    "0x",
    "1e",
    "'a ",
    "b'",
    "c\"",
    "dyn ",
    "where ",
    "r0 = ",
    "(b7) ",
    " ll",
    "call ",
    "goto +",
    "*(u64 *)",
    "lock ",
    "#-1",
    "0xffffffffffffffff",
];

/// One change of text.
pub fn text(data: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    let at = random.below(data.len() + 1);
    let piece = random.pick(PIECES).unwrap_or_default().as_bytes();
    match random.below(6) {
        0 | 1 => {
            data.splice(at..at, piece.iter().copied());
        }
        2 if data.len() < LARGEST => {
            // Deep nesting, and long runs of one operator.
            let many = 1 << random.below(14);
            data.splice(at..at, piece.repeat(many));
            data.truncate(LARGEST);
        }
        3 => {
            let end = (at + random.below(200)).min(data.len());
            data.drain(at..end);
        }
        4 => {
            let from = data
                .get(at..(at + random.below(400)).min(data.len()))
                .unwrap_or_default()
                .to_vec();
            let to = random.below(data.len() + 1);
            data.splice(to..to, from);
        }
        _ => bytes(data, random, seeds),
    }
}
