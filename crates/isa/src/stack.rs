//! Stack use per function and per call chain.

/// One maximal chain of calls, from the entry to a function that calls no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Bytes as the kernel counts them: each frame rounded up to 32.
    pub rounded: u32,
    /// Bytes with frames as they are.
    pub unrounded: u32,
    /// Function indices, entry first.
    pub funcs: Vec<usize>,
}
