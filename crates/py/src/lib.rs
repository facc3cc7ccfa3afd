//! `bpfsmith._native`: the Rust core as Python sees it. `src/bpfsmith/_native.pyi` is its documented contract.
use pyo3::prelude::*;

mod btf;
mod isa;
mod object;
mod source;

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    isa::register(m)?;
    btf::register(m)?;
    object::register(m)?;
    source::register(m)?;
    Ok(())
}
