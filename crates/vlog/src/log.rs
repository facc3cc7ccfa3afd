//! What is kept of a log: its lines, instructions, steps, and what it says beside them.
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use crate::insn::{InsnKind, LogInsn};
use crate::lines::Kind;
use crate::report::Report;
use crate::state::State;

/// No step, no slot.
pub const NONE: u32 = u32::MAX;

/// Where a line lies in the text, and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) slot: u32,
    pub kind: Kind,
}

/// The text of a paste as it was cleaned, by lines.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pub(crate) all: String,
    pub(crate) lines: Vec<Line>,
}

impl Text {
    /// One line without its end; "" past the last.
    #[must_use]
    pub fn line(&self, number: u32) -> &str {
        self.lines
            .get(number as usize)
            .and_then(|one| self.all.get(one.start as usize..one.end as usize))
            .unwrap_or("")
    }

    #[must_use]
    pub fn kind(&self, number: u32) -> Option<Kind> {
        self.lines.get(number as usize).map(|one| one.kind)
    }

    #[must_use]
    pub fn len(&self) -> u32 {
        self.lines.len() as u32
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// How a step was come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Start,
    Next,
    Jump,
    Switch,
    Call,
    Return,
    Callback,
}

impl How {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Next => "next",
            Self::Jump => "jump",
            Self::Switch => "switch",
            Self::Call => "call",
            Self::Return => "return",
            Self::Callback => "callback",
        }
    }
}

/// One instruction followed.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub slot: u32,
    pub line: u32,
    pub parent: u32,
    /// The step of the call that entered this frame.
    pub caller: u32,
    /// The slot that was followed first behind it.
    pub(crate) first_next: u32,
    pub(crate) resumed: bool,
    pub frame: u16,
    pub kind: InsnKind,
    pub how: How,
    /// Of a switch: A of `from A to B`.
    pub from: u32,
}

/// One subprogram as counted by the log.
#[derive(Clone, Debug, Default)]
pub struct Subprogram {
    pub number: u32,
    pub name: Option<String>,
    pub kind: Option<String>,
    pub slot: Option<u32>,
    pub insns_self: Option<u64>,
    pub insns_total: Option<u64>,
    pub stack: Option<u64>,
}

/// One load of a paste.
#[derive(Debug, Default)]
pub struct Load {
    /// Its lines: from `first` up to, not including, `end`.
    pub first: u32,
    pub end: u32,
    pub program: Option<String>,
    pub loader: Option<&'static str>,
    pub errno: Option<i32>,
    pub failed: bool,
    pub message: String,
    pub message_line: Option<u32>,
    pub at: Option<u32>,
    pub verdict: Verdict,
    pub told: Vec<u32>,
    pub unknown: Vec<u32>,
    pub beside: Vec<u32>,
    pub cut_head: bool,
    pub cut_tail: bool,
    pub cut_middle: bool,
    /// Instructions are missing where no branch leads over them.
    pub gap: bool,
    pub level: u8,
    pub counts: BTreeMap<&'static str, u64>,
    pub stack: Option<Vec<u64>>,
    pub subprograms: Vec<Subprogram>,
    pub report: Option<Report>,
    pub insns: HashMap<u32, LogInsn>,
    pub sources: HashMap<u32, u32>,
    pub visits: HashMap<u32, u32>,
    pub steps: Vec<Step>,
    /// States are printed in full, in the words of 5.17 and older.
    pub(crate) old: bool,
    /// Only a loader's one line of it was met.
    pub(crate) brief: bool,
    pub(crate) states: States,
}

/// States that were worked out, by step.
#[derive(Debug, Default)]
pub(crate) struct States(pub(crate) Mutex<HashMap<u32, Arc<State>>>);

/// What became of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    Rejected,
    Accepted,
    #[default]
    Unknown,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Accepted => "accepted",
            Self::Unknown => "unknown",
        }
    }
}

/// All that was in one paste.
#[derive(Debug, Default)]
pub struct Paste {
    pub text: Text,
    pub loads: Vec<Load>,
}

impl Load {
    #[must_use]
    pub fn step(&self, number: u32) -> Option<&Step> {
        self.steps.get(number as usize)
    }

    /// The steps from the first known one to the last, without branches that were finished before.
    #[must_use]
    pub fn path(&self) -> Vec<u32> {
        let last = (self.steps.len() as u32).checked_sub(1);
        last.map_or_else(Vec::new, |last| self.path_to(last))
    }

    /// The steps up to this one.
    #[must_use]
    pub fn path_to(&self, step: u32) -> Vec<u32> {
        let mut out = Vec::new();
        let mut at = step;
        while let Some(one) = self.step(at) {
            out.push(at);
            if one.parent >= at {
                break;
            }
            at = one.parent;
        }
        out.reverse();
        out
    }

    /// The line of the next step in the log, or the load's end.
    #[must_use]
    pub fn line_after(&self, step: u32) -> u32 {
        let next = step.checked_add(1).and_then(|next| self.step(next));
        next.map_or(self.end, |one| one.line)
    }
}

/// (file, line, text) of `; text @ file.c:12`; older kernels have the text alone.
#[must_use]
pub fn source(line: &str) -> (Option<&str>, Option<u32>, &str) {
    let text = line.strip_prefix(';').unwrap_or(line);
    let text = text.strip_prefix(' ').unwrap_or(text);
    let at = if text.starts_with("@ ") {
        Some(0)
    } else {
        text.rfind(" @ ")
    };
    if let Some(at) = at {
        let place = text.get(at..).unwrap_or("").trim_start();
        let place = place.strip_prefix("@ ").unwrap_or(place).trim_end();
        if let Some((path, number)) = place.rsplit_once(':')
            && let (Ok(number), false) = (number.parse(), path.is_empty())
        {
            return (
                Some(path),
                Some(number),
                text.get(..at).unwrap_or("").trim(),
            );
        }
    }
    (None, None, text.trim())
}
