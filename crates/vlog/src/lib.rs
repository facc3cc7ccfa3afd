//! A reader of verifier logs: what any kernel from 4.19 on prints, in whatever a loader, a terminal or an issue wraps it.
//!
//! [`Reader`] takes the bytes as they come; [`Paste`] is what was in them: one [`Load`] or several. A load has the
//! instructions that were seen, the steps in the order they were followed with the path each belongs to, and the lines
//! that say more. States are worked out when asked for. Nothing here panics, and memory is bounded whatever comes in.

mod clean;
mod escapes;
mod finish;
mod folded;
pub mod insn;
pub mod lines;
mod log;
mod path;
mod reader;
mod report;
mod scan;
mod state;
mod tokens;
pub mod value;
mod words;

pub use finish::printed;
pub use insn::{Callee, InsnKind, LogInsn};
pub use lines::Kind;
pub use log::{How, Line, Load, NONE, Paste, Step, Subprogram, Text, Verdict, source};
pub use reader::{Reader, read};
pub use report::Report;
pub use state::{Fact, Frame, Slot, State, slot_kind, slot_parts};
pub use tokens::{Token, tokens};
pub use value::Value;
