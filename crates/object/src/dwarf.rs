//! The chain of inlined functions behind an instruction, from DWARF; read only when somebody asks.
//!
//! In a relocatable file every code section starts at address 0 and the debug sections still wait for their
//! relocations. Both are settled by giving the code section with index `i` the addresses from `i << 32`.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use addr2line::Context;
use gimli::{EndianArcSlice, RunTimeEndian, SectionId};

use crate::elf::{Elf, SHT_REL, SHT_RELA, u32_at, u64_at};
use crate::{Object, Result};

/// A function at one place, of a chain of inlined ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Demangled; empty when DWARF has no name.
    pub function: String,
    /// As the compiler wrote it, its folder joined.
    pub file: String,
    /// 1-based, 0 when there is none.
    pub line: u32,
    /// 1-based, 0 when there is none.
    pub column: u32,
}

/// More frames than any compiler nests; a bound for hostile files.
const MAX_FRAMES: usize = 128;

pub(crate) type Reader = EndianArcSlice<RunTimeEndian>;

/// The DWARF of one object, indexed.
pub struct Inlined {
    // The context fills itself while it is asked.
    context: Mutex<Context<Reader>>,
}

impl std::fmt::Debug for Inlined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inlined")
    }
}

impl Inlined {
    /// Reads the object's DWARF; `None` when there is none or nothing can be read from it.
    #[must_use]
    pub fn new(object: &Object) -> Option<Self> {
        let dwarf = sections(object)?;
        let context = Mutex::new(Context::from_dwarf(dwarf).ok()?);
        Some(Self { context })
    }

    /// The functions at the instruction `slot` of the linked program `index`, innermost first; empty when unknown.
    ///
    /// # Errors
    /// As [`Object::link`].
    pub fn frames(&self, object: &Object, index: usize, slot: usize) -> Result<Vec<Frame>> {
        let linked = object.link(index)?;
        let place = linked.functions.iter().find_map(|one| {
            let inside = slot.checked_sub(one.start).filter(|at| *at < one.len)?;
            let function = object.functions.get(one.function)?;
            let offset = function.offset.checked_add(inside as u64 * 8)?;
            Some(base(function.section_index).wrapping_add(offset))
        });
        Ok(place.map(|address| self.at(address)).unwrap_or_default())
    }

    fn at(&self, address: u64) -> Vec<Frame> {
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut found) = context.find_frames(address).skip_all_loads() else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = found.next() {
            let function = frame.function.as_ref();
            let name = function.and_then(|name| name.demangle().ok().map(Cow::into_owned));
            let place = frame.location.as_ref();
            frames.push(Frame {
                function: name.unwrap_or_default(),
                file: place.and_then(|at| at.file).unwrap_or_default().to_owned(),
                line: place.and_then(|at| at.line).unwrap_or(0),
                column: place.and_then(|at| at.column).unwrap_or(0),
            });
            if frames.len() >= MAX_FRAMES {
                break;
            }
        }
        frames
    }
}

/// The object's debug sections, relocated; `None` when there are none.
pub(crate) fn sections(object: &Object) -> Option<gimli::Dwarf<Reader>> {
    if !object.has_dwarf {
        return None;
    }
    let elf = &object.elf;
    let endian = if elf.big {
        RunTimeEndian::Big
    } else {
        RunTimeEndian::Little
    };
    let load = |id: SectionId| -> std::result::Result<Reader, gimli::Error> {
        let bytes = elf
            .find_section(id.name())
            .map(|index| relocated(elf, index))
            .unwrap_or_default();
        Ok(EndianArcSlice::new(Arc::from(&*bytes), endian))
    };
    gimli::Dwarf::load(load).ok()
}

/// Where the code section `index` is taken to stand.
pub(crate) fn base(index: u32) -> u64 {
    u64::from(index) << 32
}

/// A debug section with its relocations applied.
fn relocated(elf: &Elf, index: usize) -> Vec<u8> {
    let mut bytes = elf.section_data(index).to_vec();
    for (number, section) in elf.sections.iter().enumerate() {
        let applies = matches!(section.kind, SHT_REL | SHT_RELA) && section.info as usize == index;
        if applies {
            apply(elf, number, section.kind == SHT_RELA, &mut bytes);
        }
    }
    bytes
}

/// Kinds are the psABI's: `R_BPF_64_ABS64` (2) and, before LLVM 13, `R_BPF_64_64` (1) fill 8 bytes, the others 4;
/// GNU as before 2.41 has its own number (12) for 8 bytes.
fn apply(elf: &Elf, number: usize, rela: bool, bytes: &mut [u8]) {
    let big = elf.big;
    let entry = if rela { 24 } else { 16 };
    for raw in elf.section_data(number).chunks_exact(entry) {
        let (Some(offset), Some(info)) = (u64_at(raw, 0, big), u64_at(raw, 8, big)) else {
            continue;
        };
        let Ok(at) = usize::try_from(offset) else {
            continue;
        };
        let Some(symbol) = usize::try_from(info >> 32)
            .ok()
            .and_then(|index| elf.symbol(index))
        else {
            continue;
        };
        let wide = matches!(info & 0xffff_ffff, 1 | 2 | 12);
        let in_place = if wide {
            u64_at(bytes, at, big)
        } else {
            u32_at(bytes, at, big).map(u64::from)
        };
        let Some(in_place) = in_place else { continue };
        let addend = if rela {
            u64_at(raw, 16, big).unwrap_or(0)
        } else {
            in_place
        };
        let start = elf
            .section(symbol.section as usize)
            .filter(|section| section.is_exec())
            .map_or(0, |_| base(symbol.section));
        let value = start.wrapping_add(symbol.value).wrapping_add(addend);
        let (long, short) = if big {
            (value.to_be_bytes(), (value as u32).to_be_bytes())
        } else {
            (value.to_le_bytes(), (value as u32).to_le_bytes())
        };
        let new: &[u8] = if wide { &long } else { &short };
        if let Some(place) = at
            .checked_add(new.len())
            .and_then(|end| bytes.get_mut(at..end))
        {
            place.copy_from_slice(new);
        }
    }
}
