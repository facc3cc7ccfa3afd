//! BTF: read, write, query, and CO-RE matching.
//!
//! Pure computation over bytes: no files, no kernel. [`Btf`] indexes a BTF in one pass, [`ext::BtfExt`] reads the
//! records beside it, [`core`] relocates instructions against other BTFs by libbpf's rules.
mod btf;
mod bytes;
mod c;
pub mod core;
mod draft;
mod dump;
mod elf;
mod error;
pub mod ext;
mod find;
mod kind;
mod lacking;
mod layout;
mod mend;
mod path;
mod types;
mod write;

pub use btf::{Btf, HEADER_LEN, MAGIC, looks_like_btf};
pub use bytes::Bytes;
pub use draft::Draft;
pub use elf::looks_like_elf;
pub use error::{Error, Result};
pub use kind::Kind;
pub use lacking::Lacking;
pub use mend::mend;
pub use path::Place;
pub use types::{Array, Enumerator, Int, Member, Param, SectionVar, Type};
pub use write::{Body, Builder, Def};
