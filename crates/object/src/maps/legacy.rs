//! `maps`, `maps/...`: one C structure per map, as before BTF (and as Aya's default macros still write it).
//!
//! The first five words are the same everywhere: type, key size, value size, entries, flags. Aya and iproute2 go on
//! with an id and the pinning.

use super::{Context, blank};
use crate::elf::{STT_NOTYPE, STT_OBJECT, Symbol, u32_at};
use crate::notes::Notes;
use crate::sections::Role;
use crate::{Map, Note, Origin};

/// type, key_size, value_size, max_entries: less is no definition.
const SHORTEST: u64 = 16;

pub(crate) fn collect(cx: &Context<'_>, maps: &mut Vec<Map>, notes: &mut Notes) {
    for index in cx.sections_of(Role::LegacyMaps) {
        one_section(cx, index, maps, notes);
    }
}

fn one_section(cx: &Context<'_>, index: usize, maps: &mut Vec<Map>, notes: &mut Notes) {
    let section = cx.elf.section_name(index).into_owned();
    let data = cx.elf.section_data(index);
    let mut symbols: Vec<Symbol> = cx
        .elf
        .symbols()
        .map(|(_, s)| s)
        .filter(|s| s.section as usize == index && matches!(s.kind(), STT_OBJECT | STT_NOTYPE))
        .filter(|s| !cx.elf.symbol_name_raw(s).is_empty())
        .collect();
    symbols.sort_by_key(|s| s.value);
    symbols.dedup_by_key(|s| s.value);
    let starts: Vec<u64> = symbols.iter().map(|s| s.value).collect();
    for (position, symbol) in symbols.iter().enumerate() {
        let name = cx.elf.symbol_name(symbol).into_owned();
        let room = data.len() as u64;
        let next = starts.get(position + 1).copied().unwrap_or(room);
        let size = if symbol.size == 0 {
            next.saturating_sub(symbol.value)
        } else {
            symbol.size
        };
        let end = symbol.value.saturating_add(size);
        if end > room || size < SHORTEST {
            notes.push(Note {
                kind: "odd-map-definition",
                text: format!(
                    "map `{name}`: {size} bytes at {:#x} of section `{section}` are no definition",
                    symbol.value
                ),
            });
            continue;
        }
        let word = |n: usize| {
            let at = n * 4;
            let inside = (at as u64).saturating_add(4) <= size;
            let at = usize::try_from(symbol.value).ok()?.checked_add(at)?;
            u32_at(data, at, cx.elf.big).filter(|_| inside)
        };
        let mut map = blank(name, Origin::Legacy, section.clone(), index);
        map.offset = symbol.value;
        map.map_type = word(0).unwrap_or(0);
        map.key_size = word(1).unwrap_or(0);
        map.value_size = word(2).unwrap_or(0);
        map.max_entries = word(3).unwrap_or(0);
        map.flags = word(4).unwrap_or(0);
        map.pinning = word(6).unwrap_or(0);
        maps.push(map);
    }
}
