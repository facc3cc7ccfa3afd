//! How bytes become hostile.
mod btf;
mod bytes;
mod code;
mod elf;
mod text;

pub use btf::{btf, types};
pub use bytes::bytes;
pub use code::{code, slots};
pub use elf::{elf, section};
pub use text::text;
