//! Relocations of code sections, checked and sorted by slot.

use std::collections::HashMap;

use crate::elf::Elf;
use crate::notes::Notes;
use crate::sections::Role;
use crate::{Error, Note, Result};

/// One relocation of an instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeReloc {
    /// Slot in the section.
    pub(crate) slot: u32,
    pub(crate) symbol: u32,
    pub(crate) addend: i32,
}

/// Section index -> its relocations by slot.
#[derive(Debug, Default)]
pub(crate) struct CodeRelocs {
    by_section: HashMap<usize, Vec<CodeReloc>>,
}

impl CodeRelocs {
    /// Reads the relocations of every code section. Damaged entries are errors; what they refer to is judged when
    /// a program that uses them is linked.
    pub(crate) fn new(elf: &Elf, roles: &[Role], notes: &mut Notes) -> Result<Self> {
        let mut by_section: HashMap<usize, Vec<CodeReloc>> = HashMap::new();
        for index in (1..roles.len()).filter(|&i| roles.get(i) == Some(&Role::Relocs)) {
            let Some(target) = elf.section(index).map(|s| s.info as usize) else {
                continue;
            };
            if target == 0 || target >= roles.len() {
                return Err(Error::new(
                    format!("relocations of section {target}, which does not exist"),
                    format!("section `{}`", elf.section_name(index)),
                ));
            }
            if roles.get(target) == Some(&Role::Code) {
                let list = by_section.entry(target).or_default();
                read_section(elf, index, target, list)?;
            } else {
                note_pointers(elf, index, target, roles, notes);
            }
        }
        for list in by_section.values_mut() {
            list.sort_by_key(|r| r.slot);
        }
        Ok(Self { by_section })
    }

    /// Relocations of the slots `first..end` of a section.
    pub(crate) fn between(&self, section: usize, first: usize, end: usize) -> &[CodeReloc] {
        let Some(list) = self.by_section.get(&section) else {
            return &[];
        };
        let from = list.partition_point(|r| (r.slot as usize) < first);
        let to = list.partition_point(|r| (r.slot as usize) < end);
        list.get(from..to).unwrap_or_default()
    }

    pub(crate) fn count(&self) -> usize {
        self.by_section.values().map(Vec::len).sum()
    }
}

fn read_section(elf: &Elf, index: usize, target: usize, list: &mut Vec<CodeReloc>) -> Result<()> {
    let size = elf.section(target).map_or(0, |s| s.size);
    for (number, reloc) in elf.relocs(index).enumerate() {
        let place = || {
            format!(
                "section `{}`, relocation {number}, offset {:#x}",
                elf.section_name(index),
                reloc.offset
            )
        };
        if reloc.offset % 8 != 0 || reloc.offset >= size {
            return Err(Error::new(
                format!(
                    "malformed relocation: offset {:#x} in code of {size} bytes",
                    reloc.offset
                ),
                place(),
            )
            .hint("the file is damaged; build it again"));
        }
        let symbol = elf.symbol(reloc.symbol).ok_or_else(|| {
            Error::new(
                format!(
                    "malformed relocation: symbol {} of {}",
                    reloc.symbol,
                    elf.symbol_count()
                ),
                place(),
            )
            .hint("the file is damaged; build it again")
        })?;
        let special = symbol.section >= crate::elf::SHN_LORESERVE;
        if !special && symbol.section as usize >= elf.sections.len() {
            return Err(Error::new(
                format!(
                    "malformed relocation: symbol {} lies in section {}, which does not exist",
                    reloc.symbol, symbol.section
                ),
                place(),
            )
            .hint("the file is damaged; build it again"));
        }
        let (Ok(slot), Ok(symbol)) = (u32::try_from(reloc.offset / 8), u32::try_from(reloc.symbol))
        else {
            continue;
        };
        list.push(CodeReloc {
            slot,
            symbol,
            addend: reloc.addend as i32,
        });
    }
    Ok(())
}

/// Pointers stored in data (tables of functions or strings) are relocated by no loader.
fn note_pointers(elf: &Elf, index: usize, target: usize, roles: &[Role], notes: &mut Notes) {
    let count = elf.section_data(index).len() / 16;
    if count > 0 && roles.get(target).is_some_and(|r| r.is_data()) {
        notes.push(Note {
            kind: "pointer-in-data",
            text: format!(
                "section `{}` holds {count} addresses, which loaders leave unresolved",
                elf.section_name(target)
            ),
        });
    }
}
