//! `.BTF.ext` records by ELF section, and moved along with the functions of a linked program.

use std::collections::HashMap;

use bpfsmith_btf::Btf;
use bpfsmith_btf::ext::{BtfExt, CoreRelo, LineInfo};

use crate::elf::Elf;
use crate::image::FuncIndex;
use crate::linked::{CoreSlot, Line, LinkedFunction};
use crate::{Function, Object, Result};

/// Line records sorted by offset per section. Built when somebody asks for lines.
#[derive(Debug, Default)]
pub(crate) struct LineIndex {
    lines: HashMap<u32, Vec<LineInfo>>,
}

/// CO-RE records sorted by offset per section. Built when a program is linked.
#[derive(Debug, Default)]
pub(crate) struct CoreIndex {
    /// With the record's number in file order.
    core: HashMap<u32, Vec<(CoreRelo, usize)>>,
    /// All records in file order, as libbpf resolves them, with their ELF sections.
    pub(crate) all: Vec<(u32, CoreRelo)>,
}

/// The ELF section of each name, the first of several.
pub(crate) fn sections_by_name(elf: &Elf) -> HashMap<&[u8], u32> {
    let mut sections = HashMap::with_capacity(elf.sections.len());
    for index in 1..elf.sections.len() {
        sections
            .entry(elf.section_name_raw(index))
            .or_insert(index as u32);
    }
    sections
}

impl LineIndex {
    fn new(elf: &Elf, btf: &Btf, ext: &BtfExt) -> Self {
        let sections = sections_by_name(elf);
        let mut lines: HashMap<u32, Vec<LineInfo>> = HashMap::new();
        for (name, records) in ext.line_infos() {
            if let Some(&index) = sections.get(btf.cut_at(name)) {
                lines.entry(index).or_default().extend(records);
            }
        }
        for list in lines.values_mut() {
            list.sort_by_key(|r| r.insn_off);
        }
        Self { lines }
    }
}

impl CoreIndex {
    fn new(elf: &Elf, btf: &Btf, ext: &BtfExt) -> Self {
        let sections = sections_by_name(elf);
        let mut out = Self::default();
        for (name, records) in ext.core_relos() {
            let Some(&index) = sections.get(btf.cut_at(name)) else {
                continue;
            };
            for record in records {
                let number = out.all.len();
                out.all.push((index, record));
                out.core.entry(index).or_default().push((record, number));
            }
        }
        for list in out.core.values_mut() {
            list.sort_by_key(|(r, _)| r.insn_off);
        }
        out
    }
}

/// The records of a function, out of those of its section.
pub(crate) fn within<'a, T>(
    lists: &'a HashMap<u32, Vec<T>>,
    function: &Function,
    offset: impl Fn(&T) -> u32,
) -> &'a [T] {
    let Some(list) = lists.get(&function.section_index) else {
        return &[];
    };
    let end = function.offset.saturating_add(function.size);
    let from = list.partition_point(|r| u64::from(offset(r)) < function.offset);
    let to = list.partition_point(|r| u64::from(offset(r)) < end);
    list.get(from..to).unwrap_or_default()
}

/// Slot in the linked program of a record at `offset` bytes of the function's section.
pub(crate) fn moved(function: &Function, place: &LinkedFunction, offset: u32) -> usize {
    let inside = u64::from(offset).saturating_sub(function.offset) / 8;
    place
        .start
        .saturating_add(usize::try_from(inside).unwrap_or(usize::MAX))
}

impl Object {
    pub(crate) fn core_index(&self) -> Option<&CoreIndex> {
        let (btf, ext) = (self.btf.as_ref()?, self.btf_ext.as_ref()?);
        let new = || CoreIndex::new(&self.elf, btf, ext);
        Some(self.core_index.get_or_init(new))
    }

    pub(crate) fn func_index(&self) -> Option<&FuncIndex> {
        let (btf, ext) = (self.btf.as_ref()?, self.btf_ext.as_ref()?);
        let new = || FuncIndex::new(&self.elf, btf, ext);
        Some(self.func_index.get_or_init(new))
    }

    fn line_index(&self) -> Option<&LineIndex> {
        let (btf, ext) = (self.btf.as_ref()?, self.btf_ext.as_ref()?);
        let new = || LineIndex::new(&self.elf, btf, ext);
        Some(self.line_index.get_or_init(new))
    }

    /// The CO-RE relocations of a linked program's functions, by slot.
    pub(crate) fn core_slots(&self, functions: &[LinkedFunction]) -> Vec<CoreSlot> {
        let Some(index) = self.core_index() else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for place in functions {
            let Some(function) = self.functions.get(place.function) else {
                continue;
            };
            for (relo, number) in within(&index.core, function, |(r, _)| r.insn_off) {
                out.push(CoreSlot {
                    slot: moved(function, place, relo.insn_off),
                    relo: *relo,
                    number: *number,
                });
            }
        }
        out
    }

    /// Line records of the linked program `index`, by slot. Empty without `.BTF.ext`.
    ///
    /// # Errors
    /// As [`Object::link`].
    pub fn lines(&self, index: usize) -> Result<Vec<Line>> {
        let linked = self.link(index)?;
        let Some(index) = self.line_index() else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        for place in &linked.functions {
            let Some(function) = self.functions.get(place.function) else {
                continue;
            };
            out.extend(
                within(&index.lines, function, |r| r.insn_off)
                    .iter()
                    .map(|r| Line {
                        slot: moved(function, place, r.insn_off),
                        file_off: r.file_name_off,
                        text_off: r.line_off,
                        line: r.line(),
                        column: r.column(),
                    }),
            );
        }
        Ok(out)
    }
}
