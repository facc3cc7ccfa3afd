//! Verifier-log text back to instructions; for tests.
//!
//! Reads what [`crate::disasm::kernel`] writes, with names ignored: the number after `#` counts. The opcode `(07)` and
//! a slot number `12:` in front are optional; without the opcode a hexadecimal right side means `ld_imm64`.

use std::fmt;

use crate::Insn;
use crate::op::{alu, atomic, class, jmp, mode, pseudo, size};

/// A line that is not an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Error {}

/// Reads one instruction per line; `;` starts a comment, empty lines count for nothing.
pub fn assemble(text: &str) -> Result<Vec<Insn>, Error> {
    let mut insns = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.split(';').next().unwrap_or_default().trim();
        if code.is_empty() {
            continue;
        }
        let Some((insn, second)) = instruction(code) else {
            return Err(Error {
                line: index + 1,
                message: format!("`{code}` is not an instruction"),
            });
        };
        insns.push(insn);
        insns.extend(second);
    }
    Ok(insns)
}

type Parsed = Option<(Insn, Option<Insn>)>;

fn instruction(text: &str) -> Parsed {
    let mut p = Parser(text);
    let slot_number = text
        .split_once(':')
        .filter(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if let Some((_, rest)) = slot_number {
        p.0 = rest;
        p.space();
    }
    let mut opcode = None;
    if let Some(code) =
        p.0.strip_prefix('(')
            .and_then(|r| r.get(..2))
            .and_then(|h| u8::from_str_radix(h, 16).ok())
    {
        p.0 = p.0.get(3..)?;
        p.word(")")?;
        opcode = Some(code);
    }
    let parsed = statement(&mut p, opcode)?;
    // Text after the instruction, or an opcode that says something else, means that the line was misread.
    (p.0.is_empty() && opcode.is_none_or(|code| code == parsed.0.code)).then_some(parsed)
}

fn statement(p: &mut Parser<'_>, opcode: Option<u8>) -> Parsed {
    let insn = |code, dst, src, off, imm| {
        Some((
            Insn {
                code,
                dst,
                src,
                off,
                imm,
            },
            None,
        ))
    };
    let jump = class::JMP;
    if p.word("exit").is_some() {
        insn(jump | jmp::EXIT, 0, 0, 0, 0)
    } else if p.word("nospec").is_some() {
        insn(class::ST | mode::ATOMIC, 0, 0, 0, 0)
    } else if p.word("goto pc").is_some() {
        insn(jump, 0, 0, p.number()?, 0)
    } else if p.word("gotol pc").is_some() {
        insn(class::JMP32, 0, 0, 0, p.number()?)
    } else if p.word("gotox r").is_some() {
        insn(jump | REG, p.number()?, 0, 0, 0)
    } else if p.word("may_goto pc").is_some() {
        insn(jump | jmp::JCOND, 0, 0, p.number()?, 0)
    } else if p.word("call pc").is_some() {
        insn(jump | jmp::CALL, 0, pseudo::CALL_SUBPROG, 0, p.number()?)
    } else if p.word("call ").is_some() {
        let (name, number) = p.0.split_once('#')?;
        let kind = if name == "kernel-function" {
            pseudo::CALL_KFUNC
        } else {
            pseudo::CALL_HELPER
        };
        p.0 = number;
        insn(jump | jmp::CALL, 0, kind, 0, p.number()?)
    } else if p.word("if ").is_some() {
        branch(p)
    } else if p.word("lock ").is_some() {
        let (code, dst, off) = p.memory_typed(class::STX | mode::ATOMIC)?;
        let imm = match p.one_of(&["+=", "|=", "&=", "^="])? {
            "+=" => alu::ADD,
            "|=" => alu::OR,
            "&=" => alu::AND,
            _ => alu::XOR,
        };
        insn(code, dst, p.register()?.1, off, i32::from(imm))
    } else if p.word("store_release(").is_some() {
        let (code, dst, off) = p.atomic_place()?;
        p.word(",")?;
        let src = p.register()?.1;
        p.word(")")?;
        insn(code, dst, src, off, atomic::STORE_REL)
    } else if p.0.starts_with('*') {
        let (code, dst, off) = p.memory_typed(mode::MEM)?;
        p.word("=")?;
        match p.register() {
            Some((_, src)) => insn(code | class::STX, dst, src, off, 0),
            None => insn(code | class::ST, dst, 0, off, p.number()?),
        }
    } else {
        let (wide, dst) = p.register()?;
        let class = if wide { class::ALU64 } else { class::ALU };
        let operator = p.one_of(OPERATORS)?;
        if operator == "=" {
            assign(p, class, dst, opcode)
        } else {
            arithmetic(p, class, dst, operator)
        }
    }
}

/// The bit that makes the second operand a register.
const REG: u8 = 0x08;

// Longest first: `<<=` before `<`.
const OPERATORS: &[&str] = &[
    "s>>=", "<<=", ">>=", "s/=", "s%=", "+=", "-=", "*=", "/=", "|=", "&=", "%=", "^=", "=",
];

const COMPARISONS: &[&str] = &[
    "s>=", "s<=", "==", "!=", ">=", "<=", "s>", "s<", ">", "<", "&",
];

fn arithmetic(p: &mut Parser<'_>, class: u8, dst: u8, operator: &str) -> Parsed {
    let (op, off) = match operator {
        "+=" => (alu::ADD, 0),
        "-=" => (alu::SUB, 0),
        "*=" => (alu::MUL, 0),
        "/=" => (alu::DIV, 0),
        "s/=" => (alu::DIV, 1),
        "|=" => (alu::OR, 0),
        "&=" => (alu::AND, 0),
        "<<=" => (alu::LSH, 0),
        ">>=" => (alu::RSH, 0),
        "s>>=" => (alu::ARSH, 0),
        "%=" => (alu::MOD, 0),
        "s%=" => (alu::MOD, 1),
        _ => (alu::XOR, 0),
    };
    Some(match p.register() {
        Some((_, src)) => (
            Insn {
                code: class | op | REG,
                dst,
                src,
                off,
                imm: 0,
            },
            None,
        ),
        None => (
            Insn {
                code: class | op,
                dst,
                src: 0,
                off,
                imm: p.number()?,
            },
            None,
        ),
    })
}

/// What follows `rN =`.
fn assign(p: &mut Parser<'_>, class: u8, dst: u8, opcode: Option<u8>) -> Parsed {
    let insn = |code, dst, src, off, imm| {
        Some((
            Insn {
                code,
                dst,
                src,
                off,
                imm,
            },
            None,
        ))
    };
    let mov = class | alu::MOV;
    if let Some((_, src)) = p.register() {
        return insn(mov | REG, dst, src, 0, 0);
    }
    if p.0.starts_with("-r") || p.0.starts_with("-w") {
        p.word("-")?;
        p.register()?;
        return insn(class | alu::NEG, dst, 0, 0, 0);
    }
    for (cast, off) in [("(s8)", 8), ("(s16)", 16), ("(s32)", 32)] {
        if p.word(cast).is_some() {
            return insn(mov | REG, dst, p.register()?.1, off, 0);
        }
    }
    for (order, code) in [
        ("bswap", class::ALU64 | alu::END),
        ("le", class::ALU | alu::END),
        ("be", class::ALU | alu::END | REG),
    ] {
        if p.word(order).is_some() {
            let bits = p.number()?;
            p.register()?;
            return insn(code, dst, 0, 0, bits);
        }
    }
    if p.word("addr_space_cast(").is_some() {
        let src = p.register()?.1;
        p.word(",")?;
        let from: u16 = p.number()?;
        p.word(",")?;
        let to: u16 = p.number()?;
        p.word(")")?;
        return insn(
            mov | REG,
            dst,
            src,
            1,
            (i32::from(from) << 16) | i32::from(to),
        );
    }
    if p.word("&(void __percpu *)(").is_some() {
        let src = p.register()?.1;
        p.word(")")?;
        return insn(mov | REG, dst, src, -1, 0);
    }
    if p.word("load_acquire(").is_some() {
        let (code, src, off) = p.atomic_place()?;
        p.word(")")?;
        return insn(code, dst, src, off, atomic::LOAD_ACQ);
    }
    if p.word("atomic").is_some() {
        return fetch(p);
    }
    if p.0.starts_with('*') {
        return load(p, dst);
    }
    let wide = |src, low: i32, high: i32| {
        let first = Insn {
            code: class::LD | mode::IMM | size::DW,
            dst,
            src,
            off: 0,
            imm: low,
        };
        Some((
            first,
            Some(Insn {
                imm: high,
                ..Insn::default()
            }),
        ))
    };
    for (word, plain, value) in [
        ("map[", pseudo::MAP_FD, pseudo::MAP_VALUE),
        ("map_idx[", pseudo::MAP_IDX, pseudo::MAP_IDX_VALUE),
        ("btf_id[", pseudo::BTF_ID, pseudo::BTF_ID),
        ("subprog[", pseudo::FUNC, pseudo::FUNC),
    ] {
        if p.word(word).is_some() {
            let low = p.number()?;
            p.word("]")?;
            let inside = p.word("[0]").is_some();
            let high = if p.0.is_empty() { 0 } else { p.number()? };
            return wide(if inside { value } else { plain }, low, high);
        }
    }
    let is_wide = opcode.map_or(p.0.starts_with("0x"), |code| code == class::LD | size::DW);
    let value = p.integer()?;
    if is_wide {
        let bits = value as u64;
        wide(
            pseudo::IMM64,
            bits as u32 as i32,
            (bits >> 32) as u32 as i32,
        )
    } else {
        insn(mov, dst, 0, 0, i32::try_from(value).ok()?)
    }
}

fn load(p: &mut Parser<'_>, dst: u8) -> Parsed {
    p.word("*(")?;
    let (width, signed) = p.width()?;
    p.word("*)")?;
    if p.word("skb[").is_some() {
        let insn = match p.register() {
            Some((_, src)) => {
                p.word("+")?;
                Insn {
                    code: width | mode::IND,
                    src,
                    imm: p.number()?,
                    ..Insn::default()
                }
            }
            None => Insn {
                code: width | mode::ABS,
                imm: p.number()?,
                ..Insn::default()
            },
        };
        p.word("]")?;
        return Some((insn, None));
    }
    let (src, off) = p.address()?;
    let code = class::LDX | width | if signed { mode::MEMSX } else { mode::MEM };
    Some((
        Insn {
            code,
            dst,
            src,
            off,
            imm: 0,
        },
        None,
    ))
}

/// What follows `rN = atomic`.
fn fetch(p: &mut Parser<'_>) -> Parsed {
    p.word("64");
    let compare = p.word("_cmpxchg(").is_some();
    let imm = if compare {
        atomic::CMPXCHG
    } else if p.word("_xchg(").is_some() {
        atomic::XCHG
    } else {
        p.word("_fetch_")?;
        let op = match p.one_of(&["add(", "or(", "and(", "xor("])? {
            "add(" => alu::ADD,
            "or(" => alu::OR,
            "and(" => alu::AND,
            _ => alu::XOR,
        };
        i32::from(op) | atomic::FETCH
    };
    let (code, dst, off) = p.atomic_place()?;
    p.word(",")?;
    if compare {
        p.register()?;
        p.word(",")?;
    }
    let src = p.register()?.1;
    p.word(")")?;
    Some((
        Insn {
            code,
            dst,
            src,
            off,
            imm,
        },
        None,
    ))
}

/// What follows `if`.
fn branch(p: &mut Parser<'_>) -> Parsed {
    let (wide, dst) = p.register()?;
    let class = if wide { class::JMP } else { class::JMP32 };
    let op = match p.one_of(COMPARISONS)? {
        "==" => jmp::JEQ,
        "!=" => jmp::JNE,
        ">" => jmp::JGT,
        ">=" => jmp::JGE,
        "<" => jmp::JLT,
        "<=" => jmp::JLE,
        "s>" => jmp::JSGT,
        "s>=" => jmp::JSGE,
        "s<" => jmp::JSLT,
        "s<=" => jmp::JSLE,
        _ => jmp::JSET,
    };
    let (reg, src, imm) = match p.register() {
        Some((_, src)) => (REG, src, 0),
        None => (0, 0, p.number()?),
    };
    p.word("goto pc")?;
    Some((
        Insn {
            code: class | op | reg,
            dst,
            src,
            off: p.number()?,
            imm,
        },
        None,
    ))
}

/// The rest of a line; every method skips the blanks before and after what it takes.
struct Parser<'a>(&'a str);

impl Parser<'_> {
    fn space(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        self.space();
        Some(())
    }

    fn one_of<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().copied().find(|word| self.word(word).is_some())
    }

    /// `r1` or `w1`: (64-bit, number).
    fn register(&mut self) -> Option<(bool, u8)> {
        let rest = self.0.strip_prefix(['r', 'w'])?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let number = rest.get(..end)?.parse().ok().filter(|n| *n < 16)?;
        let wide = self.0.starts_with('r');
        self.0 = rest.get(end..)?;
        self.space();
        Some((wide, number))
    }

    /// Decimal or hexadecimal, with an optional sign.
    fn integer(&mut self) -> Option<i128> {
        let (negative, rest) = match self.0.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, self.0.strip_prefix('+').unwrap_or(self.0)),
        };
        let (radix, digits) = rest.strip_prefix("0x").map_or((10, rest), |hex| (16, hex));
        let end = digits
            .find(|c: char| !c.is_digit(radix))
            .unwrap_or(digits.len());
        let value = i128::from(u64::from_str_radix(digits.get(..end)?, radix).ok()?);
        self.0 = digits.get(end..)?;
        self.space();
        Some(if negative { -value } else { value })
    }

    /// A number that fits; unsigned 32-bit hexadecimal (`0xffffffff`) is taken for its signed twin.
    fn number<T: TryFrom<i128>>(&mut self) -> Option<T> {
        let hexadecimal = self.0.starts_with("0x");
        let value = self.integer()?;
        T::try_from(value).ok().or_else(|| {
            let twin = u32::try_from(value).ok().filter(|_| hexadecimal)?;
            T::try_from(i128::from(twin as i32)).ok()
        })
    }

    /// `u32` and the like: (size bits, signed).
    fn width(&mut self) -> Option<(u8, bool)> {
        Some(
            match self.one_of(&["u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"])? {
                "u8" => (size::B, false),
                "u16" => (size::H, false),
                "u32" => (size::W, false),
                "u64" => (size::DW, false),
                "s8" => (size::B, true),
                "s16" => (size::H, true),
                "s32" => (size::W, true),
                _ => (size::DW, true),
            },
        )
    }

    /// `(r2 +0)`.
    fn address(&mut self) -> Option<(u8, i16)> {
        self.word("(")?;
        let base = self.register()?.1;
        let off = self.number()?;
        self.word(")")?;
        Some((base, off))
    }

    /// `(u64 *)(r1 +0)`: (size bits, base, offset).
    fn place(&mut self) -> Option<(u8, u8, i16)> {
        self.word("(")?;
        let (width, _) = self.width()?;
        self.word("*)")?;
        let (base, off) = self.address()?;
        Some((width, base, off))
    }

    fn memory_typed(&mut self, bits: u8) -> Option<(u8, u8, i16)> {
        self.word("*")?;
        let (width, base, off) = self.place()?;
        Some((bits | width, base, off))
    }

    fn atomic_place(&mut self) -> Option<(u8, u8, i16)> {
        let (width, base, off) = self.place()?;
        Some((class::STX | mode::ATOMIC | width, base, off))
    }
}
