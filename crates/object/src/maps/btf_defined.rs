//! `.maps`: definitions encoded in the types of their variables.
//!
//! `int (*type)[1]` says `type` is 1; `int *key` says the key is an `int`; an `enum { name = value } map_extra`
//! carries what does not fit an array length (libbpf 1.5, `__ulong`).

use bpfsmith_btf::{Btf, Kind, Member, Type};

use super::{ARENA, ARRAY_OF_MAPS, Context, HASH_OF_MAPS, PROG_ARRAY, blank};
use crate::notes::Notes;
use crate::sections::Role;
use crate::{Map, Note, Origin};

/// Members of a map definition; libbpf knows a dozen. Crafted maps could share one definition of thousands.
const MEMBERS: u32 = 64;

pub(crate) fn collect(cx: &Context<'_>, notes: &mut Notes) -> Vec<Map> {
    let Some(index) = cx.sections_of(Role::Maps).last() else {
        return Vec::new();
    };
    let section = cx.elf.section_name(index).into_owned();
    let Some((btf, datasec)) = cx.btf.zip(cx.datasecs.by_name(section.as_bytes())) else {
        notes.push(Note {
            kind: "maps-without-btf",
            text: "section `.maps` has no BTF: map names are known from symbols, their definitions are not, and no loader can create them: compile with `-g`".to_owned(),
        });
        return from_symbols(cx, index, &section);
    };
    let mut maps = Vec::with_capacity(datasec.vars.len());
    for var in &datasec.vars {
        let mut map = blank(var.name.clone(), Origin::Btf, section.clone(), index);
        map.offset = var.offset;
        let mut reader = Reader {
            btf,
            notes,
            inner: false,
        };
        match btf
            .resolve_modifiers(var.type_id)
            .filter(|t| t.kind() == Kind::Struct)
        {
            Some(ty) => reader.read(ty, &mut map),
            None => reader.odd(&map, "its type is not a struct"),
        }
        maps.push(map);
    }
    attach_arena(cx, &mut maps);
    maps
}

/// Names and places only.
fn from_symbols(cx: &Context<'_>, index: usize, section: &str) -> Vec<Map> {
    let mut maps: Vec<Map> = cx
        .elf
        .symbols()
        .filter(|(_, s)| s.section as usize == index && !cx.elf.symbol_name_raw(s).is_empty())
        .map(|(_, s)| {
            let mut map = blank(
                cx.elf.symbol_name(&s).into_owned(),
                Origin::Btf,
                section.to_owned(),
                index,
            );
            map.offset = s.value;
            map
        })
        .collect();
    maps.sort_by_key(|m| m.offset);
    maps
}

/// Variables in the arena are the initial bytes of the arena map.
fn attach_arena(cx: &Context<'_>, maps: &mut [Map]) {
    let Some(index) = cx.sections_of(Role::Arena).last() else {
        return;
    };
    if let Some(map) = maps.iter_mut().find(|m| m.map_type == ARENA) {
        map.data = cx.elf.section(index).map(|s| s.range.clone());
    }
}

struct Reader<'a, 'n> {
    btf: &'a Btf,
    notes: &'n mut Notes,
    inner: bool,
}

impl<'a> Reader<'a, '_> {
    fn odd(&mut self, map: &Map, what: &str) {
        self.notes.push(Note {
            kind: "odd-map-definition",
            text: format!("map `{}`: {what}; libbpf refuses it", map.name),
        });
    }

    fn read(&mut self, ty: Type<'a>, map: &mut Map) {
        let count = ty.vlen();
        if count > MEMBERS {
            self.odd(map, &format!("it has {count} members"));
            return;
        }
        for (position, member) in ty.members().enumerate() {
            let name = member.name();
            match name.as_ref() {
                "type" => map.map_type = self.number(map, &member),
                "max_entries" => map.max_entries = self.number(map, &member),
                "map_flags" => map.flags = self.number(map, &member),
                "numa_node" => map.numa_node = self.number(map, &member),
                "map_extra" => map.map_extra = self.long(map, &member),
                "pinning" if self.inner => self.odd(map, "an inner map cannot be pinned"),
                "pinning" => {
                    map.pinning = self.number(map, &member);
                    if map.pinning > 1 {
                        self.odd(map, &format!("pinning {} is not known", map.pinning));
                    }
                }
                "key_size" => {
                    let size = self.number(map, &member);
                    self.set_size(map, true, size);
                }
                "value_size" => {
                    let size = self.number(map, &member);
                    self.set_size(map, false, size);
                }
                "key" => {
                    if let Some((id, size)) = self.pointee(map, &member) {
                        self.set_size(map, true, size);
                        map.key_type = id;
                    }
                }
                "value" => {
                    if let Some((id, size)) = self.pointee(map, &member) {
                        self.set_size(map, false, size);
                        map.value_type = id;
                    }
                }
                "values" => {
                    if position + 1 != count as usize {
                        self.odd(map, "`values` is not its last member");
                    }
                    self.values(map, &member);
                }
                other => self.odd(map, &format!("unknown member `{other}`")),
            }
        }
        if map.map_type == 0 {
            self.odd(map, "it has no `type`");
        }
    }

    fn set_size(&mut self, map: &mut Map, key: bool, size: u32) {
        let (slot, word) = if key {
            (&mut map.key_size, "key")
        } else {
            (&mut map.value_size, "value")
        };
        let before = std::mem::replace(slot, size);
        if before != 0 && before != size {
            self.odd(
                map,
                &format!("conflicting {word} sizes {before} and {size}"),
            );
        }
    }

    /// `int (*name)[N]` means N.
    fn number(&mut self, map: &Map, member: &Member<'a>) -> u32 {
        let array = self
            .btf
            .resolve_modifiers(member.type_id)
            .filter(|t| t.kind() == Kind::Ptr)
            .and_then(|t| self.btf.get(t.type_id()?))
            .and_then(|t| t.array());
        match array {
            Some(array) => array.count,
            None => {
                self.odd(
                    map,
                    &format!(
                        "`{}` is not a number (a pointer to an array)",
                        member.name()
                    ),
                );
                0
            }
        }
    }

    /// A number, or an enum with one constant for 64 bits.
    fn long(&mut self, map: &Map, member: &Member<'a>) -> u64 {
        let ty = self.btf.resolve_modifiers(member.type_id);
        match ty.filter(|t| t.kind().is_enum()) {
            Some(ty) if ty.vlen() == 1 => {
                let value = ty.enumerator(0).map_or(0, |e| e.value);
                // libbpf widens 32-bit constants as signed ones, whatever the enum says.
                if ty.kind() == Kind::Enum {
                    i64::from(value as i32).cast_unsigned()
                } else {
                    value
                }
            }
            Some(_) => {
                self.odd(
                    map,
                    &format!("`{}` is not a single constant", member.name()),
                );
                0
            }
            None => u64::from(self.number(map, member)),
        }
    }

    /// `T *name` means type T and its size.
    fn pointee(&mut self, map: &Map, member: &Member<'a>) -> Option<(u32, u32)> {
        let name = member.name();
        let Some(id) = self
            .btf
            .get(member.type_id)
            .filter(|t| t.kind() == Kind::Ptr)
            .and_then(|t| t.type_id())
        else {
            self.odd(map, &format!("`{name}` is not a pointer to a type"));
            return None;
        };
        let Some(size) = self.btf.size_of(id) else {
            self.odd(map, &format!("`{name}` has a type without a size"));
            return None;
        };
        Some((id, size))
    }

    /// `values`: the inner map of a map-in-map, or programs of a program array.
    fn values(&mut self, map: &mut Map, member: &Member<'a>) {
        if self.inner {
            self.odd(map, "an inner map cannot have `values`");
            return;
        }
        let nested = matches!(map.map_type, ARRAY_OF_MAPS | HASH_OF_MAPS);
        if !nested && map.map_type != PROG_ARRAY {
            self.odd(map, "`values` is for maps of maps and program arrays");
            return;
        }
        self.set_size(map, false, 4);
        let target = self
            .btf
            .get(member.type_id)
            .and_then(|t| t.array())
            .filter(|a| a.count == 0)
            .and_then(|a| self.btf.resolve_modifiers(a.element))
            .filter(|t| t.kind() == Kind::Ptr)
            .and_then(|t| self.btf.resolve_modifiers(t.type_id()?));
        match target {
            Some(ty) if nested && ty.kind() == Kind::Struct => {
                let name = format!("{}.inner", map.name);
                let mut inner = blank(name, Origin::Btf, map.section.clone(), 0);
                let mut reader = Reader {
                    btf: self.btf,
                    notes: &mut *self.notes,
                    inner: true,
                };
                reader.read(ty, &mut inner);
                map.inner = Some(Box::new(inner));
            }
            Some(ty) if !nested && ty.kind() == Kind::FuncProto => {}
            _ => self.odd(map, "`values` has an unexpected type"),
        }
    }
}
