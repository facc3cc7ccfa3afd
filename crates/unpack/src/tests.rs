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
