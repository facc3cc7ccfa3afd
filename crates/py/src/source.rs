//! Bindings of the `source` crate.
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// Facts of one Rust file as compact JSON.
#[pyfunction]
fn rust_facts<'py>(py: Python<'py>, text: &[u8]) -> Bound<'py, PyBytes> {
    let json = py.detach(|| bpfsmith_source::facts_json(text));
    PyBytes::new(py, &json)
}

/// Facts of many Rust files, in order, on `threads` threads (0: all cores).
#[pyfunction]
#[pyo3(signature = (texts, threads = 0))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over extracted arguments by value"
)]
fn rust_facts_many<'py>(
    py: Python<'py>,
    texts: Vec<PyBackedBytes>,
    threads: usize,
) -> Vec<Bound<'py, PyBytes>> {
    let json = py.detach(|| {
        let texts: Vec<&[u8]> = texts.iter().map(AsRef::as_ref).collect();
        bpfsmith_source::facts_json_many(&texts, threads)
    });
    json.iter().map(|json| PyBytes::new(py, json)).collect()
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(rust_facts, m)?)?;
    m.add_function(wrap_pyfunction!(rust_facts_many, m)?)?;
    Ok(())
}
