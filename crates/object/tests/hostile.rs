//! Damaged and crafted files: an answer or an error, in bounded time and memory, never a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bpfsmith_isa::Endian;
use bpfsmith_object::{Inlined, Object};
use support::*;

/// Asks for everything an object can answer.
fn exercise(bytes: Vec<u8>) -> Option<()> {
    let object = Object::parse(bytes).ok()?;
    let targets: Vec<Arc<_>> = object.btf.iter().cloned().collect();
    for index in 0..object.programs.len() {
        let _ = object.link(index);
        let _ = object.lines(index);
        let _ = object.fingerprint(index, None);
        let _ = object.fingerprint(index, Some(&targets));
    }
    if let Some(inlined) = Inlined::new(&object) {
        for index in 0..object.programs.len().min(4) {
            let _ = inlined.frames(&object, index, 0);
            let _ = inlined.frames(&object, index, 1);
        }
    }
    for map in &object.maps {
        let _ = object.map_data(map);
    }
    Some(())
}

/// Repeatable noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

/// Objects to damage: one written here, and the small compiled ones of the repository.
fn seeds() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for endian in [Endian::Little, Endian::Big] {
        let mut b = Builder::new(endian);
        let words = b.bytes_of_u32(&[1, 4, 8, 16, 0, 0, 1]);
        let maps = b.data("maps", &words);
        let data = b.data(".data", &[7; 16]);
        let text = b.code(".text", &[call(-1), exit()]);
        let [m0, m1] = load(1, 0);
        let [d0, d1] = load(2, 4);
        let xdp = b.code("xdp", &[m0, m1, d0, d1, call(-1), call(-1), exit()]);
        let map = b.symbol("map", GLOBAL, OBJECT, maps, 0, 28);
        let var = b.symbol("var", GLOBAL, OBJECT, data, 8, 8);
        let sub = b.function("sub", text, 0, 2);
        let kfunc = b.symbol("kfunc", WEAK, NOTYPE, 0, 0, 0);
        b.function("prog", xdp, 0, 7);
        b.relocs(text, &[(0, sub)]);
        b.relocs(xdp, &[(0, map), (16, var), (32, sub), (40, kfunc)]);
        out.push(b.build());
    }
    // More seeds and rounds: FUZZ_SEEDS=folder FUZZ_ROUNDS=1000000 cargo test --release -p bpfsmith-object --test hostile
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let mut folders = vec![root.join("fixtures"), root.join("data")];
    folders.extend(std::env::var_os("FUZZ_SEEDS").map(Into::into));
    for folder in folders {
        let Ok(found) = std::fs::read_dir(folder) else {
            continue;
        };
        let mut paths: Vec<_> = found.flatten().map(|e| e.path()).collect();
        paths.sort();
        paths.retain(|p| p.extension().is_some_and(|e| e == "o"));
        out.extend(paths.iter().filter_map(|p| std::fs::read(p).ok()));
    }
    out
}

#[test]
fn cut_off_files_are_refused_or_read() {
    for seed in seeds() {
        assert!(
            exercise(seed.clone()).is_some(),
            "the undamaged file is readable"
        );
        let step = (seed.len() / 3000).max(1);
        for len in (0..seed.len()).step_by(step) {
            exercise(seed[..len].to_vec());
        }
    }
}

#[test]
fn flipped_bits_and_extreme_words_never_panic() {
    const WORDS: [u64; 8] = [
        0,
        1,
        7,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 40,
        u64::MAX,
    ];
    let rounds: usize = std::env::var("FUZZ_ROUNDS")
        .ok()
        .and_then(|r| r.parse().ok())
        .unwrap_or(4000);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let start = Instant::now();
    let seeds = seeds();
    for round in 0..rounds {
        let mut file = seeds[round % seeds.len()].clone();
        for _ in 0..=noise.next(4) {
            let at = noise.next(file.len());
            match noise.next(3) {
                0 => file[at] ^= 1 << noise.next(8),
                1 => file[at] = noise.next(256) as u8,
                _ => {
                    let word = WORDS[noise.next(WORDS.len())].to_le_bytes();
                    let size = [1, 2, 4, 8][noise.next(4)];
                    let end = (at + size).min(file.len());
                    file[at..end].copy_from_slice(&word[..end - at]);
                }
            }
        }
        exercise(file);
    }
    let each = start.elapsed() / rounds.max(1) as u32;
    assert!(each < Duration::from_millis(50), "{each:?} for one file");
}

#[test]
fn a_chain_of_a_hundred_thousand_subprograms_links() {
    let mut b = Builder::default();
    let count = 100_000_u64;
    let code: Vec<_> = (0..count)
        .flat_map(|i| [call(if i + 1 < count { 1 } else { -1 }), exit()])
        .collect();
    let text = b.code(".text", &code);
    for i in 0..count {
        b.symbol("f", LOCAL, FUNC, text, i * 16, 16);
    }
    let section = b.symbol("", LOCAL, SECTION, text, 0, 0);
    let xdp = b.code("xdp", &[call(-1), exit()]);
    b.function("prog", xdp, 0, 2);
    b.relocs(xdp, &[(0, section)]);
    let object = Object::parse(b.build()).unwrap();
    let linked = object.link(0).unwrap();
    assert_eq!(linked.functions.len() as u64, count + 1);
    assert_eq!(linked.insns.len() as u64, 2 * count + 2);
}

#[test]
fn a_million_symbols_take_no_time_to_speak_of() {
    let start = Instant::now();
    let mut b = Builder::default();
    let text = b.code(".text", &[exit(); 64]);
    let xdp = b.code("xdp", &[exit()]);
    for i in 0..1_000_000_u64 {
        b.symbol("x", GLOBAL, OBJECT, xdp, i, i);
    }
    b.function("sub", text, 0, 64);
    b.function("prog", xdp, 0, 1);
    assert!(exercise(b.build()).is_some());
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn thousands_of_functions_over_the_same_code_are_refused() {
    let mut b = Builder::default();
    let xdp = b.code("xdp", &[exit(); 1000]);
    for _ in 0..100_000 {
        b.function("prog", xdp, 0, 1000);
    }
    let error = Object::parse(b.build()).unwrap_err();
    assert!(
        error.message.starts_with("100000 functions overlap"),
        "{error}"
    );
}

#[test]
fn many_programs_with_one_huge_subprogram_end_in_an_error() {
    let mut b = Builder::default();
    let text = b.code(".text", &vec![exit(); 1 << 20]);
    let sub = b.function("sub", text, 0, 1 << 20);
    let count = 1000_u64;
    let code: Vec<_> = (0..count).flat_map(|_| [call(-1), exit()]).collect();
    let xdp = b.code("xdp", &code);
    for i in 0..count {
        b.function("prog", xdp, i * 2, 2);
    }
    let relocs: Vec<_> = (0..count).map(|i| (i * 16, sub)).collect();
    b.relocs(xdp, &relocs);
    let object = Object::parse(b.build()).unwrap();
    let refused = (0..object.programs.len()).find_map(|i| object.link(i).err());
    assert!(
        refused
            .unwrap()
            .message
            .starts_with("its programs have more than")
    );
}

#[test]
fn a_bss_of_four_gigabytes_costs_nothing() {
    let mut b = Builder::default();
    b.bss(".bss", 1 << 40);
    let xdp = b.code("xdp", &[exit()]);
    b.function("prog", xdp, 0, 1);
    let object = Object::parse(b.build()).unwrap();
    assert_eq!(object.maps[0].value_size, u32::MAX);
    assert!(object.notes.iter().any(|n| n.kind == "huge-section"));
}
