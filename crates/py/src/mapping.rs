//! `Mapping`: memory mapped ranges as Python buffers.
#![allow(
    unsafe_code,
    reason = "PyO3 glue: the buffer protocol is a C interface"
)]
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

use bpfsmith_sys::mapping::Mapping;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

#[derive(Debug)]
struct State {
    mapping: Option<Mapping>,
    /// Views that live; the range stays as long as one does.
    exports: usize,
}

/// A mapped range. Every view holds a reference to it, so that dropping it means that there is none.
#[pyclass(frozen, weakref, module = "bpfsmith._native", name = "Mapping")]
#[derive(Debug)]
pub(crate) struct PyMapping {
    state: Mutex<State>,
}

impl PyMapping {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyMapping {
    #[staticmethod]
    #[pyo3(signature = (fd, length, offset = 0, prot = 1, flags = 1, address = 0))]
    fn map(
        py: Python<'_>,
        fd: i32,
        length: usize,
        offset: i64,
        prot: i32,
        flags: i32,
        address: usize,
    ) -> PyResult<Py<PyAny>> {
        match py.detach(|| Mapping::new(fd, length, offset, prot, flags, address)) {
            Ok(mapping) => {
                let state = Mutex::new(State {
                    mapping: Some(mapping),
                    exports: 0,
                });
                Ok(Py::new(py, Self { state })?.into_any())
            }
            Err(errno) => Ok(errno.into_pyobject(py)?.into_any().unbind()),
        }
    }

    fn __len__(&self) -> usize {
        self.lock().mapping.as_ref().map_or(0, Mapping::len)
    }

    #[getter]
    fn closed(&self) -> bool {
        self.lock().mapping.is_none()
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mapping = {
            let mut state = self.lock();
            if state.exports > 0 {
                let text = format!("{} views of the mapping live", state.exports);
                return Err(PyBufferError::new_err(text));
            }
            state.mapping.take()
        };
        py.detach(|| drop(mapping));
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exc))]
    fn __exit__(&self, py: Python<'_>, _exc: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "as the protocol hands it over"
    )]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let mut state = slf.get().lock();
        let Some(mapping) = &state.mapping else {
            return Err(PyValueError::new_err("the mapping is closed"));
        };
        let len = ffi::Py_ssize_t::try_from(mapping.len())
            .map_err(|_| PyBufferError::new_err("the mapping is too long for a view"))?;
        // SAFETY: Python hands over a view to fill; it takes a reference to this object, which keeps the range mapped.
        let failed = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                mapping.start().as_ptr().cast(),
                len,
                c_int::from(!mapping.writable()),
                flags,
            )
        } != 0;
        if failed {
            return Err(PyErr::fetch(slf.py()));
        }
        state.exports += 1;
        Ok(())
    }

    #[allow(
        clippy::unused_self,
        reason = "the protocol's second argument is what is released"
    )]
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        let mut state = self.lock();
        state.exports = state.exports.saturating_sub(1);
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyMapping>()
}
