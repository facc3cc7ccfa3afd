//! A small ELF64 reader for relocatable files of either byte order: no copies, nothing trusted.
//!
//! Only what eBPF objects need is read. Every offset is checked against the file before it is used, so that a
//! hostile file costs at most time linear in its own size.

use std::borrow::Cow;
use std::ops::Range;

use bpfsmith_btf::Bytes;

use crate::{Error, Result};

pub(crate) const SHT_PROGBITS: u32 = 1;
pub(crate) const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_STRTAB: u32 = 3;
pub(crate) const SHT_RELA: u32 = 4;
pub(crate) const SHT_NOBITS: u32 = 8;
pub(crate) const SHT_REL: u32 = 9;
const SHT_SYMTAB_SHNDX: u32 = 18;
pub(crate) const SHF_EXECINSTR: u64 = 4;

pub(crate) const STT_NOTYPE: u8 = 0;
pub(crate) const STT_OBJECT: u8 = 1;
pub(crate) const STT_FUNC: u8 = 2;
pub(crate) const STT_SECTION: u8 = 3;
pub(crate) const STB_LOCAL: u8 = 0;
pub(crate) const STB_GLOBAL: u8 = 1;
pub(crate) const STB_WEAK: u8 = 2;
const STV_INTERNAL: u8 = 1;
const STV_HIDDEN: u8 = 2;
pub(crate) const SHN_LORESERVE: u32 = 0xff00;
const SHN_XINDEX: u16 = 0xffff;

const EM_NONE: u16 = 0;
const EM_BPF: u16 = 247;
const ET_REL: u16 = 1;
const HEADER: usize = 64;
const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;
/// Bytes of all symbol names together, beside four for each byte of the file.
const NAMES: usize = 8 << 20;
/// Bytes of a section name: paths of uprobes and mangled names are far shorter.
const SECTION_NAME: usize = 4096;

/// One section header, its bytes already checked to lie inside the file.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Offset of the name in the file.
    name: usize,
    name_end: usize,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    /// Bytes in the file; empty for `SHT_NOBITS`.
    pub(crate) range: Range<usize>,
    /// Size as the header says, also for `SHT_NOBITS`.
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
}

impl Section {
    pub(crate) fn is_exec(&self) -> bool {
        self.kind == SHT_PROGBITS && self.flags & SHF_EXECINSTR != 0 && self.size > 0
    }
}

/// One symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    /// Section index; reserved indices (`SHN_ABS`...) stay as they are.
    pub(crate) section: u32,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

impl Symbol {
    pub(crate) fn kind(&self) -> u8 {
        self.info & 0xf
    }

    pub(crate) fn bind(&self) -> u8 {
        self.info >> 4
    }

    /// `STV_HIDDEN` or `STV_INTERNAL`.
    pub(crate) fn is_hidden(&self) -> bool {
        matches!(self.other & 3, STV_HIDDEN | STV_INTERNAL)
    }

    /// Undefined and asking to be resolved, in libbpf's sense.
    pub(crate) fn is_extern(&self) -> bool {
        self.section == 0
            && matches!(self.bind(), STB_GLOBAL | STB_WEAK)
            && self.kind() == STT_NOTYPE
    }
}

/// One relocation. Its `R_BPF_*` kind decides nothing: as for libbpf, the instruction does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reloc {
    pub(crate) offset: u64,
    pub(crate) symbol: usize,
    /// Addend of `SHT_RELA`; 0 for `SHT_REL`, whose addend is in the instruction.
    pub(crate) addend: i64,
}

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Elf {
    pub(crate) data: Bytes,
    pub(crate) big: bool,
    pub(crate) sections: Vec<Section>,
    symbols: Range<usize>,
    strings: Range<usize>,
    extended: Range<usize>,
    /// Index of the symbol table's section; 0 when there is none.
    pub(crate) symtab: usize,
}

pub(crate) fn u16_at(data: &[u8], at: usize, big: bool) -> Option<u16> {
    let raw = data.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(if big {
        u16::from_be_bytes(raw)
    } else {
        u16::from_le_bytes(raw)
    })
}

pub(crate) fn u32_at(data: &[u8], at: usize, big: bool) -> Option<u32> {
    let raw = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if big {
        u32::from_be_bytes(raw)
    } else {
        u32::from_le_bytes(raw)
    })
}

pub(crate) fn u64_at(data: &[u8], at: usize, big: bool) -> Option<u64> {
    let raw = data.get(at..at.checked_add(8)?)?.try_into().ok()?;
    Some(if big {
        u64::from_be_bytes(raw)
    } else {
        u64::from_le_bytes(raw)
    })
}

impl Elf {
    pub(crate) fn parse(data: Bytes) -> Result<Self> {
        let bytes = data.as_slice();
        let big = header(bytes)?;
        let raw = raw_sections(bytes, big)?;
        let mut elf = Self {
            big,
            sections: Vec::new(),
            symbols: 0..0,
            strings: 0..0,
            extended: 0..0,
            symtab: 0,
            data: Bytes::from(Vec::new()),
        };
        elf.sections = raw;
        elf.check_overlaps()?;
        elf.find_symbols(bytes)?;
        elf.data = data;
        elf.check_names()?;
        Ok(elf)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.as_slice()
    }

    pub(crate) fn section(&self, index: usize) -> Option<&Section> {
        self.sections.get(index)
    }

    /// Section name; not always UTF-8, then with replacement characters.
    pub(crate) fn section_name(&self, index: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.section_name_raw(index))
    }

    pub(crate) fn section_name_raw(&self, index: usize) -> &[u8] {
        self.sections
            .get(index)
            .and_then(|s| self.bytes().get(s.name..s.name_end))
            .unwrap_or_default()
    }

    pub(crate) fn section_data(&self, index: usize) -> &[u8] {
        self.sections
            .get(index)
            .and_then(|s| self.bytes().get(s.range.clone()))
            .unwrap_or_default()
    }

    /// The first section of that name, as libbpf looks sections up.
    pub(crate) fn find_section(&self, name: &str) -> Option<usize> {
        (1..self.sections.len()).find(|&i| self.section_name_raw(i) == name.as_bytes())
    }

    pub(crate) fn symbol_count(&self) -> usize {
        self.symbols.len() / SYMBOL
    }

    pub(crate) fn symbol(&self, index: usize) -> Option<Symbol> {
        if index >= self.symbol_count() {
            return None;
        }
        let at = self.symbols.start.checked_add(index.checked_mul(SYMBOL)?)?;
        let raw = self.bytes().get(at..at.checked_add(SYMBOL)?)?;
        let shndx = u16_at(raw, 6, self.big)?;
        let section = if shndx == SHN_XINDEX && !self.extended.is_empty() {
            let at = self.extended.start.checked_add(index.checked_mul(4)?)?;
            u32_at(self.bytes().get(..self.extended.end)?, at, self.big)?
        } else {
            u32::from(shndx)
        };
        Some(Symbol {
            name: u32_at(raw, 0, self.big)?,
            info: *raw.get(4)?,
            other: *raw.get(5)?,
            section,
            value: u64_at(raw, 8, self.big)?,
            size: u64_at(raw, 16, self.big)?,
        })
    }

    pub(crate) fn symbols(&self) -> impl Iterator<Item = (usize, Symbol)> + '_ {
        (0..self.symbol_count()).filter_map(|i| Some((i, self.symbol(i)?)))
    }

    pub(crate) fn symbol_name_raw(&self, symbol: &Symbol) -> &[u8] {
        let table = self.bytes().get(self.strings.clone()).unwrap_or_default();
        usize::try_from(symbol.name)
            .ok()
            .and_then(|at| table.get(at..))
            .map(until_nul)
            .unwrap_or_default()
    }

    pub(crate) fn symbol_name(&self, symbol: &Symbol) -> Cow<'_, str> {
        String::from_utf8_lossy(self.symbol_name_raw(symbol))
    }

    /// The name people know a relocation's target by: of a section symbol, the section's.
    pub(crate) fn target_name(&self, symbol: &Symbol) -> Cow<'_, str> {
        if symbol.kind() == STT_SECTION && symbol.name == 0 {
            return self.section_name(symbol.section as usize);
        }
        self.symbol_name(symbol)
    }

    /// Relocations of the relocation section `index`; entries that do not fit are left out by construction.
    pub(crate) fn relocs(&self, index: usize) -> impl Iterator<Item = Reloc> + '_ {
        let rela = self.sections.get(index).is_some_and(|s| s.kind == SHT_RELA);
        let size = if rela { 24 } else { 16 };
        let big = self.big;
        self.section_data(index)
            .chunks_exact(size)
            .filter_map(move |raw| {
                let info = u64_at(raw, 8, big)?;
                Some(Reloc {
                    offset: u64_at(raw, 0, big)?,
                    symbol: usize::try_from(info >> 32).ok()?,
                    addend: if rela {
                        u64_at(raw, 16, big)?.cast_signed()
                    } else {
                        0
                    },
                })
            })
    }

    /// Two sections claiming the same bytes mean a damaged or crafted file.
    fn check_overlaps(&self) -> Result<()> {
        let mut order: Vec<usize> = (1..self.sections.len())
            .filter(|&i| self.sections.get(i).is_some_and(|s| !s.range.is_empty()))
            .collect();
        order.sort_by_key(|&i| self.sections.get(i).map_or(0, |s| s.range.start));
        for pair in order.windows(2) {
            let [a, b] = pair else { continue };
            let (Some(first), Some(second)) = (self.sections.get(*a), self.sections.get(*b)) else {
                continue;
            };
            if second.range.start < first.range.end {
                return Err(Error::new(
                    format!("sections {a} and {b} overlap in the file"),
                    format!("offset {:#x}", second.range.start),
                )
                .hint("the file is damaged; build it again"));
            }
        }
        Ok(())
    }

    /// Names that end in each other are usual, names that all run through the whole table are an attack: who copies
    /// them would need the product of both.
    fn check_names(&self) -> Result<()> {
        let mut left = NAMES.saturating_add(self.bytes().len().saturating_mul(4));
        for (index, section) in self.sections.iter().enumerate() {
            if section.name_end.saturating_sub(section.name) > SECTION_NAME {
                return Err(Error::new(
                    format!("a section name of more than {SECTION_NAME} bytes"),
                    format!("section {index}"),
                )
                .hint("the file is damaged; build it again"));
            }
        }
        for (index, symbol) in self.symbols() {
            let Some(rest) = left.checked_sub(self.symbol_name_raw(&symbol).len()) else {
                return Err(Error::new(
                    "the names of its symbols run into each other",
                    format!("symbol {index}"),
                )
                .hint("the file is damaged; build it again"));
            };
            left = rest;
        }
        Ok(())
    }

    fn find_symbols(&mut self, bytes: &[u8]) -> Result<()> {
        let mut tables = (1..self.sections.len())
            .filter(|&i| self.sections.get(i).is_some_and(|s| s.kind == SHT_SYMTAB));
        let Some(index) = tables.next() else {
            return Ok(());
        };
        if let Some(second) = tables.next() {
            return Err(Error::new(
                "more than one symbol table",
                format!("section {second}"),
            ));
        }
        let Some(table) = self.sections.get(index) else {
            return Ok(());
        };
        self.symtab = index;
        self.symbols = table.range.clone();
        let strings = self
            .sections
            .get(table.link as usize)
            .filter(|s| s.kind == SHT_STRTAB);
        let Some(strings) = strings else {
            return Err(Error::new(
                "symbol table without its strings",
                format!("section {index}"),
            ));
        };
        self.strings = strings.range.clone();
        if let Some(more) = self
            .sections
            .iter()
            .find(|s| s.kind == SHT_SYMTAB_SHNDX && s.link as usize == index)
        {
            self.extended = more.range.clone();
        }
        debug_assert!(self.symbols.end <= bytes.len());
        Ok(())
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

/// Checks the file header; `Ok(true)` means big-endian.
fn header(bytes: &[u8]) -> Result<bool> {
    const HINT: &str = "give an eBPF object, as `clang --target=bpf -c` or a build for `bpfel-unknown-none` makes it";
    if bytes.is_empty() {
        return Err(Error::new("the file is empty", "").hint(HINT));
    }
    if bytes.starts_with(b"!<arch>\n") || bytes.starts_with(b"!<thin>\n") {
        return Err(Error::new("an archive (`ar`), not an eBPF object", "")
            .hint("extract its members with `ar x` and give those"));
    }
    if bytes.starts_with(b"BC\xc0\xde") || bytes.starts_with(&[0xde, 0xc0, 0x17, 0x0b]) {
        return Err(Error::new("LLVM bitcode, not an eBPF object", "")
            .hint("link it with `bpf-linker` or compile without `-emit-llvm`"));
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Error::new("not an ELF file", "").hint(HINT));
    }
    if bytes.len() < HEADER {
        return Err(Error::new(
            format!(
                "the ELF header is cut off: {} of {HEADER} bytes",
                bytes.len()
            ),
            "",
        )
        .hint("the file is damaged; build it again"));
    }
    match bytes.get(4) {
        Some(2) => {}
        Some(1) => {
            return Err(Error::new("a 32-bit ELF file; eBPF objects are 64-bit", "").hint(HINT));
        }
        other => {
            let class = other.copied().unwrap_or(0);
            return Err(Error::new(
                format!("unknown ELF class {class}"),
                "offset 0x4",
            ));
        }
    }
    let big = match bytes.get(5) {
        Some(1) => false,
        Some(2) => true,
        other => {
            let order = other.copied().unwrap_or(0);
            return Err(Error::new(
                format!("unknown ELF byte order {order}"),
                "offset 0x5",
            ));
        }
    };
    let kind = u16_at(bytes, 16, big).unwrap_or(0);
    let machine = u16_at(bytes, 18, big).unwrap_or(0);
    // Clang before 4.0 left the machine empty.
    if machine != EM_BPF && machine != EM_NONE {
        return Err(Error::new(
            format!("an ELF file for {}, not for eBPF", machine_name(machine)),
            "",
        )
        .hint(HINT));
    }
    if kind != ET_REL {
        let what = match kind {
            2 => "an executable".to_owned(),
            3 => "a shared object".to_owned(),
            4 => "a core dump".to_owned(),
            other => format!("ELF type {other}"),
        };
        return Err(Error::new(format!("{what}, not a relocatable object"), "").hint(HINT));
    }
    Ok(big)
}

fn machine_name(machine: u16) -> String {
    let name = match machine {
        3 => "x86 (32-bit)",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC64",
        22 => "s390",
        40 => "ARM (32-bit)",
        62 => "x86-64",
        183 => "AArch64",
        243 => "RISC-V",
        258 => "LoongArch",
        other => return format!("machine {other}"),
    };
    name.to_owned()
}

fn raw_sections(bytes: &[u8], big: bool) -> Result<Vec<Section>> {
    let table = u64_at(bytes, 40, big).unwrap_or(0);
    let entry = u16_at(bytes, 58, big).unwrap_or(0) as usize;
    let mut count = u64::from(u16_at(bytes, 60, big).unwrap_or(0));
    let mut names_index = u32::from(u16_at(bytes, 62, big).unwrap_or(0));
    let cut = |what: String| {
        Error::new(what, format!("offset {table:#x}")).hint("the file is damaged; build it again")
    };
    if table == 0 {
        return Err(cut("no section headers".to_owned()));
    }
    if entry != SECTION_HEADER {
        return Err(cut(format!(
            "section headers of {entry} bytes instead of {SECTION_HEADER}"
        )));
    }
    let start = usize::try_from(table).ok().filter(|&t| t < bytes.len());
    let Some(start) = start else {
        return Err(cut(format!(
            "the section headers lie outside the file of {} bytes",
            bytes.len()
        )));
    };
    // With 65,280 sections or more, counts move into section 0.
    if count == 0 {
        count = u64_at(bytes, start.saturating_add(32), big).unwrap_or(0);
    }
    if names_index == 0xffff {
        names_index = u32_at(bytes, start.saturating_add(40), big).unwrap_or(0);
    }
    let headers = bytes.get(start..).unwrap_or_default();
    let fits = (headers.len() / SECTION_HEADER) as u64;
    if count > fits {
        return Err(cut(format!(
            "{count} section headers announced, {fits} fit into the file"
        )));
    }
    let mut sections = Vec::with_capacity(count as usize);
    for (index, raw) in headers
        .chunks_exact(SECTION_HEADER)
        .take(count as usize)
        .enumerate()
    {
        let word = |at| u32_at(raw, at, big).unwrap_or(0);
        let long = |at| u64_at(raw, at, big).unwrap_or(0);
        let (kind, offset, size) = (word(4), long(24), long(32));
        let range = if index == 0 || kind == SHT_NOBITS || kind == 0 || size == 0 {
            0..0
        } else {
            usize::try_from(offset)
                .ok()
                .zip(offset.checked_add(size).and_then(|e| usize::try_from(e).ok()))
                .filter(|&(_, end)| end <= bytes.len())
                .map(|(from, to)| from..to)
                .ok_or_else(|| {
                    Error::new(
                        format!(
                            "section {index} is cut off: {size} bytes at {offset:#x} in a file of {} bytes",
                            bytes.len()
                        ),
                        format!("section {index}"),
                    )
                    .hint("the file is damaged; build it again")
                })?
        };
        sections.push(Section {
            name: word(0) as usize,
            name_end: 0,
            kind,
            flags: long(8),
            range,
            size,
            link: word(40),
            info: word(44),
        });
    }
    name_sections(bytes, &mut sections, names_index as usize)?;
    Ok(sections)
}

/// Turns name offsets in the string table into places in the file.
fn name_sections(bytes: &[u8], sections: &mut [Section], names_index: usize) -> Result<()> {
    let names = match sections.get(names_index) {
        Some(s) if names_index != 0 => s.range.clone(),
        _ => {
            return Err(Error::new(
                "no section names",
                format!("section {names_index}"),
            ));
        }
    };
    for (index, section) in sections.iter_mut().enumerate() {
        if index == 0 {
            section.name = 0;
            continue;
        }
        let start = names.start.saturating_add(section.name);
        let name = bytes.get(start..names.end).ok_or_else(|| {
            Error::new(
                "a section name lies outside the name table",
                format!("section {index}"),
            )
        })?;
        section.name = start;
        section.name_end = start.saturating_add(until_nul(name).len());
    }
    Ok(())
}
