//! Bindings of one program: the linked instructions and the columns computed from them.
//!
//! Long because it is one class of Python's, and PyO3 wants its methods in one block.
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bpfsmith_btf::Btf;
use bpfsmith_btf::core::ReloKind;
use bpfsmith_isa::{Arg, CallKind, MapUseKind};
use bpfsmith_object::{Error, ExternKind, Kept, Line, Linked, Target, Variable};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::analysis::{Analysis, guarded};
use crate::btf::PyBtf;
use crate::image::PyImage;
use crate::object::{Shared, raise};

/// `bpf_tail_call`, include/uapi/linux/bpf.h.
const TAIL_CALL: i32 = 12;
/// `BPF_MAP_TYPE_PROG_ARRAY`, include/uapi/linux/bpf.h.
const PROG_ARRAY: u32 = 3;
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;

/// What is known of an argument: an int, a word, or nothing.
#[derive(Clone, Debug, IntoPyObject)]
enum Known {
    Int(i64),
    Word(String),
    None(Option<()>),
}

#[pyclass(frozen, module = "bpfsmith._native", name = "Program")]
#[derive(Debug)]
pub(crate) struct PyProgram {
    shared: Arc<Shared>,
    index: usize,
}

impl PyProgram {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self { shared, index }
    }

    fn of(&self) -> PyResult<&bpfsmith_object::Program> {
        let programs = &self.shared.object.programs;
        programs
            .get(self.index)
            .ok_or_else(|| raise(Error::new("no such program", "internal")))
    }

    fn linked(&self, py: Python<'_>) -> PyResult<Arc<Linked>> {
        py.detach(|| self.shared.object.link(self.index))
            .map_err(raise)
    }

    fn analysis(&self, py: Python<'_>) -> PyResult<&Analysis> {
        py.detach(|| self.shared.analysis(self.index))
            .map_err(raise)
    }

    fn line_records(&self, py: Python<'_>) -> PyResult<Vec<Line>> {
        py.detach(|| self.shared.object.lines(self.index))
            .map_err(raise)
    }

    fn function_name(&self, linked: &Linked, index: usize) -> String {
        linked
            .functions
            .get(index)
            .and_then(|one| self.shared.object.functions.get(one.function))
            .map(|function| function.name.clone())
            .unwrap_or_default()
    }

    fn extern_name(&self, linked: &Linked, slot: usize) -> Option<String> {
        let at = linked
            .refs
            .binary_search_by_key(&slot, |one| one.slot)
            .ok()?;
        match linked.refs.get(at)?.target {
            Target::Extern(index) => Some(self.shared.object.externs.get(index)?.name.clone()),
            _ => None,
        }
    }

    fn map_name(&self, index: i32) -> Option<&str> {
        let index = usize::try_from(index).ok()?;
        Some(&self.shared.object.maps.get(index)?.name)
    }

    fn known(&self, linked: &Linked, arg: &Arg) -> Known {
        let word = match arg {
            Arg::Unknown => return Known::None(None),
            Arg::Const(value) => return Known::Int(*value),
            Arg::Ctx(0) => "ctx".to_owned(),
            Arg::Ctx(offset) => format!("ctx{offset:+}"),
            Arg::Map(map) => match self.map_name(*map) {
                Some(name) => format!("map:{name}"),
                None => return Known::None(None),
            },
            Arg::MapValue(map, offset) => match self.map_name(*map) {
                Some(name) => format!("value:{name}{offset:+}"),
                None => return Known::None(None),
            },
            Arg::Stack(offset, bytes) if bytes.is_empty() => format!("stack:{offset}"),
            Arg::Stack(offset, bytes) => {
                let mut word = format!("stack:{offset}=");
                word.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
                word
            }
            Arg::Func(function) => format!("func:{}", self.function_name(linked, *function)),
        };
        Known::Word(word)
    }
}

#[pymethods]
impl PyProgram {
    #[getter]
    fn name(&self) -> PyResult<&str> {
        Ok(&self.of()?.name)
    }

    #[getter]
    fn section(&self) -> PyResult<&str> {
        Ok(&self.of()?.section)
    }

    #[getter]
    fn offset(&self) -> PyResult<u64> {
        Ok(self.of()?.offset)
    }

    #[getter]
    fn own_instructions(&self) -> PyResult<usize> {
        Ok(self.of()?.own_slots)
    }

    #[getter]
    fn autoload(&self) -> PyResult<bool> {
        Ok(self.of()?.autoload)
    }

    #[getter]
    fn weak(&self) -> PyResult<bool> {
        Ok(self.of()?.weak)
    }

    #[getter]
    fn link_error(&self, py: Python<'_>) -> Option<String> {
        let result = py.detach(|| self.shared.object.link(self.index));
        result.err().map(|error| error.to_string())
    }

    #[getter]
    fn instructions(&self, py: Python<'_>) -> usize {
        self.linked(py).map_or(0, |linked| linked.insns.len())
    }

    #[getter]
    fn subprograms(&self, py: Python<'_>) -> Vec<String> {
        let Ok(linked) = self.linked(py) else {
            return Vec::new();
        };
        (1..linked.functions.len())
            .map(|index| self.function_name(&linked, index))
            .collect()
    }

    #[getter]
    fn core_relocations(&self, py: Python<'_>) -> usize {
        self.linked(py).map_or(0, |linked| linked.core.len())
    }

    #[getter]
    fn stack(&self, py: Python<'_>) -> u32 {
        let Ok(analysis) = self.analysis(py) else {
            return 0;
        };
        let chains = analysis.chains.iter();
        chains.map(|chain| chain.unrounded).max().unwrap_or(0)
    }

    fn insns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let linked = self.linked(py)?;
        Ok(PyBytes::new(py, &linked.bytes(self.shared.object.endian)))
    }

    fn relocated<'py>(
        &self,
        py: Python<'py>,
        targets: Targets<'py>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let targets = shared(targets);
        let object = &self.shared.object;
        let slots = py.detach(|| object.relocated(self.index, &targets));
        Ok(PyBytes::new(py, &slots.map_err(raise)?))
    }

    /// As `BPF_PROG_LOAD` wants it, but for descriptors and addresses.
    #[pyo3(signature = (targets = Vec::new()))]
    fn image(&self, py: Python<'_>, targets: Targets<'_>) -> PyResult<PyImage> {
        let targets = shared(targets);
        let object = &self.shared.object;
        py.detach(|| object.image(self.index, &targets))
            .map(PyImage::new)
            .map_err(raise)
    }

    #[pyo3(signature = (targets = None))]
    fn normalised<'py>(
        &self,
        py: Python<'py>,
        targets: Option<Targets<'py>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let targets = targets.map(shared);
        let object = &self.shared.object;
        let slots = py.detach(|| object.normalised(self.index, targets.as_deref()));
        Ok(PyBytes::new(py, &slots.map_err(raise)?))
    }

    #[pyo3(signature = (targets = None))]
    fn fingerprint(&self, py: Python<'_>, targets: Option<Targets<'_>>) -> PyResult<String> {
        let targets = targets.map(shared);
        let object = &self.shared.object;
        py.detach(|| object.fingerprint(self.index, targets.as_deref()))
            .map_err(raise)
    }

    fn core<'py>(
        &self,
        py: Python<'py>,
        targets: Targets<'py>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let linked = self.linked(py)?;
        let targets = shared(targets);
        let object = &self.shared.object;
        let against = py.detach(|| object.against(&targets));
        let Some(local) = object.btf.as_deref() else {
            return Ok(Vec::new());
        };
        let borrowed: Vec<&Btf> = targets.iter().map(AsRef::as_ref).collect();
        let rows = linked.core.iter().map(|core| {
            let row = PyDict::new(py);
            row.set_item("slot", core.slot)?;
            match against.relocation(core.number) {
                Ok(found) => {
                    let root = local.get(found.local.root);
                    row.set_item("kind", found.kind.word())?;
                    row.set_item("type", root.map(|one| one.name().into_owned()))?;
                    row.set_item("access", found.local.short(local))?;
                    row.set_item("resolved", found.is_resolved())?;
                    row.set_item("orig", found.value.orig)?;
                    row.set_item("new", found.value.new)?;
                    row.set_item("reason", found.reason(local, &borrowed))?;
                }
                Err(error) => {
                    let kind = ReloKind::from_number(core.relo.kind);
                    let root = local.get(core.relo.type_id);
                    row.set_item("kind", kind.map_or("unknown", ReloKind::word))?;
                    row.set_item("type", root.map(|one| one.name().into_owned()))?;
                    row.set_item("access", "")?;
                    row.set_item("resolved", false)?;
                    row.set_item("orig", 0)?;
                    row.set_item("new", 0)?;
                    row.set_item("reason", error.to_string())?;
                }
            }
            Ok(row)
        });
        rows.collect()
    }

    fn functions(&self, py: Python<'_>) -> PyResult<Vec<(String, usize, usize, u32)>> {
        let (linked, analysis) = (self.linked(py)?, self.analysis(py)?);
        let rows = linked.functions.iter().enumerate();
        Ok(rows
            .map(|(index, one)| {
                let stack = analysis.stack.get(index).copied().unwrap_or(0);
                let name = self.function_name(&linked, index);
                (name, one.start, one.len, stack)
            })
            .collect())
    }

    fn stack_chains(&self, py: Python<'_>) -> PyResult<Vec<(u32, u32, Vec<String>)>> {
        let (linked, analysis) = (self.linked(py)?, self.analysis(py)?);
        let name = |index: &usize| self.function_name(&linked, *index);
        Ok(analysis
            .chains
            .iter()
            .map(|chain| {
                let names = chain.funcs.iter().map(name).collect();
                (chain.rounded, chain.unrounded, names)
            })
            .collect())
    }

    fn calls(&self, py: Python<'_>) -> PyResult<Vec<(usize, &'static str, i32, String)>> {
        let (linked, analysis) = (self.linked(py)?, self.analysis(py)?);
        Ok(analysis
            .calls
            .iter()
            .map(|call| {
                let callee = || {
                    call.callee
                        .map(|index| self.function_name(&linked, index))
                        .unwrap_or_default()
                };
                let (kind, name) = match call.kind {
                    CallKind::Helper => ("helper", String::new()),
                    CallKind::Kfunc => (
                        "kfunc",
                        self.extern_name(&linked, call.slot).unwrap_or_default(),
                    ),
                    CallKind::Subprog => ("subprog", callee()),
                    CallKind::Callback => ("callback", callee()),
                    CallKind::Register => ("register", format!("r{}", call.number)),
                };
                (call.slot, kind, call.number, name)
            })
            .collect())
    }

    fn helpers(&self, py: Python<'_>) -> PyResult<Vec<i32>> {
        let linked = self.linked(py)?;
        let refs = &linked.refs;
        let calls = linked.insns.iter().enumerate();
        let numbers: BTreeSet<i32> = calls
            .filter(|(_, insn)| insn.code == CALL && insn.src == 0)
            .filter(|(slot, _)| refs.binary_search_by_key(slot, |one| one.slot).is_err())
            .map(|(_, insn)| insn.imm)
            .collect();
        Ok(numbers.into_iter().collect())
    }

    fn kfuncs(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let linked = self.linked(py)?;
        let externs = &self.shared.object.externs;
        let names: BTreeSet<String> = linked
            .refs
            .iter()
            .filter_map(|one| match one.target {
                Target::Extern(index) => externs.get(index),
                _ => None,
            })
            .filter(|one| one.kind == ExternKind::Kfunc)
            .map(|one| one.name.clone())
            .collect();
        Ok(names.into_iter().collect())
    }

    fn extern_uses(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        let linked = self.linked(py)?;
        let uses: BTreeSet<usize> = linked
            .refs
            .iter()
            .filter_map(|one| match one.target {
                Target::Extern(index) => Some(index),
                _ => None,
            })
            .collect();
        Ok(uses.into_iter().collect())
    }

    fn refs(&self, py: Python<'_>) -> PyResult<Vec<(usize, &'static str, String, i64)>> {
        let linked = self.linked(py)?;
        let object = &self.shared.object;
        let map = |index: usize| object.maps.get(index).map(|map| map.name.clone());
        let rows = linked.refs.iter().filter_map(|one| {
            let (kind, name, offset) = match one.target {
                Target::Map(index) => ("map", map(index)?, 0),
                Target::MapValue(index, offset) => ("value", map(index)?, i64::from(offset)),
                Target::Extern(index) => ("extern", object.externs.get(index)?.name.clone(), 0),
                Target::Function(index) => {
                    ("function", object.functions.get(index)?.name.clone(), 0)
                }
                Target::JumpTable(offset, _) => (
                    "jump_table",
                    ".jumptables".to_owned(),
                    i64::try_from(offset).unwrap_or(i64::MAX),
                ),
            };
            Some((one.slot, kind, name, offset))
        });
        Ok(rows.collect())
    }

    fn map_refs(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        let linked = self.linked(py)?;
        let object = &self.shared.object;
        let kconfig = || {
            let mut maps = object.maps.iter();
            maps.position(|map| map.origin == bpfsmith_object::Origin::Kconfig)
        };
        let uses: BTreeSet<usize> = linked
            .refs
            .iter()
            .filter_map(|one| match one.target {
                Target::Map(index) | Target::MapValue(index, _) => Some(index),
                Target::Extern(index) => match object.externs.get(index)?.kind {
                    ExternKind::Kconfig => kconfig(),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        Ok(uses.into_iter().collect())
    }

    fn map_uses(&self, py: Python<'_>) -> PyResult<Vec<(usize, i32, &'static str, i32)>> {
        let maps = self.shared.object.maps.len();
        let known = |index: i32| usize::try_from(index).is_ok_and(|index| index < maps);
        Ok(self
            .analysis(py)?
            .map_uses
            .iter()
            .filter(|one| known(one.map))
            .map(|one| {
                let kind = match one.kind {
                    MapUseKind::Ref => "ref",
                    MapUseKind::Value => "value",
                };
                (one.slot, one.map, kind, one.offset)
            })
            .collect())
    }

    fn call_args(&self, py: Python<'_>) -> PyResult<Vec<(usize, i32, Vec<Known>)>> {
        let (linked, analysis) = (self.linked(py)?, self.analysis(py)?);
        Ok(analysis
            .values
            .call_args
            .iter()
            .filter_map(|call| {
                let args = call.args.iter();
                let args = args.map(|arg| self.known(&linked, arg)).collect();
                Some((call.slot, call.helper?, args))
            })
            .collect())
    }

    fn exits(&self, py: Python<'_>) -> PyResult<Vec<(usize, Option<i64>)>> {
        let exits = self.analysis(py)?.values.exits.iter();
        Ok(exits.map(|exit| (exit.slot, exit.value)).collect())
    }

    fn guarded(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        py.detach(|| guarded(&self.shared.object, self.index))
            .map_err(raise)
    }

    fn features(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, usize)>> {
        let features = self.analysis(py)?.features.iter();
        Ok(features.map(|(one, slot)| (one.name(), *slot)).collect())
    }

    fn unreachable(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        Ok(self.analysis(py)?.unreachable.clone())
    }

    fn endless(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        Ok(self.analysis(py)?.endless.clone())
    }

    fn byte_copies(&self, py: Python<'_>) -> PyResult<Vec<(usize, u32)>> {
        let copies = self.analysis(py)?.values.byte_copies.iter();
        Ok(copies.map(|copy| (copy.slot, copy.len)).collect())
    }

    fn lines(&self, py: Python<'_>) -> PyResult<Vec<(usize, usize, u32, u32)>> {
        let lines = self.line_records(py)?;
        let files = file_offsets(&lines);
        let file = |line: &Line| files.binary_search(&line.file_off).unwrap_or(0);
        let row = |line: &Line| (line.slot, file(line), line.line, line.column);
        Ok(lines.iter().map(row).collect())
    }

    fn files(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let offsets = file_offsets(&self.line_records(py)?);
        let text = |offset| self.shared.object.string(offset).unwrap_or_default();
        Ok(offsets.into_iter().map(text).collect())
    }

    fn inline_frames(
        &self,
        py: Python<'_>,
        slot: usize,
    ) -> PyResult<Vec<(String, String, u32, u32)>> {
        let frames = py.detach(|| self.shared.frames(self.index, slot));
        let frames = frames.map_err(raise)?.into_iter();
        Ok(frames
            .map(|one| (one.function, one.file, one.line, one.column))
            .collect())
    }

    fn variables(&self, py: Python<'_>) -> PyResult<Vec<VariableRow>> {
        let found = py.detach(|| self.shared.variables(self.index));
        Ok(found
            .map_err(raise)?
            .into_iter()
            .map(variable_row)
            .collect())
    }

    fn line_text(&self, py: Python<'_>, slot: usize) -> PyResult<Option<String>> {
        let lines = self.line_records(py)?;
        let after = lines.partition_point(|line| line.slot <= slot);
        let Some(line) = after.checked_sub(1).and_then(|at| lines.get(at)) else {
            return Ok(None);
        };
        if line.text_off == 0 {
            return Ok(None);
        }
        Ok(self.shared.object.string(line.text_off))
    }
}

type VariableRow = (
    String,
    String,
    (String, u32),
    bool,
    (String, u64, Vec<(String, u64, u64)>),
    Vec<(usize, usize, String, i64)>,
);

fn variable_row(one: Variable) -> VariableRow {
    let places = one.places.iter().map(|place| {
        let (kind, number) = match place.kept {
            Kept::Register(number) => ("reg", i64::from(number)),
            Kept::Frame(offset) => ("frame", offset),
        };
        (place.start, place.end, kind.to_owned(), number)
    });
    let places = places.collect();
    let typed = (one.type_name, one.size, one.fields);
    (
        one.function,
        one.name,
        (one.file, one.line),
        one.parameter,
        typed,
        places,
    )
}

type Targets<'py> = Vec<PyRef<'py, PyBtf>>;

fn shared(targets: Targets<'_>) -> Vec<Arc<Btf>> {
    let targets = targets.into_iter();
    targets.map(|one| Arc::clone(&one.btf)).collect()
}

/// Distinct file names of line records, as ascending BTF string offsets.
fn file_offsets(lines: &[Line]) -> Vec<u32> {
    let mut offsets: Vec<u32> = lines.iter().map(|line| line.file_off).collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

/// (program, program array, index) of every `bpf_tail_call`, by program, then slot; equal rows once.
///
/// The array is `None` where the register's origin is lost, unless the object has exactly one.
pub(crate) fn tail_calls(shared: &Shared) -> Vec<(String, Option<String>, Option<i64>)> {
    let object = &shared.object;
    let mut arrays = object.maps.iter().filter(|map| map.map_type == PROG_ARRAY);
    let only = match (arrays.next(), arrays.next()) {
        (Some(map), None) => Some(map.name.clone()),
        _ => None,
    };
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    for (index, program) in object.programs.iter().enumerate() {
        let Ok(analysis) = shared.analysis(index) else {
            continue;
        };
        for call in &analysis.values.call_args {
            if call.helper != Some(TAIL_CALL) {
                continue;
            }
            let [_, map, slot, ..] = &call.args;
            let map = match map {
                Arg::Map(map) => usize::try_from(*map)
                    .ok()
                    .and_then(|map| object.maps.get(map))
                    .map(|map| map.name.clone()),
                _ => only.clone(),
            };
            let slot = match slot {
                Arg::Const(value) => Some(*value & 0xffff_ffff),
                _ => None,
            };
            let row = (program.name.clone(), map, slot);
            if seen.insert(row.clone()) {
                rows.push(row);
            }
        }
    }
    rows
}
