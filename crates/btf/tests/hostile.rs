//! Bytes made to hurt: every call ends soon, with an answer or an error, never a panic.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
use std::time::{Duration, Instant};

use bpfsmith_btf::core::{ReloKind, resolve};
use bpfsmith_btf::ext::{BtfExt, CoreRelo};
use bpfsmith_btf::{Body, Btf, Kind};

mod common;
use common::{Make, Random, every_kind, name};

fn soon<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = work();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{what} took {:?}",
        start.elapsed()
    );
    out
}

/// Calls everything there is.
fn use_all(btf: &Btf) {
    let _ = btf.dump_raw();
    let _ = btf.rebuild();
    for id in 0..btf.len().min(200) {
        let _ = (
            btf.size_of(id),
            btf.c_decl(id),
            btf.c_type(id),
            btf.resolve_modifiers(id).map(|ty| ty.id()),
        );
        let _ = (btf.place(id, "a.second[1]"), btf.place(id, "[3].low"));
        let Some(ty) = btf.get(id) else { continue };
        let _ = (
            btf.find(ty.name_bytes(), None),
            btf.find_all(ty.name_bytes(), Some(ty.kind())),
        );
        for kind in 0..14 {
            for access in [0, 1, 2, 30] {
                let relo = CoreRelo {
                    insn_off: 0,
                    type_id: id,
                    access_str_off: access,
                    kind,
                };
                let _ = resolve(btf, &relo, &[btf, btf]);
            }
        }
    }
}

#[test]
fn changed_bytes() {
    for big in [false, true] {
        let mut make = every_kind(big);
        for access in ["0", "0:1", "0:1:2", "0:0:0:0"] {
            make.builder.string(access.as_bytes());
        }
        let good = make.bytes();
        let mut random = Random(0x5eed_0001);
        for _ in 0..400 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.next() as u8,
                    2 => bytes.truncate(at.max(30)),
                    _ => {
                        let word = [0, 1, 8, 0xffff, u32::MAX][random.below(5)];
                        let at = at.min(bytes.len() - 4) & !3;
                        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
                    }
                }
            }
            let _ = BtfExt::parse(bytes.clone());
            if let Ok(btf) = Btf::parse(bytes) {
                use_all(&btf);
            }
        }
    }
}

/// struct a0 { struct { a1 anonymous twice } } and so on: 2^levels ways down.
fn nested(levels: u32, text: &str) -> Make {
    let mut make = Make::new(false);
    let mut inner = make.int("int", 4, true);
    for _ in 0..levels {
        inner = make.structure("", 4, &[("", inner, 0), ("", inner, 0)]);
    }
    make.structure(text, 4, &[("", inner, 0), ("", inner, 0)]);
    make
}

#[test]
fn anonymous_members_that_multiply() {
    let target = nested(50, "s").btf();
    let mut local = Make::new(false);
    let int = local.int("int", 4, true);
    local.structure("s", 4, &[("x", int, 0)]);
    let access_str_off = local.builder.string(b"0:0");
    let local = local.btf();
    let relo = CoreRelo {
        insn_off: 0,
        type_id: 2,
        access_str_off,
        kind: ReloKind::FieldByteOffset as u32,
    };
    assert!(soon("matching", || resolve(&local, &relo, &[&target])).is_err());
    assert!(soon("a path", || target.place(52, "x")).is_err());
    assert!(soon("C", || target.c_decl(52)).is_err());
}

#[test]
fn prototypes_that_multiply() {
    let mut make = Make::new(false);
    let mut inner = make.int("int", 4, true);
    for _ in 0..30 {
        let proto = make.proto(inner, &[("", inner), ("", inner)]);
        inner = make.of(Kind::Ptr, "", proto);
    }
    let type_id = make.of(Kind::Typedef, "deep_t", inner);
    let access_str_off = make.builder.string(b"0");
    let btf = make.btf();
    for kind in [ReloKind::TypeExists, ReloKind::TypeMatches] {
        let relo = CoreRelo {
            insn_off: 0,
            type_id,
            access_str_off,
            kind: kind as u32,
        };
        let found = soon("matching", || resolve(&btf, &relo, &[&btf]));
        assert!(found.is_err(), "{found:?}");
    }
    assert!(soon("C", || btf.c_decl(type_id)).is_err());
}

#[test]
fn a_million_types_of_one_name() {
    let mut make = Make::new(false);
    for _ in 0..1_000_000 {
        make.structure("s", 0, &[]);
    }
    let access_str_off = make.builder.string(b"0");
    let btf = soon("parsing", || make.btf());
    assert_eq!(btf.len(), 1_000_001);
    assert_eq!(
        soon("finding", || btf.find_all(b"s", None)).len(),
        1_000_000
    );
    for _ in 0..5 {
        assert_eq!(soon("finding", || btf.find(b"s", None)), Some(1));
    }
    let relo = CoreRelo {
        insn_off: 0,
        type_id: 1,
        access_str_off,
        kind: ReloKind::TypeExists as u32,
    };
    let _ = soon("matching", || resolve(&btf, &relo, &[&btf]));
}

#[test]
fn one_endless_name_for_all() {
    let mut make = Make::new(false);
    make.builder.string(b"s");
    for _ in 0..200_000 {
        make.of(Kind::Typedef, "n", 1);
    }
    let members = (0..100_000).map(|_| (name("n"), 1, 0, 0)).collect();
    let id = make.add(
        "s",
        Body::Composite {
            union: false,
            size: 4,
            bit_fields: false,
            members,
        },
    );
    // `n` is the last string: it grows to 4 MiB where it stands.
    let mut bytes = make.bytes();
    bytes.truncate(bytes.len() - 2);
    bytes.extend(std::iter::repeat_n(b'x', 4 << 20));
    bytes.push(0);
    let str_len = u32::from_le_bytes(bytes[20..24].try_into().unwrap()) + (4 << 20) - 1;
    bytes[20..24].copy_from_slice(&str_len.to_le_bytes());
    let btf = soon("parsing", || Btf::parse(bytes)).unwrap();
    for _ in 0..5 {
        assert_eq!(soon("finding", || btf.find(b"s", None)), Some(id));
        assert_eq!(soon("finding", || btf.find(b"y", None)), None);
    }
    assert!(soon("the dump", || btf.dump_raw()).is_err());
    assert!(soon("writing", || btf.rebuild()).is_err());
    assert!(soon("C", || btf.c_decl(id)).is_err());
    assert!(soon("a path", || btf.place(id, "nothing")).is_err());
}

#[test]
fn a_chain_of_names_without_end() {
    let mut make = Make::new(false);
    for id in 2..300_000 {
        make.of(Kind::Typedef, "t", id);
    }
    let btf = make.btf();
    soon("resolving", || {
        for id in 1..100_000 {
            assert!(btf.resolve_modifiers(id).is_none());
            assert_eq!(btf.size_of(id), None);
        }
    });
}
