//! The native half of the kernel door: what a measurement shows Python cannot do in time, and what needs raw pointers.
//!
//! Nothing here knows what a command means: `bpfsmith.kernel` (Python) encodes attributes and explains errors. Calls answer
//! the kernel's value or `-errno`.
#![allow(
    unsafe_code,
    reason = "system calls and mapped memory; every block says why it is sound"
)]

pub mod batch;
pub mod call;
pub mod mapping;
mod pages;
pub mod plan;
pub mod procfs;
pub mod replay;
pub mod ring;
mod together;
