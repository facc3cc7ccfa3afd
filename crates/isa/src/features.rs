//! Which parts of the instruction set a program needs.

/// A part of the instruction set or of the program model that came with some kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// 32-bit arithmetic.
    Alu32,
}

impl Feature {
    /// The word used in facts and messages, e.g. `jmp32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alu32 => "alu32",
        }
    }
}
