//! What is no eBPF object, or a damaged one: one clear sentence each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use bpfsmith_object::{Error, Object};
use support::*;

fn error(bytes: &[u8]) -> Error {
    Object::parse(bytes).unwrap_err()
}

fn small() -> Builder {
    let mut b = Builder::default();
    let text = b.code(".text", &[mov(0, 1), exit()]);
    let xdp = b.code("xdp", &[call(-1), exit()]);
    let sub = b.function("sub", text, 0, 2);
    b.function("prog", xdp, 0, 2);
    b.relocs(xdp, &[(0, sub)]);
    b
}

/// Overwrites `bytes` at `at`.
fn patched(mut file: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// Where the header of section `index` is.
fn header(file: &[u8], index: usize) -> usize {
    u64::from_le_bytes(file[40..48].try_into().unwrap()) as usize + index * 64
}

#[test]
fn other_files_are_named() {
    assert_eq!(error(b"").message, "the file is empty");
    assert_eq!(error(b"hello").message, "not an ELF file");
    assert_eq!(
        error(b"!<arch>\nlib.o/ ").message,
        "an archive (`ar`), not an eBPF object"
    );
    assert_eq!(
        error(b"BC\xc0\xde5\x14\0\0").message,
        "LLVM bitcode, not an eBPF object"
    );
    assert_eq!(
        error(b"\x7fELF\x02\x01\x01").message,
        "the ELF header is cut off: 7 of 64 bytes"
    );
    let file = small().build();
    assert_eq!(
        error(&patched(file.clone(), 4, &[1])).message,
        "a 32-bit ELF file; eBPF objects are 64-bit"
    );
    assert_eq!(
        error(&patched(file.clone(), 5, &[7])).message,
        "unknown ELF byte order 7"
    );
    assert_eq!(
        error(&patched(file.clone(), 18, &[62, 0])).message,
        "an ELF file for x86-64, not for eBPF"
    );
    assert_eq!(
        error(&patched(file.clone(), 18, &[99, 0])).message,
        "an ELF file for machine 99, not for eBPF"
    );
    assert_eq!(
        error(&patched(file.clone(), 16, &[3, 0])).message,
        "a shared object, not a relocatable object"
    );
    assert!(
        Object::parse(patched(file, 18, &[0, 0])).is_ok(),
        "old clang left the machine empty"
    );
}

#[test]
fn damaged_headers_say_what_does_not_fit() {
    let file = small().build();
    let size = file.len();
    let cut = error(&file[..size - 1]);
    assert_eq!(
        cut.message,
        "6 section headers announced, 5 fit into the file"
    );
    let outside = error(&patched(file.clone(), 40, &u64::MAX.to_le_bytes()));
    assert_eq!(
        outside.message,
        format!("the section headers lie outside the file of {size} bytes")
    );
    let at = header(&file, 1) + 32;
    let huge = error(&patched(file.clone(), at, &(1_u64 << 32).to_le_bytes()));
    assert_eq!(
        huge.message,
        format!("section 1 is cut off: 4294967296 bytes at 0x40 in a file of {size} bytes")
    );
    let overlap = error(&patched(
        file.clone(),
        header(&file, 2) + 24,
        &0x48_u64.to_le_bytes(),
    ));
    assert_eq!(overlap.message, "sections 1 and 2 overlap in the file");
    let names = error(&patched(
        file.clone(),
        header(&file, 1),
        &u32::MAX.to_le_bytes(),
    ));
    assert_eq!(names.message, "a section name lies outside the name table");
}

#[test]
fn damaged_relocations_say_which() {
    let mut b = small();
    b.relocs(2, &[(3, 1)]);
    let wrong = error(&b.build());
    assert_eq!(
        wrong.message,
        "malformed relocation: offset 0x3 in code of 16 bytes"
    );
    assert_eq!(wrong.place, "section `.relxdp`, relocation 0, offset 0x3");
    let mut b = small();
    b.relocs(2, &[(8, 77)]);
    assert_eq!(
        error(&b.build()).message,
        "malformed relocation: symbol 77 of 3"
    );
    let mut b = small();
    let lost = b.symbol("lost", GLOBAL, OBJECT, 500, 0, 8);
    b.relocs(2, &[(8, lost)]);
    let wrong = error(&b.build());
    assert_eq!(
        wrong.message,
        "malformed relocation: symbol 3 lies in section 500, which does not exist"
    );
}

#[test]
fn damaged_functions_say_where() {
    let mut b = small();
    b.function("long", 2, 1, 2);
    let wrong = error(&b.build());
    assert_eq!(
        wrong.message,
        "function `long` crosses the end of its section: 16 bytes at 0x8 of 16"
    );
    assert_eq!(wrong.place, "section `xdp`, symbol `long`");
    let mut b = small();
    b.symbol("odd", GLOBAL, FUNC, 2, 4, 8);
    assert_eq!(
        error(&b.build()).message,
        "function `odd` is not made of 8-byte slots: 8 bytes at 0x4"
    );
}

#[test]
fn bad_btf_is_an_error_and_bad_records_a_note() {
    let mut b = small();
    b.data(".BTF", b"nonsense");
    let wrong = error(&b.build());
    assert!(wrong.place.starts_with("section `.BTF`"), "{wrong:?}");
    let mut b = small();
    let mut btf = vec![0x9f, 0xeb, 1, 0];
    for word in [24_u32, 0, 0, 0, 1] {
        btf.extend(word.to_le_bytes());
    }
    btf.push(0);
    b.data(".BTF", &btf);
    b.data(".BTF.ext", b"nonsense");
    let object = Object::parse(b.build()).unwrap();
    assert!(
        object.notes.iter().any(|n| n.kind == "bad-btf-ext"),
        "{:?}",
        object.notes
    );
}

#[test]
fn an_object_without_symbols_still_shows_its_code() {
    let mut b = Builder::default();
    b.code("xdp", &[mov(0, 2), exit()]);
    let object = Object::parse(b.build()).unwrap();
    assert_eq!(object.programs[0].name, "xdp");
    assert!(object.notes.iter().any(|n| n.kind == "no-symbols"));
}
