//! Every kind read, written, printed and looked up; malformed bytes refused with their place.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
use std::sync::Arc;

use bpfsmith_btf::{Body, Btf, Builder, Def, Kind};

mod common;
use common::{Make, every_kind, name};

#[test]
fn what_is_written_is_read_back() {
    for big in [false, true] {
        let make = every_kind(big);
        let bytes = make.bytes();
        let btf = make.btf();
        assert_eq!(btf.is_big_endian(), big);
        assert_eq!(btf.to_bytes(), bytes);
        assert_eq!(btf.rebuild().unwrap(), bytes);
        let mut again = Builder::new(big);
        for ty in btf.own_types() {
            assert_eq!(again.add(&ty.def().unwrap()), ty.id());
        }
        assert_eq!(again.finish().unwrap(), bytes);
    }
}

#[test]
fn both_byte_orders_say_the_same() {
    let dumps = [false, true]
        .map(|big| String::from_utf8(every_kind(big).btf().dump_raw().unwrap()).unwrap());
    assert_eq!(dumps[0], dumps[1]);
    let expected = [
        "[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED\n",
        "[2] INT 'char' size=1 bits_offset=3 nr_bits=8 encoding=CHAR\n",
        "[6] ARRAY '(anon)' type_id=2 index_type_id=1 nr_elems=16\n",
        "\n\t'(anon)' type_id=7 bits_offset=64\n",
        "\n\t'low' type_id=1 bits_offset=0 bitfield_size=3\n",
        "ENUM 'colour' encoding=UNSIGNED size=4 vlen=2\n\t'RED' val=0\n\t'BLUE' val=4294967295\n",
        "ENUM 'signed_colour' encoding=SIGNED size=4 vlen=2\n\t'LOWEST' val=-5\n",
        "ENUM64 'wide' encoding=SIGNED size=8 vlen=2\n\t'LOWEST' val=-5LL\n",
        "'LOWEST' val=18446744073709551611ULL\n",
        "FWD 'later' fwd_kind=union\n",
        "FUNC 'helper' type_id=22 linkage=extern\n",
        "VAR 'counter' type_id=3, linkage=global\n",
        "DATASEC '.bss' size=16 vlen=2\n\ttype_id=25 offset=0 size=8 (VAR 'counter')\n\ttype_id=9999 offset=8 size=1\n",
        "DECL_TAG 'note' type_id=8 component_idx=-1\n",
    ];
    for text in expected {
        assert!(dumps[0].contains(text), "{text:?} is not in\n{}", dumps[0]);
    }
}

#[test]
fn a_longer_header_is_kept() {
    let plain = every_kind(false).bytes();
    let mut long = plain[..24].to_vec();
    long[4] = 40;
    long.extend([7; 16]);
    long.extend(&plain[24..]);
    long.extend([1, 2, 3]); // after the strings
    let btf = Btf::parse(long.clone()).unwrap();
    assert_eq!(btf.header_len(), 40);
    assert_eq!(btf.to_bytes(), long);
    assert_eq!(
        btf.dump_raw().unwrap(),
        Btf::parse(plain).unwrap().dump_raw().unwrap()
    );
}

#[test]
fn malformed_headers_and_types_name_their_place() {
    let good = every_kind(false).bytes();
    let with = |at: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        bytes
    };
    let types = u32::from_le_bytes(good[12..16].try_into().unwrap());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "too few"),
        (good[..20].to_vec(), "too few"),
        (
            b"\x7fELF and more than twenty-four bytes".to_vec(),
            "bad magic",
        ),
        (
            {
                let mut b = good.clone();
                b[2] = 9;
                b
            },
            "BTF version 9",
        ),
        (with(4, 8), "header length 8"),
        (with(4, u32::MAX), "header length 4294967295"),
        (with(12, u32::MAX), "ends after"),
        (with(16, u32::MAX - 3), "ends after"),
        (with(16, 4), "overlap"),
        (with(8, 2), "ends after\0overlap\0multiple of 4"),
        (with(20, 0), "string section is empty"),
        (with(12, types - 2), "cut off\0needs"),
        (good[..good.len() - 1].to_vec(), "ends after"),
        (with(24 + 4, 77 << 24), "type 1 has kind 77"),
        (with(24 + 4, 4 << 24 | 0x00ff_ffff), "type 1 needs"),
        (with(24 + 4, 0), "type 1 has kind 0"),
    ];
    for (bytes, wanted) in cases {
        let error = Btf::parse(bytes).expect_err(wanted).to_string();
        assert!(
            wanted.split('\0').any(|part| error.contains(part)),
            "{wanted:?}: {error}"
        );
        assert!(error.starts_with("BTF "), "{error}");
    }
}

#[test]
fn names_are_found_by_scan_and_by_index() {
    let mut make = every_kind(false);
    let second = make.structure("outer", 4, &[]);
    let flavour = make.structure("outer___v2", 4, &[]);
    let btf = make.btf();
    // The first lookups scan, later ones use the index: every answer must be the same.
    for _ in 0..8 {
        assert_eq!(btf.find(b"outer", Some(Kind::Struct)), Some(8));
        assert_eq!(btf.find_all(b"outer", None), [8, second]);
        assert_eq!(btf.find(b"outer___v2", None), Some(flavour));
        assert_eq!(btf.find(b"outer", Some(Kind::Typedef)), None);
        assert_eq!(btf.find(b"work", None), btf.find(b"work", Some(Kind::Func)));
        assert_eq!(btf.find(b"oute", None), None);
        assert_eq!(btf.find(b"", None), None);
    }
}

#[test]
fn a_name_may_be_the_end_of_another() {
    let mut make = Make::new(false);
    make.int("unsigned int", 4, false);
    let mut bytes = make.bytes();
    let tail = 24 + 16 + 1 + "unsigned ".len();
    assert_eq!(&bytes[tail..], b"int\0");
    bytes[24..28].copy_from_slice(&(1 + "unsigned ".len() as u32).to_le_bytes());
    let btf = Btf::parse(bytes).unwrap();
    for _ in 0..8 {
        assert_eq!(btf.find(b"int", None), Some(1));
    }
}

#[test]
fn split_continues_ids_and_strings() {
    for big in [false, true] {
        let base = Arc::new(every_kind(big).btf());
        let mut split = Builder::split(&base);
        let body = Body::Of {
            kind: Kind::Ptr,
            type_id: 8,
            attribute: false,
        };
        let pointer = split.add(&Def {
            name: Vec::new(),
            body,
        });
        assert_eq!(pointer, base.len());
        let members = vec![(name("a"), 8, 0, 0), (name("new_name"), pointer, 320, 0)];
        let body = Body::Composite {
            union: false,
            size: 48,
            bit_fields: false,
            members,
        };
        let own = split.add(&Def {
            name: name("in_module"),
            body,
        });
        let bytes = split.finish().unwrap();
        let btf = Btf::parse_split(bytes.clone(), Arc::clone(&base)).unwrap();
        assert_eq!((btf.first_id(), btf.len()), (base.len(), base.len() + 2));
        assert_eq!(btf.get(8).unwrap().name(), "outer");
        assert_eq!(btf.find(b"in_module", None), Some(own));
        assert_eq!(btf.find(b"outer", None), Some(8));
        assert_eq!(btf.place(own, "a.second").unwrap().bit_offset, 64);
        let ty = btf.get(own).unwrap();
        assert_eq!(ty.member(0).unwrap().name(), "a"); // a string of the base
        assert_eq!(btf.rebuild().unwrap(), bytes);
        let dump = String::from_utf8(btf.dump_raw().unwrap()).unwrap();
        assert!(
            dump.starts_with(&format!("[{pointer}] PTR '(anon)' type_id=8\n")),
            "{dump}"
        );
        assert!(Btf::parse(bytes).is_err() || base.len() > 1);
    }
}

#[test]
fn sizes_and_cycles() {
    let mut make = every_kind(false);
    let huge = make.array(8, u32::MAX);
    let twice = make.array(huge, 2);
    let empty = make.array(1, 0);
    let next = empty + 2;
    let loop_a = make.of(Kind::Const, "", next);
    let loop_b = make.of(Kind::Typedef, "loop_t", loop_a);
    let own = make.array(loop_b + 1, 2);
    let btf = make.btf();
    assert_eq!(btf.size_of(8), Some(40));
    assert_eq!(btf.size_of(5), Some(8));
    assert_eq!(btf.size_of(6), Some(16));
    assert_eq!(btf.size_of(empty), Some(0));
    for id in [0, huge, twice, loop_a, loop_b, own, 100_000] {
        assert_eq!(btf.size_of(id), None, "type {id}");
    }
    assert!(btf.resolve_modifiers(loop_a).is_none());
    assert_eq!(btf.resolve_modifiers(20).unwrap().id(), 8);
    assert!(btf.c_decl(own).is_err());
}

#[test]
fn places_by_path() {
    let btf = every_kind(false).btf();
    let place = |path: &str| {
        btf.place(16, path)
            .map(|at| (at.bit_offset, at.bit_size, at.type_id))
    };
    assert_eq!(place("a"), Ok((0, 32, 1)));
    assert_eq!(place("second"), Ok((64, 32, 1)));
    assert_eq!(place("text[3]"), Ok((152, 8, 2)));
    assert_eq!(place(""), Ok((0, 320, 16)));
    assert_eq!(
        btf.place(9, "low")
            .map(|at| (at.bit_offset, at.bit_size, at.bitfield)),
        Ok((0, 3, true))
    );
    for (path, wanted) in [
        ("b", "`struct outer` has no member `b`"),
        ("a.b", "`int` has no members, so no `b`"),
        ("text[16]", "outside the array of 16"),
        ("a[0]", "`int` is no array"),
        ("text[x]", "is no member or `[index]`"),
        ("p.a", "has no members"),
    ] {
        let error = place(path).expect_err(path).to_string();
        assert!(error.contains(wanted), "{path}: {error}");
    }
}

#[test]
fn c_definitions() {
    let btf = every_kind(false).btf();
    let text = |id: u32| btf.c_decl(id).unwrap();
    assert_eq!(
        text(8),
        "struct outer {\n\tint a;\n\t/* 4 bytes hole */\n\tunion {\n\t\tlong unsigned int first;\n\t\tint second;\n\t};\n\
         \tchar text[16];\n\tint *p;\n} __attribute__((btf_decl_tag(\"note\")));"
    );
    assert_eq!(text(16), "typedef struct outer alias_t;");
    assert_eq!(text(23), "int work(int *left, ...);");
    assert_eq!(text(25), "long unsigned int counter;");
    assert_eq!(text(15), "struct sooner;");
    assert_eq!(text(12), "enum wide {\n\tLOWEST = -5,\n\tZERO = 0,\n};");
    assert!(text(9).contains("\tint low: 3;\n"));
    assert!(btf.c_decl(9999).is_err());
}

#[test]
fn names_that_are_no_text_survive() {
    let mut builder = Builder::new(false);
    let body = Body::Fwd { union: false };
    builder.add(&Def {
        name: b"caf\xe9".to_vec(),
        body,
    });
    let bytes = builder.finish().unwrap();
    let btf = Btf::parse(bytes.clone()).unwrap();
    assert_eq!(btf.get(1).unwrap().name(), "caf\u{fffd}");
    assert_eq!(btf.get(1).unwrap().name_bytes(), b"caf\xe9");
    assert_eq!(btf.find(b"caf\xe9", None), Some(1));
    assert_eq!(btf.rebuild().unwrap(), bytes);
    assert_eq!(
        btf.dump_raw().unwrap(),
        b"[1] FWD 'caf\xe9' fwd_kind=struct\n"
    );
}
