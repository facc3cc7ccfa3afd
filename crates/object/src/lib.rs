//! eBPF ELF objects: programs, maps, globals, and instructions linked as libbpf links them.
//!
//! [`Object::parse`] reads one relocatable eBPF ELF file; it touches no file, kernel or clock and never panics.
//! Everything it hands out is owned data that refers to other parts by index, so that it is easy to bind:
//! share an `Arc<Object>` and pass indices around. [`Object::link`] lays a program out on first use and keeps it;
//! [`Object::against`] answers once per kernel what all programs ask of it.

mod datasec;
mod dwarf;
mod elf;
mod error;
mod ext;
mod externs;
mod functions;
mod image;
mod kernel;
mod kernel_btf;
mod link;
mod linked;
mod maps;
mod model;
mod notes;
mod object;
mod relocs;
mod sections;
mod variables;

pub use dwarf::{Frame, Inlined};
pub use error::{Error, Result};
pub use image::{FUNC_INFO, Image, InsnArray, LINE_INFO};
pub use kernel::Against;
pub use linked::{CoreSlot, Line, Linked, LinkedFunction, SlotRef, Target};
pub use model::{Extern, ExternKind, Function, Global, Map, Note, Origin, Program};
pub use object::Object;
pub use variables::{Kept, Place, Variable};
