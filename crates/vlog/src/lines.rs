//! What a line of a log is, told from its first bytes.

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Empty,
    Insn,
    State,
    Source,
    From,
    Safe,
    Walk,
    Frame,
    Func,
    Live,
    Count,
    Report,
    Told,
    Beside,
    Unknown,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Insn => "insn",
            Self::State => "state",
            Self::Source => "source",
            Self::From => "from",
            Self::Safe => "safe",
            Self::Walk => "walk",
            Self::Frame => "frame",
            Self::Func => "func",
            Self::Live => "live",
            Self::Count => "count",
            Self::Report => "report",
            Self::Told => "told",
            Self::Beside => "beside",
            Self::Unknown => "unknown",
        }
    }

    /// Only a verifier writes such a line.
    #[must_use]
    pub const fn is_sure(self) -> bool {
        !matches!(
            self,
            Self::Empty | Self::Told | Self::Beside | Self::Unknown | Self::Source
        )
    }
}

/// A number at the front: (number, bytes).
pub(crate) fn leading(line: &[u8]) -> Option<(u32, usize)> {
    let mut value: u32 = 0;
    let mut used = 0;
    for byte in line {
        if !byte.is_ascii_digit() || used == 9 {
            break;
        }
        value = value * 10 + u32::from(byte - b'0');
        used += 1;
    }
    (used > 0).then_some((value, used))
}

/// Whether a token of a state starts here: `R1=`, `R10_w=`, `fp-8=`, `refs=`, `frame1:`.
pub(crate) fn starts_state(text: &[u8]) -> bool {
    match text.first() {
        Some(b'R') => {
            let rest = text.get(1..).unwrap_or(&[]);
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            (1..=2).contains(&digits) && starts_value(rest.get(digits..).unwrap_or(&[]))
        }
        Some(b'f') if text.starts_with(b"fp-") => {
            let rest = text.get(3..).unwrap_or(&[]);
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            (1..=5).contains(&digits) && starts_value(rest.get(digits..).unwrap_or(&[]))
        }
        Some(b'f') if text.starts_with(b"frame") => {
            let rest = text.get(5..).unwrap_or(&[]);
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            (1..=2).contains(&digits)
                && rest.get(digits) == Some(&b':')
                && rest.get(digits + 1).is_none_or(|b| *b == b' ')
        }
        Some(b'r') => text.starts_with(b"refs="),
        Some(b'c') => text == b"cb" || text.starts_with(b"cb "),
        // 7.2 and newer: arguments on the stack.
        Some(b's') => text.starts_with(b"stack_arg") && text.contains(&b'='),
        _ => false,
    }
}

/// Behind a register's or slot's name: marks and `=`.
fn starts_value(rest: &[u8]) -> bool {
    match rest.first() {
        Some(b'=') => true,
        Some(b'_') => {
            let marks = rest
                .get(1..)
                .unwrap_or(&[])
                .iter()
                .take_while(|b| matches!(b, b'r' | b'w' | b'D'))
                .count();
            rest.get(marks + 1) == Some(&b'=')
        }
        _ => false,
    }
}

fn is_hex2(text: &[u8]) -> bool {
    matches!(text, [a, b, b')', b' ', ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// `0: .1....6... (b7)`: a row of the table of live registers.
fn is_live_row(rest: &[u8]) -> bool {
    let dots = rest
        .iter()
        .take_while(|b| **b == b'.' || b.is_ascii_digit())
        .count();
    (10..=12).contains(&dots) && rest.get(dots..).is_some_and(|rest| rest.starts_with(b" ("))
}

/// A line without context; `Told` for what is none of the shapes. `slot` is of instructions, states and `safe`.
pub(crate) fn classify(line: &[u8]) -> (Kind, Option<u32>) {
    let Some(first) = line.first() else {
        return (Kind::Empty, None);
    };
    match first {
        b'0'..=b'9' => numbered(line),
        b' ' | b'\t' => indented(line),
        b';' => (Kind::Source, None),
        b'R' if starts_state(line) => (Kind::State, None),
        b'f' => {
            if line.starts_with(b"from ") && from_line(line).is_some() {
                (Kind::From, None)
            } else if line.starts_with(b"func#") {
                (Kind::Func, None)
            } else if line.starts_with(b"frame ") && contains(line, b": propagat") {
                (Kind::Walk, None)
            } else if starts_state(line) {
                (Kind::State, None)
            } else {
                (Kind::Told, None)
            }
        }
        b's' => {
            let kind = if line.starts_with(b"stack depth ")
                || (line.starts_with(b"subprog ") && contains(line, b" stack "))
            {
                Kind::Count
            } else if line.starts_with(b"subprog#") || line.starts_with(b"stack use/def subprog#") {
                Kind::Func
            } else {
                Kind::Told
            };
            (kind, None)
        }
        b'p' => {
            let kind = if is_processed(line) {
                Kind::Count
            } else if line.starts_with(b"parent already had ")
                || line.starts_with(b"parent didn't have ")
                || line.starts_with(b"propagating ")
            {
                Kind::Walk
            } else {
                Kind::Told
            };
            (kind, None)
        }
        b'm' if line.starts_with(b"mark_precise: ") => (Kind::Walk, None),
        b'l' if line.starts_with(b"last_idx ") => (Kind::Walk, None),
        b'r' if line.starts_with(b"regs=") => (Kind::Walk, None),
        b'r' if line == b"returning from callee:" => (Kind::Frame, None),
        b'r' if starts_state(line) => (Kind::State, None),
        b'c' if line == b"caller:" || line == b"callee:" => (Kind::Frame, None),
        b'c' if line.starts_with(b"cur state:") => (Kind::Walk, None),
        b'o' if line.starts_with(b"old state:") => (Kind::Walk, None),
        b't' if line.starts_with(b"to caller at ") => (Kind::Frame, None),
        b't' if line.starts_with(b"topo_order[") => (Kind::Func, None),
        b'v' if is_time(line) => (Kind::Count, None),
        b'L' if line.starts_with(b"Live regs before insn") => (Kind::Live, None),
        b'V' if line.starts_with(b"Validating ") && contains(line, b"() func#") => {
            (Kind::Func, None)
        }
        b'V' if line.starts_with(b"Verification failed") => (Kind::Report, None),
        b'F' if line.starts_with(b"Func#")
            && (contains(line, b"is global and ") || contains(line, b"is safe for any args")) =>
        {
            (Kind::Func, None)
        }
        b'a' if line.starts_with(b"arg JOIN insn ") => (Kind::Live, None),
        b'S' if line.starts_with(b"SCC ") => (Kind::Walk, None),
        b'(' if contains(line, b" frame ") || contains(line, b") live stack update") => {
            (Kind::Live, None)
        }
        _ => (Kind::Told, None),
    }
}

fn is_time(line: &[u8]) -> bool {
    line.starts_with(b"verification time ") && line.ends_with(b" usec")
}

/// Since 4.19: `processed 8 insns (limit 131072), stack depth 8`, then `.. max_states_per_insn 0 ..`.
pub(crate) fn is_processed(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"processed ") else {
        return false;
    };
    leading(rest).is_some_and(|(_, used)| {
        rest.get(used..)
            .is_some_and(|rest| rest.starts_with(b" insns"))
    })
}

fn numbered(line: &[u8]) -> (Kind, Option<u32>) {
    let Some((slot, used)) = leading(line) else {
        return (Kind::Told, None);
    };
    let rest = line.get(used..).unwrap_or(&[]);
    let told = (Kind::Told, None);
    if rest.first() != Some(&b':') {
        return told;
    }
    match rest.get(1..).unwrap_or(&[]) {
        [b' ', b'(', rest @ ..] if is_hex2(rest) => (Kind::Insn, Some(slot)),
        [] | [b' '] => (Kind::State, Some(slot)),
        b" safe" => (Kind::Safe, Some(slot)),
        [b' ', rest @ ..] if starts_state(rest) => (Kind::State, Some(slot)),
        [b' ', b';', rest @ ..] if starts_state(rest.trim_ascii_start()) => {
            (Kind::State, Some(slot))
        }
        [b' ', rest @ ..] if is_live_row(rest) => (Kind::Live, Some(slot)),
        [b' ', b' ', rest @ ..] if starts_state(rest.trim_ascii_start()) => {
            (Kind::State, Some(slot))
        }
        _ => told,
    }
}

fn indented(line: &[u8]) -> (Kind, Option<u32>) {
    let trimmed = line.trim_ascii_start();
    if trimmed.is_empty() {
        return (Kind::Empty, None);
    }
    if starts_state(trimmed) {
        return (Kind::State, None);
    }
    if let Some((slot, used)) = leading(trimmed) {
        let rest = trimmed.get(used..).unwrap_or(&[]);
        if let Some(rest) = rest.strip_prefix(b": ") {
            if is_live_row(rest) {
                return (Kind::Live, Some(slot));
            }
            if matches!(rest, [b'(', rest @ ..] if is_hex2(rest)) {
                return (Kind::Insn, Some(slot));
            }
        }
        // Since 6.17 a row may begin with the number of its component.
        if let Some((slot, used)) = leading(rest.trim_ascii_start()) {
            let rest = rest.trim_ascii_start().get(used..).unwrap_or(&[]);
            if rest.strip_prefix(b": ").is_some_and(is_live_row) {
                return (Kind::Live, Some(slot));
            }
        }
    }
    (Kind::Told, None)
}

/// `from 9 to 11: R0=..`, `from 9 to 11 (speculative execution): ..`: (9, 11, bytes up to behind the colon).
pub(crate) fn from_line(line: &[u8]) -> Option<(u32, u32, usize)> {
    let rest = line.strip_prefix(b"from ")?;
    let (from, used) = leading(rest)?;
    let rest = rest.get(used..)?.strip_prefix(b" to ")?;
    let (to, more) = leading(rest)?;
    let rest = rest.get(more..)?;
    let mut at = 5 + used + 4 + more;
    let speculative: &[u8] = b" (speculative execution)";
    let rest = if rest.starts_with(speculative) {
        at += speculative.len();
        rest.get(speculative.len()..)?
    } else {
        rest
    };
    (rest.first() == Some(&b':')).then_some((from, to, at + 1))
}

pub(crate) fn contains(line: &[u8], word: &[u8]) -> bool {
    find(line, word).is_some()
}

pub(crate) fn find(line: &[u8], word: &[u8]) -> Option<usize> {
    let first = *word.first()?;
    let mut from = 0;
    while let Some(at) = line.get(from..)?.iter().position(|b| *b == first) {
        if line.get(from + at..)?.starts_with(word) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// An instruction of which only the front is there: `12: (67)`.
pub(crate) fn is_cut_insn(line: &str) -> bool {
    leading(line.as_bytes()).is_some_and(|(_, used)| {
        line.get(used..)
            .and_then(|rest| rest.strip_prefix(": ("))
            .is_some_and(|rest| {
                rest.len() <= 3 && rest.bytes().all(|b| b.is_ascii_hexdigit() || b == b')')
            })
    })
}
