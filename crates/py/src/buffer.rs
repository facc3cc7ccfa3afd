//! Bytes of a Python object, borrowed by the buffer protocol while a system call runs.
#![allow(
    unsafe_code,
    reason = "PyO3 glue: the buffer protocol is a C interface"
)]
use std::mem::MaybeUninit;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// One exported buffer: neither moved nor resized until dropped. Contiguous bytes, whatever their element type.
pub(crate) struct Borrowed {
    // Boxed: some exporters point into the view they filled (`shape = &len`).
    view: Box<ffi::Py_buffer>,
}

// SAFETY: the view is released with the GIL held (`drop` attaches); in between only its address and length are read.
unsafe impl Send for Borrowed {}
// SAFETY: as above.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    /// `BufferError` or `TypeError` when the object has no such bytes.
    pub(crate) fn new(object: &Bound<'_, PyAny>, writable: bool) -> PyResult<Self> {
        let flags = if writable {
            ffi::PyBUF_WRITABLE
        } else {
            ffi::PyBUF_SIMPLE
        };
        let mut view = Box::new(MaybeUninit::<ffi::Py_buffer>::zeroed());
        // SAFETY: a valid object, and room for one view; the GIL is held.
        let failed =
            unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), flags) } != 0;
        if failed {
            return Err(PyErr::fetch(object.py()));
        }
        // SAFETY: the call above filled it.
        let view = unsafe { Box::from_raw(Box::into_raw(view).cast::<ffi::Py_buffer>()) };
        if view.len < 0 {
            return Err(PyBufferError::new_err("a buffer of negative length"));
        }
        Ok(Self { view })
    }

    pub(crate) fn address(&self) -> *mut u8 {
        self.view.buf.cast()
    }

    /// # Safety
    /// Borrowed writable, and by nobody else in Rust.
    #[allow(
        clippy::mut_from_ref,
        reason = "the bytes are Python's, not this value's"
    )]
    pub(crate) unsafe fn slice_mut(&self) -> &mut [u8] {
        if self.view.len <= 0 || self.view.buf.is_null() {
            return &mut [];
        }
        // SAFETY: an exported buffer is neither freed nor resized until released.
        unsafe { std::slice::from_raw_parts_mut(self.address(), self.len()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.view.len as usize
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        Python::attach(|_| {
            // SAFETY: filled by `PyObject_GetBuffer`, released once, with the GIL held.
            unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
        });
    }
}
