//! Bindings of `bpfsmith_sys::batch`: whole maps as buffers that numpy takes without a copy.
#![allow(
    unsafe_code,
    reason = "PyO3 glue: the buffer protocol is a C interface"
)]
use std::ffi::c_int;
use std::mem::ManuallyDrop;

use bpfsmith_sys::batch::{self, Column, Done, Dump, Layout};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::buffer::Borrowed;

/// Rows a dump read, as one writable buffer: the parts of a vector that nothing in Rust reads again.
#[pyclass(frozen, module = "bpfsmith._native", name = "Rows")]
#[derive(Debug)]
pub(crate) struct PyRows {
    start: *mut u8,
    len: usize,
    capacity: usize,
}

// SAFETY: the bytes are only freed here; whoever writes them does so through views, with Python's rules.
unsafe impl Send for PyRows {}
// SAFETY: as above.
unsafe impl Sync for PyRows {}

impl From<Vec<u8>> for PyRows {
    fn from(data: Vec<u8>) -> Self {
        let mut data = ManuallyDrop::new(data);
        Self {
            start: data.as_mut_ptr(),
            len: data.len(),
            capacity: data.capacity(),
        }
    }
}

impl Drop for PyRows {
    fn drop(&mut self) {
        // SAFETY: the parts of the vector taken apart in `from`; every view holds a reference to this object.
        drop(unsafe { Vec::from_raw_parts(self.start, self.len, self.capacity) });
    }
}

#[pymethods]
impl PyRows {
    fn __len__(&self) -> usize {
        self.len
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
        let rows = slf.get();
        let len = ffi::Py_ssize_t::try_from(rows.len)
            .map_err(|_| PyBufferError::new_err("too long for a view"))?;
        // SAFETY: Python hands over a view to fill and keeps a reference to this object; the bytes neither move nor are
        // read by Rust again, so Python code may write to them.
        let failed =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), rows.start.cast(), len, 0, flags) }
                != 0;
        if failed {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

#[pyfunction]
fn map_read<'py>(
    py: Python<'py>,
    fd: i32,
    key: &[u8],
    size: usize,
    flags: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let mut small = [0u8; 512];
    let mut large = Vec::new();
    let room = if let Some(room) = small.get_mut(..size) {
        room
    } else {
        large.resize(size, 0);
        large.as_mut_slice()
    };
    match py.detach(|| batch::read(fd, key, room, flags)) {
        0 => Ok(PyBytes::new(py, room).into_any()),
        errno => Ok((-errno).into_pyobject(py)?.into_any()),
    }
}

#[pyfunction]
fn map_write(py: Python<'_>, fd: i32, key: &[u8], value: &[u8], flags: u64) -> i32 {
    -py.detach(|| batch::write(fd, key, value, flags))
}

fn layout(sizes: (usize, usize, usize, usize)) -> PyResult<Layout> {
    let (key, value, row, value_at) = sizes;
    let layout = Layout {
        key,
        value,
        row,
        value_at,
    };
    if layout.valid() {
        Ok(layout)
    } else {
        Err(PyValueError::new_err("key and value do not fit the row"))
    }
}

type Dumped = (PyRows, i32, u64, u64);

fn dumped(dump: Dump) -> Dumped {
    let Dump {
        data,
        errno,
        calls,
        repeated,
    } = dump;
    (PyRows::from(data), errno, calls, repeated)
}

#[pyfunction]
#[pyo3(signature = (fd, sizes, command = 24, flags = 0, chunk = 0, most = 0, unique = false))]
#[allow(clippy::too_many_arguments, reason = "one call per dump")]
fn map_dump(
    py: Python<'_>,
    fd: i32,
    sizes: (usize, usize, usize, usize),
    command: u32,
    flags: u64,
    chunk: usize,
    most: usize,
    unique: bool,
) -> PyResult<Dumped> {
    let layout = layout(sizes)?;
    if !matches!(command, 24 | 25) || chunk > 1 << 24 {
        return Err(PyValueError::new_err("no command that reads batches"));
    }
    Ok(dumped(py.detach(|| {
        batch::dump(fd, command, layout, flags, chunk, most, unique)
    })))
}

#[pyfunction]
#[pyo3(signature = (fd, sizes, flags = 0, most = 0))]
fn map_dump_each(
    py: Python<'_>,
    fd: i32,
    sizes: (usize, usize, usize, usize),
    flags: u64,
    most: usize,
) -> PyResult<Dumped> {
    let layout = layout(sizes)?;
    Ok(dumped(
        py.detach(|| batch::dump_each(fd, layout, flags, most)),
    ))
}

/// (object, offset of the first item, size of an item, bytes from one to the next).
type Items<'py> = (Bound<'py, PyAny>, usize, usize, usize);

fn borrow(items: &Items<'_>, count: usize) -> PyResult<(Borrowed, usize, usize, usize)> {
    let (object, offset, size, stride) = items;
    let held = Borrowed::new(object, false)?;
    let column = Column {
        data: bytes(&held, *offset),
        size: *size,
        stride: *stride,
    };
    if *size == 0 || *stride == 0 || !column.holds(count) {
        return Err(PyValueError::new_err("the buffer is too short"));
    }
    Ok((held, *offset, *size, *stride))
}

fn bytes(held: &Borrowed, offset: usize) -> &[u8] {
    if held.len() == 0 || held.address().is_null() {
        return &[];
    }
    // SAFETY: an exported buffer is neither freed nor resized until released; Python code that writes to it meanwhile
    // changes which bytes are stored, as it does for any system call.
    let all = unsafe { std::slice::from_raw_parts(held.address(), held.len()) };
    all.get(offset..).unwrap_or_default()
}

fn column(held: &(Borrowed, usize, usize, usize)) -> Column<'_> {
    let (held, offset, size, stride) = held;
    Column {
        data: bytes(held, *offset),
        size: *size,
        stride: *stride,
    }
}

fn done(out: Done) -> (usize, usize, i32, u64) {
    (out.done, out.missing, out.errno, out.calls)
}

#[pyfunction]
#[pyo3(signature = (fd, keys, values, count, flags = 0, batch = true))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "tuples are taken apart by PyO3"
)]
fn map_update(
    py: Python<'_>,
    fd: i32,
    keys: Items<'_>,
    values: Items<'_>,
    count: usize,
    flags: u64,
    batch: bool,
) -> PyResult<(usize, usize, i32, u64)> {
    let keys = borrow(&keys, count)?;
    let values = borrow(&values, count)?;
    Ok(done(py.detach(|| {
        if batch {
            batch::update(fd, column(&keys), column(&values), count, flags)
        } else {
            batch::update_each(fd, column(&keys), column(&values), count, flags)
        }
    })))
}

#[pyfunction]
#[pyo3(signature = (fd, keys, count, batch = true))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "tuples are taken apart by PyO3"
)]
fn map_delete(
    py: Python<'_>,
    fd: i32,
    keys: Items<'_>,
    count: usize,
    batch: bool,
) -> PyResult<(usize, usize, i32, u64)> {
    let keys = borrow(&keys, count)?;
    Ok(done(
        py.detach(|| batch::delete(fd, column(&keys), count, batch)),
    ))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyRows>()?;
    m.add_function(wrap_pyfunction!(map_read, m)?)?;
    m.add_function(wrap_pyfunction!(map_write, m)?)?;
    m.add_function(wrap_pyfunction!(map_dump, m)?)?;
    m.add_function(wrap_pyfunction!(map_dump_each, m)?)?;
    m.add_function(wrap_pyfunction!(map_update, m)?)?;
    m.add_function(wrap_pyfunction!(map_delete, m)?)?;
    Ok(())
}
