//! Bindings of the `sys` crate: the native half of the kernel door. System calls release the GIL.
#![allow(
    unsafe_code,
    reason = "PyO3 glue: borrowed Python buffers become slices"
)]
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, Ordering};

use bpfsmith_sys::{call, procfs};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyList, PyTuple};

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
pub(crate) fn os_error(answer: i64) -> PyErr {
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

/// More addresses are in no command: BPF_PROG_LOAD has eight.
const MAX_BUFFERS: usize = 8;

/// Buffers borrowed during one call: on the stack and never moved, released with the GIL held. A call costs 0.3 us less than
/// with `Borrowed`.
struct Views<'py> {
    views: [MaybeUninit<ffi::Py_buffer>; MAX_BUFFERS + 1],
    filled: usize,
    _py: Python<'py>,
}

impl<'py> Views<'py> {
    fn new(py: Python<'py>) -> Self {
        Self {
            views: [const { MaybeUninit::uninit() }; MAX_BUFFERS + 1],
            filled: 0,
            _py: py,
        }
    }

    /// (address, length), valid while `self` lives.
    fn borrow(&mut self, object: &Bound<'py, PyAny>, flags: c_int) -> PyResult<(*mut u8, usize)> {
        let Some(view) = self.views.get_mut(self.filled) else {
            let text = format!("more than {MAX_BUFFERS} buffers");
            return Err(PyValueError::new_err(text));
        };
        // SAFETY: a valid object, and room for one view; the GIL is held.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), flags) } != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        self.filled += 1;
        // SAFETY: the call filled it.
        let view = unsafe { view.assume_init_ref() };
        Ok((view.buf.cast(), usize::try_from(view.len).unwrap_or(0)))
    }
}

impl Drop for Views<'_> {
    fn drop(&mut self) {
        for view in self.views.iter_mut().take(self.filled) {
            // SAFETY: the first `filled` are; each is released once, with the GIL held.
            unsafe { ffi::PyBuffer_Release(view.as_mut_ptr()) };
        }
    }
}

fn borrow_buffer<'py>(
    pair: &Bound<'py, PyAny>,
    attr: (*mut u8, usize),
    views: &mut Views<'py>,
) -> PyResult<()> {
    let (offset, object): (usize, Bound<'py, PyAny>) = pair.extract()?;
    let (address, _) = views.borrow(&object, ffi::PyBUF_SIMPLE)?;
    if offset.checked_add(8).is_none_or(|end| end > attr.1) {
        return Err(PyValueError::new_err(format!(
            "no address fits at byte {offset} of an attr of {} bytes",
            attr.1
        )));
    }
    // SAFETY: 8 bytes from `offset` lie inside the writable view, checked above; the GIL is held.
    unsafe {
        attr.0
            .add(offset)
            .cast::<u64>()
            .write_unaligned(address as u64);
    }
    Ok(())
}

fn call_bpf<'py>(
    py: Python<'py>,
    cmd: u32,
    attr: &Bound<'py, PyAny>,
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<i64> {
    let mut views = Views::new(py);
    let (start, len) = views.borrow(attr, ffi::PyBUF_WRITABLE)?;
    if let Some(buffers) = buffers {
        if let Ok(list) = buffers.cast::<PyTuple>() {
            for pair in list.iter_borrowed() {
                borrow_buffer(&pair, (start, len), &mut views)?;
            }
        } else if let Ok(list) = buffers.cast::<PyList>() {
            for pair in list.iter() {
                borrow_buffer(&pair, (start, len), &mut views)?;
            }
        } else {
            for pair in buffers.try_iter()? {
                borrow_buffer(&pair?, (start, len), &mut views)?;
            }
        }
    }
    let start = start as usize;
    let answer = py.detach(|| {
        let attr: &mut [u8] = if start == 0 {
            &mut []
        } else {
            // SAFETY: exported writable until `views` is dropped; Python code that changes its bytes from another thread
            // meanwhile changes what the kernel reads, as in C.
            unsafe { std::slice::from_raw_parts_mut(start as *mut u8, len) }
        };
        // SAFETY: the buffers are exported until after the call; `bpfsmith.kernel` sizes them by command.
        unsafe { call::bpf(cmd, attr) }
    });
    drop(views);
    Ok(answer)
}

#[pyfunction]
#[pyo3(signature = (cmd, attr, buffers = None))]
fn bpf<'py>(
    py: Python<'py>,
    cmd: u32,
    attr: &Bound<'py, PyAny>,
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<i64> {
    call_bpf(py, cmd, attr, buffers)
}

#[pyfunction]
#[pyo3(signature = (cmd, attr, buffers = None))]
fn bpf_fd<'py>(
    py: Python<'py>,
    cmd: u32,
    attr: &Bound<'py, PyAny>,
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let answer = call_bpf(py, cmd, attr, buffers)?;
    fd_or_errno(py, answer)
}

#[pyfunction]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over what it converted"
)]
fn perf_event_open(
    py: Python<'_>,
    attr: PyBackedBytes,
    pid: i32,
    cpu: i32,
    group_fd: i32,
    flags: u64,
) -> PyResult<Py<PyAny>> {
    // A copy: the kernel writes its own size into it on E2BIG.
    let mut attr = attr.to_vec();
    let answer = py.detach(|| call::perf_event_open(&mut attr, pid, cpu, group_fd, flags));
    fd_or_errno(py, answer)
}

#[pyfunction]
fn ioctl(py: Python<'_>, fd: i32, request: u64, arg: u64) -> i64 {
    py.detach(|| call::ioctl(fd, request, arg))
}

#[pyfunction]
fn ioctl_ptr(py: Python<'_>, fd: i32, request: u64, data: &Bound<'_, PyAny>) -> PyResult<i64> {
    let data = Borrowed::new(data, true)?;
    Ok(py.detach(|| {
        // SAFETY: exported writable until `data` is dropped; see `call_bpf`.
        let bytes = unsafe { data.slice_mut() };
        // SAFETY: `bpfsmith.kernel` sizes it by request.
        unsafe { call::ioctl_ptr(fd, request, bytes) }
    }))
}

#[pyfunction]
fn possible_cpus(py: Python<'_>) -> PyResult<usize> {
    Ok(py.detach(procfs::possible_cpus)?)
}

#[pyfunction]
#[pyo3(signature = (names, module = None))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over what it converted"
)]
fn kernel_symbols<'py>(
    py: Python<'py>,
    names: Vec<String>,
    module: Option<String>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut found = py.detach(|| procfs::kernel_symbols(&names, module.as_deref()))?;
    let answer = PyDict::new(py);
    for name in &names {
        if let Some(places) = found.remove(name.as_bytes()) {
            answer.set_item(name, PyList::new(py, places)?)?;
        }
    }
    Ok(answer)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyFd>()?;
    m.add_function(wrap_pyfunction!(bpf, m)?)?;
    m.add_function(wrap_pyfunction!(bpf_fd, m)?)?;
    m.add_function(wrap_pyfunction!(perf_event_open, m)?)?;
    m.add_function(wrap_pyfunction!(ioctl, m)?)?;
    m.add_function(wrap_pyfunction!(ioctl_ptr, m)?)?;
    m.add_function(wrap_pyfunction!(possible_cpus, m)?)?;
    m.add_function(wrap_pyfunction!(kernel_symbols, m)?)?;
    Ok(())
}
