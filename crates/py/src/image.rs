//! Bindings of what the kernel is handed: a program's image.
use bpfsmith_object::Image;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A program as `BPF_PROG_LOAD` wants it but for descriptors and addresses.
#[pyclass(frozen, module = "bpfsmith._native", name = "Image")]
#[derive(Debug)]
pub(crate) struct PyImage {
    image: Image,
}

impl PyImage {
    pub(crate) fn new(image: Image) -> Self {
        Self { image }
    }
}

#[pymethods]
impl PyImage {
    #[getter]
    fn insns<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.image.insns)
    }

    #[getter]
    fn maps(&self) -> Vec<(usize, usize)> {
        self.image.maps.clone()
    }

    #[getter]
    fn jump_tables(&self) -> Vec<(usize, u64, Vec<u32>)> {
        let tables = self.image.jump_tables.iter();
        tables
            .map(|one| (one.at, one.offset, one.targets.clone()))
            .collect()
    }

    #[getter]
    fn externs(&self) -> Vec<(usize, usize)> {
        self.image.externs.clone()
    }

    #[getter]
    fn func_info<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.image.func_info)
    }

    #[getter]
    fn line_info<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.image.line_info)
    }

    #[getter]
    fn poisoned(&self) -> Vec<(usize, String)> {
        self.image.poisoned.clone()
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyImage>()
}
