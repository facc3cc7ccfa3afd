//! Bindings of the `btf` crate: one parsed BTF, shared by every view on it.
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bpfsmith_btf::{Btf, Bytes, Error, Kind, Type};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::read_error;

#[pyclass(frozen, module = "bpfsmith._native", name = "Btf")]
#[derive(Debug)]
pub(crate) struct PyBtf {
    pub(crate) btf: Arc<Btf>,
}

fn raise(error: &Error, hint: &str) -> PyErr {
    read_error(error.message(), error.location(), hint)
}

/// The kind named by bpftool's word, in any case.
fn kind_named(word: Option<&str>) -> PyResult<Option<Kind>> {
    match word.map(|word| (word, Kind::from_word(word))) {
        None => Ok(None),
        Some((_, Some(kind))) => Ok(Some(kind)),
        Some((word, None)) => Err(read_error(
            format!("`{word}` is no kind of BTF type"),
            "",
            "kinds are bpftool's words, such as `STRUCT`, `TYPEDEF` or `FUNC`",
        )),
    }
}

impl PyBtf {
    fn get(&self, id: u32) -> PyResult<Type<'_>> {
        self.btf.get(id).ok_or_else(|| {
            let hint = format!("ids are below {}", self.btf.len());
            read_error(format!("type {id} does not exist"), "BTF", hint)
        })
    }
}

#[pymethods]
impl PyBtf {
    #[staticmethod]
    #[pyo3(signature = (data, base = None))]
    fn parse(py: Python<'_>, data: PyBackedBytes, base: Option<&Self>) -> PyResult<Self> {
        let base = base.map(|base| Arc::clone(&base.btf));
        let parsed = py.detach(|| {
            let bytes = Bytes::from_owner(Arc::new(data));
            match base {
                Some(base) => Btf::parse_split(bytes, base),
                None => Btf::parse(bytes),
            }
        });
        parsed
            .map(|btf| Self { btf: Arc::new(btf) })
            .map_err(|error| raise(&error, ""))
    }

    #[staticmethod]
    #[pyo3(signature = (data, base = None))]
    fn from_elf(py: Python<'_>, data: PyBackedBytes, base: Option<&Self>) -> PyResult<Self> {
        let base = base.map(|base| Arc::clone(&base.btf));
        py.detach(|| Btf::parse_elf(Bytes::from_owner(Arc::new(data)), base))
            .map(|btf| Self { btf: Arc::new(btf) })
            .map_err(|error| raise(&error, ""))
    }

    #[staticmethod]
    #[pyo3(signature = (path, base = None))]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "PyO3 hands over what it converted"
    )]
    fn open(py: Python<'_>, path: PathBuf, base: Option<&Self>) -> PyResult<Self> {
        let base = base.map(|base| Arc::clone(&base.btf));
        let shown = path.display().to_string();
        py.detach(|| {
            let bytes =
                read(&path).map_err(|error| Error::new(error.to_string(), shown.clone()))?;
            Btf::parse_any(bytes, base).map_err(|error| {
                let place = format!("{shown}: {}", error.location());
                Error::new(error.message(), place)
            })
        })
        .map(|btf| Self { btf: Arc::new(btf) })
        .map_err(|error| raise(&error, ""))
    }

    fn __len__(&self) -> usize {
        self.btf.len() as usize
    }

    #[getter]
    fn big_endian(&self) -> bool {
        self.btf.is_big_endian()
    }

    #[getter]
    fn first_id(&self) -> u32 {
        self.btf.first_id()
    }

    #[pyo3(signature = (name, kind = None))]
    fn find(&self, py: Python<'_>, name: &str, kind: Option<&str>) -> PyResult<Option<u32>> {
        let kind = kind_named(kind)?;
        Ok(py.detach(|| self.btf.find(name.as_bytes(), kind)))
    }

    #[pyo3(signature = (name, kind = None))]
    fn find_all(&self, py: Python<'_>, name: &str, kind: Option<&str>) -> PyResult<Vec<u32>> {
        let kind = kind_named(kind)?;
        Ok(py.detach(|| self.btf.find_all(name.as_bytes(), kind)))
    }

    #[pyo3(name = "type")]
    fn type_<'py>(&self, py: Python<'py>, type_id: u32) -> PyResult<Bound<'py, PyDict>> {
        describe(py, self.get(type_id)?)
    }

    fn name(&self, type_id: u32) -> PyResult<String> {
        Ok(self.get(type_id)?.name().into_owned())
    }

    fn kind(&self, type_id: u32) -> PyResult<&'static str> {
        Ok(self.get(type_id)?.kind().word())
    }

    fn resolve(&self, type_id: u32) -> PyResult<u32> {
        self.get(type_id)?;
        self.btf
            .resolve_modifiers(type_id)
            .map(|ty| ty.id())
            .ok_or_else(|| {
                read_error(
                    format!("type {type_id} refers to itself or to a missing type"),
                    "BTF",
                    "",
                )
            })
    }

    fn size_of(&self, type_id: u32) -> Option<u32> {
        self.btf.size_of(type_id)
    }

    fn offset_of(&self, py: Python<'_>, type_id: u32, path: &str) -> PyResult<(u64, u64, u32)> {
        py.detach(|| self.btf.place(type_id, path))
            .map(|place| (place.bit_offset, place.bit_size, place.type_id))
            .map_err(|error| raise(&error, ""))
    }

    fn c_decl(&self, py: Python<'_>, type_id: u32) -> PyResult<String> {
        py.detach(|| self.btf.c_decl(type_id))
            .map_err(|error| raise(&error, ""))
    }

    fn dump_raw(&self, py: Python<'_>) -> PyResult<String> {
        let text = py
            .detach(|| self.btf.dump_raw())
            .map_err(|error| raise(&error, ""))?;
        Ok(match String::from_utf8(text) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.btf.as_bytes())
    }

    fn rebuild<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py
            .detach(|| self.btf.rebuild())
            .map_err(|error| raise(&error, ""))?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn __repr__(&self) -> String {
        format!("<Btf of {} types>", self.btf.len())
    }
}

/// The whole file: mapped where the kernel shows its own BTF, else read.
fn read(path: &Path) -> std::io::Result<Bytes> {
    // Reading sysfs takes a system call per 4 KiB; since Linux 6.16 ("btf: Allow mmap of vmlinux btf") it maps, though
    // not shared.
    if path == Path::new("/sys/kernel/btf/vmlinux") {
        let file = File::open(path)?;
        #[allow(
            unsafe_code,
            reason = "a mapping is unsound when the file changes; the running kernel's own types never do"
        )]
        // SAFETY: the file is the kernel's read-only data, which lives as long as the kernel and cannot be truncated.
        if let Ok(map) = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) } {
            return Ok(Bytes::from_owner(Arc::new(map)));
        }
    }
    crate::file::read(path)
}

fn linkage(number: Option<u32>) -> &'static str {
    match number {
        Some(0) => "static",
        Some(1) => "global",
        Some(2) => "extern",
        _ => "unknown",
    }
}

/// A list with one dict per element.
fn dicts<'py, T>(
    py: Python<'py>,
    elements: impl Iterator<Item = T>,
    mut fill: impl FnMut(&Bound<'py, PyDict>, T) -> PyResult<()>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for element in elements {
        let dict = PyDict::new(py);
        fill(&dict, element)?;
        list.append(dict)?;
    }
    Ok(list)
}

/// One type as a dict in bpftool's words.
fn describe<'py>(py: Python<'py>, ty: Type<'_>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", ty.id())?;
    dict.set_item("kind", ty.kind().word())?;
    dict.set_item("name", ty.name())?;
    if let Some(size) = ty.size() {
        dict.set_item("size", size)?;
    }
    if let Some(type_id) = ty.type_id() {
        dict.set_item("type", type_id)?;
    }
    match ty.kind() {
        Kind::Int => {
            if let Some(int) = ty.int() {
                dict.set_item("bits_offset", int.offset)?;
                dict.set_item("nr_bits", int.bits)?;
                dict.set_item("encoding", int.word())?;
            }
        }
        Kind::Array => {
            if let Some(array) = ty.array() {
                dict.set_item("type", array.element)?;
                dict.set_item("index_type", array.index)?;
                dict.set_item("nr_elems", array.count)?;
            }
        }
        Kind::Struct | Kind::Union => {
            let members = dicts(py, ty.members(), |dict, member| {
                dict.set_item("name", member.name())?;
                dict.set_item("type", member.type_id)?;
                dict.set_item("bits_offset", member.bit_offset)?;
                dict.set_item("bitfield_size", member.bitfield_size)
            })?;
            dict.set_item("members", members)?;
        }
        Kind::Enum | Kind::Enum64 => {
            dict.set_item(
                "encoding",
                if ty.kind_flag() { "SIGNED" } else { "UNSIGNED" },
            )?;
            let values = dicts(py, ty.enumerators(), |dict, it| {
                dict.set_item("name", it.name())?;
                if ty.kind_flag() {
                    dict.set_item("val", it.value.cast_signed())
                } else {
                    dict.set_item("val", it.value)
                }
            })?;
            dict.set_item("values", values)?;
        }
        Kind::Fwd => dict.set_item("fwd_kind", if ty.kind_flag() { "union" } else { "struct" })?,
        Kind::Func | Kind::Var => dict.set_item("linkage", linkage(ty.linkage()))?,
        Kind::FuncProto => {
            let params = dicts(py, ty.params(), |dict, param| {
                dict.set_item("name", param.name())?;
                dict.set_item("type", param.type_id)
            })?;
            dict.set_item("params", params)?;
        }
        Kind::Datasec => {
            let vars = dicts(py, ty.section_vars(), |dict, var| {
                dict.set_item("type", var.type_id)?;
                dict.set_item("offset", var.offset)?;
                dict.set_item("size", var.size)
            })?;
            dict.set_item("vars", vars)?;
        }
        Kind::DeclTag => {
            dict.set_item("component_idx", ty.component_idx())?;
            dict.set_item("attribute", ty.kind_flag())?;
        }
        Kind::TypeTag => dict.set_item("attribute", ty.kind_flag())?,
        _ => {}
    }
    Ok(dict)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyBtf>()
}
