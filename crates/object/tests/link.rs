//! Layout and references of linked programs, on objects written by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use bpfsmith_isa::{Endian, decode_all};
use bpfsmith_object::{Object, Origin, Target};
use support::*;

fn names(object: &Object, program: usize) -> Vec<String> {
    let linked = object.link(program).unwrap();
    linked
        .functions
        .iter()
        .map(|f| object.functions[f.function].name.clone())
        .collect()
}

/// Two programs share subprograms: each gets its own copies, in the order of first use, depth first.
fn shared(endian: Endian) -> Object {
    let mut b = Builder::new(endian);
    // .text: a (calls c), b, c (calls itself), 3 slots each
    let text = b.code(
        ".text",
        &[
            call(-1),
            mov(0, 1),
            exit(),
            mov(0, 2),
            mov(0, 2),
            exit(),
            call(-1),
            mov(0, 3),
            exit(),
        ],
    );
    let xdp = b.code("xdp", &[call(-1), call(-1), exit()]);
    let tc = b.code("tc", &[call(-1), exit()]);
    b.function("a", text, 0, 3);
    let fb = b.function("b", text, 3, 3);
    let fc = b.function("c", text, 6, 3);
    let fa = 1;
    b.function("first", xdp, 0, 3);
    b.function("second", tc, 0, 2);
    b.relocs(text, &[(0, fc), (48, fc)]);
    b.relocs(xdp, &[(0, fa), (8, fb)]);
    b.relocs(tc, &[(0, fb)]);
    Object::parse(b.build()).unwrap()
}

#[test]
fn subprograms_are_appended_at_first_use_depth_first() {
    for endian in [Endian::Little, Endian::Big] {
        let object = shared(endian);
        assert_eq!(names(&object, 0), ["first", "a", "c", "b"]);
        assert_eq!(names(&object, 1), ["second", "b"]);
        let linked = object.link(0).unwrap();
        assert_eq!(linked.insns.len(), 12);
        let imm = |slot: usize| linked.insns[slot].imm;
        assert_eq!((imm(0), imm(1)), (2, 7), "first calls a at 3 and b at 9");
        assert_eq!(imm(3), 2, "a calls c at 6");
        assert_eq!(imm(6), -1, "c calls itself");
        assert_eq!(linked.bytes(endian).len(), 96);
    }
}

#[test]
fn a_static_subprogram_is_called_through_its_section() {
    let mut b = Builder::default();
    let text = b.code(".text", &[mov(0, 1), exit(), mov(0, 2), exit()]);
    let xdp = b.code("xdp", &[call(1), call(-1), exit()]);
    b.symbol("one", LOCAL, FUNC, text, 0, 16);
    b.symbol("two", LOCAL, FUNC, text, 16, 16);
    let section = b.symbol("", LOCAL, SECTION, text, 0, 0);
    b.function("prog", xdp, 0, 3);
    b.relocs(xdp, &[(0, section), (8, section)]);
    let object = Object::parse(b.build()).unwrap();
    assert_eq!(names(&object, 0), ["prog", "two", "one"]);
    assert!(
        object
            .functions
            .iter()
            .all(|f| f.is_static == (f.name != "prog"))
    );
}

#[test]
fn a_callback_is_a_function_address() {
    let mut b = Builder::default();
    let text = b.code(".text", &[mov(0, 1), exit(), mov(0, 2), exit()]);
    let [low, high] = load(2, 16);
    let xdp = b.code("xdp", &[low, high, exit()]);
    b.symbol("one", LOCAL, FUNC, text, 0, 16);
    b.symbol("two", LOCAL, FUNC, text, 16, 16);
    let section = b.symbol("", LOCAL, SECTION, text, 0, 0);
    b.function("prog", xdp, 0, 3);
    b.relocs(xdp, &[(0, section)]);
    let object = Object::parse(b.build()).unwrap();
    let linked = object.link(0).unwrap();
    assert_eq!(names(&object, 0), ["prog", "two"]);
    assert_eq!((linked.insns[0].src, linked.insns[0].imm), (4, 2));
    assert!(matches!(linked.refs[0].target, Target::Function(_)));
    let normal = decode_all(&object.normalised(0, None).unwrap(), Endian::Little);
    assert_eq!((normal[0].src, normal[0].imm, normal[1].imm), (4, 0, 0));
}

#[test]
fn maps_and_data_become_indices() {
    let mut b = Builder::default();
    let words = b.bytes_of_u32(&[1, 4, 8, 16, 0, 0, 1, 6, 4, 4, 1]);
    let maps = b.data("maps", &words);
    let data = b.data(".data", &[0; 16]);
    let bss = b.bss(".bss.mine", 32);
    let [m0, m1] = load(1, 0);
    let [d0, d1] = load(2, 4);
    let [z0, z1] = load(3, 8);
    let xdp = b.code("?xdp", &[m0, m1, d0, d1, z0, z1, exit()]);
    b.symbol("hash", GLOBAL, OBJECT, maps, 0, 28);
    let percpu = b.symbol("percpu", GLOBAL, OBJECT, maps, 28, 16);
    let counter = b.symbol("counter", GLOBAL, OBJECT, data, 8, 8);
    let zero = b.symbol("", LOCAL, SECTION, bss, 0, 0);
    b.function("prog", xdp, 0, 7);
    b.relocs(xdp, &[(0, percpu), (16, counter), (32, zero)]);
    let object = Object::parse(b.build()).unwrap();
    let kinds: Vec<_> = object
        .maps
        .iter()
        .map(|m| (m.name.as_str(), m.origin))
        .collect();
    let expected = [
        ("hash", Origin::Legacy),
        ("percpu", Origin::Legacy),
        (".data", Origin::Data),
        (".bss.mine", Origin::Data),
    ];
    assert_eq!(kinds, expected);
    let hash = &object.maps[0];
    let numbers = (
        hash.map_type,
        hash.key_size,
        hash.value_size,
        hash.max_entries,
        hash.flags,
        hash.pinning,
    );
    assert_eq!(numbers, (1, 4, 8, 16, 0, 1));
    assert_eq!(
        (object.maps[1].map_type, object.maps[1].flags),
        (6, 0),
        "16 bytes have no flags"
    );
    assert_eq!(object.maps[3].value_size, 32);
    assert_eq!(
        (
            object.programs[0].section.as_str(),
            object.programs[0].autoload
        ),
        ("xdp", false)
    );
    let linked = object.link(0).unwrap();
    let half = |slot: usize| {
        (
            linked.insns[slot].src,
            linked.insns[slot].imm,
            linked.insns[slot + 1].imm,
        )
    };
    assert_eq!(half(0), (1, 1, 0));
    assert_eq!(half(2), (2, 2, 12), "symbol value 8 and addend 4");
    assert_eq!(half(4), (2, 3, 8));
    let normal = decode_all(&object.normalised(0, None).unwrap(), Endian::Little);
    assert!(
        normal
            .iter()
            .step_by(2)
            .take(3)
            .all(|i| i.src != 0 && i.imm == 0)
    );
    let globals: Vec<_> = object
        .globals
        .iter()
        .map(|g| (g.name.as_str(), g.offset, g.size))
        .collect();
    assert_eq!(globals, [("counter", 8, 8)]);
}

#[test]
fn an_undefined_function_is_called_as_a_kfunc() {
    let mut b = Builder::default();
    let xdp = b.code("xdp", &[call(-1), exit()]);
    let wanted = b.symbol("bpf_something", WEAK, NOTYPE, 0, 0, 0);
    b.function("prog", xdp, 0, 2);
    b.relocs(xdp, &[(0, wanted)]);
    let object = Object::parse(b.build()).unwrap();
    let linked = object.link(0).unwrap();
    assert_eq!((linked.insns[0].src, linked.insns[0].imm), (2, 0));
    assert_eq!(linked.refs[0].target, Target::Extern(0));
    assert!(object.externs[0].weak);
    assert!(object.notes.iter().any(|n| n.kind == "unknown-extern"));
}

#[test]
fn a_jump_table_gives_the_targets_of_gotox() {
    let mut b = Builder::default();
    let words = b.bytes_of_u32(&[24, 0, 16, 0, 24, 0, 999, 0]);
    let tables = b.data(".jumptables", &words);
    let [low, high] = load(1, 0);
    let gotox = insn(0x0d, 1, 0, 0, 0);
    let xdp = b.code("xdp", &[exit(), low, high, gotox, exit(), exit()]);
    let table = b.symbol("BPF.JT.0.0", GLOBAL, OBJECT, tables, 0, 32);
    b.function("other", xdp, 0, 1);
    b.function("prog", xdp, 1, 5);
    b.relocs(xdp, &[(8, table)]);
    let object = Object::parse(b.build()).unwrap();
    let linked = object.link(1).unwrap();
    assert_eq!((linked.insns[0].src, linked.insns[0].imm), (2, -1));
    assert_eq!(linked.jump_tables.len(), 1);
    let found = &linked.jump_tables[0];
    // slots 3 and 2 of the section are 2 and 1 of the program; 999 / 8 lies outside
    assert_eq!((found.slot, found.targets.as_slice()), (2, &[1, 2][..]));
}

#[test]
fn untyped_and_unsized_functions_end_where_the_next_begins() {
    let mut b = Builder::default();
    let xdp = b.code("xdp", &[exit(), exit(), exit(), exit()]);
    b.symbol("first", GLOBAL, NOTYPE, xdp, 0, 0);
    b.symbol("second", GLOBAL, NOTYPE, xdp, 8, 0);
    let object = Object::parse(b.build()).unwrap();
    let found: Vec<_> = object
        .programs
        .iter()
        .map(|p| (p.name.as_str(), p.own_slots))
        .collect();
    assert_eq!(found, [("first", 1), ("second", 3)]);
    assert!(object.notes.iter().all(|n| n.kind == "untyped-function"));
}

#[test]
fn aliases_are_two_programs_of_the_same_code() {
    let mut b = Builder::default();
    let xdp = b.code("xdp", &[mov(0, 2), exit()]);
    b.function("name", xdp, 0, 2);
    b.function("alias", xdp, 0, 2);
    let object = Object::parse(b.build()).unwrap();
    let found: Vec<_> = object.programs.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(found, ["alias", "name"]);
    assert_eq!(
        object.fingerprint(0, None).unwrap(),
        object.fingerprint(1, None).unwrap()
    );
}

#[test]
fn the_fingerprint_is_the_hash_of_the_slots() {
    let mut b = Builder::default();
    let xdp = b.code("xdp", &[mov(0, 2), exit()]);
    b.function("pass", xdp, 0, 2);
    let object = Object::parse(b.build()).unwrap();
    // printf '\xb7\0\0\0\2\0\0\0\x95\0\0\0\0\0\0\0' | sha256sum
    let expected = "614b434cd8324ecc7c75ff9332b723a2eec8478e23cca7735bf316f765d42a61";
    assert_eq!(object.fingerprint(0, None).unwrap(), expected);
}

#[test]
fn what_cannot_be_linked_says_where() {
    let message = |place: fn(&mut Builder, u16) -> u32, insns: &[bpfsmith_isa::Insn]| {
        let mut b = Builder::default();
        let xdp = b.code("xdp", insns);
        let symbol = place(&mut b, xdp);
        b.function("prog", xdp, 0, insns.len() as u64);
        b.relocs(xdp, &[(0, symbol)]);
        let error = Object::parse(b.build()).unwrap().link(0).unwrap_err();
        assert!(
            error.place.contains("function `prog`, offset 0x0"),
            "{error:?}"
        );
        error.message
    };
    let [low, high] = load(1, 0);
    let other: fn(&mut Builder, u16) -> u32 = |b, _| {
        let section = b.data("other", &[0; 8]);
        b.symbol("thing", GLOBAL, OBJECT, section, 0, 8)
    };
    assert_eq!(
        message(other, &[low, high, exit()]),
        "reference to `thing` in section `other`, which is no map and no data"
    );
    assert_eq!(
        message(other, &[call(-1), exit()]),
        "call of `thing`, which is no function of this object"
    );
    let text = message(other, &[mov(0, 0), exit()]);
    assert!(
        text.starts_with("relocation against `thing` at an instruction that takes none"),
        "{text}"
    );
    let absolute: fn(&mut Builder, u16) -> u32 =
        |b, _| b.symbol("where", GLOBAL, OBJECT, 0xfff1, 0, 8);
    let text = message(absolute, &[low, high, exit()]);
    assert!(text.starts_with("`where` is in no section"), "{text}");
}

#[test]
fn a_call_to_nowhere_is_an_error() {
    let mut b = Builder::default();
    let xdp = b.code("xdp", &[call(100), exit()]);
    b.function("prog", xdp, 0, 2);
    let error = Object::parse(b.build()).unwrap().link(0).unwrap_err();
    assert_eq!(
        error.message,
        "call into section `xdp`, slot 101, where no function is"
    );
}
