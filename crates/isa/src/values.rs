//! What is known of registers: a forward propagation of constants and provenance.

/// What is known of a call's argument on every path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Arg {
    /// Nothing certain.
    #[default]
    Unknown,
    /// This constant.
    Const(i64),
    /// The program's context, plus bytes.
    Ctx(i32),
    /// A map by index (the first half's `imm`).
    Map(i32),
    /// A place in a map's value.
    MapValue(i32, i32),
    /// The function's own stack at this offset from r10, with the constant bytes known to lie there (from the offset up).
    Stack(i32, Vec<u8>),
    /// Address of the program's function with this index.
    Func(usize),
}

/// Arguments of one helper call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallArgs {
    /// Slot of the call.
    pub slot: usize,
    /// Helper id.
    pub helper: i32,
    /// r1..r5.
    pub args: [Arg; 5],
}

/// A constant that can be in R0 at an exit, or `None` when something unknown can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Slot of the `exit`.
    pub slot: usize,
    /// R0.
    pub value: Option<i64>,
}

/// A run of neighbouring single-byte loads whose results are put together or copied byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteCopy {
    /// Slot of the first load.
    pub slot: usize,
    /// Bytes in the run, at least 4.
    pub len: u32,
}

/// Result of the propagation; see [`crate::Program::values`].
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// Arguments at each reachable helper call, by slot.
    pub call_args: Vec<CallArgs>,
    /// Reachable exits of the entry function, one entry per constant that reaches it, by slot then value.
    pub exits: Vec<Exit>,
    /// Byte-by-byte copies in reachable code, by slot.
    pub byte_copies: Vec<ByteCopy>,
}
