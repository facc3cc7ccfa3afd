//! Streams made by the tools that pack kernels, their ends cut off, their bytes changed.
use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// Bytes that compress, but not to nothing.
fn sample() -> Vec<u8> {
    let mut state = 7_u32;
    let mut out = Vec::new();
    while out.len() < 300_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend_from_slice(&state.to_le_bytes()[..(state >> 28) as usize % 4 + 1]);
        out.extend_from_slice(b"the same again");
    }
    out
}

fn packed(command: &[&str], data: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let data = data.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&data));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(out.status.success(), "{command:?}");
    Some(out.stdout)
}

const TOOLS: [(Kind, &[&str]); 10] = [
    (Kind::Gzip, &["gzip", "-9c"]),
    (Kind::Xz, &["xz", "-c"]),
    (
        Kind::Xz,
        &["xz", "--check=crc32", "--x86", "--lzma2=dict=1MiB", "-c"],
    ),
    (
        Kind::Xz,
        &["xz", "--check=sha256", "-c", "-T2", "--block-size=65536"],
    ),
    (Kind::Lzma, &["xz", "--format=lzma", "-c"]),
    (Kind::Bzip2, &["bzip2", "-c"]),
    (Kind::Lz4, &["lz4", "-l", "-c"]),
    (Kind::Lz4, &["lz4", "-c", "--content-size", "-B4"]),
    (Kind::Zstd, &["zstd", "-22", "--ultra", "-c", "-q"]),
    (Kind::Zstd, &["zstd", "-3", "-c", "-q", "--no-check"]),
];

#[test]
fn as_the_tools_pack() {
    let data = sample();
    for (kind, command) in TOOLS {
        let Some(mut stream) = packed(command, &data) else {
            eprintln!("no `{}`", command[0]);
            continue;
        };
        assert_eq!(Kind::of(&stream), Some(kind), "{command:?}");
        assert_eq!(decompress(kind, &stream, data.len()).unwrap(), data);
        let error = decompress(kind, &stream, data.len() - 1).unwrap_err();
        assert!(matches!(error, Error::Limit(_)), "{command:?}: {error}");
        for cut in [1, 5, stream.len() / 2, stream.len() - 13] {
            // Of a stream of blocks without an end mark, whole blocks are a stream.
            let error = decompress(kind, &stream[..cut], data.len());
            assert!(error.is_err(), "{command:?} cut at {cut}");
        }
        stream.extend_from_slice(&(data.len() as u32).to_le_bytes());
        assert_eq!(
            decompress(kind, &stream, data.len()).unwrap(),
            data,
            "{command:?} with its size"
        );
    }
}

#[test]
fn zstd_frames_one_after_the_other() {
    let Some(one) = packed(&["zstd", "-c", "-q", "--check"], b"first,") else {
        return;
    };
    let mut stream = one.clone();
    stream.extend_from_slice(&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
    stream.extend_from_slice(&one);
    assert_eq!(
        decompress(Kind::Zstd, &stream, 99).unwrap(),
        b"first,first,"
    );
    let mut changed = one;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let error = decompress(Kind::Zstd, &changed, 99).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[test]
fn names_and_kinds() {
    for (kind, name) in Kind::ALL {
        assert_eq!(Kind::named(name), Some(kind));
        assert_eq!(kind.to_string(), name);
    }
    assert_eq!(Kind::named("rar"), None);
    assert_eq!(Kind::of(b"\x7fELF"), None);
}

#[test]
fn a_lying_header_takes_no_memory() {
    // .lzma with a dictionary of 4 GiB.
    let mut stream = vec![0x5d];
    stream.extend_from_slice(&u32::MAX.to_le_bytes());
    stream.extend_from_slice(&[0xff; 8]);
    stream.extend_from_slice(&[0; 64]);
    assert!(decompress(Kind::Lzma, &stream, 1 << 20).is_err());
}

/// `"the same again and again, 0123456789 "` twelve times, by every tool.
const SEEDS: [(Kind, &str); 8] = [
    (
        Kind::Gzip,
        "1f8b08000000000002032bc94855284ecc4d55484c4fcccc5348cc4b81b074140c0c8d8c4d4ccdcc2d2c154a46150d464500fa0d5ddbbc010000",
    ),
    (
        Kind::Zlib,
        "789c2bc94855284ecc4d55484c4fcccc5348cc4b81b074140c0c8d8c4d4ccdcc2d2c154a46150d464500bd5284e5",
    ),
    (
        Kind::Bzip2,
        "425a68393141592653598bc5f4fc0000dd998040047fe026e30c0020007051a32068d32340a55101a34f506264582c16c59960b32e85d4bb1772d0bc1792d4bd160b417c16e5996a5b96c5b0b82c88e05917517f1772453850908bc5f4fc",
    ),
    (
        Kind::Xz,
        "fd377a585a0000016922de360201040021010800d2b974cbe001bb002a5d003a1a08ce76d976d393cd9470e75a93a32026807afb10af57de2008e5700fdbf38a6048d61538eac00000000000fa0d5ddb000142bc03000000413547463e300d8b020000000001595a",
    ),
    (
        Kind::Lzma,
        "5d00008000ffffffffffffffff003a1a08ce76d976d393cd9470e75a93a32026807afb10af57de2008e5700fdbf38a6048d6153967f99bffffc3d65000",
    ),
    (
        Kind::Zstd,
        "28b52ffd04584d0100f87468652073616d6520616761696e20616e642c20303132333435363738392002009448a9af5809032c3a12a6",
    ),
    (
        Kind::Lz4,
        "04224d186440a72e000000f2037468652073616d6520616761696e20616e640a00df2c2030313233343536373839202500ff8050363738392000000000ef969d21",
    ),
    (
        Kind::Lz4,
        "02214c182e000000f2037468652073616d6520616761696e20616e640a00df2c2030313233343536373839202500ff80503637383920",
    ),
];

fn seeds() -> Vec<(Kind, Vec<u8>)> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes = |text: &str| text.as_bytes().chunks(2).map(byte).collect();
    SEEDS
        .iter()
        .map(|(kind, text)| (*kind, bytes(text)))
        .collect()
}

#[test]
fn streams_of_every_kind_without_the_tools() {
    let data = b"the same again and again, 0123456789 ".repeat(12);
    for (kind, stream) in seeds() {
        assert_eq!(
            decompress(kind, &stream, data.len()).unwrap(),
            data,
            "{kind}"
        );
    }
}

/// Changed streams end in an error or in bytes, within the bound; `docs/fuzzing.md` tells of the other readers.
#[test]
fn hostile_streams() {
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below.max(1)
    };
    for case in 0..4000 {
        let (kind, mut stream) = seeds().swap_remove(case % SEEDS.len());
        for _ in 0..=next(4) {
            let at = next(stream.len());
            match next(4) {
                0 => stream[at] ^= 1 << next(8),
                1 => stream[at] = next(256) as u8,
                2 => stream.truncate(at + 1),
                _ => stream.insert(at, next(256) as u8),
            }
        }
        if let Ok(out) = decompress(kind, &stream, 10_000) {
            assert!(out.len() <= 10_000);
        }
    }
}
