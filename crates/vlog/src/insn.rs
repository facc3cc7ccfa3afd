//! An instruction, read back from the words of a log: `(bf) r6 = r1`.
//!
//! Long because it is one grammar: a function for each class of instruction, in the order of their codes, sharing the
//! words of registers, types and memory.
use bpfsmith_isa::Insn;
use bpfsmith_isa::op::{alu, atomic, class, jmp, mode, pseudo};

use crate::scan::Scan;

/// What an instruction does, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsnKind {
    Alu,
    Mov,
    Load,
    Store,
    Atomic,
    Imm64,
    Jump,
    Branch,
    Call,
    Exit,
    Other,
}

impl InsnKind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alu => "alu",
            Self::Mov => "mov",
            Self::Load => "load",
            Self::Store => "store",
            Self::Atomic => "atomic",
            Self::Imm64 => "imm64",
            Self::Jump => "jump",
            Self::Branch => "branch",
            Self::Call => "call",
            Self::Exit => "exit",
            Self::Other => "other",
        }
    }
}

/// What a call calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    Helper,
    Kfunc,
    Subprogram,
}

impl Callee {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Helper => "helper",
            Self::Kfunc => "kfunc",
            Self::Subprogram => "subprogram",
        }
    }
}

/// One instruction of a log. `text` is what stood behind its number.
#[derive(Clone, Debug)]
pub struct LogInsn {
    pub slot: u32,
    pub text: String,
    /// As it would stand in the program; `imm` holds the low half of an `ld_imm64`.
    pub insn: Insn,
    /// The 64 bits of an `ld_imm64`, else `insn.imm`.
    pub imm: i64,
    pub kind: InsnKind,
    pub target: Option<u32>,
    pub call: Option<String>,
    pub callee: Option<Callee>,
    pub op: String,
    pub uses_imm: bool,
    pub width: u8,
    /// All of it was read, and the opcode byte agrees with the text.
    pub exact: bool,
}

impl LogInsn {
    /// The slot behind it.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.slot
            .saturating_add(if self.kind == InsnKind::Imm64 { 2 } else { 1 })
    }

    /// Registers it needs; those of a call are not in its text.
    #[must_use]
    pub fn reads(&self) -> Vec<u8> {
        let (dst, src) = (self.insn.dst, self.insn.src);
        let mut out = match self.kind {
            InsnKind::Mov if self.uses_imm => Vec::new(),
            InsnKind::Mov => vec![src],
            InsnKind::Alu | InsnKind::Branch if self.uses_imm => vec![dst],
            InsnKind::Alu | InsnKind::Branch | InsnKind::Store if !self.uses_imm => vec![dst, src],
            InsnKind::Store => vec![dst],
            InsnKind::Load if self.insn.class() == class::LD => {
                if self.insn.mode() == mode::IND {
                    vec![6, src]
                } else {
                    vec![6]
                }
            }
            InsnKind::Load => vec![src],
            InsnKind::Atomic if self.insn.imm == atomic::CMPXCHG => vec![dst, src, 0],
            InsnKind::Atomic if self.insn.imm == atomic::LOAD_ACQ => vec![src],
            InsnKind::Atomic => vec![dst, src],
            InsnKind::Exit => vec![0],
            InsnKind::Jump if self.op == "gotox" => vec![dst],
            _ => Vec::new(),
        };
        out.dedup();
        out
    }

    /// Registers it overwrites or, for calls, makes unusable.
    #[must_use]
    pub fn writes(&self) -> Vec<u8> {
        match self.kind {
            InsnKind::Alu | InsnKind::Mov | InsnKind::Imm64 => vec![self.insn.dst],
            InsnKind::Load if self.insn.class() == class::LD => (0..=5).collect(),
            InsnKind::Load => vec![self.insn.dst],
            InsnKind::Atomic => match self.insn.imm {
                atomic::CMPXCHG => vec![0],
                atomic::LOAD_ACQ => vec![self.insn.dst],
                atomic::STORE_REL => Vec::new(),
                imm if imm & atomic::FETCH != 0 => vec![self.insn.src],
                _ => Vec::new(),
            },
            InsnKind::Call => (0..=5).collect(),
            _ => Vec::new(),
        }
    }

    fn new(slot: u32, code: u8) -> Self {
        let insn = Insn {
            code,
            ..Insn::default()
        };
        Self {
            slot,
            text: String::new(),
            insn,
            imm: 0,
            kind: InsnKind::Other,
            target: None,
            call: None,
            callee: None,
            op: String::new(),
            uses_imm: false,
            width: 0,
            exact: false,
        }
    }

    fn set_imm(&mut self, value: i64) {
        self.imm = value;
        self.insn.imm = value as i32;
    }

    fn relative(&self, offset: i64) -> Option<u32> {
        let at = i64::from(self.slot).checked_add(offset)?.checked_add(1)?;
        u32::try_from(at).ok()
    }
}

/// Reads `(bf) r6 = r1` and says how many bytes it took; None when it is no instruction at all.
#[must_use]
pub fn read(slot: u32, text: &str) -> Option<(LogInsn, usize)> {
    let mut scan = Scan::new(text);
    if !scan.lit("(") {
        return None;
    }
    let code = scan.hex_byte()?;
    if !scan.lit(")") {
        return None;
    }
    let mut made = LogInsn::new(slot, code);
    scan.blanks();
    let start = scan.at();
    let known = match made.insn.class() {
        class::ALU | class::ALU64 => read_alu(&mut made, &mut scan),
        class::LDX => read_load(&mut made, &mut scan),
        class::ST => read_store_imm(&mut made, &mut scan),
        class::STX => read_stx(&mut made, &mut scan),
        class::LD => read_ld(&mut made, &mut scan),
        _ => read_jump(&mut made, &mut scan),
    };
    made.exact = known.is_some();
    if !made.exact {
        // What is not understood ends where a state, or the line does.
        scan.back(start);
        let rest = scan.rest();
        let end = rest
            .find("  ;")
            .or_else(|| rest.find("\t"))
            .unwrap_or(rest.len());
        scan.skip(rest.get(..end).unwrap_or(rest).trim_end().len());
        if made.kind == InsnKind::Other {
            made.kind = coarse(made.insn);
        }
    }
    let used = scan.at();
    made.text = text.get(..used)?.trim_end().to_owned();
    Some((made, used))
}

/// By the opcode alone.
fn coarse(insn: Insn) -> InsnKind {
    match insn.class() {
        class::ALU | class::ALU64 => InsnKind::Alu,
        class::LDX => InsnKind::Load,
        class::ST | class::STX => InsnKind::Store,
        class::LD if insn.code == 0x18 => InsnKind::Imm64,
        class::LD => InsnKind::Load,
        _ if insn.op() == jmp::CALL => InsnKind::Call,
        _ if insn.op() == jmp::EXIT => InsnKind::Exit,
        _ if insn.op() == jmp::JA => InsnKind::Jump,
        _ => InsnKind::Branch,
    }
}

/// `r3` or `w3`; whether it is `w`.
fn register(scan: &mut Scan<'_>) -> Option<(u8, bool)> {
    let narrow = if scan.lit("r") {
        false
    } else if scan.lit("w") {
        true
    } else {
        return None;
    };
    let number = scan.number()?;
    u8::try_from(number)
        .ok()
        .filter(|n| *n <= 15)
        .map(|n| (n, narrow))
}

fn read_alu(made: &mut LogInsn, scan: &mut Scan<'_>) -> Option<()> {
    let wide = made.insn.class() == class::ALU64;
    made.width = if wide { 8 } else { 4 };
    let (dst, narrow) = register(scan)?;
    made.insn.dst = dst;
    let op = made.insn.op();
    made.kind = if op == alu::MOV {
        InsnKind::Mov
    } else {
        InsnKind::Alu
    };
    scan.blanks();
    let word = scan.until_blank();
    made.op = word.to_owned();
    scan.blanks();
    match op {
        alu::NEG => {
            "-".clone_into(&mut made.op);
            made.uses_imm = true;
            if word != "=" || !scan.lit("-") {
                return None;
            }
            return (register(scan)? == (dst, narrow)).then_some(());
        }
        alu::END => {
            let order = ["be", "le", "bswap"]
                .into_iter()
                .find(|one| scan.lit(one))?;
            order.clone_into(&mut made.op);
            made.uses_imm = true;
            let bits = scan.number()?;
            made.set_imm(i64::try_from(bits).ok()?);
            scan.blanks();
            made.width = match bits {
                16 => 2,
                32 => 4,
                _ => 8,
            };
            return (register(scan)?.0 == dst).then_some(());
        }
        _ => {}
    }
    if wide == narrow {
        return None;
    }
    let sign = match word {
        "s/=" | "s%=" => 1,
        _ => 0,
    };
    made.insn.off = sign;
    if bpfsmith_isa::disasm::alu_operator(made.insn.code) != Some(word.trim_start_matches('s'))
        && bpfsmith_isa::disasm::alu_operator(made.insn.code) != Some(word)
    {
        return None;
    }
    if !made.insn.is_reg() {
        made.uses_imm = true;
        let value = scan.signed()?;
        made.set_imm(value);
        return Some(());
    }
    if op == alu::MOV {
        if scan.lit("addr_space_cast(") {
            made.insn.src = register(scan)?.0;
            let mut parts = [0i64; 2];
            for part in &mut parts {
                if !scan.lit(", ") {
                    return None;
                }
                *part = scan.signed()?;
            }
            made.insn.off = 1;
            let [from, to] = parts;
            made.set_imm(i64::from(
                ((from as u32) << 16 | (to as u32 & 0xffff)) as i32,
            ));
            made.kind = InsnKind::Alu;
            "cast".clone_into(&mut made.op);
            return scan.lit(")").then_some(());
        }
        if scan.lit("&(void __percpu *)(") {
            made.insn.src = register(scan)?.0;
            made.insn.off = -1;
            made.kind = InsnKind::Alu;
            "percpu".clone_into(&mut made.op);
            return scan.lit(")").then_some(());
        }
        for (text, bits) in [("(s8)", 8), ("(s16)", 16), ("(s32)", 32)] {
            if scan.lit(text) {
                made.insn.off = bits;
                made.kind = InsnKind::Alu;
                made.op = text.to_owned();
            }
        }
    }
    made.insn.src = register(scan)?.0;
    Some(())
}

/// `*(u8 *)(r1 +4)`: (width, signed, register, offset).
fn memory(scan: &mut Scan<'_>) -> Option<(u8, bool, u8, i16)> {
    if !scan.lit("*(") {
        return None;
    }
    let (width, sign) = type_word(scan)?;
    if !scan.lit(" *)(") {
        return None;
    }
    let (reg, off) = base(scan)?;
    scan.lit(")").then_some((width, sign, reg, off))
}

fn type_word(scan: &mut Scan<'_>) -> Option<(u8, bool)> {
    let sign = if scan.lit("u") {
        false
    } else if scan.lit("s") {
        true
    } else {
        return None;
    };
    match scan.number()? {
        8 => Some((1, sign)),
        16 => Some((2, sign)),
        32 => Some((4, sign)),
        64 => Some((8, sign)),
        _ => None,
    }
}

/// `r1 +4`.
fn base(scan: &mut Scan<'_>) -> Option<(u8, i16)> {
    let (reg, _) = register(scan)?;
    scan.blanks();
    let off = scan.signed()?;
    Some((reg, i16::try_from(off).ok()?))
}

fn read_load(made: &mut LogInsn, scan: &mut Scan<'_>) -> Option<()> {
    made.kind = InsnKind::Load;
    let (dst, _) = register(scan)?;
    made.insn.dst = dst;
    if !scan.lit(" = ") {
        return None;
    }
    let (width, sign, src, off) = memory(scan)?;
    (made.insn.src, made.insn.off, made.width) = (src, off, width);
    "=".clone_into(&mut made.op);
    let signed = made.insn.mode() == mode::MEMSX;
    (width == made.insn.width() as u8 && sign == signed).then_some(())
}

fn read_store_imm(made: &mut LogInsn, scan: &mut Scan<'_>) -> Option<()> {
    if scan.lit("nospec") {
        return Some(());
    }
    made.kind = InsnKind::Store;
    made.uses_imm = true;
    let (width, _, dst, off) = memory(scan)?;
    (made.insn.dst, made.insn.off, made.width) = (dst, off, width);
    "=".clone_into(&mut made.op);
    if !scan.lit(" = ") {
        return None;
    }
    let value = scan.signed()?;
    made.set_imm(value);
    (width == made.insn.width() as u8).then_some(())
}

fn read_stx(made: &mut LogInsn, scan: &mut Scan<'_>) -> Option<()> {
    made.width = made.insn.width() as u8;
    if made.insn.mode() == mode::MEM {
        made.kind = InsnKind::Store;
        let (width, _, dst, off) = memory(scan)?;
        (made.insn.dst, made.insn.off) = (dst, off);
        "=".clone_into(&mut made.op);
        if !scan.lit(" = ") {
            return None;
        }
        made.insn.src = register(scan)?.0;
        return (width == made.width).then_some(());
    }
    made.kind = InsnKind::Atomic;
    if scan.lit("lock ") {
        let (width, _, dst, off) = memory(scan)?;
        (made.insn.dst, made.insn.off) = (dst, off);
        scan.blanks();
        let word = scan.until_blank();
        made.op = word.to_owned();
        made.set_imm(i64::from(operation(word)?));
        scan.blanks();
        made.insn.src = register(scan)?.0;
        return (width == made.width).then_some(());
    }
    if scan.lit("store_release((") {
        let (dst, off) = after_type(scan)?;
        (made.insn.dst, made.insn.off) = (dst, off);
        "release".clone_into(&mut made.op);
        made.set_imm(i64::from(atomic::STORE_REL));
        if !scan.lit(", ") {
            return None;
        }
        made.insn.src = register(scan)?.0;
        return scan.lit(")").then_some(());
    }
    let (left, _) = register(scan)?;
    if !scan.lit(" = ") {
        return None;
    }
    if scan.lit("load_acquire((") {
        let (src, off) = after_type(scan)?;
        (made.insn.dst, made.insn.src, made.insn.off) = (left, src, off);
        "acquire".clone_into(&mut made.op);
        made.set_imm(i64::from(atomic::LOAD_ACQ));
        return scan.lit(")").then_some(());
    }
    if !scan.lit("atomic") {
        return None;
    }
    let _ = scan.lit("64");
    if !scan.lit("_") {
        return None;
    }
    let word = scan.until("(");
    made.op = word.to_owned();
    if !scan.lit("((") {
        return None;
    }
    let (dst, off) = after_type(scan)?;
    (made.insn.dst, made.insn.off) = (dst, off);
    if word == "cmpxchg" {
        if !scan.lit(", r0") {
            return None;
        }
        made.set_imm(i64::from(atomic::CMPXCHG));
    } else {
        made.insn.src = left;
        let value = match word {
            "xchg" => atomic::XCHG,
            "fetch_add" => 1,
            "fetch_or" => 0x41,
            "fetch_and" => 0x51,
            "fetch_xor" => 0xa1,
            _ => return None,
        };
        made.set_imm(i64::from(value));
    }
    if !scan.lit(", ") {
        return None;
    }
    let (src, _) = register(scan)?;
    made.insn.src = src;
    scan.lit(")").then_some(())
}

fn operation(word: &str) -> Option<i32> {
    match word {
        "+=" => Some(0),
        "|=" => Some(0x40),
        "&=" => Some(0x50),
        "^=" => Some(0xa0),
        _ => None,
    }
}

/// `u64 *)(r1 +8)`.
fn after_type(scan: &mut Scan<'_>) -> Option<(u8, i16)> {
    type_word(scan)?;
    if !scan.lit(" *)(") {
        return None;
    }
    let found = base(scan)?;
    scan.lit(")").then_some(found)
}

fn read_ld(made: &mut LogInsn, scan: &mut Scan<'_>) -> Option<()> {
    if made.insn.code == 0x18 {
        made.kind = InsnKind::Imm64;
        made.width = 8;
        made.uses_imm = true;
        "=".clone_into(&mut made.op);
        made.insn.dst = register(scan)?.0;
        if !scan.lit(" = ") {
            return None;
        }
        let value = if scan.lit("0x") {
            scan.hex()?
        } else {
            return None;
        };
        made.imm = value as i64;
        made.insn.imm = value as i32;
        return Some(());
    }
    made.kind = InsnKind::Load;
    made.width = made.insn.width() as u8;
    "=".clone_into(&mut made.op);
    if !scan.lit("r0 = *(") {
        return None;
    }
    let (width, _) = type_word(scan)?;
    if !scan.lit(" *)skb[") {
        return None;
    }
    if made.insn.mode() == mode::IND {
        made.insn.src = register(scan)?.0;
        if !scan.lit(" + ") {
            return None;
        }
    }
    let value = scan.signed()?;
    made.set_imm(value);
    (scan.lit("]") && width == made.width).then_some(())
}

/// `pc+3`.
fn relative(scan: &mut Scan<'_>) -> Option<i64> {
    if scan.lit("pc") { scan.signed() } else { None }
}

fn read_jump(made: &mut LogInsn, scan: &mut Scan<'_>) -> Option<()> {
    let long = made.insn.class() == class::JMP32;
    match made.insn.op() {
        jmp::CALL => return read_call(made, scan),
        jmp::EXIT if scan.lit("exit") => {
            made.kind = InsnKind::Exit;
            return Some(());
        }
        jmp::JA => {
            made.kind = InsnKind::Jump;
            if scan.lit("gotox ") {
                "gotox".clone_into(&mut made.op);
                made.insn.dst = register(scan)?.0;
                return Some(());
            }
            let far = scan.lit("gotol ");
            if !far && !scan.lit("goto ") {
                return None;
            }
            "goto".clone_into(&mut made.op);
            let to = relative(scan)?;
            if far {
                made.set_imm(to);
            } else {
                made.insn.off = i16::try_from(to).ok()?;
            }
            made.target = made.relative(to);
            return (far == long).then_some(());
        }
        jmp::JCOND if scan.lit("may_goto ") => {
            made.kind = InsnKind::Branch;
            "may_goto".clone_into(&mut made.op);
            made.uses_imm = true;
            let to = relative(scan)?;
            made.insn.off = i16::try_from(to).ok()?;
            made.target = made.relative(to);
            return Some(());
        }
        _ => {}
    }
    made.kind = InsnKind::Branch;
    made.width = if long { 4 } else { 8 };
    if !scan.lit("if ") {
        return None;
    }
    let (dst, narrow) = register(scan)?;
    made.insn.dst = dst;
    scan.blanks();
    let word = scan.until_blank();
    made.op = word.to_owned();
    scan.blanks();
    if made.insn.is_reg() {
        made.insn.src = register(scan)?.0;
    } else {
        made.uses_imm = true;
        let value = scan.signed()?;
        made.set_imm(i64::from(value as i32));
    }
    if !scan.lit(" goto ") {
        return None;
    }
    let to = relative(scan)?;
    made.insn.off = i16::try_from(to).ok()?;
    made.target = made.relative(to);
    let same = bpfsmith_isa::disasm::comparison(made.insn.code) == Some(word);
    (same && narrow == long).then_some(())
}

/// Helpers by number, as far as kernels had them that print no names.
const FIRST_HELPERS: [&str; 45] = [
    "",
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "probe_read",
    "ktime_get_ns",
    "trace_printk",
    "get_prandom_u32",
    "get_smp_processor_id",
    "skb_store_bytes",
    "l3_csum_replace",
    "l4_csum_replace",
    "tail_call",
    "clone_redirect",
    "get_current_pid_tgid",
    "get_current_uid_gid",
    "get_current_comm",
    "get_cgroup_classid",
    "skb_vlan_push",
    "skb_vlan_pop",
    "skb_get_tunnel_key",
    "skb_set_tunnel_key",
    "perf_event_read",
    "redirect",
    "get_route_realm",
    "perf_event_output",
    "skb_load_bytes",
    "get_stackid",
    "csum_diff",
    "skb_get_tunnel_opt",
    "skb_set_tunnel_opt",
    "skb_change_proto",
    "skb_change_type",
    "skb_under_cgroup",
    "get_hash_recalc",
    "get_current_task",
    "probe_write_user",
    "current_task_under_cgroup",
    "skb_change_tail",
    "skb_pull_data",
    "csum_update",
    "set_hash_invalid",
    "get_numa_node_id",
    "skb_change_head",
    "xdp_adjust_head",
];

fn read_call(made: &mut LogInsn, scan: &mut Scan<'_>) -> Option<()> {
    made.kind = InsnKind::Call;
    if !scan.lit("call ") {
        return None;
    }
    if let Some(to) = relative(scan) {
        made.insn.src = pseudo::CALL_SUBPROG;
        made.set_imm(to);
        made.target = made.relative(to);
        made.callee = Some(Callee::Subprogram);
        made.call = Some(format!("pc{to:+}"));
        return Some(());
    }
    // Kernels before 4.11 print the number alone.
    let at = scan.at();
    if let Some(number) = scan.number() {
        if matches!(scan.peek(), None | Some(b' ' | b'\t' | b';')) {
            made.set_imm(i64::try_from(number).unwrap_or(0));
            made.callee = Some(Callee::Helper);
            made.call = usize::try_from(number)
                .ok()
                .and_then(|number| FIRST_HELPERS.get(number))
                .filter(|name| !name.is_empty())
                .map(|name| format!("bpf_{name}"));
            return Some(());
        }
        scan.back(at);
    }
    let name = scan.until("#");
    if name.is_empty() || name.contains([' ', ';', ':']) || !scan.lit("#") {
        return None;
    }
    let number = scan.signed()?;
    made.set_imm(number);
    // Kfuncs are numbered by their type, which is beyond all helpers; those a kernel does not know stay without name.
    let kfunc = name == "kernel-function" || (name != "unknown" && !(1..=300).contains(&number));
    made.callee = Some(if kfunc { Callee::Kfunc } else { Callee::Helper });
    if kfunc {
        made.insn.src = pseudo::CALL_KFUNC;
    }
    made.call = Some(name.to_owned());
    Some(())
}
