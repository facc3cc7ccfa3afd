//! A program as `BPF_PROG_LOAD` wants it, but for file descriptors, BTF ids of the kernel and addresses.

use std::collections::HashMap;
use std::sync::Arc;

use bpfsmith_btf::core::{Patched, patch};
use bpfsmith_btf::ext::{BtfExt, FuncInfo};
use bpfsmith_btf::{Btf, Kind};

use crate::elf::{Elf, u64_at};
use crate::ext::{moved, sections_by_name, within};
use crate::kernel::{POISONED_KFUNC, btf_error};
use crate::linked::LinkedFunction;
use crate::{Error, ExternKind, Linked, Object, Result, Target};

/// Bytes of the record the kernel calls `struct bpf_func_info`.
pub const FUNC_INFO: usize = 8;
/// Bytes of the record the kernel calls `struct bpf_line_info`.
pub const LINE_INFO: usize = 16;

/// What [`Object::image`] gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Slots in the object's byte order, relocated.
    pub insns: Vec<u8>,
    /// Where descriptors of maps go: (byte offset of the `imm`, index into `Object::maps`).
    pub maps: Vec<(usize, usize)>,
    /// Where the kernel's ids and addresses go: (slot, index into `Object::externs`); `.kconfig` is a map, and weak
    /// externs the targets lack are dealt with.
    pub externs: Vec<(usize, usize)>,
    /// Where descriptors of instruction arrays go.
    pub jump_tables: Vec<InsnArray>,
    /// Records of [`FUNC_INFO`] bytes: slot, type id. Empty when libbpf passes none.
    pub func_info: Vec<u8>,
    /// Records of [`LINE_INFO`] bytes: slot, file name, line text, line and column.
    pub line_info: Vec<u8>,
    /// Slots the verifier refuses when it reaches them, and why.
    pub poisoned: Vec<(usize, String)>,
}

/// A jump table as a map of its own: its entries are places in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsnArray {
    /// Byte offset of the `imm` its descriptor goes to.
    pub at: usize,
    /// Byte offset in `.jumptables`: loads of one table share one map.
    pub offset: u64,
    /// Slots of the linked program.
    pub targets: Vec<u32>,
}

/// Function records sorted by offset per section.
#[derive(Debug, Default)]
pub(crate) struct FuncIndex {
    functions: HashMap<u32, Vec<FuncInfo>>,
}

impl FuncIndex {
    pub(crate) fn new(elf: &Elf, btf: &Btf, ext: &BtfExt) -> Self {
        let sections = sections_by_name(elf);
        let mut functions: HashMap<u32, Vec<FuncInfo>> = HashMap::new();
        for (name, records) in ext.func_infos() {
            if let Some(&index) = sections.get(btf.cut_at(name)) {
                functions.entry(index).or_default().extend(records);
            }
        }
        for list in functions.values_mut() {
            list.sort_by_key(|r| r.insn_off);
        }
        Self { functions }
    }
}

/// The second half of an instruction's first slot.
const IMM: usize = 4;
/// Bytes of an entry of a jump table.
const ENTRY: u64 = 8;

impl Object {
    /// The program `index` as a kernel with these types loads it; without `targets`, CO-RE relocations are poisoned.
    ///
    /// # Errors
    /// As [`Object::relocated_insns`].
    pub fn image(&self, index: usize, targets: &[Arc<Btf>]) -> Result<Image> {
        let linked = self.link(index)?;
        let against = self.against(targets);
        let mut out = Image {
            insns: linked.bytes(self.endian),
            ..Image::default()
        };
        let (slots, _) = out.insns.as_chunks_mut::<8>();
        let borrowed: Vec<&Btf> = targets.iter().map(AsRef::as_ref).collect();
        for core in &linked.core {
            let resolution = against.relocation(core.number)?;
            let patched = patch(slots, core.slot, resolution, self.elf.big)
                .map_err(|e| btf_error(&e, &format!("program `{}`", self.program_name(index))))?;
            if patched == Patched::Poisoned {
                let why = self.btf.as_deref().map(|local| {
                    let access = resolution.local.short(local);
                    let word = resolution.kind.word();
                    match resolution.reason(local, &borrowed) {
                        Some(reason) => format!("{word} {access}: {reason}"),
                        None => format!("{word} {access}"),
                    }
                });
                out.poisoned.push((core.slot, why.unwrap_or_default()));
            }
        }
        for reference in &linked.refs {
            let slot = reference.slot;
            match reference.target {
                Target::Map(map) | Target::MapValue(map, _) => out.maps.push((slot * 8 + IMM, map)),
                Target::Extern(number) => {
                    let Some(ext) = self.externs.get(number) else {
                        continue;
                    };
                    if ext.kind == ExternKind::Kconfig {
                        if let Some(map) = self.kconfig_map {
                            out.maps.push((slot * 8 + IMM, map));
                        }
                        continue;
                    }
                    let typed = matches!(ext.kind, ExternKind::Kfunc | ExternKind::KsymTyped);
                    if !(typed && ext.weak && !against.has_extern(number)) {
                        out.externs.push((slot, number));
                        continue;
                    }
                    let Some(raw) = slots.get_mut(slot) else {
                        continue;
                    };
                    let call = linked.insns.get(slot).is_some_and(|i| i.is_call());
                    let imm = if call {
                        out.poisoned
                            .push((slot, format!("the kernel has no function `{}`", ext.name)));
                        POISONED_KFUNC.wrapping_add(number as i32)
                    } else {
                        0
                    };
                    absent(raw, imm, call, self.elf.big);
                }
                Target::JumpTable(offset, size) => {
                    let targets = self.insn_array(&linked, slot, offset, size)?;
                    let at = slot * 8 + IMM;
                    out.jump_tables.push(InsnArray {
                        at,
                        offset,
                        targets,
                    });
                }
                Target::Function(_) => {}
            }
        }
        out.poisoned.sort_by_key(|(slot, _)| *slot);
        (out.func_info, out.line_info) = self.records(&linked, index)?;
        Ok(out)
    }

    /// The entries of a jump table whose load stands at `slot`, as places in the linked program: libbpf's arithmetic.
    fn insn_array(&self, linked: &Linked, slot: usize, offset: u64, size: u64) -> Result<Vec<u32>> {
        let fail = |what: &str| {
            let place = format!("section `.jumptables`, offset {offset:#x}");
            Err(Error::new(format!("a jump table {what}"), place))
        };
        if !offset.is_multiple_of(ENTRY) || !size.is_multiple_of(ENTRY) {
            return fail("is no row of 8-byte entries");
        }
        let section = self.jump_table_section.unwrap_or_default();
        let data = self.elf.section_data(section);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        let Some(table) = data.get(start..end) else {
            return fail("ends past its section");
        };
        let inside = |place: &&LinkedFunction| place.range().contains(&slot);
        let place = linked.functions.iter().find(inside);
        let moved = place.and_then(|place| {
            let function = self.functions.get(place.function)?;
            Some((function.first_slot() as u64, place.start as u64))
        });
        let Some((old, new)) = moved else {
            return fail("is used outside of any function");
        };
        let mut targets = Vec::with_capacity(table.len() / 8);
        for entry in table.chunks_exact(8) {
            let value = u64_at(entry, 0, self.elf.big).unwrap_or_default();
            let target = (value / 8).wrapping_sub(old).wrapping_add(new);
            match u32::try_from(target) {
                Ok(target) => targets.push(target),
                Err(_) => return fail("leads out of its function"),
            }
        }
        Ok(targets)
    }

    /// `func_info` and `line_info`: both whole or empty. libbpf refuses programs with a record missing for a
    /// subprogram; we leave such a list out, for the kernel would refuse it and the program needs neither.
    fn records(&self, linked: &Linked, index: usize) -> Result<(Vec<u8>, Vec<u8>)> {
        let (Some(btf), Some(functions)) = (self.btf.as_deref(), self.func_index()) else {
            return Ok((Vec::new(), Vec::new()));
        };
        let mut func_info = Vec::with_capacity(linked.functions.len() * FUNC_INFO);
        for place in &linked.functions {
            let Some(function) = self.functions.get(place.function) else {
                continue;
            };
            let first = within(&functions.functions, function, |r| r.insn_off).first();
            let known = first.filter(|r| {
                moved(function, place, r.insn_off) == place.start
                    && btf.get(r.type_id).is_some_and(|t| t.kind() == Kind::Func)
            });
            let Some(record) = known else {
                func_info.clear();
                break;
            };
            self.words(&mut func_info, &[place.start as u32, record.type_id]);
        }
        let lines = self.lines(index)?;
        let mut line_info = Vec::with_capacity(lines.len() * LINE_INFO);
        let mut last = None;
        for line in &lines {
            // The kernel takes one record per instruction, and none at the second half of an `ld_imm64`.
            let whole = linked.insns.get(line.slot).is_some_and(|i| i.code != 0);
            if last == Some(line.slot) || !whole {
                continue;
            }
            last = Some(line.slot);
            let position = line.line << 10 | (line.column & 0x3ff);
            self.words(
                &mut line_info,
                &[line.slot as u32, line.file_off, line.text_off, position],
            );
        }
        let starts_known = linked
            .functions
            .iter()
            .all(|place| lines.binary_search_by_key(&place.start, |l| l.slot).is_ok());
        let strings_known = lines
            .iter()
            .all(|l| l.file_off < btf.strings_end() && l.text_off < btf.strings_end());
        if !starts_known || !strings_known {
            line_info.clear();
        }
        Ok((func_info, line_info))
    }

    fn words(&self, out: &mut Vec<u8>, words: &[u32]) {
        for word in words {
            out.extend(if self.elf.big {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            });
        }
    }

    /// True when some CO-RE relocation asks for a kernel's types: without, no kernel BTF needs to be read for them.
    /// Looks at the records only, links nothing.
    #[must_use]
    pub fn has_core(&self) -> bool {
        self.btf_ext
            .as_ref()
            .is_some_and(|ext| ext.core_relos().any(|(_, records)| records.len() > 0))
    }
}

/// The first slot of a call or load whose weak extern the kernel lacks: a call of nothing, or the address 0.
fn absent(raw: &mut [u8; 8], imm: i32, call: bool, big: bool) {
    let [code, registers, off, ..] = *raw;
    let second = raw[3];
    let (off, second) = if call { (0, 0) } else { (off, second) };
    let registers = if big {
        registers & 0xf0
    } else {
        registers & 0x0f
    };
    let [a, b, c, d] = if big {
        imm.to_be_bytes()
    } else {
        imm.to_le_bytes()
    };
    *raw = [code, registers, off, second, a, b, c, d];
}
