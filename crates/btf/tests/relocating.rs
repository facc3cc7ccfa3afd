//! CO-RE: what each kind resolves to, when candidates count, and what becomes of the instruction.
//! Equality with libbpf on real objects is tested from Python; here are the rules one by one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
use bpfsmith_btf::core::{
    Mismatch, POISON, Patched, ReloKind, Resolution, Resolver, patch, resolve,
};
use bpfsmith_btf::ext::CoreRelo;
use bpfsmith_btf::{Btf, Kind, Result};

mod common;
use common::{Make, name};

fn relocate(
    local: &Make,
    target: &[&Make],
    kind: ReloKind,
    type_id: u32,
    access: &str,
) -> Result<Resolution> {
    let (local, relo) = with_access(local, kind, type_id, access);
    let targets: Vec<Btf> = target.iter().map(|make| make.btf()).collect();
    resolve(&local, &relo, &targets.iter().collect::<Vec<_>>())
}

/// The local BTF with the access string in its strings: they go on after the types.
fn with_access(local: &Make, kind: ReloKind, type_id: u32, access: &str) -> (Btf, CoreRelo) {
    let mut bytes = local.bytes();
    let str_len = u32::from_le_bytes(bytes[20..24].try_into().unwrap());
    bytes[20..24].copy_from_slice(&(str_len + access.len() as u32 + 1).to_le_bytes());
    bytes.extend(access.as_bytes());
    bytes.push(0);
    let relo = CoreRelo {
        insn_off: 0,
        type_id,
        access_str_off: str_len,
        kind: kind as u32,
    };
    (Btf::parse(bytes).unwrap(), relo)
}

/// struct s { int a; int x; struct { long b; }; char text[8]; } with `at` bytes in front of x.
fn structure(text: &str, at: u32) -> Make {
    let mut make = Make::new(false);
    let int = make.int("int", 4, true);
    let long = make.int("long", 8, false);
    let byte = make.int("char", 1, true);
    let array = make.array(byte, 8);
    let inner = make.structure("", 8, &[("b", long, 0)]);
    let x = 32 + at * 8;
    make.structure(
        text,
        32 + at,
        &[
            ("a", int, 0),
            ("x", int, x),
            ("", inner, x + 32),
            ("text", array, x + 96),
        ],
    );
    make
}

const S: u32 = 6;

#[test]
fn fields_move() {
    use ReloKind::{
        FieldByteOffset, FieldByteSize, FieldExists, FieldLshiftU64, FieldRshiftU64, FieldSigned,
    };
    let (local, target) = (structure("s", 0), structure("s", 16));
    for (kind, access, orig, new) in [
        (FieldByteOffset, "0:0", 0, 0),
        (FieldByteOffset, "0:1", 4, 20),
        (FieldByteOffset, "0:2:0", 8, 24),
        (FieldByteOffset, "0:3:5", 21, 37),
        (FieldByteOffset, "1:1", 36, 68),
        (FieldByteSize, "0:3", 8, 8),
        (FieldExists, "0:1", 1, 1),
        (FieldSigned, "0:1", 1, 1),
        (FieldSigned, "0:2:0", 0, 0),
        (FieldLshiftU64, "0:1", 32, 32),
        (FieldRshiftU64, "0:1", 32, 32),
    ] {
        let found = relocate(&local, &[&target], kind, S, access).unwrap();
        assert_eq!(
            (found.value.orig, found.value.new),
            (orig, new),
            "{kind:?} {access}"
        );
        assert!(found.is_resolved() && found.value.validate);
    }
}

#[test]
fn what_is_said_of_a_field() {
    let (local, target) = (structure("s___mine", 0), structure("s", 16));
    let (local, relo) = with_access(&local, ReloKind::FieldByteOffset, S, "0:3:5");
    let target = target.btf();
    let found = resolve(&local, &relo, &[&target]).unwrap();
    assert_eq!(
        found.local.text(&local),
        "<byte_off> [6] struct s___mine.text[5] (0:3:5 @ offset 21)"
    );
    let matched = found.target.as_ref().unwrap();
    assert_eq!(
        matched.spec.text(&target),
        "<byte_off> [6] struct s.text[5] (0:3:5 @ offset 37)"
    );
    assert_eq!(found.reason(&local, &[&target]), None);
}

#[test]
fn missing_fields_and_types_poison_or_count_as_absent() {
    let mut lacking = Make::new(false);
    let int = lacking.int("int", 4, true);
    lacking.structure("s", 4, &[("a", int, 0)]);
    let local = structure("s", 0);
    let empty = Make::new(false);
    let cases = [
        (
            &lacking,
            ReloKind::FieldByteOffset,
            "0:1",
            true,
            "`struct s` [2] has no member `x`",
        ),
        (
            &lacking,
            ReloKind::FieldExists,
            "0:1",
            false,
            "`struct s` [2] has no member `x`",
        ),
        (
            &empty,
            ReloKind::FieldByteOffset,
            "0:1",
            true,
            "the target has no `struct s`",
        ),
        (
            &empty,
            ReloKind::FieldExists,
            "0:0",
            false,
            "the target has no `struct s`",
        ),
        (
            &empty,
            ReloKind::TypeExists,
            "0",
            false,
            "the target has no `struct s`",
        ),
        (
            &empty,
            ReloKind::TypeSize,
            "0",
            false,
            "the target has no `struct s`",
        ),
        (
            &empty,
            ReloKind::TypeMatches,
            "0",
            false,
            "the target has no `struct s`",
        ),
        (
            &empty,
            ReloKind::TypeIdTarget,
            "0",
            false,
            "the target has no `struct s`",
        ),
    ];
    for (target, kind, access, poison, reason) in cases {
        let (btf, relo) = with_access(&local, kind, S, access);
        let target = target.btf();
        let found = resolve(&btf, &relo, &[&target]).unwrap();
        assert_eq!(
            (found.value.poison, found.value.new),
            (poison, 0),
            "{kind:?}"
        );
        assert_eq!(found.reason(&btf, &[&target]).as_deref(), Some(reason));
    }
}

#[test]
fn other_types_do_not_match() {
    let mut target = Make::new(false);
    let int = target.int("int", 4, true);
    let pointer = target.of(Kind::Ptr, "", int);
    let short = target.array(int, 2);
    target.structure("s", 64, &[("a", pointer, 0), ("text", short, 64)]);
    let local = structure("s", 0);
    let found = relocate(&local, &[&target], ReloKind::FieldByteOffset, S, "0:0").unwrap();
    assert!(
        matches!(found.mismatch, Some(Mismatch::OtherType { level: 1, .. })),
        "{found:?}"
    );
    let found = relocate(&local, &[&target], ReloKind::FieldByteOffset, S, "0:3:5").unwrap();
    assert!(
        matches!(found.mismatch, Some(Mismatch::NotInArray { level: 2, .. })),
        "{found:?}"
    );
    // As a member the array is compatible, whatever its length.
    let found = relocate(&local, &[&target], ReloKind::FieldByteOffset, S, "0:3").unwrap();
    assert!(found.is_resolved());
}

#[test]
fn several_candidates_must_agree() {
    let mut same = structure("s", 16);
    let mut differ = structure("s", 16);
    let local = structure("s", 0);
    for (make, at) in [(&mut same, 20 * 8), (&mut differ, 24 * 8)] {
        make.structure("s___other", 64, &[("x", 1, at)]);
    }
    let found = relocate(&local, &[&same], ReloKind::FieldByteOffset, S, "0:1").unwrap();
    assert_eq!((found.value.new, found.candidates), (20, 2));
    let error = relocate(&local, &[&differ], ReloKind::FieldByteOffset, S, "0:1").unwrap_err();
    assert!(error.message().contains("ambiguous"), "{error}");
    // Existence agrees, yet libbpf refuses differing offsets all the same.
    assert!(relocate(&local, &[&differ], ReloKind::FieldExists, S, "0:1").is_err());
    let error = relocate(&local, &[&same], ReloKind::TypeSize, S, "0").unwrap_err();
    assert!(
        error.message().contains("48 for type 6 and 64 for type 7"),
        "{error}"
    );
}

#[test]
fn a_match_prunes_the_candidates_for_later_relocations() {
    let mut target = structure("s", 16);
    target.structure("s___other", 64, &[("a", 1, 64)]);
    let local = structure("s", 0);
    // Alone, `a` is ambiguous; after `x`, which only one candidate has, it is not.
    assert!(relocate(&local, &[&target], ReloKind::FieldByteOffset, S, "0:0").is_err());
    let (btf, first) = with_access(&local, ReloKind::FieldByteOffset, S, "0:1");
    let second = CoreRelo {
        access_str_off: btf_access(&btf, "0"),
        kind: ReloKind::TypeSize as u32,
        ..first
    };
    let target = target.btf();
    let targets = [&target];
    let mut resolver = Resolver::new(&btf, &targets);
    assert_eq!(resolver.resolve(&first).unwrap().value.new, 20);
    assert_eq!(
        resolver.resolve(&second).map(|found| found.value.new),
        resolver.resolve(&second).map(|it| it.value.new)
    );
}

/// The offset of a string that happens to be in the BTF, or of the empty one.
fn btf_access(btf: &Btf, text: &str) -> u32 {
    (0..btf.strings_end())
        .find(|&at| btf.bytes_at(at) == Some(text.as_bytes()))
        .unwrap_or(0)
}

#[test]
fn modules_are_asked_for_what_the_kernel_lacks() {
    let local = structure("s", 0);
    let kernel = Make::new(false);
    let (near, far) = (structure("s", 8), structure("s", 16));
    let found = relocate(
        &local,
        &[&kernel, &far],
        ReloKind::FieldByteOffset,
        S,
        "0:1",
    )
    .unwrap();
    assert_eq!((found.value.new, found.target.unwrap().btf), (20, 1));
    let found = relocate(&local, &[&near, &far], ReloKind::FieldByteOffset, S, "0:1").unwrap();
    assert_eq!((found.value.new, found.target.unwrap().btf), (12, 0));
}

#[test]
fn bit_fields_find_their_load() {
    let make = |low: u32| {
        let mut make = Make::new(false);
        let int = make.int("int", 4, true);
        make.bits("s", 8, &[("pad", int, 0, low), ("f", int, low, 7)]);
        make
    };
    let (local, target) = (make(3), make(29));
    let value = |kind| relocate(&local, &[&target], kind, 2, "0:1").unwrap().value;
    // Bits 29 to 35 straddle two ints: eight bytes from 0.
    assert_eq!(value(ReloKind::FieldByteOffset).new, 0);
    assert_eq!(
        (
            value(ReloKind::FieldByteSize).orig,
            value(ReloKind::FieldByteSize).new
        ),
        (4, 8)
    );
    assert_eq!(
        (
            value(ReloKind::FieldLshiftU64).orig,
            value(ReloKind::FieldLshiftU64).new
        ),
        (54, 28)
    );
    assert_eq!(value(ReloKind::FieldRshiftU64).new, 57);
    assert!(!value(ReloKind::FieldByteSize).validate);
    assert!(value(ReloKind::FieldRshiftU64).validate);
}

#[test]
fn enumerators_by_name() {
    let mut local = Make::new(false);
    local.enumeration("e", &[("A", 1), ("B___old", 2), ("GONE", 3)]);
    let mut target = Make::new(false);
    let values = vec![(name("B"), 0x1_0000_0002), (name("A"), 7)];
    let body = bpfsmith_btf::Body::Enum {
        wide: true,
        signed: false,
        size: 8,
        values,
    };
    target.add("e", body);
    let value = |kind, access| relocate(&local, &[&target], kind, 1, access).unwrap().value;
    assert_eq!(
        (
            value(ReloKind::EnumvalValue, "0").orig,
            value(ReloKind::EnumvalValue, "0").new
        ),
        (1, 7)
    );
    assert_eq!(value(ReloKind::EnumvalValue, "1").new, 0x1_0000_0002);
    assert_eq!(value(ReloKind::EnumvalExists, "1").new, 1);
    assert_eq!(value(ReloKind::EnumvalExists, "2").new, 0);
    assert!(value(ReloKind::EnumvalValue, "2").poison);
    assert!(relocate(&local, &[&target], ReloKind::EnumvalValue, 1, "3").is_err());
}

#[test]
fn types_by_shape() {
    let (local, target) = (structure("s", 0), structure("s", 16));
    let value = |kind| relocate(&local, &[&target], kind, S, "0").unwrap().value;
    assert_eq!(
        (
            value(ReloKind::TypeSize).orig,
            value(ReloKind::TypeSize).new
        ),
        (32, 48)
    );
    assert_eq!(value(ReloKind::TypeExists).new, 1);
    assert_eq!(value(ReloKind::TypeIdTarget).new, u64::from(S));
    assert!(!value(ReloKind::TypeIdTarget).validate);
    assert_eq!(value(ReloKind::TypeIdLocal).new, u64::from(S));
    assert_eq!(value(ReloKind::TypeMatches).new, 1);
    let mut other = Make::new(false);
    let long = other.int("int", 8, true);
    other.structure(
        "s",
        64,
        &[
            ("a", long, 0),
            ("x", long, 64),
            ("", long, 128),
            ("text", long, 192),
            ("b", long, 0),
        ],
    );
    let value = |kind| relocate(&local, &[&other], kind, S, "0").unwrap().value;
    assert_eq!(
        (
            value(ReloKind::TypeMatches).new,
            value(ReloKind::TypeExists).new
        ),
        (0, 1)
    );
}

#[test]
fn what_libbpf_refuses() {
    let (mut local, target) = (structure("s", 0), structure("s", 16));
    let anonymous = local.structure("", 4, &[("a", 1, 0)]);
    for (kind, type_id, access) in [
        (ReloKind::FieldByteOffset, S, ""),
        (ReloKind::FieldByteOffset, S, ":"),
        (ReloKind::FieldByteOffset, S, "0:"),
        (ReloKind::FieldByteOffset, S, "0:x"),
        (ReloKind::FieldByteOffset, S, "0:9"),
        (ReloKind::FieldByteOffset, S, "0:-1"),
        (ReloKind::FieldByteOffset, S, "0:0:0"),
        (ReloKind::FieldByteOffset, S, "0:3:8"),
        (ReloKind::FieldByteOffset, 999, "0:0"),
        (ReloKind::FieldSigned, S, "0:3:1"),
        (ReloKind::FieldByteOffset, anonymous, "0:0"),
        (ReloKind::TypeSize, S, "1"),
        (ReloKind::EnumvalValue, S, "0"),
        (ReloKind::FieldByteOffset, S, &"0:".repeat(80)),
    ] {
        assert!(
            relocate(&local, &[&target], kind, type_id, access).is_err(),
            "{kind:?} {type_id} {access:?}"
        );
    }
}

/// A slot in either byte order.
fn slot(big: bool, code: u8, off: i16, imm: i32) -> [u8; 8] {
    let (off, imm) = if big {
        (off.to_be_bytes(), imm.to_be_bytes())
    } else {
        (off.to_le_bytes(), imm.to_le_bytes())
    };
    [code, 0, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
}

#[test]
fn instructions_are_patched() {
    let (local, target) = (structure("s", 0), structure("s", 16));
    let offset = relocate(&local, &[&target], ReloKind::FieldByteOffset, S, "0:1").unwrap();
    for big in [false, true] {
        for (before, after) in [
            (slot(big, 0xb7, 0, 4), slot(big, 0xb7, 0, 20)), // r0 = 4
            (slot(big, 0x07, 0, 4), slot(big, 0x07, 0, 20)), // r0 += 4
            (slot(big, 0x61, 4, 0), slot(big, 0x61, 20, 0)), // r0 = *(u32 *)(r0 + 4)
            (slot(big, 0x63, 4, 0), slot(big, 0x63, 20, 0)), // *(u32 *)(r0 + 4) = r0
            (slot(big, 0x62, 4, 9), slot(big, 0x62, 20, 9)), // *(u32 *)(r0 + 4) = 9
        ] {
            let mut slots = [before];
            assert_eq!(patch(&mut slots, 0, &offset, big), Ok(Patched::Written));
            assert_eq!(slots, [after]);
        }
        let mut slots = [slot(big, 0x18, 0, 4), slot(big, 0, 0, 0)];
        assert_eq!(patch(&mut slots, 0, &offset, big), Ok(Patched::Written));
        assert_eq!(slots[0], slot(big, 0x18, 0, 20));
        for (slots, wanted) in [
            (
                vec![slot(big, 0xb7, 0, 5)],
                "the immediate is 5, expected 4",
            ),
            (vec![slot(big, 0x61, 5, 0)], "the offset is 5, expected 4"),
            (vec![slot(big, 0xbf, 0, 4)], "without an immediate"),
            (
                vec![slot(big, 0x85, 0, 4)],
                "not an instruction that can be relocated",
            ),
            (vec![slot(big, 0x18, 0, 4)], "not the first half"),
            (
                vec![slot(big, 0x18, 1, 4), slot(big, 0, 0, 0)],
                "not a plain `ld_imm64`",
            ),
            (
                vec![slot(big, 0x18, 0, 4), slot(big, 0, 0, 1)],
                "the 64-bit immediate is 4294967300, expected 4",
            ),
            (vec![], "no such instruction"),
        ] {
            let mut after = slots.clone();
            let error = patch(&mut after, 0, &offset, big).unwrap_err();
            assert!(error.message().contains(wanted), "{error}");
            assert_eq!(after, slots);
        }
    }
}

#[test]
fn what_cannot_be_is_poisoned() {
    let (local, lacking) = (structure("s", 0), Make::new(false));
    let gone = relocate(&local, &[&lacking], ReloKind::FieldByteOffset, S, "0:1").unwrap();
    for big in [false, true] {
        let mut slots = [
            slot(big, 0x18, 0, 4),
            slot(big, 0, 0, 0),
            slot(big, 0x61, 4, 0),
        ];
        assert_eq!(patch(&mut slots, 0, &gone, big), Ok(Patched::Poisoned));
        assert_eq!(patch(&mut slots, 2, &gone, big), Ok(Patched::Poisoned));
        assert_eq!(slots, [slot(big, 0x85, 0, POISON); 3]);
    }
}

#[test]
fn loads_take_the_new_size() {
    let field = |bytes: u32, signed: bool| {
        let mut make = Make::new(false);
        let int = make.int("int", bytes, signed);
        make.structure("s", 16, &[("f", int, 0)]);
        make
    };
    let load = |code: u8, local: (u32, bool), target: (u32, bool)| {
        let found = relocate(
            &field(local.0, local.1),
            &[&field(target.0, target.1)],
            ReloKind::FieldByteOffset,
            2,
            "0:0",
        );
        let mut slots = [slot(false, code, 0, 0)];
        patch(&mut slots, 0, &found.unwrap(), false).map(|how| (how, slots[0][0]))
    };
    assert_eq!(
        load(0x61, (4, false), (8, false)),
        Ok((Patched::Written, 0x79))
    );
    assert_eq!(
        load(0x61, (4, false), (2, false)),
        Ok((Patched::Written, 0x69))
    );
    assert_eq!(
        load(0x61, (4, false), (1, false)),
        Ok((Patched::Written, 0x71))
    );
    // The sign would be lost.
    assert_eq!(
        load(0x61, (4, true), (8, true)),
        Ok((Patched::Poisoned, 0x85))
    );
    assert_eq!(
        load(0x61, (4, true), (4, true)),
        Ok((Patched::Written, 0x61))
    );
    // A load of another size than the field's was no load of the field.
    assert!(load(0x79, (4, false), (8, false)).is_err());
    assert!(load(0x61, (4, false), (16, false)).is_err());
}
