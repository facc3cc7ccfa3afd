//! Bindings of the `sys` crate: the native half of the kernel door. System calls release the GIL.
#![allow(
    unsafe_code,
    reason = "PyO3 glue: borrowed Python buffers become slices"
)]
use std::sync::atomic::{AtomicI32, Ordering};

use bpfsmith_sys::call;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::buffer::Borrowed;

/// An owned file descriptor; -1 once it is closed or given away.
#[pyclass(frozen, weakref, module = "bpfsmith._native", name = "Fd")]
#[derive(Debug)]
pub(crate) struct PyFd {
    number: AtomicI32,
}

impl PyFd {
    pub(crate) fn owning(number: i32) -> Self {
        Self {
            number: AtomicI32::new(number),
        }
    }

    fn shut(&self) {
        let number = self.number.swap(-1, Ordering::AcqRel);
        if number >= 0 {
            call::close(number);
        }
    }
}

impl Drop for PyFd {
    fn drop(&mut self) {
        self.shut();
    }
}

#[pymethods]
impl PyFd {
    #[new]
    fn new(fd: i32) -> PyResult<Self> {
        if fd < 0 {
            return Err(PyValueError::new_err(format!("{fd} is no file descriptor")));
        }
        Ok(Self::owning(fd))
    }

    #[getter]
    fn closed(&self) -> bool {
        self.number.load(Ordering::Acquire) < 0
    }

    pub(crate) fn fileno(&self) -> PyResult<i32> {
        match self.number.load(Ordering::Acquire) {
            number if number >= 0 => Ok(number),
            _ => Err(PyValueError::new_err("the file descriptor is closed")),
        }
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.shut());
    }

    fn detach(&self) -> PyResult<i32> {
        match self.number.swap(-1, Ordering::AcqRel) {
            number if number >= 0 => Ok(number),
            _ => Err(PyValueError::new_err("the file descriptor is closed")),
        }
    }

    fn dup(&self) -> PyResult<Self> {
        let answer = call::dup(self.fileno()?);
        match i32::try_from(answer) {
            Ok(number) if number >= 0 => Ok(Self::owning(number)),
            _ => Err(os_error(answer)),
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exc))]
    fn __exit__(&self, py: Python<'_>, _exc: &Bound<'_, PyAny>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        match self.number.load(Ordering::Acquire) {
            number if number >= 0 => format!("Fd({number})"),
            _ => "Fd(closed)".to_owned(),
        }
    }
}

/// `OSError` of a `-errno`.
fn os_error(answer: i64) -> PyErr {
    let number = i32::try_from(-answer).unwrap_or(0);
    let text = std::io::Error::from_raw_os_error(number).to_string();
    // Rust adds the number, Python does so itself.
    let text = text
        .split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned();
    PyOSError::new_err((number, text))
}

/// The number as Python's `int`, or the descriptor as `Fd`.
fn fd_or_errno(py: Python<'_>, answer: i64) -> PyResult<Py<PyAny>> {
    match i32::try_from(answer) {
        Ok(number) if number >= 0 => Ok(Py::new(py, PyFd::owning(number))?.into_any()),
        _ => Ok(answer.into_pyobject(py)?.into_any().unbind()),
    }
}

type Buffers<'py> = Vec<(usize, Bound<'py, PyAny>)>;

fn call_bpf(
    py: Python<'_>,
    cmd: u32,
    attr: &Bound<'_, PyAny>,
    buffers: Option<Buffers<'_>>,
) -> PyResult<i64> {
    let attr = Borrowed::new(attr, true)?;
    let buffers = buffers.unwrap_or_default();
    let mut held = Vec::with_capacity(buffers.len());
    for (offset, object) in buffers {
        let borrowed = Borrowed::new(&object, false)?;
        if offset.checked_add(8).is_none_or(|end| end > attr.len()) {
            return Err(PyValueError::new_err(format!(
                "no address fits at byte {offset} of an attr of {} bytes",
                attr.len()
            )));
        }
        let address = borrowed.address() as u64;
        // SAFETY: 8 bytes from `offset` lie inside the writable view, checked above; the GIL is held.
        unsafe {
            attr.address()
                .add(offset)
                .cast::<u64>()
                .write_unaligned(address);
        }
        held.push(borrowed);
    }
    let len = attr.len();
    let start = attr.address() as usize;
    let answer = py.detach(|| {
        let attr: &mut [u8] = if len == 0 {
            &mut []
        } else {
            // SAFETY: exported writable, so neither freed nor resized before `attr` is dropped; Python code that changes
            // its bytes from another thread meanwhile changes what the kernel reads, as in C.
            unsafe { std::slice::from_raw_parts_mut(start as *mut u8, len) }
        };
        // SAFETY: the buffers are exported until after the call; `bpfsmith.kernel` sizes them by command.
        unsafe { call::bpf(cmd, attr) }
    });
    drop(held);
    Ok(answer)
}

#[pyfunction]
#[pyo3(signature = (cmd, attr, buffers = None))]
fn bpf(
    py: Python<'_>,
    cmd: u32,
    attr: &Bound<'_, PyAny>,
    buffers: Option<Buffers<'_>>,
) -> PyResult<i64> {
    call_bpf(py, cmd, attr, buffers)
}

#[pyfunction]
#[pyo3(signature = (cmd, attr, buffers = None))]
fn bpf_fd(
    py: Python<'_>,
    cmd: u32,
    attr: &Bound<'_, PyAny>,
    buffers: Option<Buffers<'_>>,
) -> PyResult<Py<PyAny>> {
    let answer = call_bpf(py, cmd, attr, buffers)?;
    fd_or_errno(py, answer)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyFd>()?;
    m.add_function(wrap_pyfunction!(bpf, m)?)?;
    m.add_function(wrap_pyfunction!(bpf_fd, m)?)?;
    Ok(())
}
