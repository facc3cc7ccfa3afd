//! What is computed once per linked program and shared by all its columns.
use std::ops::Range;

use bpfsmith_isa::{Call, Chain, Feature, MapUse, Program, Values};
use bpfsmith_object::{Error, LinkedFunction, Object, Target};

/// Calls, values, stack and features of one linked program.
#[derive(Debug)]
pub(crate) struct Analysis {
    pub(crate) calls: Vec<Call>,
    pub(crate) map_uses: Vec<MapUse>,
    pub(crate) unreachable: Vec<usize>,
    pub(crate) endless: Vec<usize>,
    pub(crate) features: Vec<(Feature, usize)>,
    pub(crate) values: Values,
    pub(crate) stack: Vec<u32>,
    pub(crate) chains: Vec<Chain>,
}

impl Analysis {
    /// Links the program `index` if it is not yet, and looks at it.
    pub(crate) fn new(object: &Object, index: usize) -> Result<Self, Error> {
        let linked = object.link(index)?;
        let funcs: Vec<Range<usize>> = linked.functions.iter().map(LinkedFunction::range).collect();
        // What relocation will change later is no constant: CO-RE values, and the addresses of externs.
        let mut opaque: Vec<usize> = linked.core.iter().map(|core| core.slot).collect();
        opaque.extend(
            linked
                .refs
                .iter()
                .filter(|one| matches!(one.target, Target::Extern(_)))
                .map(|one| one.slot),
        );
        opaque.sort_unstable();
        opaque.dedup();
        let program = Program::new(&linked.insns, &funcs, &linked.jump_tables);
        let values = program.values(&opaque);
        let stack = program.stack(&values);
        let chains = program.chains(&stack);
        Ok(Self {
            calls: program.calls().to_vec(),
            map_uses: program.map_uses(),
            unreachable: program.unreachable(),
            endless: program.endless(),
            features: program.features(),
            values,
            stack,
            chains,
        })
    }
}
