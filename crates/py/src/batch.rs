//! Bindings of `bpfsmith_sys::batch`.
use pyo3::prelude::*;

#[allow(clippy::unnecessary_wraps, reason = "as every part registers itself")]
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
