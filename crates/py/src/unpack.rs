//! Decompression: whole streams, and parts of files while they are read.
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bpfsmith_unpack::{Error, Kind};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::read_error;

fn kind_of(name: &str) -> PyResult<Kind> {
    Kind::named(name).ok_or_else(|| {
        let known = Kind::ALL.map(|(_, name)| format!("`{name}`")).join(", ");
        read_error(
            format!("`{name}` is no way of compressing"),
            "",
            format!("known are {known}"),
        )
    })
}

fn failed(kind: &str, error: &Error) -> PyErr {
    let what = if kind.is_empty() { "file" } else { kind };
    let text = match error {
        Error::Limit(_) | Error::Truncated => format!("the {what} stream is bad: {error}"),
        Error::Corrupt(why) => format!("the {what} stream is corrupt: {why}"),
    };
    read_error(text, "", "")
}

#[pyfunction]
fn compression(data: &[u8]) -> Option<&'static str> {
    Kind::of(data).map(Kind::name)
}

#[pyfunction]
fn decompress<'py>(
    py: Python<'py>,
    kind: &str,
    data: &[u8],
    limit: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let chosen = kind_of(kind)?;
    let out = py
        .detach(|| bpfsmith_unpack::decompress(chosen, data, limit))
        .map_err(|error| failed(kind, &error))?;
    Ok(PyBytes::new(py, &out))
}

#[pyclass(frozen, module = "bpfsmith._native")]
struct Unpacker {
    kind: String,
    source: Mutex<Box<dyn Read + Send>>,
}

#[pymethods]
impl Unpacker {
    #[new]
    #[pyo3(signature = (kind, path, offset = 0, length = None))]
    fn new(kind: String, path: PathBuf, offset: u64, length: Option<u64>) -> PyResult<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let part = file.take(length.unwrap_or(u64::MAX));
        let source: Box<dyn Read + Send> = if kind.is_empty() {
            Box::new(part)
        } else {
            bpfsmith_unpack::reader(kind_of(&kind)?, part)
                .map_err(|error| failed(&kind, &error.into()))?
        };
        Ok(Self {
            kind,
            source: Mutex::new(source),
        })
    }

    #[pyo3(signature = (size = -1))]
    fn read<'py>(&self, py: Python<'py>, size: i64) -> PyResult<Bound<'py, PyBytes>> {
        let limit = u64::try_from(size).unwrap_or(u64::MAX);
        let mut out = Vec::with_capacity(limit.min(1 << 20) as usize);
        py.detach(|| {
            let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
            (&mut *source).take(limit).read_to_end(&mut out)
        })
        .map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => PyErr::from(error),
            _ => failed(&self.kind, &error.into()),
        })?;
        Ok(PyBytes::new(py, &out))
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(compression, m)?)?;
    m.add_function(wrap_pyfunction!(decompress, m)?)?;
    m.add_class::<Unpacker>()
}
