//! What is computed once per linked program and shared by all its columns.
use std::ops::Range;

use bpfsmith_btf::core::ReloKind;
use bpfsmith_isa::{Arg, Call, Chain, Feature, MapUse, Program, Values};
use bpfsmith_object::{Error, ExternKind, Linked, LinkedFunction, Object, Target};

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
        let opaque = opaque(&linked);
        let program = Program::new(&linked.insns, &funcs, &linked.jump_tables)
            .with_replaceable(replaceable(object, &linked));
        let values = program.values(object.endian, &opaque);
        let stack = values.stack.clone();
        // The kernel runs asynchronous callbacks on a stack of their own.
        let mut on_their_own = values.timer_callbacks();
        for call in values.call_args.iter().filter(|call| call.helper.is_none()) {
            let at = linked.refs.binary_search_by_key(&call.slot, |one| one.slot);
            let called = at.ok().and_then(|at| linked.refs.get(at));
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

/// Slots relocation will change later, ascending: CO-RE values and the addresses of externs are no constants.
fn opaque(linked: &Linked) -> Vec<usize> {
    let mut slots: Vec<usize> = linked.core.iter().map(|core| core.slot).collect();
    slots.extend(
        linked
            .refs
            .iter()
            .filter(|one| matches!(one.target, Target::Extern(_)))
            .map(|one| one.slot),
    );
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// Global functions: the verifier takes any result of theirs for possible, since a program of type `ext` may replace
/// them. Without types all are static to it.
fn replaceable(object: &Object, linked: &Linked) -> Vec<usize> {
    let functions = linked.functions.iter().enumerate().skip(1);
    functions
        .filter(|_| object.btf.is_some())
        .filter(|(_, one)| {
            object
                .functions
                .get(one.function)
                .is_some_and(|f| !f.is_static)
        })
        .map(|(index, _)| index)
        .collect()
}

/// Slots of the calls that a kernel which lacks something does not come to: behind a branch on a CO-RE existence check
/// (`bpf_core_enum_value_exists()`, ..) or on the address of a weak kernel symbol (`bpf_ksym_exists()`). Both ways are
/// tried; what only one of them reaches is guarded.
pub(crate) fn guarded(object: &Object, index: usize) -> Result<Vec<usize>, Error> {
    let linked = object.link(index)?;
    let mut checks: Vec<usize> = linked
        .core
        .iter()
        .filter(|core| {
            matches!(
                ReloKind::from_number(core.relo.kind),
                Some(
                    ReloKind::FieldExists
                        | ReloKind::TypeExists
                        | ReloKind::EnumvalExists
                        | ReloKind::TypeMatches
                )
            )
        })
        .map(|core| core.slot)
        .collect();
    checks.extend(
        linked
            .refs
            .iter()
            .filter(|one| is_weak_address(object, one.target))
            .filter(|one| linked.insns.get(one.slot).is_some_and(|i| i.is_ld_imm64()))
            .map(|one| one.slot),
    );
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    checks.sort_unstable();
    let mut opaque = opaque(&linked);
    opaque.retain(|slot| checks.binary_search(slot).is_err());
    let funcs: Vec<Range<usize>> = linked.functions.iter().map(LinkedFunction::range).collect();
    let mut guarded: Vec<usize> = Vec::new();
    for answer in [0, 1] {
        let mut insns = linked.insns.clone();
        for slot in &checks {
            let wide = insns.get(*slot).is_some_and(|insn| insn.is_ld_imm64());
            if let Some(insn) = insns.get_mut(*slot) {
                insn.imm = answer;
                if wide {
                    insn.src = 0;
                }
            }
            if let Some(second) = insns.get_mut(slot + 1).filter(|_| wide) {
                second.imm = 0;
            }
        }
        let program = Program::new(&insns, &funcs, &linked.jump_tables)
            .with_replaceable(replaceable(object, &linked));
        let Some(reached) = program.reached(object.endian, &opaque) else {
            return Ok(Vec::new());
        };
        let calls = program.calls().iter().map(|call| call.slot);
        guarded.extend(calls.filter(|slot| reached.get(*slot) == Some(&false)));
    }
    guarded.sort_unstable();
    guarded.dedup();
    Ok(guarded)
}

/// Whether a reference loads an address that is 0 where the kernel lacks the symbol.
fn is_weak_address(object: &Object, target: Target) -> bool {
    let Target::Extern(index) = target else {
        return false;
    };
    let found = object.externs.get(index);
    found.is_some_and(|one| one.weak && one.kind != ExternKind::Kconfig)
}

/// Kfuncs that take a callback to be run later: work queues (6.10) and task work (6.18).
fn is_asynchronous(kfunc: &str) -> bool {
    kfunc.starts_with("bpf_wq_set_callback") || kfunc.starts_with("bpf_task_work_schedule")
}
