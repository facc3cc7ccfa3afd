//! BTF's lists of variables per section, with the offsets the compiler left to the linker filled in.

use std::collections::HashMap;

use bpfsmith_btf::{Btf, Kind};

use crate::Global;
use crate::elf::{Elf, STB_LOCAL, STB_WEAK, STT_OBJECT, Symbol};
use crate::sections::Role;

/// A variable of a section.
#[derive(Debug)]
pub(crate) struct Var {
    pub(crate) name: String,
    /// BTF type id of the variable's type.
    pub(crate) type_id: u32,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// File-local, or hidden, which libbpf treats alike.
    pub(crate) is_static: bool,
    pub(crate) weak: bool,
}

/// A DATASEC.
#[derive(Debug)]
pub(crate) struct Datasec {
    pub(crate) type_id: u32,
    /// By offset.
    pub(crate) vars: Vec<Var>,
}

/// All of them by section name.
#[derive(Debug, Default)]
pub(crate) struct Datasecs {
    by_name: HashMap<Vec<u8>, Datasec>,
}

impl Datasecs {
    pub(crate) fn by_name(&self, name: &[u8]) -> Option<&Datasec> {
        self.by_name.get(name)
    }

    pub(crate) fn new(elf: &Elf, btf: Option<&Btf>) -> Self {
        let Some(btf) = btf else {
            return Self::default();
        };
        let sections: Vec<_> = btf
            .own_types()
            .filter(|t| t.kind() == Kind::Datasec)
            .collect();
        if sections.is_empty() {
            return Self::default();
        }
        let symbols = object_symbols(elf);
        let mut by_name = HashMap::with_capacity(sections.len());
        for section in sections {
            // Clang leaves size and offsets zero; the static linker fills them in.
            let unplaced = section.size() == Some(0);
            let mut vars: Vec<Var> = section
                .section_vars()
                .filter_map(|item| {
                    let var = btf.get(item.type_id).filter(|t| t.kind() == Kind::Var)?;
                    let linkage = var.linkage().unwrap_or(0);
                    let symbol = match linkage {
                        1 => symbols.get(var.cut_name()),
                        _ => None,
                    };
                    // bpftool 7.1 places maps that other files declare `extern` wrongly: the symbol is right.
                    let here =
                        |s: &Symbol| elf.section_name_raw(s.section as usize) == section.cut_name();
                    let offset = match symbol {
                        Some(symbol) if unplaced || here(symbol) => symbol.value,
                        _ => u64::from(item.offset),
                    };
                    Some(Var {
                        name: var.name().into_owned(),
                        type_id: var.type_id().unwrap_or(0),
                        offset,
                        size: u64::from(item.size),
                        is_static: linkage == 0 || symbol.is_some_and(Symbol::is_hidden),
                        weak: symbol.is_some_and(|s| s.bind() == STB_WEAK),
                    })
                })
                .collect();
            vars.sort_by_key(|v| v.offset);
            by_name
                .entry(section.cut_name().to_vec())
                .or_insert(Datasec {
                    type_id: section.id(),
                    vars,
                });
        }
        Self { by_name }
    }
}

/// Global variables by name, the first of each.
pub(crate) fn object_symbols(elf: &Elf) -> HashMap<&[u8], Symbol> {
    let mut found = HashMap::new();
    for (_, symbol) in elf.symbols() {
        if symbol.kind() == STT_OBJECT && symbol.bind() != STB_LOCAL {
            found.entry(elf.symbol_name_raw(&symbol)).or_insert(symbol);
        }
    }
    found
}

/// Variables of data sections: those BTF lists, and those only symbols know.
pub(crate) fn globals(elf: &Elf, roles: &[Role], datasecs: &Datasecs) -> Vec<Global> {
    let wanted = |index: usize| {
        roles
            .get(index)
            .is_some_and(|r| r.is_data() || *r == Role::Arena)
    };
    let mut out: Vec<(usize, Global)> = Vec::new();
    for index in (1..roles.len()).filter(|&i| wanted(i)) {
        let Some(datasec) = datasecs.by_name(elf.section_name_raw(index)) else {
            continue;
        };
        let section = elf.section_name(index);
        out.extend(datasec.vars.iter().map(|var| {
            let global = Global {
                name: var.name.clone(),
                section: section.clone().into_owned(),
                type_id: var.type_id,
                offset: var.offset,
                size: var.size,
                weak: var.weak,
                is_static: var.is_static,
            };
            (index, global)
        }));
    }
    let known: std::collections::HashSet<(usize, u64)> =
        out.iter().map(|(index, g)| (*index, g.offset)).collect();
    for (_, symbol) in elf.symbols() {
        let index = symbol.section as usize;
        if symbol.kind() != STT_OBJECT || !wanted(index) || known.contains(&(index, symbol.value)) {
            continue;
        }
        let name = elf.symbol_name(&symbol).into_owned();
        if name.is_empty() {
            continue;
        }
        let global = Global {
            name,
            section: elf.section_name(index).into_owned(),
            type_id: 0,
            offset: symbol.value,
            size: symbol.size,
            weak: symbol.bind() == STB_WEAK,
            is_static: symbol.bind() == STB_LOCAL || symbol.is_hidden(),
        };
        out.push((index, global));
    }
    out.sort_by(|(a, g), (b, h)| (a, g.offset).cmp(&(b, h.offset)));
    out.into_iter().map(|(_, global)| global).collect()
}
