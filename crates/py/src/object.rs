//! Bindings of the `object` crate: one parsed file, its programs and maps, as columns.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bpfsmith_btf::{Bytes, Lacking};
use bpfsmith_object::{Error, ExternKind, Frame, Inlined, Object, Variable};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::analysis::Analysis;
use crate::btf::PyBtf;
use crate::program::PyProgram;
use crate::{ReadError, read_error};

/// One object and what has been computed from it, shared by every view on it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) object: Object,
    analyses: Vec<OnceLock<Result<Analysis, Error>>>,
    inlined: OnceLock<Option<Inlined>>,
}

impl Shared {
    fn new(data: impl Into<Bytes>) -> Result<Arc<Self>, Error> {
        let object = Object::parse(data)?;
        let analyses = object.programs.iter().map(|_| OnceLock::new()).collect();
        Ok(Arc::new(Self {
            object,
            analyses,
            inlined: OnceLock::new(),
        }))
    }

    /// The functions at an instruction, innermost first; DWARF is read when first asked for.
    pub(crate) fn frames(&self, index: usize, slot: usize) -> Result<Vec<Frame>, Error> {
        guarded(|| {
            let inlined = self.inlined.get_or_init(|| Inlined::new(&self.object));
            match inlined {
                Some(inlined) => inlined.frames(&self.object, index, slot),
                None => Ok(Vec::new()),
            }
        })
    }

    /// Variables of program `index`; DWARF is read each time.
    pub(crate) fn variables(&self, index: usize) -> Result<Vec<Variable>, Error> {
        guarded(|| self.object.variables(index))
    }

    /// The analysis of program `index`, computed on first use.
    pub(crate) fn analysis(&self, index: usize) -> Result<&Analysis, Error> {
        let cell = self
            .analyses
            .get(index)
            .ok_or_else(|| Error::new(format!("no program {index}"), ""))?;
        cell.get_or_init(|| Analysis::new(&self.object, index))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The C-like text of a type of the object's BTF; `None` without BTF.
    pub(crate) fn type_text(&self, type_id: u32) -> Option<String> {
        if type_id == 0 {
            return None;
        }
        let btf = self.object.btf.as_ref()?;
        Some(crate::types::text(btf, type_id))
    }
}

type Parsed = Result<Arc<Shared>, Error>;

pub(crate) fn raise(error: Error) -> PyErr {
    read_error(error.message, error.place, error.hint)
}

/// `ReadError` with `where == "internal"` is our bug, not the file's: the faces turn it into exit code 4.
fn panicked(cause: &(dyn Any + Send)) -> Error {
    let text = cause
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    Error::new(format!("the reader panicked: {text}"), "internal")
}

fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| Err(panicked(cause.as_ref())))
}

#[pyclass(frozen, module = "bpfsmith._native", name = "Object")]
#[derive(Debug)]
pub(crate) struct PyObject {
    shared: Arc<Shared>,
}

#[pymethods]
impl PyObject {
    #[staticmethod]
    #[pyo3(signature = (data, name = ""))]
    fn parse(py: Python<'_>, data: PyBackedBytes, name: &str) -> PyResult<Self> {
        let shared = py
            .detach(|| guarded(|| Shared::new(Bytes::from_owner(Arc::new(data)))))
            .map_err(|mut error| {
                if error.place.is_empty() {
                    name.clone_into(&mut error.place);
                }
                raise(error)
            })?;
        Ok(Self { shared })
    }

    #[getter]
    fn endianness(&self) -> &'static str {
        match self.shared.object.endian {
            bpfsmith_isa::Endian::Little => "little",
            bpfsmith_isa::Endian::Big => "big",
        }
    }

    #[getter]
    fn license(&self) -> Option<&str> {
        self.shared.object.license.as_deref()
    }

    #[getter]
    fn kernel_version(&self) -> Option<u32> {
        self.shared.object.kernel_version
    }

    #[getter]
    fn btf(&self) -> Option<PyBtf> {
        let btf = Arc::clone(self.shared.object.btf.as_ref()?);
        Some(PyBtf { btf })
    }

    #[getter]
    fn has_btf(&self) -> bool {
        self.shared.object.btf.is_some()
    }

    #[getter]
    fn has_btf_ext(&self) -> bool {
        self.shared.object.btf_ext.is_some()
    }

    #[getter]
    fn has_core(&self) -> bool {
        self.shared.object.has_core()
    }

    #[getter]
    fn has_dwarf(&self) -> bool {
        self.shared.object.has_dwarf
    }

    #[getter]
    fn producer(&self) -> Option<&str> {
        self.shared.object.producer.as_deref()
    }

    #[getter]
    fn notes(&self) -> Vec<(&'static str, &str)> {
        let notes = &self.shared.object.notes;
        notes.iter().map(|n| (n.kind, n.text.as_str())).collect()
    }

    #[getter]
    fn programs(&self) -> Vec<PyProgram> {
        (0..self.shared.object.programs.len())
            .map(|index| PyProgram::new(Arc::clone(&self.shared), index))
            .collect()
    }

    #[getter]
    fn maps(&self) -> Vec<PyMap> {
        let maps = self.shared.object.maps.iter();
        maps.map(|map| PyMap::new(&self.shared, map.clone()))
            .collect()
    }

    #[getter]
    fn globals(&self) -> Vec<PyGlobal> {
        (0..self.shared.object.globals.len())
            .map(|index| PyGlobal {
                shared: Arc::clone(&self.shared),
                index,
            })
            .collect()
    }

    #[getter]
    fn externs(&self) -> Vec<PyExtern> {
        (0..self.shared.object.externs.len())
            .map(|index| PyExtern {
                shared: Arc::clone(&self.shared),
                index,
            })
            .collect()
    }

    #[getter]
    fn tail_calls(&self, py: Python<'_>) -> Vec<(String, Option<String>, Option<i64>)> {
        py.detach(|| crate::program::tail_calls(&self.shared))
    }

    /// Per extern: does the kernel with these types have it.
    #[allow(clippy::needless_pass_by_value, reason = "PyO3 extracts owned values")]
    fn resolved_externs(&self, py: Python<'_>, targets: Vec<PyRef<'_, PyBtf>>) -> Vec<bool> {
        let targets: Vec<_> = targets.iter().map(|one| Arc::clone(&one.btf)).collect();
        let object = &self.shared.object;
        py.detach(|| {
            let against = object.against(&targets);
            (0..object.externs.len())
                .map(|index| against.has_extern(index))
                .collect()
        })
    }

    /// The BTF as a kernel takes it that lacks these features.
    #[pyo3(signature = (lacking = Vec::new()))]
    #[allow(clippy::needless_pass_by_value, reason = "PyO3 extracts owned values")]
    fn kernel_btf<'py>(
        &self,
        py: Python<'py>,
        lacking: Vec<PyBackedStr>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut features = Lacking::default();
        for word in &lacking {
            if !features.set(word) {
                let hint = format!("known are {}", Lacking::WORDS.join(", "));
                return Err(read_error(
                    format!("`{word}` is no feature of BTF"),
                    "",
                    hint,
                ));
            }
        }
        let bytes = py
            .detach(|| self.shared.object.kernel_btf(features))
            .map_err(raise)?;
        Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
    }

    fn functions<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.shared
            .object
            .functions
            .iter()
            .map(|function| {
                let row = PyDict::new(py);
                row.set_item("name", &function.name)?;
                row.set_item("section", &function.section)?;
                row.set_item("offset", function.offset)?;
                row.set_item("size", function.size)?;
                row.set_item("weak", function.weak)?;
                row.set_item("static", function.is_static)?;
                row.set_item("program", function.program)?;
                Ok(row)
            })
            .collect()
    }
}

#[pyclass(frozen, module = "bpfsmith._native", name = "Map")]
#[derive(Debug)]
pub(crate) struct PyMap {
    shared: Arc<Shared>,
    map: bpfsmith_object::Map,
}

impl PyMap {
    fn new(shared: &Arc<Shared>, map: bpfsmith_object::Map) -> Self {
        Self {
            shared: Arc::clone(shared),
            map,
        }
    }
}

#[pymethods]
impl PyMap {
    #[getter]
    fn name(&self) -> &str {
        &self.map.name
    }

    #[getter]
    fn r#type(&self) -> u32 {
        self.map.map_type
    }

    #[getter]
    fn key_size(&self) -> u32 {
        self.map.key_size
    }

    #[getter]
    fn value_size(&self) -> u32 {
        self.map.value_size
    }

    #[getter]
    fn max_entries(&self) -> u32 {
        self.map.max_entries
    }

    #[getter]
    fn flags(&self) -> u32 {
        self.map.flags
    }

    #[getter]
    fn map_extra(&self) -> u64 {
        self.map.map_extra
    }

    #[getter]
    fn numa_node(&self) -> u32 {
        self.map.numa_node
    }

    #[getter]
    fn pinning(&self) -> u32 {
        self.map.pinning
    }

    #[getter]
    fn origin(&self) -> &'static str {
        self.map.origin.as_str()
    }

    #[getter]
    fn section(&self) -> &str {
        &self.map.section
    }

    #[getter]
    fn key_type(&self) -> u32 {
        self.map.key_type
    }

    #[getter]
    fn value_type(&self) -> u32 {
        self.map.value_type
    }

    #[getter]
    fn inner(&self) -> Option<Self> {
        let inner = self.map.inner.as_deref()?;
        Some(Self::new(&self.shared, inner.clone()))
    }

    #[getter]
    fn values(&self) -> Vec<(u32, &str)> {
        let values = self.map.values.iter();
        values.map(|(slot, name)| (*slot, name.as_str())).collect()
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let data = self.shared.object.map_data(&self.map)?;
        Some(PyBytes::new(py, data))
    }
}

#[pyclass(frozen, module = "bpfsmith._native", name = "Global")]
#[derive(Debug)]
pub(crate) struct PyGlobal {
    shared: Arc<Shared>,
    index: usize,
}

impl PyGlobal {
    fn of(&self) -> PyResult<&bpfsmith_object::Global> {
        let globals = &self.shared.object.globals;
        globals.get(self.index).ok_or_else(gone)
    }
}

#[pymethods]
impl PyGlobal {
    #[getter]
    fn name(&self) -> PyResult<&str> {
        Ok(&self.of()?.name)
    }

    #[getter]
    fn section(&self) -> PyResult<&str> {
        Ok(&self.of()?.section)
    }

    #[getter]
    fn r#type(&self) -> PyResult<Option<String>> {
        Ok(self.shared.type_text(self.of()?.type_id))
    }

    #[getter]
    fn offset(&self) -> PyResult<u64> {
        Ok(self.of()?.offset)
    }

    #[getter]
    fn size(&self) -> PyResult<u64> {
        Ok(self.of()?.size)
    }

    #[getter]
    fn weak(&self) -> PyResult<bool> {
        Ok(self.of()?.weak)
    }
}

#[pyclass(frozen, module = "bpfsmith._native", name = "Extern")]
#[derive(Debug)]
pub(crate) struct PyExtern {
    shared: Arc<Shared>,
    index: usize,
}

impl PyExtern {
    fn of(&self) -> PyResult<&bpfsmith_object::Extern> {
        let externs = &self.shared.object.externs;
        externs.get(self.index).ok_or_else(gone)
    }
}

#[pymethods]
impl PyExtern {
    #[getter]
    fn name(&self) -> PyResult<&str> {
        Ok(&self.of()?.name)
    }

    #[getter]
    fn kind(&self) -> PyResult<&'static str> {
        Ok(self.of()?.kind.as_str())
    }

    #[getter]
    fn weak(&self) -> PyResult<bool> {
        Ok(self.of()?.weak)
    }

    #[getter]
    fn typed(&self) -> PyResult<bool> {
        Ok(matches!(
            self.of()?.kind,
            ExternKind::Kfunc | ExternKind::KsymTyped
        ))
    }

    #[getter]
    fn r#type(&self) -> PyResult<Option<String>> {
        Ok(self.shared.type_text(self.of()?.type_id))
    }
}

fn gone() -> PyErr {
    read_error("the view points outside its object", "internal", "")
}

/// Reads, parses and, when asked, analyses one file.
fn read_one(path: &Path, analyse: bool) -> Parsed {
    let data = crate::file::read(path).map_err(|error| {
        Error::new(error.to_string(), path.to_string_lossy()).hint("look what file it is")
    })?;
    guarded(|| {
        let shared = Shared::new(data)?;
        if analyse {
            for index in 0..shared.object.programs.len() {
                // A program that does not link is told about when it is asked for.
                let _ = shared.analysis(index);
            }
        }
        Ok(shared)
    })
}

/// Reads many files on `threads` threads (0: as many as there are cores), in order.
#[pyfunction]
#[pyo3(signature = (paths, threads = 0, analyse = false))]
#[allow(clippy::needless_pass_by_value, reason = "PyO3 extracts owned values")]
fn parse_many<'py>(
    py: Python<'py>,
    paths: Vec<PathBuf>,
    threads: usize,
    analyse: bool,
) -> PyResult<Bound<'py, PyList>> {
    let results = py.detach(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = if threads == 0 { cores } else { threads };
        let count = wanted.min(paths.len()).clamp(1, 64);
        let results: Vec<Mutex<Option<Parsed>>> = paths.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let (Some(path), Some(cell)) = (paths.get(index), results.get(index)) else {
                    return;
                };
                let result = read_one(path, analyse);
                *cell.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..count {
                scope.spawn(work);
            }
            work();
        });
        results
    });
    let list = PyList::empty(py);
    for cell in results {
        let result = cell.into_inner().unwrap_or_else(PoisonError::into_inner);
        match result.unwrap_or_else(|| Err(panicked(&"the thread died"))) {
            Ok(shared) => list.append(Bound::new(py, PyObject { shared })?)?,
            Err(error) => {
                let error = ReadError::new_err((error.message, error.place, error.hint));
                list.append(error.into_value(py))?;
            }
        }
    }
    Ok(list)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyObject>()?;
    m.add_class::<PyProgram>()?;
    m.add_class::<PyMap>()?;
    m.add_class::<PyGlobal>()?;
    m.add_class::<PyExtern>()?;
    m.add_function(wrap_pyfunction!(parse_many, m)?)
}
