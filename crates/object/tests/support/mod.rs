//! A small ELF writer, so that these tests need no compiler.
#![allow(dead_code, reason = "each test file uses a part")]

use bpfsmith_isa::{Endian, Insn};

pub(crate) const PROGBITS: u32 = 1;
pub(crate) const NOBITS: u32 = 8;
pub(crate) const REL: u32 = 9;
pub(crate) const ALLOC: u64 = 2;
pub(crate) const EXEC: u64 = 6;
pub(crate) const GLOBAL: u8 = 1;
pub(crate) const WEAK: u8 = 2;
pub(crate) const LOCAL: u8 = 0;
pub(crate) const NOTYPE: u8 = 0;
pub(crate) const OBJECT: u8 = 1;
pub(crate) const FUNC: u8 = 2;
pub(crate) const SECTION: u8 = 3;

#[derive(Clone)]
struct Section {
    name: String,
    kind: u32,
    flags: u64,
    data: Vec<u8>,
    size: u64,
    info: u32,
}

#[derive(Clone)]
struct Symbol {
    name: String,
    info: u8,
    section: u16,
    value: u64,
    size: u64,
}

/// An object being written. Section and symbol numbers are those of the finished file.
#[derive(Clone)]
pub(crate) struct Builder {
    pub(crate) endian: Endian,
    pub(crate) machine: u16,
    pub(crate) kind: u16,
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new(Endian::Little)
    }
}

impl Builder {
    pub(crate) fn new(endian: Endian) -> Self {
        Self {
            endian,
            machine: 247,
            kind: 1,
            sections: Vec::new(),
            symbols: Vec::new(),
        }
    }

    fn push(&mut self, name: &str, kind: u32, flags: u64, data: Vec<u8>) -> u16 {
        let size = data.len() as u64;
        self.sections.push(Section {
            name: name.into(),
            kind,
            flags,
            data,
            size,
            info: 0,
        });
        self.sections.len() as u16
    }

    pub(crate) fn data(&mut self, name: &str, data: &[u8]) -> u16 {
        self.push(name, PROGBITS, ALLOC, data.to_vec())
    }

    pub(crate) fn bss(&mut self, name: &str, size: u64) -> u16 {
        let index = self.push(name, NOBITS, ALLOC, Vec::new());
        self.sections[index as usize - 1].size = size;
        index
    }

    pub(crate) fn code(&mut self, name: &str, insns: &[Insn]) -> u16 {
        let data = bpfsmith_isa::encode_all(insns, self.endian);
        self.push(name, PROGBITS, EXEC, data)
    }

    /// A symbol; its number for relocations.
    pub(crate) fn symbol(
        &mut self,
        name: &str,
        bind: u8,
        kind: u8,
        section: u16,
        value: u64,
        size: u64,
    ) -> u32 {
        self.symbols.push(Symbol {
            name: name.into(),
            info: bind << 4 | kind,
            section,
            value,
            size,
        });
        self.symbols.len() as u32
    }

    /// A global function over `slots` slots from slot `first`.
    pub(crate) fn function(&mut self, name: &str, section: u16, first: u64, slots: u64) -> u32 {
        self.symbol(name, GLOBAL, FUNC, section, first * 8, slots * 8)
    }

    /// Relocations (byte offset, symbol) of a section.
    pub(crate) fn relocs(&mut self, section: u16, relocs: &[(u64, u32)]) -> u16 {
        let mut data = Vec::new();
        for (offset, symbol) in relocs {
            self.u64(&mut data, *offset);
            self.u64(&mut data, u64::from(*symbol) << 32 | 1);
        }
        let name = format!(".rel{}", self.sections[section as usize - 1].name);
        let index = self.push(&name, REL, 0, data);
        self.sections[index as usize - 1].info = u32::from(section);
        index
    }

    pub(crate) fn bytes_of_u32(&self, words: &[u32]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|w| match self.endian {
                Endian::Little => w.to_le_bytes(),
                Endian::Big => w.to_be_bytes(),
            })
            .collect()
    }

    fn u16(&self, out: &mut Vec<u8>, value: u16) {
        match self.endian {
            Endian::Little => out.extend(value.to_le_bytes()),
            Endian::Big => out.extend(value.to_be_bytes()),
        }
    }

    fn u32(&self, out: &mut Vec<u8>, value: u32) {
        out.extend(self.bytes_of_u32(&[value]));
    }

    fn u64(&self, out: &mut Vec<u8>, value: u64) {
        match self.endian {
            Endian::Little => out.extend(value.to_le_bytes()),
            Endian::Big => out.extend(value.to_be_bytes()),
        }
    }

    /// The finished file: header, section data, symbols, strings, section headers.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut names = vec![0_u8];
        let mut intern = |name: &str| {
            if name.is_empty() {
                return 0;
            }
            let at = names.len() as u32;
            names.extend(name.as_bytes());
            names.push(0);
            at
        };
        let symtab_index = self.sections.len() as u32 + 1;
        let mut symtab = vec![0_u8; 24];
        for symbol in &self.symbols {
            let name = intern(&symbol.name);
            self.u32(&mut symtab, name);
            symtab.extend([symbol.info, 0]);
            self.u16(&mut symtab, symbol.section);
            self.u64(&mut symtab, symbol.value);
            self.u64(&mut symtab, symbol.size);
        }
        let mut all: Vec<(u32, Section, u32)> = Vec::new();
        for section in &self.sections {
            let link = if section.kind == REL { symtab_index } else { 0 };
            all.push((intern(&section.name), section.clone(), link));
        }
        let plain = |name: &str, kind, data: Vec<u8>| Section {
            name: name.into(),
            kind,
            flags: 0,
            size: data.len() as u64,
            data,
            info: 0,
        };
        let symtab_name = intern(".symtab");
        let strtab_name = intern(".strtab");
        all.push((symtab_name, plain(".symtab", 2, symtab), symtab_index + 1));
        let names = names.clone();
        all.push((strtab_name, plain(".strtab", 3, names), 0));

        let mut body = Vec::new();
        let mut headers = vec![0_u8; 64];
        for (name, section, link) in &all {
            let offset = 64 + body.len() as u64;
            body.extend(&section.data);
            while body.len() % 8 != 0 {
                body.push(0);
            }
            self.u32(&mut headers, *name);
            self.u32(&mut headers, section.kind);
            self.u64(&mut headers, section.flags);
            self.u64(&mut headers, 0);
            self.u64(&mut headers, offset);
            self.u64(&mut headers, section.size);
            self.u32(&mut headers, *link);
            self.u32(&mut headers, section.info);
            self.u64(&mut headers, 8);
            let entry = match section.kind {
                2 => 24,
                REL => 16,
                _ => 0,
            };
            self.u64(&mut headers, entry);
        }
        let mut out = vec![
            0x7f,
            b'E',
            b'L',
            b'F',
            2,
            if self.endian == Endian::Little { 1 } else { 2 },
            1,
        ];
        out.resize(16, 0);
        self.u16(&mut out, self.kind);
        self.u16(&mut out, self.machine);
        self.u32(&mut out, 1);
        self.u64(&mut out, 0);
        self.u64(&mut out, 0);
        self.u64(&mut out, 64 + body.len() as u64);
        self.u32(&mut out, 0);
        for half in [64, 0, 0, 64, all.len() as u16 + 1, all.len() as u16] {
            self.u16(&mut out, half);
        }
        out.extend(body);
        out.extend(headers);
        out
    }
}

pub(crate) fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        dst,
        src,
        off,
        imm,
    }
}

pub(crate) fn exit() -> Insn {
    insn(0x95, 0, 0, 0, 0)
}

pub(crate) fn mov(dst: u8, imm: i32) -> Insn {
    insn(0xb7, dst, 0, 0, imm)
}

/// A call of a subprogram: `imm` slots after the next one, or -1 for a relocation to fill.
pub(crate) fn call(imm: i32) -> Insn {
    insn(0x85, 0, 1, 0, imm)
}

/// Both halves of an `ld_imm64`.
pub(crate) fn load(dst: u8, imm: i32) -> [Insn; 2] {
    [insn(0x18, dst, 0, 0, imm), insn(0, 0, 0, 0, 0)]
}
