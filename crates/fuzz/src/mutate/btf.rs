//! Changes of BTF that know its types, and type graphs made up: cycles, missing ids, the same names again and again.
use bpfsmith_btf::{Array, Body, Builder, Def, Int, Kind, SectionVar};

use super::bytes::{bytes, get, put};
use crate::random::Random;

const NAMES: &[&str] = &[
    "",
    "",
    "a",
    "b",
    "x",
    "s",
    "s___v2",
    "second",
    "task_struct",
    ".bss",
    ".maps",
    ".data",
    "license",
];
const ACCESSES: &[&str] = &[
    "0",
    "0:0",
    "0:1",
    "0:1:2",
    "0:0:0:0",
    "1",
    "2",
    "0:-1",
    "0:99999999999",
    "0:1:0:1:0:1:0",
];

/// A BTF of up to a few hundred types whose references go anywhere.
#[must_use]
pub fn types(random: &mut Random) -> Vec<u8> {
    let mut builder = Builder::new(random.once_in(8));
    for text in ACCESSES {
        builder.string(text.as_bytes());
    }
    let shift = 2 + random.below(7);
    let count = 1 + random.below(1 << shift) as u32;
    for _ in 0..count {
        let name = random.pick(NAMES).unwrap_or_default().as_bytes().to_vec();
        let body = body(random, count);
        builder.add(&Def { name, body });
    }
    builder.finish().unwrap_or_default()
}

fn body(random: &mut Random, count: u32) -> Body {
    let any = |random: &mut Random| random.below(count as usize + 2) as u32;
    let size = |random: &mut Random| match random.below(5) {
        0 => random.hostile(64) as u32,
        _ => 1 << random.below(5),
    };
    let name = |random: &mut Random| random.pick(NAMES).unwrap_or_default().as_bytes().to_vec();
    let few = |random: &mut Random| random.below(6);
    match random.below(20) {
        0..=3 => Body::Int {
            size: size(random),
            int: Int {
                encoding: random.below(8) as u8,
                offset: if random.once_in(4) {
                    random.word() as u8
                } else {
                    0
                },
                bits: random.pick(&[1, 8, 16, 32, 64, 255]).unwrap_or(8),
            },
        },
        4..=7 => Body::Composite {
            union: random.once_in(3),
            size: size(random),
            bit_fields: random.once_in(3),
            members: (0..few(random))
                .map(|_| {
                    let offset = if random.once_in(5) {
                        random.hostile(99)
                    } else {
                        random.below(16) as u64 * 8
                    };
                    (
                        name(random),
                        any(random),
                        offset as u32 & 0xff_ffff,
                        random.below(65) as u32,
                    )
                })
                .collect(),
        },
        8 => Body::Array(Array {
            element: any(random),
            index: any(random),
            count: random.hostile(8) as u32,
        }),
        9 => Body::Enum {
            wide: random.once_in(2),
            signed: random.once_in(2),
            size: size(random),
            values: (0..few(random))
                .map(|_| (name(random), random.hostile(8)))
                .collect(),
        },
        10 => Body::FuncProto {
            returns: any(random),
            params: (0..few(random))
                .map(|_| (name(random), any(random)))
                .collect(),
        },
        11 => Body::Func {
            proto: any(random),
            linkage: random.below(4) as u32,
        },
        12 => Body::Var {
            type_id: any(random),
            linkage: random.below(4) as u32,
        },
        13 => Body::Datasec {
            size: size(random),
            vars: (0..few(random))
                .map(|_| SectionVar {
                    type_id: any(random),
                    offset: random.hostile(64) as u32,
                    size: size(random),
                })
                .collect(),
        },
        14 => Body::DeclTag {
            type_id: any(random),
            component_idx: random.below(6) as i32 - 2,
            attribute: random.once_in(2),
        },
        15 => Body::Fwd {
            union: random.once_in(2),
        },
        _ => Body::Of {
            kind: random
                .pick(&[
                    Kind::Ptr,
                    Kind::Typedef,
                    Kind::Const,
                    Kind::Volatile,
                    Kind::TypeTag,
                    Kind::Restrict,
                ])
                .unwrap_or(Kind::Ptr),
            type_id: any(random),
            attribute: random.once_in(4),
        },
    }
}

/// One change of BTF, or of whatever the data is instead.
pub fn btf(data: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    let end = data.len();
    if random.once_in(16) {
        *data = types(random);
    } else if random.once_in(5) || !within(data, 0..end, random) {
        bytes(data, random, seeds);
    }
}

/// One change of the BTF that lies in `range`; false when there is none. Keeps the length.
pub(super) fn within(data: &mut [u8], range: std::ops::Range<usize>, random: &mut Random) -> bool {
    let big = match data.get(range.start..range.start + 2) {
        Some([0x9f, 0xeb]) => false,
        Some([0xeb, 0x9f]) => true,
        _ => return false,
    };
    let word =
        |data: &[u8], at: usize| get(data, range.start + at, 4, big).unwrap_or_default() as usize;
    let (header, start, length) = (word(data, 4), word(data, 8), word(data, 12));
    if random.once_in(6) {
        let field = range.start + 4 + random.below(5) * 4;
        let value = random.hostile(range.len());
        put(data, field, 4, value, big);
        return true;
    }
    let from = range.start.saturating_add(header).saturating_add(start);
    let places = places(data, from, from.saturating_add(length).min(range.end), big);
    let Some((at, words)) = random.pick(&places) else {
        return false;
    };
    let ids = places.len();
    let id = |random: &mut Random| match random.below(4) {
        0 => random.hostile(ids),
        _ => random.below(ids + 2) as u64,
    };
    match random.below(7) {
        0 => put(data, at, 4, random.hostile(length), big), // name
        1 => {
            // Another kind, the same number of elements.
            let info = get(data, at + 4, 4, big).unwrap_or_default();
            put(
                data,
                at + 4,
                4,
                info & 0x80ff_ffff | (random.below(22) as u64) << 24,
                big,
            );
        }
        2 => {
            let info = get(data, at + 4, 4, big).unwrap_or_default();
            put(
                data,
                at + 4,
                4,
                info & 0xffff_0000 | random.hostile(words) & 0xffff,
                big,
            );
        }
        3 => {
            let info = get(data, at + 4, 4, big).unwrap_or_default();
            put(data, at + 4, 4, info ^ 1 << 31, big);
        }
        4 => put(data, at + 8, 4, id(random), big), // size or type
        5 => put(data, at + 8, 4, random.hostile(64), big),
        _ => {
            let field = at + 12 + random.below(words) * 4;
            let value = id(random);
            put(data, field, 4, value, big);
        }
    }
    true
}

/// (offset, words after its first three) of each type.
fn places(data: &[u8], mut at: usize, end: usize, big: bool) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    while at + 12 <= end && out.len() < 1 << 17 {
        let Some(info) = get(data, at + 4, 4, big) else {
            break;
        };
        let count = info as usize & 0xffff;
        let words = match info >> 24 & 0x1f {
            1 | 14 | 17 => 1,
            3 => 3,
            4 | 5 | 15 | 19 => count * 3,
            6 | 13 => count * 2,
            _ => 0,
        };
        out.push((at, words));
        at += 12 + words * 4;
    }
    out
}
