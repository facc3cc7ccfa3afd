//! Bindings of the `btf` crate.
use pyo3::prelude::*;

#[allow(clippy::unnecessary_wraps, reason = "every binding file has the same signature")]
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
