//! `.BTF.ext`: record sizes, header lengths, byte orders, and what is malformed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
use bpfsmith_btf::ext::{BtfExt, CoreRelo, FuncInfo};

/// One list: record size, then sections of (name, records of words).
type List<'a> = (u32, &'a [(u32, &'a [&'a [u32]])]);

fn build(big: bool, hdr_len: u32, lists: &[List<'_>]) -> Vec<u8> {
    let word = |out: &mut Vec<u8>, word: u32| {
        out.extend(if big {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        });
    };
    let (mut body, mut header) = (Vec::new(), Vec::new());
    for (rec_size, sections) in lists {
        let start = body.len() as u32;
        word(&mut body, *rec_size);
        for (name, records) in *sections {
            word(&mut body, *name);
            word(&mut body, records.len() as u32);
            for record in *records {
                for at in 0..*rec_size as usize / 4 {
                    word(&mut body, record.get(at).copied().unwrap_or(0xdead));
                }
            }
        }
        word(&mut header, start);
        word(&mut header, body.len() as u32 - start);
    }
    let mut out = if big {
        vec![0xeb, 0x9f, 1, 0]
    } else {
        vec![0x9f, 0xeb, 1, 0]
    };
    word(&mut out, hdr_len);
    out.extend(header);
    out.resize(hdr_len as usize, 0);
    out.extend(body);
    out
}

const FUNCS: List<'static> = (8, &[(5, &[&[0, 11], &[16, 12]]), (9, &[&[0, 13]])]);
const LINES: List<'static> = (16, &[(5, &[&[0, 1, 2, 7 << 10 | 3]])]);
const RELOS: List<'static> = (16, &[(5, &[&[8, 4, 30, 2]])]);

#[test]
fn all_three_lists_of_both_byte_orders_and_any_record_size() {
    for big in [false, true] {
        for extra in [0, 4, 12] {
            let wide = |list: List<'static>| (list.0 + extra, list.1);
            let bytes = build(big, 32 + extra, &[wide(FUNCS), wide(LINES), wide(RELOS)]);
            let ext = BtfExt::parse(bytes).unwrap();
            assert_eq!(ext.is_big_endian(), big);
            let funcs: Vec<_> = ext
                .func_infos()
                .map(|(name, records)| (name, records.collect::<Vec<_>>()))
                .collect();
            assert_eq!(
                funcs[0].1[1],
                FuncInfo {
                    insn_off: 16,
                    type_id: 12
                }
            );
            assert_eq!((funcs[1].0, funcs[1].1.len()), (9, 1));
            let line = ext.line_infos().next().unwrap().1.next().unwrap();
            assert_eq!(
                (
                    line.line(),
                    line.column(),
                    line.file_name_off,
                    line.line_off
                ),
                (7, 3, 1, 2)
            );
            let relo = ext.core_relos().next().unwrap().1.next().unwrap();
            assert_eq!(
                relo,
                CoreRelo {
                    insn_off: 8,
                    type_id: 4,
                    access_str_off: 30,
                    kind: 2
                }
            );
        }
    }
}

#[test]
fn old_headers_have_no_relocations() {
    let ext = BtfExt::parse(build(false, 24, &[FUNCS, LINES])).unwrap();
    assert_eq!(ext.core_relos().count(), 0);
    assert_eq!(ext.func_infos().count(), 2);
}

#[test]
fn malformed_ones_name_list_and_offset() {
    let good = build(false, 32, &[FUNCS, LINES, RELOS]);
    let with = |at: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        bytes
    };
    for (bytes, wanted) in [
        (vec![1, 2, 3], "no BTF magic"),
        (with(4, 12), "header length"),
        (with(4, 100_000), "header length"),
        (
            with(12, u32::MAX),
            ".BTF.ext func_info, offset 32: 4294967295 bytes end after",
        ),
        (with(8, 1 << 30), ".BTF.ext func_info"),
        (
            with(16, 2),
            ".BTF.ext line_info, offset 34: offset 2 is not a multiple of 4",
        ),
        (with(32, 4), ".BTF.ext func_info, offset 32: record size 4"),
        (with(32, 9), ".BTF.ext func_info, offset 32: record size 9"),
        (
            with(40, u32::MAX),
            ".BTF.ext func_info, offset 36: 4294967295 records of 8 bytes",
        ),
        (with(40, 0), "a section with no records"),
        (good[..good.len() - 4].to_vec(), ".BTF.ext core_relo"),
    ] {
        let error = BtfExt::parse(bytes).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{wanted:?}: {error}");
    }
}
