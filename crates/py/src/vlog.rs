//! Bindings of the verifier log's reader.
//!
//! Long because it is one class of Python's for each thing a log has, and all of them are thin: getters that share the
//! paste and the functions that make values of it.
use std::sync::{Arc, Mutex};

use bpfsmith_vlog::{
    Fact, Frame, Load, LogInsn, NONE, Paste, Reader, State, Step, Value, Verdict, printed, read,
    source,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PySet, PyString};

type Source = (Option<String>, Option<u32>, String);

#[pyclass(frozen, module = "bpfsmith._native", name = "VerifierLog")]
#[derive(Debug)]
struct PyLog {
    paste: Arc<Paste>,
    index: usize,
}

#[pyclass(module = "bpfsmith._native", name = "LogReader")]
#[derive(Debug)]
struct PyReader {
    reader: Mutex<Option<Reader>>,
}

#[pymethods]
impl PyReader {
    fn feed(&self, py: Python<'_>, data: &[u8]) {
        py.detach(|| {
            if let Ok(mut reader) = self.reader.lock()
                && let Some(reader) = reader.as_mut()
            {
                reader.feed(data);
            }
        });
    }

    fn finish(&self, py: Python<'_>) -> PyLog {
        let paste = py.detach(|| {
            let taken = self.reader.lock().ok().and_then(|mut one| one.take());
            taken.map_or_else(|| read(b""), Reader::finish)
        });
        PyLog::best(paste)
    }
}

fn of_line(paste: &Paste, line: u32) -> Source {
    let (path, number, text) = source(paste.text.line(line));
    (path.map(str::to_owned), number, text.to_owned())
}

impl PyLog {
    /// Of several loads the last that was rejected, else the last.
    fn best(paste: Paste) -> Self {
        let index = paste
            .loads
            .iter()
            .rposition(|one| one.verdict == Verdict::Rejected)
            .unwrap_or_else(|| paste.loads.len().saturating_sub(1));
        Self {
            paste: Arc::new(paste),
            index,
        }
    }

    fn with<T: Default>(&self, make: impl FnOnce(&Paste, &Load) -> T) -> T {
        let load = self.paste.loads.get(self.index);
        load.map_or_else(T::default, |load| make(&self.paste, load))
    }

    fn listed(&self, list: impl FnOnce(&Load) -> &Vec<u32>) -> Vec<(u32, String)> {
        self.with(|paste, load| {
            let lines = list(load).iter();
            lines
                .map(|line| (*line, paste.text.line(*line).to_owned()))
                .collect()
        })
    }
}

#[pymethods]
impl PyLog {
    #[new]
    fn new(py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let paste = if let Ok(bytes) = data.cast::<PyBytes>() {
            let bytes = bytes.as_bytes();
            py.detach(|| read(bytes))
        } else if let Ok(text) = data.cast::<PyString>() {
            // Text with lone surrogates was decoded so by Python: they are noise here.
            let text = match text.to_str() {
                Ok(text) => text.to_owned(),
                Err(_) => text.to_string_lossy().into_owned(),
            };
            py.detach(|| read(text.as_bytes()))
        } else {
            return Err(PyTypeError::new_err("a verifier's log is bytes or text"));
        };
        Ok(Self::best(paste))
    }

    #[staticmethod]
    #[pyo3(signature = (keep=33_554_432))]
    fn reader(keep: usize) -> PyReader {
        PyReader {
            reader: Mutex::new(Some(Reader::new(keep))),
        }
    }

    #[getter]
    fn loads(&self) -> Vec<Self> {
        let count = self.paste.loads.len();
        (0..count)
            .map(|index| Self {
                paste: Arc::clone(&self.paste),
                index,
            })
            .collect()
    }

    #[getter]
    fn program(&self) -> Option<String> {
        self.with(|_, load| load.program.clone())
    }

    #[getter]
    fn loader(&self) -> Option<&'static str> {
        self.with(|_, load| load.loader)
    }

    #[getter]
    fn errno(&self) -> Option<i32> {
        self.with(|_, load| load.errno)
    }

    #[getter]
    fn verdict(&self) -> &'static str {
        self.with(|_, load| load.verdict).word()
    }

    #[getter]
    fn message(&self) -> String {
        self.with(|_, load| load.message.clone())
    }

    #[getter]
    fn message_line(&self) -> Option<u32> {
        self.with(|_, load| load.message_line)
    }

    #[getter]
    fn at(&self) -> Option<u32> {
        self.with(|_, load| load.at)
    }

    #[getter]
    fn told(&self) -> Vec<(u32, String)> {
        self.listed(|load| &load.told)
    }

    #[getter]
    fn unknown(&self) -> Vec<(u32, String)> {
        self.listed(|load| &load.unknown)
    }

    #[getter]
    fn beside(&self) -> Vec<(u32, String)> {
        self.listed(|load| &load.beside)
    }

    #[getter]
    fn cut<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        let words = self.with(|_, load| {
            let all = [
                (load.cut_head, "head"),
                (load.cut_tail, "tail"),
                (load.cut_middle, "middle"),
            ];
            all.into_iter()
                .filter(|(is, _)| *is)
                .map(|(_, word)| word)
                .collect::<Vec<_>>()
        });
        PySet::new(py, words)
    }

    #[getter]
    fn level(&self) -> u8 {
        self.with(|_, load| load.level)
    }

    #[getter]
    fn lines(&self) -> u32 {
        self.with(|_, load| load.end.saturating_sub(load.first))
    }

    /// The first line of this load.
    #[getter]
    fn first_line(&self) -> u32 {
        self.with(|_, load| load.first)
    }

    #[getter]
    fn text(&self) -> String {
        self.with(|paste, load| {
            let mut out = String::new();
            for line in load.first..load.end {
                out.push_str(paste.text.line(line));
                out.push('\n');
            }
            out
        })
    }

    fn print(&self) -> String {
        self.with(|paste, load| printed(&paste.text, load))
    }

    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for (name, value) in self.with(|_, load| load.counts.clone()) {
            out.set_item(name, value)?;
        }
        Ok(out)
    }

    #[getter]
    fn stack(&self) -> Option<Vec<u64>> {
        self.with(|_, load| load.stack.clone())
    }

    #[getter]
    fn subprograms<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let list = self.with(|_, load| load.subprograms.clone());
        list.into_iter()
            .map(|one| {
                let out = PyDict::new(py);
                out.set_item("number", one.number)?;
                out.set_item("name", one.name)?;
                out.set_item("kind", one.kind)?;
                out.set_item("slot", one.slot)?;
                out.set_item("insns_self", one.insns_self)?;
                out.set_item("insns_total", one.insns_total)?;
                out.set_item("stack", one.stack)?;
                Ok(out)
            })
            .collect()
    }

    #[getter]
    fn functions(&self) -> Vec<(u32, u32, Option<String>)> {
        self.with(|_, load| {
            let list = load.subprograms.iter();
            list.filter_map(|one| Some((one.number, one.slot?, one.name.clone())))
                .collect()
        })
    }

    #[getter]
    fn report(&self) -> Option<PyReport> {
        self.with(|_, load| {
            load.report.as_ref().map(|one| PyReport {
                category: one.category.clone(),
                reason: one.reason.clone(),
                at: one.at.clone(),
                slot: one.slot,
                path: one.path.clone(),
                suggestion: one.suggestion.clone(),
            })
        })
    }

    #[getter]
    fn insns(&self) -> Vec<u32> {
        self.with(|_, load| {
            let mut slots: Vec<u32> = load.insns.keys().copied().collect();
            slots.sort_unstable();
            slots
        })
    }

    fn insn(&self, slot: u32) -> Option<PyInsn> {
        self.with(|_, load| load.insns.get(&slot).cloned())
            .map(|insn| PyInsn { insn })
    }

    fn source(&self, slot: u32) -> Option<Source> {
        self.with(|paste, load| load.sources.get(&slot).map(|line| of_line(paste, *line)))
    }

    fn visits(&self, slot: u32) -> u32 {
        self.with(|_, load| load.visits.get(&slot).copied().unwrap_or(0))
    }

    fn line(&self, number: u32) -> &str {
        self.paste.text.line(number)
    }

    fn kind(&self, number: u32) -> &'static str {
        self.paste
            .text
            .kind(number)
            .map_or("empty", bpfsmith_vlog::Kind::word)
    }

    #[getter]
    fn steps(&self) -> usize {
        self.with(|_, load| load.steps.len())
    }

    #[getter]
    fn path(&self) -> Vec<u32> {
        self.with(|_, load| load.path())
    }

    /// The steps up to one.
    fn path_to(&self, step: u32) -> Vec<u32> {
        self.with(|_, load| load.path_to(step))
    }

    fn step(&self, number: u32) -> PyResult<PyStep> {
        let found = self.with(|paste, load| {
            load.step(number).map(|one| PyStep {
                id: number,
                step: *one,
                source: load
                    .sources
                    .get(&one.slot)
                    .map(|line| of_line(paste, *line)),
            })
        });
        found.ok_or_else(|| pyo3::exceptions::PyIndexError::new_err("no such step"))
    }

    fn steps_of(&self, slot: u32) -> Vec<u32> {
        self.with(|_, load| {
            let steps = load.steps.iter().enumerate();
            steps
                .filter(|(_, one)| one.slot == slot)
                .map(|(at, _)| at as u32)
                .collect()
        })
    }

    fn state(&self, py: Python<'_>, step: u32) -> PyState {
        let state = py.detach(|| self.with(|paste, load| (*paste.state(load, step)).clone()));
        PyState {
            paste: Arc::clone(&self.paste),
            state,
        }
    }

    fn after(&self, py: Python<'_>, step: u32) -> PyState {
        let state = py.detach(|| self.with(|paste, load| paste.after(load, step)));
        PyState {
            paste: Arc::clone(&self.paste),
            state,
        }
    }

    fn events(&self, step: u32) -> Vec<(u32, &'static str, String)> {
        self.with(|paste, load| {
            let Some(one) = load.step(step) else {
                return Vec::new();
            };
            (one.line + 1..load.line_after(step))
                .filter_map(|line| {
                    let kind = paste.text.kind(line)?.word();
                    (kind != "empty").then(|| (line, kind, paste.text.line(line).to_owned()))
                })
                .collect()
        })
    }

    fn __repr__(&self) -> String {
        self.with(|_, load| {
            format!(
                "<VerifierLog {} {:?}, {} instructions>",
                load.verdict.word(),
                load.message,
                load.insns.len()
            )
        })
    }
}

#[pyclass(frozen, get_all, module = "bpfsmith._native", name = "LogReport")]
#[derive(Debug)]
struct PyReport {
    category: String,
    reason: String,
    at: String,
    slot: Option<u32>,
    path: Vec<(Option<u32>, String)>,
    suggestion: String,
}

#[pyclass(frozen, module = "bpfsmith._native", name = "LogInsn")]
#[derive(Debug)]
struct PyInsn {
    insn: LogInsn,
}

#[pymethods]
impl PyInsn {
    #[getter]
    fn slot(&self) -> u32 {
        self.insn.slot
    }

    #[getter]
    fn text(&self) -> &str {
        &self.insn.text
    }

    #[getter]
    fn code(&self) -> u8 {
        self.insn.insn.code
    }

    #[getter]
    fn dst(&self) -> u8 {
        self.insn.insn.dst
    }

    #[getter]
    fn src(&self) -> u8 {
        self.insn.insn.src
    }

    #[getter]
    fn off(&self) -> i16 {
        self.insn.insn.off
    }

    #[getter]
    fn imm(&self) -> i64 {
        self.insn.imm
    }

    #[getter]
    fn target(&self) -> Option<u32> {
        self.insn.target
    }

    #[getter]
    fn call(&self) -> Option<&str> {
        self.insn.call.as_deref()
    }

    #[getter]
    fn call_kind(&self) -> Option<&'static str> {
        self.insn.callee.map(bpfsmith_vlog::Callee::word)
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.insn.kind.word()
    }

    #[getter]
    fn width(&self) -> u8 {
        self.insn.width
    }

    #[getter]
    fn op(&self) -> &str {
        &self.insn.op
    }

    #[getter]
    fn uses_imm(&self) -> bool {
        self.insn.uses_imm
    }

    #[getter]
    fn next(&self) -> u32 {
        self.insn.next()
    }

    #[getter]
    fn exact(&self) -> bool {
        self.insn.exact
    }

    #[getter]
    fn reads(&self) -> Vec<u32> {
        self.insn.reads().into_iter().map(u32::from).collect()
    }

    #[getter]
    fn writes(&self) -> Vec<u32> {
        self.insn.writes().into_iter().map(u32::from).collect()
    }

    fn __repr__(&self) -> String {
        format!("<LogInsn {}: {}>", self.insn.slot, self.insn.text)
    }
}

#[pyclass(frozen, module = "bpfsmith._native", name = "LogStep")]
#[derive(Debug)]
struct PyStep {
    id: u32,
    step: Step,
    source: Option<Source>,
}

fn told(value: u32) -> Option<u32> {
    (value != NONE).then_some(value)
}

#[pymethods]
impl PyStep {
    #[getter]
    fn id(&self) -> u32 {
        self.id
    }

    #[getter]
    fn slot(&self) -> u32 {
        self.step.slot
    }

    #[getter]
    fn line_no(&self) -> u32 {
        self.step.line
    }

    #[getter]
    fn frame(&self) -> u16 {
        self.step.frame
    }

    #[getter]
    fn parent(&self) -> Option<u32> {
        told(self.step.parent)
    }

    #[getter]
    fn caller(&self) -> Option<u32> {
        told(self.step.caller)
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.step.kind.word()
    }

    #[getter]
    fn how(&self) -> &'static str {
        self.step.how.word()
    }

    #[getter(from_slot)]
    fn came_from(&self) -> Option<u32> {
        told(self.step.from)
    }

    #[getter]
    fn source(&self) -> Option<Source> {
        self.source.clone()
    }

    fn __repr__(&self) -> String {
        format!("<LogStep {} at {}>", self.id, self.step.slot)
    }
}

#[pyclass(frozen, module = "bpfsmith._native", name = "LogState")]
#[derive(Debug)]
struct PyState {
    paste: Arc<Paste>,
    state: State,
}

#[pymethods]
impl PyState {
    #[getter]
    fn frames(&self) -> Vec<PyFrame> {
        let frames = self.state.frames.iter().cloned();
        frames
            .map(|frame| PyFrame {
                paste: Arc::clone(&self.paste),
                frame,
            })
            .collect()
    }

    #[getter]
    fn refs(&self) -> Vec<u32> {
        self.state.refs.clone()
    }

    #[getter]
    fn locks(&self) -> Vec<String> {
        self.state.words.clone()
    }
}

#[pyclass(frozen, module = "bpfsmith._native", name = "LogFrame")]
#[derive(Debug)]
struct PyFrame {
    paste: Arc<Paste>,
    frame: Frame,
}

impl PyFrame {
    fn value(&self, fact: &Fact) -> PyValue {
        let text = self.paste.fact_text(fact);
        PyValue::new(&self.paste, fact, text)
    }
}

#[pymethods]
impl PyFrame {
    #[getter]
    fn number(&self) -> u32 {
        self.frame.number
    }

    #[getter]
    fn regs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for number in 0..=10 {
            if let Some(fact) = self.frame.reg(number) {
                out.set_item(format!("r{number}"), self.value(fact))?;
            }
        }
        Ok(out)
    }

    #[getter]
    fn stack<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for (off, fact) in self.frame.stack.iter().rev() {
            let text = self.paste.fact_text(fact);
            let (bytes, value) = bpfsmith_vlog::slot_parts(text);
            let is_number = matches!(fact, Fact::Number(_));
            let value = match value {
                Some(value) => Some(PyValue::new(&self.paste, fact, value)),
                None if is_number => Some(self.value(fact)),
                None => None,
            };
            let kind = bpfsmith_vlog::slot_kind(text);
            out.set_item(
                *off,
                PySlot {
                    text: text.to_owned(),
                    bytes,
                    value,
                    kind,
                },
            )?;
        }
        Ok(out)
    }
}

#[pyclass(frozen, module = "bpfsmith._native", name = "LogSlot")]
#[derive(Debug)]
struct PySlot {
    text: String,
    bytes: String,
    value: Option<PyValue>,
    kind: &'static str,
}

#[pymethods]
impl PySlot {
    #[getter]
    fn text(&self) -> &str {
        &self.text
    }

    #[getter]
    fn bytes(&self) -> &str {
        &self.bytes
    }

    #[getter]
    fn value(&self) -> Option<PyValue> {
        self.value.clone()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn __repr__(&self) -> String {
        format!("<LogSlot {}>", self.text)
    }
}

#[pyclass(frozen, module = "bpfsmith._native", name = "LogValue")]
#[derive(Clone, Debug)]
struct PyValue {
    text: String,
    marks: String,
    line: Option<u32>,
    value: Value,
}

impl PyValue {
    fn new(paste: &Paste, fact: &Fact, text: &str) -> Self {
        let _ = paste;
        match fact {
            Fact::Printed { line, marks, .. } => Self {
                text: text.to_owned(),
                marks: marks.text(),
                line: Some(*line),
                value: Value::read(text),
            },
            Fact::Number(number) => Self {
                text: number.to_string(),
                marks: String::new(),
                line: None,
                value: Value::constant(*number),
            },
        }
    }
}

#[pymethods]
impl PyValue {
    #[getter]
    fn text(&self) -> &str {
        &self.text
    }

    #[getter]
    #[pyo3(name = "type")]
    fn kind(&self) -> &str {
        &self.value.kind
    }

    #[getter]
    fn flags(&self) -> Vec<&'static str> {
        self.value.flags.clone()
    }

    #[getter]
    fn maybe_null(&self) -> bool {
        self.value.maybe_null
    }

    #[getter]
    fn known(&self) -> Option<i64> {
        self.value.known()
    }

    #[getter]
    fn smin(&self) -> Option<i64> {
        self.value.bounds().map(|one| one.0)
    }

    #[getter]
    fn smax(&self) -> Option<i64> {
        self.value.bounds().map(|one| one.1)
    }

    #[getter]
    fn umin(&self) -> Option<u64> {
        self.value.bounds().map(|one| one.2)
    }

    #[getter]
    fn umax(&self) -> Option<u64> {
        self.value.bounds().map(|one| one.3)
    }

    #[getter]
    fn s32min(&self) -> Option<i32> {
        self.value.bounds32().map(|one| one.0)
    }

    #[getter]
    fn s32max(&self) -> Option<i32> {
        self.value.bounds32().map(|one| one.1)
    }

    #[getter]
    fn u32min(&self) -> Option<u32> {
        self.value.bounds32().map(|one| one.2)
    }

    #[getter]
    fn u32max(&self) -> Option<u32> {
        self.value.bounds32().map(|one| one.3)
    }

    #[getter]
    fn var_off(&self) -> Option<(u64, u64)> {
        self.value.var_off()
    }

    #[getter]
    fn id(&self) -> Option<u32> {
        self.value.id()
    }

    #[getter]
    #[pyo3(name = "ref")]
    fn reference(&self) -> Option<u32> {
        self.value.reference()
    }

    #[getter]
    fn off(&self) -> Option<i64> {
        self.value.off()
    }

    #[getter]
    fn range(&self) -> Option<i64> {
        self.value.range()
    }

    #[getter]
    fn map(&self) -> Option<(Option<String>, Option<u32>, Option<u32>)> {
        self.value.map()
    }

    #[getter]
    fn mem_size(&self) -> Option<i64> {
        self.value.mem_size()
    }

    #[getter]
    fn precise(&self) -> bool {
        self.value.precise
    }

    #[getter]
    fn marks(&self) -> &str {
        &self.marks
    }

    #[getter]
    fn frame(&self) -> Option<u32> {
        self.value.frame
    }

    #[getter]
    fn attrs(&self) -> Vec<(String, String)> {
        self.value.attrs.clone()
    }

    #[getter]
    fn line_no(&self) -> Option<u32> {
        self.line
    }

    fn __repr__(&self) -> String {
        format!("<LogValue {}>", self.text)
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyLog>()?;
    m.add_class::<PyReader>()?;
    m.add_class::<PyReport>()?;
    m.add_class::<PyInsn>()?;
    m.add_class::<PyStep>()?;
    m.add_class::<PyState>()?;
    m.add_class::<PyFrame>()?;
    m.add_class::<PySlot>()?;
    m.add_class::<PyValue>()
}
