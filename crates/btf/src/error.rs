//! The one error of this crate: what is wrong, and where in the bytes or types.
use std::fmt;

/// A malformed BTF, `.BTF.ext` or CO-RE record. Both texts are lower case and complete on their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
    location: String,
}

impl Error {
    pub fn new(message: impl Into<String>, location: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            location: location.into(),
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where: a section with its offset, or a type id. May be empty.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.location.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.location, self.message)
        }
    }
}

impl std::error::Error for Error {}

pub type Result<T, E = Error> = std::result::Result<T, E>;
