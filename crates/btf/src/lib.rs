//! BTF: read, write, query, and CO-RE matching.
//!
//! Pure computation over bytes: no files, no kernel. [`Btf`] indexes a BTF in one pass, [`ext::BtfExt`] reads the
//! records beside it, [`core`] relocates instructions against other BTFs by libbpf's rules.
mod btf;
mod bytes;
pub mod core;
mod error;
pub mod ext;
mod find;
mod kind;
mod layout;
mod types;

pub use btf::{Btf, HEADER_LEN, MAGIC, looks_like_btf};
pub use bytes::Bytes;
pub use error::{Error, Result};
pub use kind::Kind;
pub use types::{Array, Enumerator, Int, Member, Param, SectionVar, Type};
