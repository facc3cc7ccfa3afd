//! Maps of an object: BTF-defined, legacy, data sections, `.kconfig`, struct_ops.

mod btf_defined;
mod legacy;
mod values;

use bpfsmith_btf::{Btf, Kind};

use crate::datasec::Datasecs;
use crate::elf::Elf;
use crate::externs::Externs;
use crate::notes::Notes;
use crate::sections::Role;
use crate::{Function, Map, Note, Origin};

pub(crate) const ARRAY: u32 = 2;
pub(crate) const PROG_ARRAY: u32 = 3;
pub(crate) const ARRAY_OF_MAPS: u32 = 12;
pub(crate) const HASH_OF_MAPS: u32 = 13;
const STRUCT_OPS: u32 = 26;
pub(crate) const ARENA: u32 = 33;

const F_RDONLY_PROG: u32 = 1 << 7;
const F_MMAPABLE: u32 = 1 << 10;
const F_LINK: u32 = 1 << 13;

/// What the map readers look at.
pub(crate) struct Context<'a> {
    pub(crate) elf: &'a Elf,
    pub(crate) roles: &'a [Role],
    pub(crate) btf: Option<&'a Btf>,
    pub(crate) datasecs: &'a Datasecs,
    pub(crate) externs: &'a Externs,
    pub(crate) functions: &'a [Function],
}

impl Context<'_> {
    pub(crate) fn sections_of(&self, role: Role) -> impl Iterator<Item = usize> + '_ {
        (1..self.roles.len()).filter(move |&i| self.roles.get(i) == Some(&role))
    }
}

/// A map with everything zero but its name and place.
pub(crate) fn blank(name: String, origin: Origin, section: String, section_index: usize) -> Map {
    Map {
        name,
        map_type: 0,
        key_size: 0,
        value_size: 0,
        max_entries: 0,
        flags: 0,
        map_extra: 0,
        numa_node: 0,
        pinning: 0,
        origin,
        section,
        section_index: section_index as u32,
        offset: 0,
        key_type: 0,
        value_type: 0,
        inner: None,
        values: Vec::new(),
        data: None,
    }
}

/// All maps in libbpf's order.
pub(crate) fn collect(cx: &Context<'_>, notes: &mut Notes) -> Vec<Map> {
    let mut maps = btf_defined::collect(cx, notes);
    legacy::collect(cx, &mut maps, notes);
    data_sections(cx, &mut maps, notes);
    kconfig(cx, &mut maps);
    struct_ops(cx, &mut maps, notes);
    values::fill(cx, &mut maps, notes);
    maps
}

fn data_sections(cx: &Context<'_>, maps: &mut Vec<Map>, notes: &mut Notes) {
    for (index, role) in cx.roles.iter().enumerate().filter(|(_, r)| r.is_data()) {
        let Some(section) = cx.elf.section(index) else {
            continue;
        };
        let name = cx.elf.section_name(index).into_owned();
        let mut map = blank(name.clone(), Origin::Data, name, index);
        map.map_type = ARRAY;
        map.key_size = 4;
        map.max_entries = 1;
        map.value_size = u32::try_from(section.size).unwrap_or_else(|_| {
            notes.push(Note {
                kind: "huge-section",
                text: format!(
                    "section `{}` of {} bytes is larger than a map value can be",
                    map.name, section.size
                ),
            });
            u32::MAX
        });
        if *role == Role::Rodata {
            map.flags |= F_RDONLY_PROG;
        }
        let datasec = cx.datasecs.by_name(map.name.as_bytes());
        if let Some(datasec) = datasec {
            map.value_type = datasec.type_id;
            if datasec.vars.iter().any(|v| !v.is_static) {
                map.flags |= F_MMAPABLE;
            }
        }
        if *role != Role::Bss {
            map.data = Some(section.range.clone());
        }
        maps.push(map);
    }
}

fn kconfig(cx: &Context<'_>, maps: &mut Vec<Map>) {
    let Some(size) = cx.externs.kconfig_size else {
        return;
    };
    let mut map = blank(
        ".kconfig".to_owned(),
        Origin::Kconfig,
        ".kconfig".to_owned(),
        0,
    );
    map.map_type = ARRAY;
    map.key_size = 4;
    map.max_entries = 1;
    map.value_size = u32::try_from(size).unwrap_or(u32::MAX);
    // libbpf turns every extern into a global variable first, which makes the map mappable.
    map.flags = F_RDONLY_PROG | F_MMAPABLE;
    map.value_type = cx.datasecs.by_name(b".kconfig").map_or(0, |d| d.type_id);
    maps.push(map);
}

fn struct_ops(cx: &Context<'_>, maps: &mut Vec<Map>, notes: &mut Notes) {
    for index in cx.sections_of(Role::StructOps) {
        let name = cx.elf.section_name(index).into_owned();
        let Some((btf, datasec)) = cx.btf.zip(cx.datasecs.by_name(name.as_bytes())) else {
            notes.push(Note {
                kind: "struct-ops-without-btf",
                text: format!("section `{name}` has no BTF that says what lies in it"),
            });
            continue;
        };
        let range = cx.elf.section(index).map_or(0..0, |s| s.range.clone());
        for var in &datasec.vars {
            let Some(ty) = btf
                .resolve_modifiers(var.type_id)
                .filter(|t| t.kind() == Kind::Struct)
            else {
                notes.push(Note {
                    kind: "struct-ops-not-a-struct",
                    text: format!("`{}` in section `{name}` is not a struct", var.name),
                });
                continue;
            };
            let mut map = blank(var.name.clone(), Origin::StructOps, name.clone(), index);
            map.offset = var.offset;
            map.map_type = STRUCT_OPS;
            map.key_size = 4;
            map.value_size = ty.size().unwrap_or(0);
            map.max_entries = 1;
            map.value_type = ty.id();
            if name.ends_with(".link") {
                map.flags = F_LINK;
            }
            let start = usize::try_from(var.offset)
                .unwrap_or(usize::MAX)
                .saturating_add(range.start);
            let end = start.saturating_add(map.value_size as usize);
            if end <= range.end {
                map.data = Some(start..end);
            }
            maps.push(map);
        }
    }
}
