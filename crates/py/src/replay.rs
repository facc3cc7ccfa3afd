//! Plans: replayed, and as one message.
#![allow(unsafe_code, reason = "a plan's commands are the planner's promise")]
use bpfsmith_sys::plan::{self, Blob, PlanError, Step};
use bpfsmith_sys::replay;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::os::fd::IntoRawFd;

use crate::read_error;
use crate::sys::PyFd;

type Places = Vec<(u32, u32)>;
type PyStep = (
    u32,
    PyBackedBytes,
    Vec<(u32, PyBackedBytes, Places)>,
    Places,
    i32,
);

fn raise(error: &PlanError) -> PyErr {
    let place = error
        .step
        .map_or_else(String::new, |step| format!("step {step}"));
    read_error(error.message.clone(), place, "")
}

fn steps_of(steps: Vec<PyStep>) -> Vec<Step<PyBackedBytes>> {
    steps
        .into_iter()
        .map(|(cmd, attr, blobs, slots, out)| Step {
            cmd,
            attr,
            blobs: blobs
                .into_iter()
                .map(|(at, bytes, slots)| Blob { at, bytes, slots })
                .collect(),
            slots,
            out: u32::try_from(out).ok(),
        })
        .collect()
}

type Answer = (
    Vec<Option<Py<PyFd>>>,
    Option<(usize, i32, String)>,
    Vec<(usize, String)>,
);

#[pyfunction]
#[pyo3(name = "replay", signature = (steps, slots, given = Vec::new(), log_level = 0, log_limit = 1 << 30))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over what it converted"
)]
fn replay_(
    py: Python<'_>,
    steps: Vec<PyStep>,
    slots: usize,
    given: Vec<(u32, i32)>,
    log_level: u32,
    log_limit: usize,
) -> PyResult<Answer> {
    let steps = steps_of(steps);
    // SAFETY: the steps own what their attrs point to; lengths are `bpfsmith.run`'s promise.
    let outcome =
        py.detach(|| unsafe { replay::replay(&steps, slots, &given, log_level, log_limit) });
    let outcome = outcome.map_err(|error| raise(&error))?;
    let fds = outcome
        .fds
        .into_iter()
        .map(|fd| {
            fd.map(|fd| Py::new(py, PyFd::owning(fd.into_raw_fd())))
                .transpose()
        })
        .collect::<PyResult<_>>()?;
    let failure = outcome
        .failure
        .map(|failure| (failure.step, failure.errno, failure.log));
    Ok((fds, failure, outcome.logs))
}

type Once<'py> = (
    Option<(usize, i32, String)>,
    Vec<(usize, String)>,
    Vec<(usize, Bound<'py, PyBytes>)>,
);

#[pyfunction]
#[pyo3(signature = (steps, slots, given = Vec::new(), log_level = 0, log_limit = 1 << 30))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over what it converted"
)]
fn replay_once(
    py: Python<'_>,
    steps: Vec<PyStep>,
    slots: usize,
    given: Vec<(u32, i32)>,
    log_level: u32,
    log_limit: usize,
) -> PyResult<Once<'_>> {
    let steps = steps_of(steps);
    // SAFETY: the steps own what their attrs point to; lengths are `bpfsmith.run`'s promise.
    let once =
        py.detach(|| unsafe { replay::replay_once(&steps, slots, &given, log_level, log_limit) });
    let once = once.map_err(|error| raise(&error))?;
    let failure = once
        .failure
        .map(|failure| (failure.step, failure.errno, failure.log));
    let infos = once
        .infos
        .into_iter()
        .map(|(step, info)| (step, PyBytes::new(py, &info)))
        .collect();
    Ok((failure, once.logs, infos))
}

#[pyfunction]
fn encode_plan(py: Python<'_>, steps: Vec<PyStep>, slots: usize) -> Bound<'_, PyBytes> {
    let steps = steps_of(steps);
    PyBytes::new(py, &plan::encode(&steps, slots))
}

type Decoded<'py> = (
    u32,
    Bound<'py, PyBytes>,
    Vec<(u32, Bound<'py, PyBytes>, Places)>,
    Places,
    i32,
);

#[pyfunction]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over what it converted"
)]
fn decode_plan(py: Python<'_>, data: PyBackedBytes) -> PyResult<(Vec<Decoded<'_>>, usize)> {
    let (steps, slots) = plan::decode(&data).map_err(|error| raise(&error))?;
    let steps = steps
        .into_iter()
        .map(|step| {
            let blobs = step
                .blobs
                .into_iter()
                .map(|blob| (blob.at, PyBytes::new(py, blob.bytes), blob.slots))
                .collect();
            let out = step.out.map_or(-1, |slot| slot as i32);
            (
                step.cmd,
                PyBytes::new(py, step.attr),
                blobs,
                step.slots,
                out,
            )
        })
        .collect();
    Ok((steps, slots))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(replay_, m)?)?;
    m.add_function(wrap_pyfunction!(replay_once, m)?)?;
    m.add_function(wrap_pyfunction!(encode_plan, m)?)?;
    m.add_function(wrap_pyfunction!(decode_plan, m)?)?;
    Ok(())
}
