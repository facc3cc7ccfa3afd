//! Undefined symbols: what each asks of the kernel, and where `.kconfig` values lie.

use std::collections::HashMap;

use bpfsmith_btf::{Btf, Kind};

use crate::elf::{Elf, STB_WEAK};
use crate::notes::Notes;
use crate::{Extern, ExternKind, Note};

/// Externs in libbpf's order with the symbols they came from.
#[derive(Debug, Default)]
pub(crate) struct Externs {
    pub(crate) externs: Vec<Extern>,
    /// Symbol index -> index in `externs`.
    pub(crate) by_symbol: HashMap<usize, usize>,
    /// Bytes of the `.kconfig` map; `None` without kconfig externs.
    pub(crate) kconfig_size: Option<u64>,
}

struct Found {
    symbol: usize,
    align: u32,
    value: Extern,
}

pub(crate) fn collect(elf: &Elf, btf: Option<&Btf>, notes: &mut Notes) -> Externs {
    let symbols: Vec<_> = elf
        .symbols()
        .filter(|(_, s)| s.is_extern() && !elf.symbol_name_raw(s).is_empty())
        .collect();
    if symbols.is_empty() {
        return Externs::default();
    }
    let known = btf.map(Known::new).unwrap_or_default();
    let mut found: Vec<Found> = Vec::with_capacity(symbols.len());
    for (index, symbol) in symbols {
        let mut one = Found {
            symbol: index,
            align: 1,
            value: Extern {
                name: elf.symbol_name(&symbol).into_owned(),
                kind: ExternKind::Unknown,
                weak: symbol.bind() == STB_WEAK,
                type_id: 0,
                offset: 0,
                size: 0,
            },
        };
        if let Some((btf, &id)) = btf.zip(known.ids.get(elf.symbol_name_raw(&symbol))) {
            describe(btf, id, known.sections.get(&id).copied(), &mut one);
        }
        if matches!(one.value.kind, ExternKind::Unknown | ExternKind::Func) {
            notes.push(Note {
                kind: "unknown-extern",
                text: format!(
                    "`{}` is undefined and no BTF says what it is; libbpf refuses the object",
                    one.value.name
                ),
            });
        }
        found.push(one);
    }
    // libbpf: by kind, kconfig by alignment (descending) and size, then by name.
    found.sort_by(|a, b| {
        let rank = |f: &Found| match f.value.kind {
            ExternKind::Kconfig => 1,
            ExternKind::Kfunc | ExternKind::KsymTyped | ExternKind::KsymTypeless => 2,
            ExternKind::Func | ExternKind::Unknown => 3,
        };
        rank(a)
            .cmp(&rank(b))
            .then_with(|| {
                if rank(a) == 1 {
                    (b.align, a.value.size).cmp(&(a.align, b.value.size))
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .then_with(|| a.value.name.cmp(&b.value.name))
    });
    place(found)
}

/// Lays out `.kconfig` and builds the lookup.
fn place(found: Vec<Found>) -> Externs {
    let mut out = Externs::default();
    let mut end = 0_u64;
    for one in found {
        let mut value = one.value;
        if value.kind == ExternKind::Kconfig {
            value.offset = end.next_multiple_of(u64::from(one.align.max(1)));
            end = value.offset.saturating_add(value.size);
            out.kconfig_size = Some(end);
        }
        out.by_symbol.insert(one.symbol, out.externs.len());
        out.externs.push(value);
    }
    out
}

fn describe(btf: &Btf, id: u32, section: Option<&[u8]>, one: &mut Found) {
    let Some(ty) = btf.get(id) else { return };
    let inner = ty.type_id().unwrap_or(0);
    let value = &mut one.value;
    value.type_id = if ty.kind() == Kind::Func { id } else { inner };
    value.kind = match (section, ty.kind()) {
        (Some(b".kconfig"), Kind::Var) => {
            value.size = u64::from(btf.size_of(inner).unwrap_or(0));
            one.align = align_of(btf, inner);
            ExternKind::Kconfig
        }
        (Some(b".ksyms"), Kind::Func) => ExternKind::Kfunc,
        (Some(b".ksyms"), Kind::Var) => match btf.resolve_modifiers(inner) {
            Some(t) if t.kind() != Kind::Void => ExternKind::KsymTyped,
            _ => ExternKind::KsymTypeless,
        },
        (_, Kind::Func) => ExternKind::Func,
        _ => ExternKind::Unknown,
    };
}

/// Alignment of the types a `.kconfig` extern may have: integers, enums and arrays of them.
fn align_of(btf: &Btf, id: u32) -> u32 {
    let mut id = id;
    for _ in 0..32 {
        let Some(ty) = btf.resolve_modifiers(id) else {
            return 1;
        };
        match ty.array() {
            Some(array) => id = array.element,
            None => return ty.size().unwrap_or(8).clamp(1, 8),
        }
    }
    1
}

/// Extern variables and functions of a BTF by name, and the section each is listed in.
#[derive(Default)]
struct Known<'a> {
    ids: HashMap<&'a [u8], u32>,
    sections: HashMap<u32, &'a [u8]>,
}

impl<'a> Known<'a> {
    fn new(btf: &'a Btf) -> Self {
        let mut known = Self::default();
        for ty in btf.own_types() {
            match ty.kind() {
                Kind::Var | Kind::Func if ty.linkage() == Some(2) => {
                    known.ids.entry(ty.cut_name()).or_insert(ty.id());
                }
                Kind::Datasec => {
                    for var in ty.section_vars() {
                        known.sections.entry(var.type_id).or_insert(ty.cut_name());
                    }
                }
                _ => {}
            }
        }
        known
    }
}
