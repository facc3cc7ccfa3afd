//! What can be wrong with an object, as one sentence plus the place.

use std::fmt;

/// A refusal to read or link an object.
///
/// `message` says what (lower case, no full stop), `place` says where (`section .maps`, `offset 0x40`, may be
/// empty), `hint` the next step (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub message: String,
    /// Where: a section, symbol, program or offset.
    pub place: String,
    /// What the reader can do about it.
    pub hint: String,
}

impl Error {
    /// An error without a hint.
    #[must_use]
    pub fn new(message: impl Into<String>, place: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: place.into(),
            hint: String::new(),
        }
    }

    /// The same error with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.place.is_empty() {
            write!(f, " ({})", self.place)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;
