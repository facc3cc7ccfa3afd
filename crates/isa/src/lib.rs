//! eBPF instructions: decode, encode, disassemble, assemble, and what follows from them.
//!
//! * [`Insn`], [`Endian`]: one slot; every field survives, legal or not. [`decode_all`], [`encode_all`].
//! * [`disasm`]: text as the verifier's log and as `llvm-objdump` print it. [`asm`]: the former read back.
//! * [`Cfg`]: blocks, edges, dominators and loops of one function of a linked program.
//! * [`Program`]: a linked program with its functions as slot ranges: calls, call graph, stack depth, features;
//!   [`Program::values`] adds what is known of call arguments and return values.
//!
//! Nothing here recurses or panics, and every analysis is close to linear in the number of slots, whatever the input.

pub mod asm;
mod cfg;
pub mod disasm;
pub mod features;
mod insn;
mod loops;
pub mod op;
mod program;
pub mod stack;
mod values;

pub use cfg::{Cfg, Edge, EdgeKind, JumpTable};
pub use features::Feature;
pub use insn::{Endian, Insn, decode_all, encode_all};
pub use loops::{Loop, Loops};
pub use program::{Call, CallKind, MapUse, MapUseKind, Program};
pub use stack::Chain;
pub use values::{Arg, ByteCopy, CallArgs, Exit, Values};
