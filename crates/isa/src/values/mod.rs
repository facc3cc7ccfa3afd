//! What is known of registers: a forward propagation of constants and of where pointers come from.
//!
//! One pass to a fixpoint over all functions together: arguments flow into called functions and return values back.
//! What two paths disagree about is unknown, except small sets of constants. Spills to the stack are followed; a call
//! that gets a stack address forgets what lies there and above, unless the helper only reads. Conditions are used where
//! they say that a register equals a constant; no branch is taken for dead.
//!
//! Time is bounded: when a program needs more than a fixed multiple of its length, everything is unknown
//! ([`Values::complete`] is false).

mod bytes;
mod flow;
mod state;
mod step;

pub(crate) use flow::{compute, reached};

/// What is known of a call's argument on every path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Arg {
    /// Nothing certain.
    #[default]
    Unknown,
    /// This constant, as the 64-bit register holds it.
    Const(i64),
    /// The program's context, plus bytes.
    Ctx(i32),
    /// A map by index (the first half's `imm`).
    Map(i32),
    /// A place in a map's value: map index and offset.
    MapValue(i32, i32),
    /// The function's own stack at this offset from r10 (negative), with the constant bytes known to lie there, from
    /// the offset up to the first unknown one (at most 64).
    Stack(i32, Vec<u8>),
    /// Address of the program's function with this index.
    Func(usize),
}

/// Arguments of one call of a helper or kfunc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallArgs {
    /// Slot of the call.
    pub slot: usize,
    /// Helper id, or `None` for a kfunc.
    pub helper: Option<i32>,
    /// r1..r5. What a helper takes fewer arguments leaves in the other registers is listed too.
    pub args: [Arg; 5],
}

/// A constant that can be in R0 at an exit, or `None` when something unknown can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exit {
    /// Slot of the `exit`.
    pub slot: usize,
    /// R0 as the 64-bit register holds it: `w0 = -1` is 4294967295.
    pub value: Option<i64>,
}

/// A run of neighbouring single-byte loads whose results are put together or copied byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCopy {
    /// Slot of the first load.
    pub slot: usize,
    /// Bytes in the run, at least 4.
    pub len: u32,
}

/// Result of the propagation; see [`crate::Program::values`].
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// Arguments at each reachable call of a helper or kfunc, by slot.
    pub call_args: Vec<CallArgs>,
    /// Reachable exits of the entry function: one entry per constant that reaches it, by slot then value; a single one
    /// with `None` where anything else can reach it.
    pub exits: Vec<Exit>,
    /// Byte-by-byte copies in reachable code, by slot.
    pub byte_copies: Vec<ByteCopy>,
    /// Stack depth of each function in bytes, unrounded: the deepest byte below r10 that is loaded, stored or whose
    /// address is passed to a call or stored. Addresses with an unknown part count by their constant part.
    pub stack: Vec<u32>,
    /// False when the time bound cut the propagation short; then arguments and exits are unknown, and `stack` counts
    /// only direct accesses through r10.
    pub complete: bool,
}

impl Values {
    /// Functions given to `bpf_timer_set_callback`, which the kernel runs on a stack of their own, ascending.
    /// Kfuncs that take asynchronous callbacks are known by name only: look through `call_args`.
    #[must_use]
    pub fn timer_callbacks(&self) -> Vec<usize> {
        const TIMER_SET_CALLBACK: i32 = 170;
        let timers = self
            .call_args
            .iter()
            .filter(|call| call.helper == Some(TIMER_SET_CALLBACK));
        let mut found: Vec<usize> = timers
            .flat_map(|call| &call.args)
            .filter_map(|arg| {
                if let Arg::Func(f) = arg {
                    Some(*f)
                } else {
                    None
                }
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}
