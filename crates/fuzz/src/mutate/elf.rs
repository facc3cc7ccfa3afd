//! Changes of ELF objects that know headers, sections, symbols and relocations, and what lies in sections.
use std::ops::Range;

use super::bytes::{LARGEST, bytes, get, put};
use super::{btf, code};
use crate::random::Random;

/// Bytes of a section header and of a symbol in ELF64.
const HEADER: usize = 64;
const SYMBOL: usize = 24;

#[derive(Clone, Debug)]
struct Section {
    header: usize,
    name: String,
    kind: u64,
    flags: u64,
    range: Range<usize>,
}

fn is_big(data: &[u8]) -> bool {
    data.get(5) == Some(&2)
}

/// The section headers that lie in the file.
fn sections(data: &[u8]) -> Vec<Section> {
    let big = is_big(data);
    let field = |at, width| get(data, at, width, big).unwrap_or_default() as usize;
    let (table, count, names) = (field(0x28, 8), field(0x3c, 2), field(0x3e, 2));
    let header = |index: usize| {
        index
            .checked_mul(HEADER)
            .and_then(|at| at.checked_add(table))
    };
    let range = |at: usize| {
        let start = field(at + 24, 8).min(data.len());
        start..start.saturating_add(field(at + 32, 8)).min(data.len())
    };
    let names = header(names)
        .filter(|at| at.checked_add(HEADER).is_some_and(|end| end <= data.len()))
        .map(range)
        .unwrap_or_default();
    let names = data.get(names).unwrap_or_default();
    (0..count)
        .map_while(|index| {
            header(index).filter(|at| at.checked_add(HEADER).is_some_and(|end| end <= data.len()))
        })
        .map(|at| {
            let name = names.get(field(at, 4)..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            Section {
                header: at,
                name: String::from_utf8_lossy(name).into_owned(),
                kind: field(at + 4, 4) as u64,
                flags: field(at + 8, 8) as u64,
                range: range(at),
            }
        })
        .collect()
}

/// Where the section of that name lies.
#[must_use]
pub fn section(data: &[u8], name: &str) -> Option<Range<usize>> {
    sections(data)
        .into_iter()
        .find(|one| one.name == name)
        .map(|one| one.range)
}

/// One change of an object.
pub fn elf(data: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    let all = sections(data);
    let Some(one) = all.get(random.below(all.len())) else {
        bytes(data, random, seeds);
        return;
    };
    match random.below(24) {
        0 => bytes(data, random, seeds),
        1 if random.once_in(3) => file_header(data, random),
        2 | 3 => header_field(data, one, &all, random),
        4 => headers(data, &all, random),
        5 => replaced(data, one, random),
        6 => strings(data, &all, random),
        7 => boundary(data, one, random),
        _ => contents(data, one, &all, random),
    }
}

fn file_header(data: &mut [u8], random: &mut Random) {
    let big = is_big(data);
    let fields = [
        (4, 1),
        (5, 1),
        (0x10, 2),
        (0x12, 2),
        (0x28, 8),
        (0x3a, 2),
        (0x3c, 2),
        (0x3e, 2),
    ];
    let (at, width) = random.pick(&fields).unwrap_or((0x3c, 2));
    let value = random.hostile(data.len());
    put(data, at, width, value, big);
}

/// A hostile value, or that of another section: overlapping and circular sections.
fn header_field(data: &mut [u8], one: &Section, all: &[Section], random: &mut Random) {
    let big = is_big(data);
    let fields = [
        (0, 4),
        (4, 4),
        (8, 8),
        (24, 8),
        (24, 8),
        (32, 8),
        (32, 8),
        (32, 8),
        (40, 4),
        (44, 4),
        (56, 8),
    ];
    let (at, width) = random.pick(&fields).unwrap_or((32, 8));
    let other = all
        .get(random.below(all.len()))
        .and_then(|other| get(data, other.header + at, width, big));
    let value = match (random.below(3), other) {
        (0, Some(value)) => value,
        (1, _) => random.below(all.len() + 1) as u64,
        _ => random.hostile(data.len()),
    };
    put(data, one.header + at, width, value, big);
}

/// Headers swapped, doubled, or the whole table several times over at the end of the file.
fn headers(data: &mut Vec<u8>, all: &[Section], random: &mut Random) {
    let big = is_big(data);
    let pick = |random: &mut Random| all.get(random.below(all.len())).map_or(0, |one| one.header);
    let (a, b) = (pick(random), pick(random));
    let header = |data: &[u8], at: usize| data.get(at..at + HEADER).unwrap_or_default().to_vec();
    let (first, second) = (header(data, a), header(data, b));
    if random.once_in(3) && data.len() < LARGEST {
        let mut table: Vec<u8> = all
            .iter()
            .flat_map(|one| header(data, one.header))
            .collect();
        let times = 1 << random.below(6);
        table = table.repeat(times);
        let count = table.len() / HEADER;
        let end = data.len() as u64;
        put(data, 0x28, 8, end, big);
        put(data, 0x3c, 2, count as u64, big);
        data.extend(table);
        return;
    }
    let twice = random.once_in(2);
    for (index, (one, other)) in first.into_iter().zip(second).enumerate() {
        put(data, b + index, 1, u64::from(one), big);
        if !twice {
            put(data, a + index, 1, u64::from(other), big);
        }
    }
}

/// The section's contents anew, at the end of the file.
fn replaced(data: &mut Vec<u8>, one: &Section, random: &mut Random) {
    if data.len() > LARGEST {
        return;
    }
    let big = is_big(data);
    let old = data.get(one.range.clone()).unwrap_or_default();
    let fresh = match one.name.as_str() {
        ".BTF" => btf::types(random),
        _ if one.flags & 4 != 0 => code::code(random.below(300), random, big),
        _ => {
            let shift = random.below(7);
            old.repeat(1 + random.below(1 << shift))
        }
    };
    let end = data.len() as u64;
    put(data, one.header + 24, 8, end, big);
    put(data, one.header + 32, 8, fresh.len() as u64, big);
    data.extend(fresh);
    data.truncate(LARGEST * 2);
}

/// Names without end, or all the same.
fn strings(data: &mut [u8], all: &[Section], random: &mut Random) {
    let tables: Vec<&Section> = all.iter().filter(|one| one.kind == 3).collect();
    let Some(table) = random.pick(&tables) else {
        return;
    };
    let byte = random.pick(b"\0Aa.\xff").unwrap_or(0);
    let every = 1 + random.below(40);
    let start = table.range.start + random.below(table.range.len());
    for at in (start..table.range.end).step_by(every) {
        if let Some(place) = data.get_mut(at)
            && (byte == 0 || *place == 0 || every == 1)
        {
            *place = byte;
        }
    }
}

/// Cut off at, or near, where a section starts or ends.
fn boundary(data: &mut Vec<u8>, one: &Section, random: &mut Random) {
    if random.once_in(3) {
        let edge = if random.once_in(2) {
            one.range.start
        } else {
            one.range.end
        };
        let length = (edge + random.below(9)).saturating_sub(4);
        data.truncate(length.max(64));
    }
}

/// A change inside a section, by what it holds.
fn contents(data: &mut [u8], one: &Section, all: &[Section], random: &mut Random) {
    let big = is_big(data);
    let (range, length) = (one.range.clone(), one.range.len());
    let pick = |random: &mut Random, size: usize| range.start + random.below(length / size) * size;
    match (one.kind, one.name.as_str()) {
        (2, _) => {
            let fields = [(0, 4), (4, 1), (6, 2), (6, 2), (8, 8), (16, 8)];
            let (at, width) = random.pick(&fields).unwrap_or((8, 8));
            let value = match at {
                4 => (random.below(5) << 4 | random.below(5)) as u64,
                6 => random.below(all.len() + 2) as u64,
                _ => random.hostile(64),
            };
            put(data, pick(random, SYMBOL) + at, width, value, big);
        }
        (9 | 4, _) => {
            let entry = pick(random, if one.kind == 9 { 16 } else { 24 });
            let symbols = all
                .iter()
                .find(|it| it.kind == 2)
                .map_or(8, |it| it.range.len() / SYMBOL);
            match random.below(4) {
                0 => put(data, entry, 8, random.hostile(64), big),
                1 => put(data, entry, 8, random.below(64) as u64 * 8, big),
                2 => put(
                    data,
                    entry + 8,
                    8,
                    (random.below(symbols + 2) as u64) << 32 | random.below(14) as u64,
                    big,
                ),
                _ => put(data, entry + 8, 8, random.word(), big),
            }
        }
        (_, ".BTF") => {
            let _ = btf::within(data, range, random);
        }
        _ if one.flags & 4 != 0 => code::slots(data, range, random, big),
        _ => {
            // `.BTF.ext`, map definitions, DWARF: mostly words.
            let width = random.pick(&[1, 1, 2, 4, 4, 8]).unwrap_or(4);
            let place = pick(random, width);
            let value = random.hostile(length);
            put(data, place, width, value, big);
        }
    }
}
