//! Bindings of `bpfsmith_sys::ring`: consumers and producers of event streams. Everything that walks over records or waits
//! releases the GIL.
#![allow(
    unsafe_code,
    reason = "PyO3 glue: the buffer protocol is a C interface"
)]
use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bpfsmith_sys::ring::{Lease, PerfRing, Poller, Ring, Slot, Stream, Types, UserRing, WOKEN};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use pyo3::{PyClass, PyClassInitializer};

use crate::buffer::Borrowed;
use crate::sys::os_error;

/// What a closed stream, a forked child or a refusing kernel answers is an `OSError` here: it is no ordinary outcome.
fn failed(errno: i32) -> PyErr {
    os_error(-i64::from(errno))
}

fn value_or_errno<T: PyClass + Into<PyClassInitializer<T>>>(
    py: Python<'_>,
    made: Result<T, i32>,
) -> PyResult<Py<PyAny>> {
    match made {
        Ok(value) => Ok(Py::new(py, value)?.into_any()),
        Err(errno) => Ok((-errno).into_pyobject(py)?.into_any().unbind()),
    }
}

/// (count, end)
fn dense(
    py: Python<'_>,
    stream: &impl StreamSync,
    out: &Bound<'_, PyAny>,
    size: usize,
    most: usize,
) -> PyResult<(usize, u8)> {
    let buffer = Borrowed::new(out, true)?;
    let taken = py
        .detach(|| {
            // SAFETY: borrowed writable above, once.
            stream.take_dense(unsafe { buffer.slice_mut() }, size, most)
        })
        .map_err(failed)?;
    Ok((taken.count, taken.end.code()))
}

trait StreamSync: Stream + Sync {}
impl<T: Stream + Sync> StreamSync for T {}

/// As many bytes are copied in one call at most.
const MOST_BYTES: usize = 1 << 30;

/// A vector of u32 as the bytes numpy and `memoryview.cast("I")` read.
fn words<'py>(py: Python<'py>, numbers: &[u32]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, size_of_val(numbers), |out| {
        for (place, number) in out.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        Ok(())
    })
}

/// (bytes, offsets, lengths, end)
fn mixed<'py>(
    py: Python<'py>,
    stream: &impl StreamSync,
    most: usize,
) -> PyResult<Bound<'py, PyTuple>> {
    let got = py
        .detach(|| stream.take_mixed(most, MOST_BYTES))
        .map_err(failed)?;
    PyTuple::new(
        py,
        [
            PyBytes::new(py, &got.data).into_any(),
            words(py, &got.offsets)?.into_any(),
            words(py, &got.lengths)?.into_any(),
            got.end.code().into_pyobject(py)?.into_any(),
        ],
    )
}

/// ([bytes by type], order, end)
fn sorted<'py>(
    py: Python<'py>,
    stream: &impl StreamSync,
    types: &Types,
    most: usize,
) -> PyResult<Bound<'py, PyTuple>> {
    let got = py
        .detach(|| stream.take_sorted(types, most))
        .map_err(failed)?;
    let data = PyList::new(py, got.data.iter().map(|bytes| PyBytes::new(py, bytes)))?;
    PyTuple::new(
        py,
        [
            data.into_any(),
            PyBytes::new(py, &got.order).into_any(),
            got.end.code().into_pyobject(py)?.into_any(),
        ],
    )
}

fn types(offset: usize, size: usize, values: Vec<(u64, u8)>, sizes: Vec<usize>) -> PyResult<Types> {
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(PyValueError::new_err("a selector has 1, 2, 4 or 8 bytes"));
    }
    if values
        .iter()
        .any(|(_, index)| usize::from(*index) >= sizes.len())
    {
        return Err(PyValueError::new_err("an index beyond the types"));
    }
    Ok(Types {
        offset,
        size,
        values,
        sizes,
    })
}

/// The record, or why there is none.
fn one(py: Python<'_>, stream: &impl StreamSync) -> PyResult<Py<PyAny>> {
    match py.detach(|| stream.take_one()).map_err(failed)? {
        Ok(bytes) => Ok(PyBytes::new(py, &bytes).into_any().unbind()),
        Err(end) => Ok(end.code().into_pyobject(py)?.into_any().unbind()),
    }
}

// ------------------------------------------------------------ ring buffers

#[pyclass(frozen, weakref, module = "bpfsmith._native", name = "Ring")]
#[derive(Debug)]
pub(crate) struct PyRing {
    ring: Arc<Ring>,
}

#[pymethods]
impl PyRing {
    #[staticmethod]
    fn open(py: Python<'_>, fd: i32, size: u64) -> PyResult<Py<PyAny>> {
        let made = py.detach(|| Ring::open(fd, size));
        value_or_errno(
            py,
            made.map(|ring| Self {
                ring: Arc::new(ring),
            }),
        )
    }

    #[getter]
    fn size(&self) -> u64 {
        self.ring.size()
    }

    fn waiting(&self) -> u64 {
        self.ring.waiting()
    }

    fn positions(&self) -> (u64, u64, u64) {
        self.ring.positions()
    }

    #[getter]
    fn discarded(&self) -> u64 {
        self.ring.discarded()
    }

    fn take_into(
        &self,
        py: Python<'_>,
        out: &Bound<'_, PyAny>,
        size: usize,
        most: usize,
    ) -> PyResult<(usize, u8)> {
        dense(py, &*self.ring, out, size, most)
    }

    fn take_mixed<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyTuple>> {
        mixed(py, &*self.ring, most)
    }

    fn take_sorted<'py>(
        &self,
        py: Python<'py>,
        selector: (usize, usize),
        values: Vec<(u64, u8)>,
        sizes: Vec<usize>,
        most: usize,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let types = types(selector.0, selector.1, values, sizes)?;
        sorted(py, &*self.ring, &types, most)
    }

    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        one(py, &*self.ring)
    }

    fn lend(&self, py: Python<'_>, most: usize) -> PyResult<Py<PyAny>> {
        match py.detach(|| self.ring.lend(most)).map_err(failed)? {
            Ok(lease) => Ok(Py::new(py, PyLease::of(lease))?.into_any()),
            Err(end) => Ok(end.code().into_pyobject(py)?.into_any().unbind()),
        }
    }

    fn pause(&self, latency: f64) -> f64 {
        let latency = Duration::try_from_secs_f64(latency).unwrap_or_default();
        self.ring.pause(latency).as_secs_f64()
    }

    fn close(&self) {
        self.ring.close();
    }
}

/// Lent records as a read-only buffer; back with `release()` once no view is left, or with the value.
#[pyclass(frozen, weakref, module = "bpfsmith._native", name = "Lease")]
#[derive(Debug)]
pub(crate) struct PyLease {
    state: Mutex<(Option<Lease>, usize)>,
    #[pyo3(get)]
    count: usize,
    #[pyo3(get)]
    stride: usize,
    #[pyo3(get)]
    length: usize,
}

impl PyLease {
    fn of(lease: Lease) -> Self {
        let run = lease.run();
        Self {
            state: Mutex::new((Some(lease), 0)),
            count: run.count,
            stride: run.stride,
            length: run.length,
        }
    }
}

#[pymethods]
impl PyLease {
    fn release(&self) -> PyResult<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 > 0 {
            let text = format!("{} views of the records live", state.1);
            return Err(PyBufferError::new_err(text));
        }
        state.0 = None;
        Ok(())
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
        let mut state = slf
            .get()
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(lease) = &state.0 else {
            return Err(PyValueError::new_err("the records were released"));
        };
        // SAFETY: Python hands over a view to fill; it takes a reference to this object, which keeps the records lent.
        let refused = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                lease.run().first.cast_mut().cast(),
                lease.bytes() as ffi::Py_ssize_t,
                1,
                flags,
            )
        } != 0;
        if refused {
            return Err(PyErr::fetch(slf.py()));
        }
        state.1 += 1;
        Ok(())
    }

    #[allow(
        clippy::unused_self,
        reason = "the protocol's second argument is what is released"
    )]
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = state.1.saturating_sub(1);
    }
}

// ------------------------------------------------------------ perf buffers

#[pyclass(frozen, weakref, module = "bpfsmith._native", name = "PerfRing")]
#[derive(Debug)]
pub(crate) struct PyPerfRing {
    ring: PerfRing,
}

#[pymethods]
impl PyPerfRing {
    #[staticmethod]
    fn open(py: Python<'_>, fd: i32, size: u64) -> PyResult<Py<PyAny>> {
        let made = py.detach(|| PerfRing::open(fd, size));
        value_or_errno(py, made.map(|ring| Self { ring }))
    }

    #[getter]
    fn size(&self) -> u64 {
        self.ring.size()
    }

    fn waiting(&self) -> u64 {
        self.ring.waiting()
    }

    #[getter]
    fn lost(&self) -> u64 {
        self.ring.lost()
    }

    fn take_into(
        &self,
        py: Python<'_>,
        out: &Bound<'_, PyAny>,
        size: usize,
        most: usize,
    ) -> PyResult<(usize, u8)> {
        dense(py, &self.ring, out, size, most)
    }

    fn take_mixed<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyTuple>> {
        mixed(py, &self.ring, most)
    }

    fn take_sorted<'py>(
        &self,
        py: Python<'py>,
        selector: (usize, usize),
        values: Vec<(u64, u8)>,
        sizes: Vec<usize>,
        most: usize,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let types = types(selector.0, selector.1, values, sizes)?;
        sorted(py, &self.ring, &types, most)
    }

    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        one(py, &self.ring)
    }

    fn close(&self) {
        self.ring.close();
    }
}

// ------------------------------------------------------------ user ring buffers

#[pyclass(frozen, weakref, module = "bpfsmith._native", name = "UserRing")]
#[derive(Debug)]
pub(crate) struct PyUserRing {
    ring: Arc<UserRing>,
}

#[pymethods]
impl PyUserRing {
    #[staticmethod]
    fn open(py: Python<'_>, fd: i32, size: u64) -> PyResult<Py<PyAny>> {
        let made = py.detach(|| UserRing::open(fd, size));
        value_or_errno(
            py,
            made.map(|ring| Self {
                ring: Arc::new(ring),
            }),
        )
    }

    #[getter]
    fn size(&self) -> u64 {
        self.ring.size()
    }

    fn waiting(&self) -> u64 {
        self.ring.waiting()
    }

    fn send(&self, py: Python<'_>, data: &Bound<'_, PyAny>, size: usize) -> PyResult<i64> {
        let buffer = Borrowed::new(data, false)?;
        let sent = py.detach(|| {
            // SAFETY: an exported buffer is neither freed nor resized until released; it is only read.
            let bytes = unsafe { std::slice::from_raw_parts(buffer.address(), buffer.len()) };
            self.ring.send(bytes, size)
        });
        Ok(sent.map_or_else(|errno| -i64::from(errno), |count| count as i64))
    }

    fn reserve(&self, py: Python<'_>, size: u32) -> PyResult<Py<PyAny>> {
        value_or_errno(
            py,
            self.ring.reserve(size).map(|slot| PySlot {
                state: Mutex::new((slot, 0)),
            }),
        )
    }

    fn close(&self) {
        self.ring.close();
    }
}

/// A reserved record as a writable buffer, until it is submitted or discarded.
#[pyclass(frozen, weakref, module = "bpfsmith._native", name = "Slot")]
#[derive(Debug)]
pub(crate) struct PySlot {
    state: Mutex<(Slot, usize)>,
}

impl PySlot {
    fn end(&self, end: impl FnOnce(&mut Slot)) -> PyResult<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 > 0 {
            let text = format!("{} views of the record live", state.1);
            return Err(PyBufferError::new_err(text));
        }
        end(&mut state.0);
        Ok(())
    }
}

#[pymethods]
impl PySlot {
    #[getter]
    fn done(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.done()
    }

    fn submit(&self) -> PyResult<()> {
        self.end(Slot::submit)
    }

    fn discard(&self) -> PyResult<()> {
        self.end(Slot::discard)
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
        let mut state = slf
            .get()
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if state.0.done() {
            return Err(PyValueError::new_err("the record was submitted"));
        }
        let (bytes, len) = state.0.bytes();
        // SAFETY: Python hands over a view to fill; it takes a reference to this object, which keeps the record reserved.
        let refused = unsafe {
            let len = len as ffi::Py_ssize_t;
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), bytes.cast(), len, 0, flags)
        } != 0;
        if refused {
            return Err(PyErr::fetch(slf.py()));
        }
        state.1 += 1;
        Ok(())
    }

    #[allow(
        clippy::unused_self,
        reason = "the protocol's second argument is what is released"
    )]
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = state.1.saturating_sub(1);
    }
}

// ------------------------------------------------------------ waiting

#[pyclass(frozen, weakref, module = "bpfsmith._native", name = "Poller")]
#[derive(Debug)]
pub(crate) struct PyPoller {
    poller: Poller,
}

/// `None` or negative: without end.
fn limit(timeout: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(timeout?).ok()
}

#[pymethods]
impl PyPoller {
    #[staticmethod]
    fn open(py: Python<'_>) -> PyResult<Py<PyAny>> {
        value_or_errno(py, Poller::new().map(|poller| Self { poller }))
    }

    #[pyo3(signature = (fd, key, room = false))]
    fn add(&self, fd: i32, key: u32, room: bool) -> i32 {
        self.poller
            .add(fd, key, room)
            .map_or_else(|errno| -errno, |()| 0)
    }

    fn remove(&self, fd: i32) -> i32 {
        self.poller.remove(fd).map_or_else(|errno| -errno, |()| 0)
    }

    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Vec<u32>>> {
        let end = limit(timeout).and_then(|time| Instant::now().checked_add(time));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            match py.detach(|| self.poller.wait(left)) {
                Ok(keys) if keys.contains(&WOKEN) => return Ok(None),
                Ok(keys) => return Ok(Some(keys)),
                // Python's own handlers run now; what they raise ends the wait.
                Err(libc_eintr) if libc_eintr == EINTR => py.check_signals()?,
                Err(errno) => return Err(failed(errno)),
            }
        }
    }

    fn sleep(&self, py: Python<'_>, time: f64) -> PyResult<bool> {
        let time = Duration::try_from_secs_f64(time).unwrap_or_default();
        match py.detach(|| self.poller.sleep(time)) {
            Ok(woken) => Ok(woken),
            Err(errno) if errno == EINTR => py.check_signals().map(|()| false),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn wake(&self) {
        self.poller.wake();
    }

    fn fileno(&self) -> i32 {
        self.poller.fd()
    }
}

/// The same on every architecture.
const EINTR: i32 = 4;

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyRing>()?;
    m.add_class::<PyLease>()?;
    m.add_class::<PyPerfRing>()?;
    m.add_class::<PyUserRing>()?;
    m.add_class::<PySlot>()?;
    m.add_class::<PyPoller>()
}
