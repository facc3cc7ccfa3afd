//! The object's BTF as a kernel takes it: what the compiler left to the linker filled in, as libbpf does when it opens
//! an object, then mended ([`bpfsmith_btf::mend`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bpfsmith_btf::{Draft, Kind, Lacking, mend};

use crate::datasec::object_symbols;
use crate::functions::text_section;
use crate::kernel::btf_error;
use crate::{ExternKind, Object, Result};

/// Longer names are cut where they are compared, as everywhere.
const NAME: usize = 1024;
/// What stands in the places of kernel functions and variables.
const INT: u32 = 4;

impl Object {
    /// The BTF to give to a kernel that lacks these features; `None` without types. The last answer is kept.
    ///
    /// # Errors
    /// Over 4 GiB.
    pub fn kernel_btf(&self, lacking: Lacking) -> Result<Option<Arc<Vec<u8>>>> {
        let Some(btf) = self.btf.as_deref().filter(|btf| !btf.is_empty()) else {
            return Ok(None);
        };
        let mut kept = self
            .kernel_btf
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((last, bytes)) = kept.as_ref()
            && *last == lacking
        {
            return Ok(Some(Arc::clone(bytes)));
        }
        let mut draft = Draft::new(btf);
        self.fill_externs(&mut draft);
        self.fill_sections(&mut draft);
        self.hide_functions(&mut draft);
        mend(&mut draft, btf, lacking);
        let bytes = draft
            .finish()
            .map_err(|e| btf_error(&e, "section `.BTF`"))?;
        let bytes = Arc::new(bytes);
        *kept = Some((lacking, Arc::clone(&bytes)));
        Ok(Some(bytes))
    }

    /// `.ksyms` become integers one after another, `.kconfig` variables get their places in the map.
    fn fill_externs(&self, draft: &mut Draft) {
        if self.externs.is_empty() {
            return;
        }
        let by_name: HashMap<&[u8], usize> = self
            .externs
            .iter()
            .enumerate()
            .map(|(index, e)| (e.name.as_bytes(), index))
            .collect();
        for id in 1..draft.len() {
            if draft.kind(id) != Kind::Datasec {
                continue;
            }
            match draft.string(draft.name_off(id), NAME) {
                Some(b".ksyms") => fill_ksyms(draft, id),
                Some(b".kconfig") => {
                    let mut end = 0;
                    for ext in self
                        .externs
                        .iter()
                        .filter(|e| e.kind == ExternKind::Kconfig)
                    {
                        end = end.max(ext.offset.saturating_add(ext.size));
                    }
                    draft.set_of(id, u32::try_from(end).unwrap_or(u32::MAX));
                    for index in 0..draft.vlen(id) {
                        let var = draft.part(id, index, 3, 0);
                        let name = draft.string(draft.name_off(var), NAME).unwrap_or_default();
                        let Some(ext) = by_name.get(name).and_then(|i| self.externs.get(*i)) else {
                            continue;
                        };
                        draft.set_linkage(var, 1);
                        let offset = u32::try_from(ext.offset).unwrap_or(u32::MAX);
                        draft.set_part(id, index, 3, 1, offset);
                    }
                }
                _ => {}
            }
        }
    }

    /// Sizes and offsets clang leaves 0; hidden variables become static.
    fn fill_sections(&self, draft: &mut Draft) {
        let sections: Vec<u32> = (1..draft.len())
            .filter(|id| draft.kind(*id) == Kind::Datasec)
            .collect();
        if sections.is_empty() {
            return;
        }
        let symbols = object_symbols(&self.elf);
        let mut sizes: HashMap<&[u8], u64> = HashMap::new();
        for (index, section) in self.elf.sections.iter().enumerate().skip(1) {
            let name = self.elf.section_name_raw(index);
            sizes.entry(name).or_insert(section.size);
        }
        for id in sections {
            let name = draft.string(draft.name_off(id), NAME).unwrap_or_default();
            let external = matches!(name, b".ksyms" | b".kconfig");
            if !external {
                let unplaced = draft.of(id) == 0;
                if unplaced {
                    let size = sizes.get(name).copied().unwrap_or(0);
                    draft.set_of(id, u32::try_from(size).unwrap_or(u32::MAX));
                }
                for index in 0..draft.vlen(id) {
                    let var = draft.part(id, index, 3, 0);
                    if draft.kind(var) != Kind::Var || draft.linkage(var) != 1 {
                        continue;
                    }
                    let name = draft.string(draft.name_off(var), NAME).unwrap_or_default();
                    let Some(symbol) = symbols.get(name) else {
                        continue;
                    };
                    if unplaced {
                        let offset = u32::try_from(symbol.value).unwrap_or(u32::MAX);
                        draft.set_part(id, index, 3, 1, offset);
                    }
                    if symbol.is_hidden() {
                        draft.set_linkage(var, 0);
                    }
                }
            }
            let mut vars = draft.elements::<3>(id);
            vars.sort_by_key(|[_, offset, _]| *offset);
            draft.set_elements(id, &vars);
        }
    }

    /// Hidden global subprograms are verified like static ones.
    fn hide_functions(&self, draft: &mut Draft) {
        let Some(text) = text_section(&self.elf, &self.roles) else {
            return;
        };
        let mut hidden: HashSet<&[u8]> = self
            .functions
            .iter()
            .filter(|f| f.section_index as usize == text && f.is_static)
            .map(|f| f.name.as_bytes())
            .collect();
        for id in 1..draft.len() {
            if hidden.is_empty() {
                return;
            }
            if draft.kind(id) != Kind::Func || draft.linkage(id) != 1 {
                continue;
            }
            let name = draft.string(draft.name_off(id), NAME).unwrap_or_default();
            if hidden.remove(name) {
                draft.set_linkage(id, 0);
            }
        }
    }
}

/// Kernel functions and variables become integers in a section of their own, parameters without a name get one.
fn fill_ksyms(draft: &mut Draft, id: u32) {
    let four =
        (1..draft.len()).find(|t| draft.kind(*t) == Kind::Int && draft.word(*t, 3) & 0xff == 32);
    let int = match four {
        Some(int) => int,
        None => draft.add_int(b"int", INT),
    };
    let mut dummy = None;
    let mut named = HashSet::new();
    let mut end = 0;
    for index in 0..draft.vlen(id) {
        let of = draft.part(id, index, 3, 0);
        match draft.kind(of) {
            Kind::Func => {
                let var = match dummy {
                    Some(var) => var,
                    None => draft.add(b"dummy_ksym", Kind::Var, 0, int, &[1]),
                };
                dummy = Some(var);
                if named.insert(draft.of(of)) {
                    name_parameters(draft, of, var);
                }
                draft.set_part(id, index, 3, 0, var);
                draft.set_linkage(of, 1);
            }
            Kind::Var => {
                draft.set_linkage(of, 1);
                draft.set_of(of, int);
            }
            _ => {}
        }
        draft.set_part(id, index, 3, 1, end);
        draft.set_part(id, index, 3, 2, INT);
        end = INT.saturating_add(end);
    }
    draft.set_of(id, end);
}

fn name_parameters(draft: &mut Draft, function: u32, dummy: u32) {
    let proto = draft.of(function);
    let name = draft.name_off(dummy);
    if draft.kind(proto) != Kind::FuncProto {
        return;
    }
    for index in 0..draft.vlen(proto) {
        if draft.part(proto, index, 2, 1) != 0 && draft.part(proto, index, 2, 0) == 0 {
            draft.set_part(proto, index, 2, 0, name);
        }
    }
}
