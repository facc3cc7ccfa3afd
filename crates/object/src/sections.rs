//! What each section is for, by libbpf's rules.

use crate::elf::{Elf, SHT_NOBITS, SHT_PROGBITS, SHT_REL, SHT_RELA};

/// The part a section plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing we read through its role.
    Other,
    /// Instructions.
    Code,
    /// `.data`, `.data.*`.
    Data,
    /// `.rodata`, `.rodata.*`.
    Rodata,
    /// `.bss`, `.bss.*`.
    Bss,
    /// `.maps`.
    Maps,
    /// `maps`, `maps/...`, `.../maps` (ir-keytable): definitions before BTF.
    LegacyMaps,
    /// `.struct_ops`, `.struct_ops.link`, either with `?`.
    StructOps,
    /// Variables in the arena.
    Arena,
    /// Targets of indirect jumps (LLVM 22).
    JumpTables,
    /// Relocations of the section `info`.
    Relocs,
}

/// Section names with a meaning of their own.
pub(crate) const MAPS: &str = ".maps";
const ARENA: &[u8] = b".addr_space.1";
const JUMP_TABLES: &[u8] = b".jumptables";

fn is_or_below(name: &[u8], stem: &[u8]) -> bool {
    name.strip_prefix(stem)
        .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'.'))
}

/// The role of each section, by index.
pub(crate) fn roles(elf: &Elf) -> Vec<Role> {
    (0..elf.sections.len())
        .map(|index| role(elf, index))
        .collect()
}

fn role(elf: &Elf, index: usize) -> Role {
    let Some(section) = elf.section(index).filter(|_| index != 0) else {
        return Role::Other;
    };
    let name = elf.section_name_raw(index);
    match section.kind {
        SHT_REL | SHT_RELA => Role::Relocs,
        SHT_NOBITS if is_or_below(name, b".bss") && section.size > 0 => Role::Bss,
        SHT_PROGBITS if section.size == 0 => Role::Other,
        SHT_PROGBITS if section.is_exec() => Role::Code,
        SHT_PROGBITS => data_role(name),
        _ => Role::Other,
    }
}

fn data_role(name: &[u8]) -> Role {
    if is_or_below(name, b".data") {
        Role::Data
    } else if is_or_below(name, b".rodata") {
        Role::Rodata
    } else if name == MAPS.as_bytes() {
        Role::Maps
    } else if name == b"maps" || name.starts_with(b"maps/") || name.ends_with(b"/maps") {
        Role::LegacyMaps
    } else if is_struct_ops(name) {
        Role::StructOps
    } else if name == ARENA {
        Role::Arena
    } else if name == JUMP_TABLES {
        Role::JumpTables
    } else {
        Role::Other
    }
}

fn is_struct_ops(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"?").unwrap_or(name);
    name == b".struct_ops" || name == b".struct_ops.link"
}

impl Role {
    /// A section that becomes an array map of its own.
    pub(crate) fn is_data(self) -> bool {
        matches!(self, Self::Data | Self::Rodata | Self::Bss)
    }
}
