//! CO-RE: local BTF, target BTF and relocations. The input is `u32 length of the first BTF`, both BTFs, and 24-byte
//! records of type, access string, kind and the instruction to patch... at the end, their number in the last byte.
use std::path::Path;

use bpfsmith_btf::Btf;
use bpfsmith_btf::core::{Resolver, patch, types_compatible};
use bpfsmith_btf::ext::CoreRelo;

use crate::mutate;
use crate::random::Random;

const RECORD: usize = 28;

struct Parts<'a> {
    local: &'a [u8],
    target: &'a [u8],
    records: &'a [u8],
}

fn parts(data: &[u8]) -> Option<Parts<'_>> {
    let (count, data) = data.split_last()?;
    let (length, data) = data.split_at_checked(4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let records = (usize::from(*count) * RECORD).min(data.len());
    let (btfs, records) = data.split_at_checked(data.len() - records)?;
    let (local, target) = btfs.split_at_checked(length)?;
    Some(Parts {
        local,
        target,
        records,
    })
}

fn join(local: &[u8], target: &[u8], records: &[u8]) -> Vec<u8> {
    let mut out = (local.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(local);
    out.extend_from_slice(target);
    out.extend_from_slice(records);
    out.push((records.len() / RECORD).min(255) as u8);
    out
}

pub(super) fn run(data: &[u8]) {
    let Some(it) = parts(data) else { return };
    let (Ok(local), Ok(target)) = (
        Btf::parse(it.local.to_vec()),
        Btf::parse(it.target.to_vec()),
    ) else {
        return;
    };
    let targets = [&target, &local];
    let mut one = Resolver::new(&local, &targets);
    let mut both = Resolver::new(&local, targets.get(..1).unwrap_or_default());
    for record in it.records.chunks_exact(RECORD) {
        let word = |at: usize| {
            let bytes = record.get(at..at + 4).and_then(|it| it.try_into().ok());
            bytes.map_or(0, u32::from_le_bytes)
        };
        let relo = CoreRelo {
            insn_off: 0,
            type_id: word(0),
            access_str_off: word(4),
            kind: word(8),
        };
        for resolver in [&mut one, &mut both] {
            let Ok(found) = resolver.resolve(&relo) else {
                continue;
            };
            let _ = (
                found.reason(&local, &targets),
                found.local.short(&local),
                found.local.text(&local),
            );
            for big in [false, true] {
                let mut slots = [[0_u8; 8]; 2];
                let from = record.get(12..).unwrap_or_default();
                for (to, from) in slots.as_flattened_mut().iter_mut().zip(from) {
                    *to = *from;
                }
                let _ = patch(&mut slots, 0, &found, big);
                let _ = patch(&mut slots, 1, &found, big);
                let _ = patch(&mut slots, 2, &found, big);
            }
        }
        let _ = types_compatible(&local, word(0), &target, word(4));
    }
}

/// An access string of the BTF, or any offset.
fn access(local: &[u8], random: &mut Random) -> u32 {
    let digits = local
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| matches!(pair, [0, b'0'..=b'9']));
    let found: Vec<usize> = digits.map(|(at, _)| at + 1).collect();
    let strings = local
        .get(16..20)
        .and_then(|it| it.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    match random.pick(&found) {
        Some(at) if !random.once_in(10) => (at as u32).wrapping_sub(strings).wrapping_sub(24),
        _ => random.hostile(local.len()) as u32,
    }
}

fn records(local: &[u8], count: usize, random: &mut Random) -> Vec<u8> {
    let types = Btf::parse(local.to_vec()).map_or(8, |btf| btf.len() as usize);
    let mut out = Vec::new();
    for _ in 0..count {
        let kind = if random.once_in(20) {
            random.word() as u32
        } else {
            random.below(14) as u32
        };
        for word in [random.below(types + 1) as u32, access(local, random), kind] {
            out.extend(word.to_le_bytes());
        }
        out.extend(mutate::code(2, random, false));
    }
    out
}

pub(super) fn seeds(more: Option<&Path>) -> Vec<Vec<u8>> {
    let mut random = Random::new(7);
    let mut btfs: Vec<Vec<u8>> = crate::seeds::objects(more)
        .iter()
        .filter_map(|data| data.get(mutate::section(data, ".BTF")?).map(<[u8]>::to_vec))
        .filter(|btf| btf.len() < 1 << 16)
        .collect();
    btfs.extend((0..6).map(|seed| mutate::types(&mut Random::new(seed))));
    btfs.iter()
        .enumerate()
        .map(|(index, local)| {
            let target = btfs.get((index + index % 2) % btfs.len()).unwrap_or(local);
            join(local, target, &records(local, 60, &mut random))
        })
        .collect()
}

pub(super) fn mutate(data: &mut Vec<u8>, random: &mut Random, _seeds: &[Vec<u8>]) {
    let Some(it) = parts(data) else {
        let local = mutate::types(random);
        *data = join(&local, &local, &records(&local, 20, random));
        return;
    };
    let (mut local, mut target, mut relos) =
        (it.local.to_vec(), it.target.to_vec(), it.records.to_vec());
    match random.below(6) {
        0 => mutate::btf(&mut local, random, &[]),
        1 => mutate::btf(&mut target, random, &[]),
        2 => target = local.clone(),
        3 => {
            local = mutate::types(random);
            target = mutate::types(random);
            relos = records(&local, 60, random);
        }
        4 => relos = records(&local, 60, random),
        _ => std::mem::swap(&mut local, &mut target),
    }
    *data = join(&local, &target, &relos);
}
