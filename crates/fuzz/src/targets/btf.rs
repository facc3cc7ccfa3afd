//! BTF, raw or in ELF, and `.BTF.ext`.
use std::path::Path;
use std::sync::Arc;

use bpfsmith_btf::ext::BtfExt;
use bpfsmith_btf::{Btf, Kind};

use crate::mutate;
use crate::random::Random;

/// Types looked at one by one: the rest is covered by what goes over all.
const TYPES: usize = 100;

/// C texts that reach their own limit, each a tenth of a second: more show nothing new.
const COSTLY: usize = 2;
const LONG: usize = 1 << 20;

pub(super) fn run(data: &[u8]) {
    if let Ok(ext) = BtfExt::parse(data.to_vec()) {
        let records = ext.func_infos().map(|(_, all)| all.count()).sum::<usize>()
            + ext
                .line_infos()
                .map(|(_, all)| all.map(|one| one.line() as usize & 1).sum::<usize>())
                .sum::<usize>()
            + ext.core_relos().map(|(_, all)| all.count()).sum::<usize>();
        assert!(records <= data.len(), "a record has bytes");
    }
    let _ = Btf::parse_any(data.to_vec(), None);
    let Ok(btf) = Btf::parse(data.to_vec()) else {
        return;
    };
    let btf = Arc::new(btf);
    use_all(&btf);
    // The same types once more on top of themselves: every id and string now may lead into the base.
    if let Ok(split) = Btf::parse_split(data.to_vec(), Arc::clone(&btf)) {
        use_all(&split);
    }
}

/// Asks everything a reader of one BTF can ask.
fn use_all(btf: &Btf) {
    let _ = btf.dump_raw();
    if let Ok(bytes) = btf.rebuild()
        && btf.base().is_none()
    {
        let again = Btf::parse(bytes);
        assert!(
            again.is_ok_and(|it| it.len() == btf.len()),
            "what is written can be read"
        );
    }
    let _ = (btf.pointer_size(), btf.is_big_endian(), btf.strings_end());
    let step = (btf.len() as usize / TYPES).max(1);
    let mut costly = 0;
    for id in (0..btf.len().saturating_add(2)).step_by(step) {
        let _ = btf.size_of(id);
        if costly < COSTLY {
            let texts = [btf.c_decl(id), btf.c_type(id)];
            costly += texts
                .iter()
                .filter(|text| text.as_ref().map_or(LONG, String::len) >= LONG)
                .count();
        }
        let _ = btf.resolve_modifiers(id).map(|ty| ty.id());
        let _ = (btf.place(id, "a.second[1].x"), btf.place(id, "[3]"));
        let Some(ty) = btf.get(id) else { continue };
        let _ = (
            ty.name(),
            ty.size(),
            ty.type_id(),
            ty.int(),
            ty.array(),
            ty.linkage(),
            ty.component_idx(),
        );
        let mut count = ty.members().map(|one| one.name().len() & 1).sum::<usize>();
        if let Some(member) = ty.members().find(|one| !one.name().is_empty()) {
            let _ = btf.place(id, &member.name());
        }
        count += ty.params().map(|one| one.name().len() & 1).sum::<usize>();
        count += ty
            .enumerators()
            .map(|one| one.name().len() & 1)
            .sum::<usize>();
        count += ty.section_vars().count();
        assert!(count <= btf.as_bytes().len() + 8, "an element has bytes");
        let _ = btf.find(ty.name_bytes(), None);
        if id < 40 {
            let _ = btf.find_all(ty.name_bytes(), Some(ty.kind()));
        }
    }
    let _ = btf.find_all(b"", Some(Kind::Ptr));
}

/// `.BTF` and `.BTF.ext` of the committed objects, the objects themselves, and made ones.
pub(super) fn seeds(more: Option<&Path>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for data in crate::seeds::objects(more) {
        for name in [".BTF", ".BTF.ext"] {
            out.extend(
                mutate::section(&data, name)
                    .and_then(|range| data.get(range))
                    .map(<[u8]>::to_vec),
            );
        }
        if out.len() < 8 {
            out.push(data);
        }
    }
    out.extend((0..6).map(|seed| mutate::types(&mut Random::new(seed))));
    out
}
