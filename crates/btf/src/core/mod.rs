//! CO-RE: relocating instructions against the types of another kernel, by libbpf's rules.
//!
//! A record says: "this instruction holds the offset (or size, or existence...) of `task_struct.pid` as I knew it".
//! [`Resolver::resolve`] finds what the same words mean in the target kernel, [`patch`] writes that into the
//! instruction, or poisons it as libbpf does. Behaviour follows libbpf 1.7 (`relo_core.c`), errors included: what
//! makes libbpf refuse an object is an `Err` here.
mod calc;
mod compat;
mod matcher;
mod patch;
mod resolve;
mod spec;

pub use calc::Value;
pub use compat::types_compatible;
pub use patch::{POISON, Patched, patch};
pub use resolve::{Mismatch, Resolution, Resolver, Target, resolve};
pub use spec::{Accessor, Spec};

/// What a CO-RE relocation asks for. Numbers are those of `enum bpf_core_relo_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReloKind {
    FieldByteOffset = 0,
    FieldByteSize,
    FieldExists,
    FieldSigned,
    FieldLshiftU64,
    FieldRshiftU64,
    TypeIdLocal,
    TypeIdTarget,
    TypeExists,
    TypeSize,
    EnumvalExists,
    EnumvalValue,
    TypeMatches,
}

impl ReloKind {
    const ALL: [Self; 13] = [
        Self::FieldByteOffset,
        Self::FieldByteSize,
        Self::FieldExists,
        Self::FieldSigned,
        Self::FieldLshiftU64,
        Self::FieldRshiftU64,
        Self::TypeIdLocal,
        Self::TypeIdTarget,
        Self::TypeExists,
        Self::TypeSize,
        Self::EnumvalExists,
        Self::EnumvalValue,
        Self::TypeMatches,
    ];

    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// libbpf's word, as in its log: `byte_off`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::FieldByteOffset => "byte_off",
            Self::FieldByteSize => "byte_sz",
            Self::FieldExists => "field_exists",
            Self::FieldSigned => "signed",
            Self::FieldLshiftU64 => "lshift_u64",
            Self::FieldRshiftU64 => "rshift_u64",
            Self::TypeIdLocal => "local_type_id",
            Self::TypeIdTarget => "target_type_id",
            Self::TypeExists => "type_exists",
            Self::TypeSize => "type_size",
            Self::EnumvalExists => "enumval_exists",
            Self::EnumvalValue => "enumval_value",
            Self::TypeMatches => "type_matches",
        }
    }

    #[must_use]
    pub fn is_field(self) -> bool {
        (self as u8) <= Self::FieldRshiftU64 as u8
    }

    #[must_use]
    pub fn is_enumval(self) -> bool {
        matches!(self, Self::EnumvalExists | Self::EnumvalValue)
    }

    #[must_use]
    pub fn is_type(self) -> bool {
        !self.is_field() && !self.is_enumval()
    }
}

/// A name without its flavour: `task_struct___v2` is `task_struct`. The last `___` between other characters cuts.
#[must_use]
pub fn essential_name(name: &[u8]) -> &[u8] {
    let sep =
        |window: &[u8]| matches!(window, [a, b'_', b'_', b'_', z] if *a != b'_' && *z != b'_');
    match name.windows(5).rposition(sep) {
        Some(at) => name.get(..=at).unwrap_or(name),
        None => name,
    }
}

/// A bound on the work for one hostile BTF: nested anonymous members and prototypes can multiply without end.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
}

impl Budget {
    /// Steps for one relocation: the largest legitimate ones (`type_matches` on all of `task_struct`) take a
    /// twentieth of it.
    pub(crate) const PER_RELOCATION: u32 = 1 << 22;

    pub(crate) fn new(steps: u32) -> Self {
        Self { left: steps }
    }

    #[inline]
    pub(crate) fn spend(&mut self, steps: u32) -> crate::Result<()> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(crate::Error::new(
                "the types to compare are nested too widely",
                "CO-RE relocation",
            )),
        }
    }

    pub(crate) fn left(&self) -> u32 {
        self.left
    }
}
