//! Whole ELF objects: everything `inspect` and `check` ask of the core.
use std::path::Path;
use std::sync::Arc;

use bpfsmith_btf::{Btf, Lacking};
use bpfsmith_object::{Inlined, Object};

/// The analysis and the type texts of the Python bindings, which have no place in `cargo test` otherwise.
#[path = "../../../py/src/analysis.rs"]
#[allow(dead_code, reason = "computing it is what is tested")]
mod analysis;
#[path = "../../../py/src/types.rs"]
mod types;

/// Programs looked at closely.
const PROGRAMS: usize = 64;

pub(super) fn run(data: &[u8]) {
    let Ok(object) = Object::parse(data.to_vec()) else {
        return;
    };
    let own: Vec<Arc<Btf>> = object.btf.iter().cloned().collect();
    let against = object.against(&own);
    for index in 0..object.externs.len() {
        let _ = against.has_extern(index);
    }
    for index in 0..object.programs.len() {
        let _ = object.link(index);
        let _ = object.lines(index).map(|lines| {
            lines
                .iter()
                .take(200)
                .map(|line| object.string(line.text_off))
                .filter(Option::is_some)
                .count()
        });
        if index >= PROGRAMS {
            continue;
        }
        let _ = object.image(index, &[]);
        let _ = object.image(index, &own);
        let _ = object.fingerprint(index, None);
        let _ = object.fingerprint(index, Some(&own));
        let _ = analysis::Analysis::new(&object, index);
        let _ = analysis::guarded(&object, index);
    }
    for lacking in [Lacking::default(), old_kernel()] {
        if let Ok(Some(bytes)) = object.kernel_btf(lacking) {
            // What is given to a kernel can be read at least here, ids and all.
            let again = Btf::parse(bytes.to_vec());
            assert!(
                again.is_ok_and(|btf| btf.len() >= object.btf.as_ref().map_or(0, |own| own.len()))
            );
        }
    }
    if let Some(inlined) = Inlined::new(&object) {
        for index in 0..object.programs.len().min(4) {
            for slot in [0, 1, 5] {
                let _ = inlined.frames(&object, index, slot);
            }
        }
    }
    for map in &object.maps {
        let _ = object.map_data(map);
    }
    if let Some(btf) = &object.btf {
        for global in object.globals.iter().take(500) {
            let _ = types::text(btf, global.type_id);
        }
        for one in object.externs.iter().take(500) {
            let _ = types::text(btf, one.type_id);
        }
    }
}

fn old_kernel() -> Lacking {
    let mut lacking = Lacking::default();
    for word in Lacking::WORDS {
        lacking.set(word);
    }
    lacking
}

pub(super) fn seeds(more: Option<&Path>) -> Vec<Vec<u8>> {
    crate::seeds::objects(more)
}
