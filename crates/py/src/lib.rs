//! `bpfsmith._native`: the Rust core as Python sees it. `src/bpfsmith/_native.pyi` is its documented contract.
use pyo3::{create_exception, exceptions::PyValueError, prelude::*};

mod analysis;
mod batch;
mod btf;
mod buffer;
mod file;
mod image;
mod isa;
mod mapping;
mod object;
mod program;
mod replay;
mod ring;
mod source;
mod sys;
mod types;
mod unpack;
mod vlog;

create_exception!(
    bpfsmith._native,
    ReadError,
    PyValueError,
    "Malformed input: `args == (message, where, hint)`."
);

/// The one error this module raises for malformed input: what, where, next step (the last two may be empty).
pub(crate) fn read_error(
    message: impl Into<String>,
    place: impl Into<String>,
    hint: impl Into<String>,
) -> PyErr {
    ReadError::new_err((message.into(), place.into(), hint.into()))
}

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("ReadError", m.py().get_type::<ReadError>())?;
    isa::register(m)?;
    btf::register(m)?;
    object::register(m)?;
    image::register(m)?;
    source::register(m)?;
    sys::register(m)?;
    mapping::register(m)?;
    replay::register(m)?;
    ring::register(m)?;
    batch::register(m)?;
    unpack::register(m)?;
    vlog::register(m)?;
    Ok(())
}
