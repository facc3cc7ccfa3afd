//! What is computed once per linked program and shared by all its columns.
use std::ops::Range;

use bpfsmith_isa::{Arg, Call, Chain, Feature, MapUse, Program, Values};
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
        let values = program.values(object.endian, &opaque);
        let stack = values.stack.clone();
        // The kernel runs asynchronous callbacks on a stack of their own.
        let mut on_their_own = values.timer_callbacks();
        for call in values.call_args.iter().filter(|call| call.helper.is_none()) {
            let called = linked.refs.iter().find(|one| one.slot == call.slot);
            let name = called.and_then(|one| match one.target {
                Target::Extern(index) => object.externs.get(index),
                _ => None,
            });
            if name.is_some_and(|one| is_asynchronous(&one.name)) {
                on_their_own.extend(call.args.iter().filter_map(|arg| match arg {
                    Arg::Func(function) => Some(*function),
                    _ => None,
                }));
            }
        }
        let chains = program.chains(&stack, &on_their_own);
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

/// Kfuncs that take a callback to be run later: work queues (6.10) and task work (6.18).
fn is_asynchronous(kfunc: &str) -> bool {
    kfunc.starts_with("bpf_wq_set_callback") || kfunc.starts_with("bpf_task_work_schedule")
}
