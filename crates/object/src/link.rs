//! Linking: appends the subprograms a program uses and resolves its references, as libbpf lays programs out.
//!
//! libbpf (`bpf_object__relocate_calls`) walks the program's slots in order; at the first call of (or pointer to) a
//! subprogram it appends that subprogram's code at the end and walks it before it goes on. An exception callback
//! named by a declaration tag comes last. The walk here keeps its own stack, so that depth costs no native stack.

use bpfsmith_isa::{Insn, JumpTable};

use crate::elf::{STT_FUNC, STT_SECTION, Symbol};
use crate::functions::containing;
use crate::linked::{LinkedFunction, SlotRef, Target};
use crate::maps::ARENA;
use crate::relocs::CodeReloc;
use crate::sections::Role;
use crate::{Error, ExternKind, Linked, Object, Result};

/// No kernel takes more than a million instructions; what is much larger comes from a crafted file.
const MAX_SLOTS: usize = 1 << 21;

/// Entries of jump tables of one program; crafted ones could ask for their product with the jumps.
const MAX_TARGETS: usize = 1 << 20;

const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;
const PSEUDO_MAP: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_BTF_ID: u8 = 3;
const PSEUDO_FUNC: u8 = 4;
const CALL_SUBPROG: u8 = 1;
const CALL_KFUNC: u8 = 2;

/// A function being walked.
struct Frame {
    /// Index in `Linked::functions`.
    position: usize,
    /// Next slot of the function to look at.
    next: usize,
}

struct Linker<'a> {
    object: &'a Object,
    out: Linked,
    /// Function index -> first slot, for those already appended.
    placed: std::collections::HashMap<usize, usize>,
    walk: Vec<Frame>,
}

pub(crate) fn link(object: &Object, program: usize) -> Result<Linked> {
    let entry = object.programs.get(program).ok_or_else(|| {
        Error::new(
            format!("no program {program}, there are {}", object.programs.len()),
            "",
        )
    })?;
    let mut linker = Linker {
        object,
        out: Linked::default(),
        placed: std::collections::HashMap::new(),
        walk: Vec::new(),
    };
    linker.append(entry.function)?;
    linker.walk()?;
    if let Some(&callback) = object.exception_callbacks.get(&entry.name)
        && !linker.placed.contains_key(&callback)
    {
        linker.append(callback)?;
        linker.walk()?;
    }
    let mut linked = linker.out;
    linked.refs.sort_by_key(|r| r.slot);
    linked.core = object.core_slots(&linked.functions);
    linked.jump_tables = jump_tables(object, &linked);
    Ok(linked)
}

impl Linker<'_> {
    /// Copies a function's code to the end, resolves its data references, and puts it on the walk.
    fn append(&mut self, index: usize) -> Result<()> {
        let object = self.object;
        let function = object
            .functions
            .get(index)
            .ok_or_else(|| Error::new(format!("no function {index}"), ""))?;
        let start = self.out.insns.len();
        let code = object
            .elf
            .section_data(function.section_index as usize)
            .get(usize::try_from(function.offset).unwrap_or(usize::MAX)..)
            .and_then(|rest| rest.get(..usize::try_from(function.size).unwrap_or(usize::MAX)))
            .ok_or_else(|| {
                Error::new(
                    format!("function `{}` lies outside its section", function.name),
                    "",
                )
            })?;
        if start + code.len() / 8 > MAX_SLOTS {
            return Err(Error::new(
                format!("more than {MAX_SLOTS} instructions once its subprograms are linked in"),
                format!("function `{}`", function.name),
            ));
        }
        self.out.insns.extend(
            code.as_chunks::<8>()
                .0
                .iter()
                .map(|slot| Insn::decode(*slot, object.endian)),
        );
        self.placed.insert(index, start);
        let position = self.out.functions.len();
        self.out.functions.push(LinkedFunction {
            function: index,
            start,
            len: code.len() / 8,
        });
        self.relocate(index, start)?;
        self.walk.push(Frame { position, next: 0 });
        Ok(())
    }

    /// Resolves everything but calls and function addresses; marks the latter.
    fn relocate(&mut self, index: usize, start: usize) -> Result<()> {
        let object = self.object;
        let Some(function) = object.functions.get(index) else {
            return Ok(());
        };
        for reloc in object.relocs_of(function) {
            let slot = start + (reloc.slot as usize).saturating_sub(function.first_slot());
            let Some(symbol) = object.elf.symbol(reloc.symbol as usize) else {
                continue;
            };
            let Some(insn) = self.out.insns.get(slot).copied() else {
                continue;
            };
            let fail = |message: String| {
                Err(Error::new(
                    message,
                    format!(
                        "section `{}`, function `{}`, offset {:#x}",
                        function.section,
                        function.name,
                        u64::from(reloc.slot) * 8
                    ),
                ))
            };
            let name = object.elf.target_name(&symbol);
            if insn.code != CALL && insn.code != LD_IMM64 {
                return fail(format!(
                    "relocation against `{name}` at an instruction that takes none (opcode {:#04x})",
                    insn.code
                ));
            }
            if symbol.is_extern() {
                self.relocate_extern(slot, reloc.symbol as usize, &name)?;
                continue;
            }
            let target = object
                .roles
                .get(symbol.section as usize)
                .copied()
                .unwrap_or(Role::Other);
            if insn.code == CALL {
                if insn.src != CALL_SUBPROG {
                    return fail(format!(
                        "call of `{name}` that is marked as no subprogram call"
                    ));
                }
                if target != Role::Code || symbol.section == 0 {
                    return fail(format!(
                        "call of `{name}`, which is no function of this object"
                    ));
                }
                continue; // The walk resolves it.
            }
            if symbol.section == 0 || symbol.section as usize >= object.roles.len() {
                return fail(format!(
                    "`{name}` is in no section; a variable without an initial value?"
                ));
            }
            match self.data_target(target, &symbol, insn.imm, reloc) {
                Some(found) => self.apply(slot, found),
                None if target == Role::Code => self.set_first(slot, |insn| insn.src = PSEUDO_FUNC),
                None => {
                    let section = object
                        .elf
                        .section_name(symbol.section as usize)
                        .into_owned();
                    return fail(format!(
                        "reference to `{name}` in section `{section}`, which is no map and no data"
                    ));
                }
            }
        }
        Ok(())
    }

    fn relocate_extern(&mut self, slot: usize, symbol: usize, name: &str) -> Result<()> {
        let object = self.object;
        let Some(&index) = object.extern_symbols.get(&symbol) else {
            return Err(Error::new(format!("extern `{name}` has no name"), ""));
        };
        let Some(ext) = object.externs.get(index) else {
            return Ok(());
        };
        self.out.refs.push(SlotRef {
            slot,
            target: Target::Extern(index),
        });
        if self.out.insns.get(slot).is_some_and(|i| i.code == CALL) {
            self.set_first(slot, |insn| {
                insn.src = CALL_KFUNC;
                insn.imm = 0;
            });
            return Ok(());
        }
        let (src, imm, second) = match ext.kind {
            ExternKind::Kconfig => (
                PSEUDO_MAP_VALUE,
                object.kconfig_map.unwrap_or(0) as i32,
                ext.offset as i32,
            ),
            ExternKind::KsymTyped | ExternKind::Kfunc | ExternKind::Func => (PSEUDO_BTF_ID, 0, 0),
            ExternKind::KsymTypeless | ExternKind::Unknown => (0, 0, 0),
        };
        self.set_first(slot, |insn| {
            insn.src = src;
            insn.imm = imm;
        });
        self.set_second(slot, second);
        Ok(())
    }

    /// What a load refers to, when it is a map, data or a jump table.
    fn data_target(
        &self,
        role: Role,
        symbol: &Symbol,
        imm: i32,
        reloc: &CodeReloc,
    ) -> Option<Target> {
        let object = self.object;
        let section = symbol.section;
        let addend = imm.wrapping_add(reloc.addend);
        match role {
            Role::Maps | Role::LegacyMaps => {
                // A symbol of the map itself decides; a section symbol needs the addend.
                let extra = if symbol.kind() == STT_SECTION {
                    i64::from(addend)
                } else {
                    0
                };
                let offset = symbol.value.wrapping_add_signed(extra);
                object
                    .map_places
                    .get(&(section, offset))
                    .copied()
                    .map(Target::Map)
            }
            Role::Data | Role::Rodata | Role::Bss => {
                let map = object.map_places.get(&(section, 0)).copied()?;
                Some(Target::MapValue(
                    map,
                    addend.wrapping_add(symbol.value as i32),
                ))
            }
            Role::Arena => {
                let map = object.maps.iter().position(|m| m.map_type == ARENA)?;
                Some(Target::MapValue(
                    map,
                    addend.wrapping_add(symbol.value as i32),
                ))
            }
            Role::JumpTables => Some(Target::JumpTable(symbol.value, symbol.size)),
            _ => None,
        }
    }

    fn apply(&mut self, slot: usize, target: Target) {
        match target {
            Target::Map(map) => self.set_first(slot, |insn| {
                insn.src = PSEUDO_MAP;
                insn.imm = map as i32;
            }),
            Target::MapValue(map, offset) => {
                self.set_first(slot, |insn| {
                    insn.src = PSEUDO_MAP_VALUE;
                    insn.imm = map as i32;
                });
                self.set_second(slot, offset);
            }
            // The loader makes a map of it that is none of the object's: no index.
            Target::JumpTable(..) => self.set_first(slot, |insn| {
                insn.src = PSEUDO_MAP_VALUE;
                insn.off = 0;
                insn.imm = -1;
            }),
            Target::Extern(_) | Target::Function(_) => {}
        }
        self.out.refs.push(SlotRef { slot, target });
    }

    fn set_first(&mut self, slot: usize, change: impl FnOnce(&mut Insn)) {
        if let Some(insn) = self.out.insns.get_mut(slot) {
            change(insn);
        }
    }

    fn set_second(&mut self, slot: usize, imm: i32) {
        if let Some(insn) = self.out.insns.get_mut(slot + 1) {
            insn.imm = imm;
        }
    }

    /// Resolves calls and function addresses depth first.
    fn walk(&mut self) -> Result<()> {
        while let Some(frame) = self.walk.last_mut() {
            let Some(&place) = self.out.functions.get(frame.position) else {
                self.walk.pop();
                continue;
            };
            let here = frame.next;
            if here >= place.len {
                self.walk.pop();
                continue;
            }
            frame.next += 1;
            let slot = place.start + here;
            let Some(insn) = self.out.insns.get(slot).copied() else {
                continue;
            };
            let call =
                insn.code == CALL && insn.src == CALL_SUBPROG && insn.dst == 0 && insn.off == 0;
            let pointer = insn.code == LD_IMM64 && insn.src == PSEUDO_FUNC;
            if !call && !pointer {
                continue;
            }
            let Some(callee) = self.callee(place.function, here, insn, pointer)? else {
                continue;
            };
            if !self.placed.contains_key(&callee) {
                self.append(callee)?;
            }
            let start = self.placed.get(&callee).copied().unwrap_or(0);
            let distance = start as i64 - slot as i64 - 1;
            self.set_first(slot, |insn| insn.imm = distance as i32);
            if pointer {
                self.out.refs.push(SlotRef {
                    slot,
                    target: Target::Function(callee),
                });
            }
        }
        Ok(())
    }

    /// The function a call or function address at slot `here` of `caller` goes to; `None` leaves it alone.
    fn callee(
        &self,
        caller: usize,
        here: usize,
        insn: Insn,
        pointer: bool,
    ) -> Result<Option<usize>> {
        let object = self.object;
        let Some(function) = object.functions.get(caller) else {
            return Ok(None);
        };
        let in_section = function.first_slot() + here;
        let fail = |message: String| {
            Err(Error::new(
                message,
                format!(
                    "section `{}`, function `{}`, offset {:#x}",
                    function.section,
                    function.name,
                    in_section * 8
                ),
            ))
        };
        let section = function.section_index as usize;
        let reloc = object
            .relocs
            .between(section, in_section, in_section + 1)
            .first();
        let (section, slot) = match reloc {
            Some(reloc) => {
                let Some(symbol) = object.elf.symbol(reloc.symbol as usize) else {
                    return Ok(None);
                };
                let imm = i64::from(insn.imm) + i64::from(reloc.addend);
                let base = symbol.value.cast_signed();
                let slot = if pointer {
                    base.wrapping_add(imm) / 8
                } else if symbol.kind() == STT_FUNC {
                    // Clang writes -1 here, GNU as before 2.41 the symbol's value in bytes: it says nothing more.
                    base / 8
                } else {
                    (base / 8).wrapping_add(imm).wrapping_add(1)
                };
                (symbol.section, slot)
            }
            None if pointer => {
                return fail("address of a function without a relocation that names it".to_owned());
            }
            None => (
                function.section_index,
                in_section as i64 + i64::from(insn.imm) + 1,
            ),
        };
        let found = u64::try_from(slot)
            .ok()
            .and_then(|slot| containing(&object.functions, section, slot));
        match found {
            Some(index) => Ok(Some(index)),
            None => fail(format!(
                "call into section `{}`, slot {slot}, where no function is",
                object.elf.section_name(section as usize)
            )),
        }
    }
}

/// Targets of the indirect jumps of each function that loads jump tables; `MAX_TARGETS` of them at most.
fn jump_tables(object: &Object, linked: &Linked) -> Vec<JumpTable> {
    let mut found = Vec::new();
    let Some(section) = object.jump_table_section else {
        return found;
    };
    let data = object.elf.section_data(section);
    let mut left = MAX_TARGETS;
    for place in &linked.functions {
        let range = place.range();
        let from = linked.refs.partition_point(|r| r.slot < range.start);
        let to = linked.refs.partition_point(|r| r.slot < range.end);
        let refs = linked.refs.get(from..to).unwrap_or_default();
        let Some(function) = object.functions.get(place.function) else {
            continue;
        };
        let mut read = 0;
        let mut targets: Vec<usize> = refs
            .iter()
            .filter_map(|r| match r.target {
                Target::JumpTable(offset, size) => table(data, offset, size),
                _ => None,
            })
            .flat_map(|table| table.chunks_exact(8))
            .take(left)
            .inspect(|_| read += 1)
            .filter_map(|entry| crate::elf::u64_at(entry, 0, object.elf.big))
            .filter_map(|bytes| {
                let slot = usize::try_from(bytes / 8).ok()?;
                let slot = slot.checked_sub(function.first_slot())?;
                (slot < place.len).then_some(place.start + slot)
            })
            .collect();
        left = left.saturating_sub(read);
        if targets.is_empty() {
            continue;
        }
        targets.sort_unstable();
        targets.dedup();
        for slot in range {
            if linked.insns.get(slot).is_some_and(|i| i.is_gotox()) && left >= targets.len() {
                left -= targets.len();
                let targets = targets.clone();
                found.push(JumpTable { slot, targets });
            }
        }
    }
    found
}

/// The bytes of one jump table.
fn table(data: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let from = usize::try_from(offset).ok()?;
    let to = from.saturating_add(usize::try_from(size).ok()?);
    data.get(from..to.min(data.len()))
}
