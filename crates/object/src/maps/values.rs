//! Initial slots of program arrays and maps of maps, and the programs of struct_ops, from relocations.

use std::collections::HashMap;

use bpfsmith_btf::Kind;

use super::{ARRAY_OF_MAPS, Context, HASH_OF_MAPS, PROG_ARRAY};
use crate::elf::{Reloc, STT_SECTION, Symbol, u64_at};
use crate::functions::containing;
use crate::notes::Notes;
use crate::sections::Role;
use crate::{Map, Note, Origin};

/// Bytes of a pointer in an eBPF object.
const POINTER: u64 = 8;

pub(crate) fn fill(cx: &Context<'_>, maps: &mut [Map], notes: &mut Notes) {
    for index in cx.sections_of(Role::Relocs) {
        let Some(target) = cx.elf.section(index).map(|s| s.info as usize) else {
            continue;
        };
        let role = cx.roles.get(target).copied();
        if !matches!(role, Some(Role::Maps | Role::StructOps)) {
            continue;
        }
        // Maps of this section by offset, so that each relocation costs one binary search.
        let mut order: Vec<(u64, usize)> = maps
            .iter()
            .enumerate()
            .filter(|(_, m)| m.section_index as usize == target && m.origin != Origin::Data)
            .map(|(i, m)| (m.offset, i))
            .collect();
        order.sort_unstable();
        let mut starts: HashMap<usize, Option<u64>> = HashMap::new();
        for reloc in cx.elf.relocs(index) {
            let after = order.partition_point(|&(offset, _)| offset <= reloc.offset);
            let found = after.checked_sub(1).and_then(|i| order.get(i)).copied();
            let Some((offset, at)) = found else { continue };
            let Some(map) = maps.get_mut(at) else {
                continue;
            };
            let Some(symbol) = cx.elf.symbol(reloc.symbol) else {
                continue;
            };
            let name = named(cx, target, &reloc, &symbol);
            let inside = reloc.offset.saturating_sub(offset);
            if role == Some(Role::StructOps) {
                // A member may also point to data; only functions are programs.
                if let Ok(slot) = u32::try_from(inside)
                    && slot < map.value_size
                    && cx.roles.get(symbol.section as usize) == Some(&Role::Code)
                {
                    map.values.push((slot, name));
                }
                continue;
            }
            if !matches!(map.map_type, PROG_ARRAY | ARRAY_OF_MAPS | HASH_OF_MAPS) {
                notes.push(Note {
                    kind: "odd-map-definition",
                    text: format!(
                        "map `{}` has initial values but is no program array or map of maps",
                        map.name
                    ),
                });
                continue;
            }
            let start = *starts.entry(at).or_insert_with(|| values_start(cx, map));
            let slot = start
                .and_then(|s| inside.checked_sub(s))
                .filter(|o| o % POINTER == 0);
            match slot.and_then(|o| u32::try_from(o / POINTER).ok()) {
                Some(slot) => map.values.push((slot, name)),
                None => notes.push(Note {
                    kind: "odd-map-definition",
                    text: format!(
                        "map `{}`: `{name}` is placed outside its `values`",
                        map.name
                    ),
                }),
            }
        }
    }
    for map in maps {
        map.values.sort();
    }
}

/// What a pointer at `reloc` goes to: the symbol, or the function at a place in its section (static ones).
fn named(cx: &Context<'_>, target: usize, reloc: &Reloc, symbol: &Symbol) -> String {
    if symbol.kind() != STT_SECTION {
        return cx.elf.symbol_name(symbol).into_owned();
    }
    let at = usize::try_from(reloc.offset).unwrap_or(usize::MAX);
    let stored = u64_at(cx.elf.section_data(target), at, cx.elf.big).unwrap_or(0);
    let offset = stored.wrapping_add_signed(reloc.addend);
    containing(cx.functions, symbol.section, offset / 8)
        .and_then(|index| cx.functions.get(index))
        .map_or_else(String::new, |function| function.name.clone())
}

/// Where the member `values` begins.
fn values_start(cx: &Context<'_>, map: &Map) -> Option<u64> {
    let btf = cx.btf?;
    let datasec = cx.datasecs.by_name(map.section.as_bytes())?;
    // By offset: the first one there.
    let at = datasec.vars.partition_point(|v| v.offset < map.offset);
    let var = datasec.vars.get(at).filter(|v| v.offset == map.offset)?;
    let ty = btf
        .resolve_modifiers(var.type_id)
        .filter(|t| t.kind() == Kind::Struct)?;
    let last = ty.member(ty.vlen().checked_sub(1)?)?;
    (last.name_bytes() == b"values").then_some(u64::from(last.bit_offset / 8))
}
