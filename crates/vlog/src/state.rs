//! What is known before and after a step: gathered along the path, forgotten where an instruction overwrites it.
use std::sync::Arc;

use bpfsmith_isa::op::alu;

use crate::insn::{InsnKind, LogInsn};
use crate::lines::{Kind, from_line, leading};
use crate::log::{How, Load, NONE, Paste, Step, Text};
use crate::tokens::{Token, tokens};

/// One thing known: as it was printed, or worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// (line, first byte in it, length, marks)
    Printed {
        line: u32,
        start: u32,
        len: u32,
        marks: Marks,
    },
    /// A constant, or 0 where a comparison leaves nothing else.
    Number(i64),
}

/// `_w`, `_r`, `_rwD`, `P`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    fn read(text: &str) -> Self {
        let mut bits = 0;
        for byte in text.bytes() {
            bits |= match byte {
                b'r' => 1,
                b'w' => 2,
                b'D' => 4,
                _ => 0,
            };
        }
        Self(bits)
    }

    /// As printed.
    #[must_use]
    pub fn text(self) -> String {
        let letters = [(1, 'r'), (2, 'w'), (4, 'D')];
        letters
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .map(|(_, letter)| *letter)
            .collect()
    }
}

/// One stack slot of 8 bytes.
pub type Slot = (i32, Fact);

/// Registers and stack of one frame.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    pub number: u32,
    pub regs: [Option<Fact>; 11],
    /// By offset, lowest first.
    pub stack: Vec<Slot>,
}

impl Frame {
    fn new(number: u32) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    fn set_reg(&mut self, number: u8, fact: Option<Fact>) {
        if let Some(place) = self.regs.get_mut(usize::from(number)) {
            *place = fact;
        }
    }

    /// What is known of a register.
    #[must_use]
    pub fn reg(&self, number: u8) -> Option<&Fact> {
        self.regs.get(usize::from(number))?.as_ref()
    }

    fn set_slot(&mut self, off: i32, fact: Option<Fact>) {
        match self.stack.binary_search_by_key(&off, |one| one.0) {
            Ok(at) => match fact {
                Some(fact) => {
                    if let Some(place) = self.stack.get_mut(at) {
                        place.1 = fact;
                    }
                }
                None => {
                    self.stack.remove(at);
                }
            },
            Err(at) => {
                if let Some(fact) = fact {
                    self.stack.insert(at, (off, fact));
                }
            }
        }
    }

    fn slot(&self, off: i32) -> Option<&Fact> {
        let at = self.stack.binary_search_by_key(&off, |one| one.0).ok()?;
        self.stack.get(at).map(|one| &one.1)
    }
}

/// All frames, the program's first, and what is held.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub frames: Vec<Frame>,
    pub refs: Vec<u32>,
    pub words: Vec<String>,
}

/// Frames a log may have: 8, since 7.3 16; more is noise.
const MAX_FRAMES: usize = 32;
/// Every how many steps a state is kept.
const KEPT: usize = 64;
const MAX_STATES: usize = 4096;

impl State {
    fn frame_mut(&mut self, number: u32) -> Option<&mut Frame> {
        if number as usize >= MAX_FRAMES {
            return None;
        }
        while self.frames.len() <= number as usize {
            self.frames.push(Frame::new(self.frames.len() as u32));
        }
        self.frames.get_mut(number as usize)
    }

    /// What a printed state says; `full`: what it does not say is not known.
    fn printed(&mut self, text: &Text, line: u32, from: usize, full: bool) {
        let all = text.line(line);
        let Some(part) = all.get(from..) else { return };
        let base = all.as_ptr() as usize;
        let mut number = 0;
        let mut fresh = full;
        let mut told_refs = false;
        let mut words = Vec::new();
        for token in tokens(part) {
            let place = |value: &str, marks: &str| Fact::Printed {
                line,
                start: (value.as_ptr() as usize).saturating_sub(base) as u32,
                len: value.len() as u32,
                marks: Marks::read(marks),
            };
            match token {
                Token::Frame(one) => number = one,
                Token::Reg(reg, marks, value) => {
                    let fact = place(value, marks);
                    let Some(frame) = self.frame_mut(number) else {
                        return;
                    };
                    clear(frame, &mut fresh);
                    frame.set_reg(reg, Some(fact));
                }
                Token::Slot(off, marks, value) => {
                    let fact = place(value, marks);
                    let Some(frame) = self.frame_mut(number) else {
                        return;
                    };
                    clear(frame, &mut fresh);
                    frame.set_slot(off, Some(fact));
                }
                Token::Refs(list) => {
                    self.refs = list.split(',').filter_map(|id| id.parse().ok()).collect();
                    told_refs = true;
                }
                Token::Word(word) => {
                    words.push(word.to_owned());
                }
                Token::Unknown(_) => {}
            }
        }
        // All that is held is printed with every state; where nothing is, nothing is held.
        if !told_refs && !part.trim().is_empty() {
            self.refs.clear();
        }
        if !part.trim().is_empty() {
            self.words = words;
        }
    }
}

fn clear(frame: &mut Frame, fresh: &mut bool) {
    if *fresh {
        *fresh = false;
        frame.regs = Default::default();
        frame.stack.clear();
    }
}

/// Where the state starts in a line: behind `12: (..) ..  ;`, `12:`, `from 9 to 11:` or at its begin.
fn state_at(text: &Text, line: u32, insn: Option<&LogInsn>) -> Option<usize> {
    let all = text.line(line);
    let bytes = all.as_bytes();
    let kind = text.kind(line)?;
    let indent = all.len() - all.trim_start().len();
    match kind {
        Kind::State => {
            let rest = bytes.get(indent..)?;
            let behind = leading(rest)
                .and_then(|(_, used)| (rest.get(used) == Some(&b':')).then_some(indent + used + 1));
            Some(behind.unwrap_or(indent))
        }
        Kind::From => from_line(bytes).map(|(_, _, at)| at),
        Kind::Insn => {
            let (_, used) = leading(bytes.get(indent..)?)?;
            let start = indent + used + 2;
            let skip = insn.map_or(0, |one| {
                let same = all
                    .get(start..)
                    .is_some_and(|rest| rest.starts_with(&one.text));
                if same { one.text.len() } else { 0 }
            });
            let rest = all.get(start + skip..)?;
            rest.find(';').map(|at| start + skip + at + 1)
        }
        _ => None,
    }
}

impl Paste {
    /// What is known before a step.
    #[must_use]
    pub fn state(&self, load: &Load, step: u32) -> Arc<State> {
        let mut todo = Vec::new();
        let mut at = step;
        let mut state = Arc::new(State::default());
        loop {
            if let Some(found) = load
                .states
                .0
                .lock()
                .ok()
                .and_then(|kept| kept.get(&at).cloned())
            {
                state = found;
                break;
            }
            let Some(one) = load.step(at) else { break };
            todo.push(at);
            if one.parent >= at {
                break;
            }
            at = one.parent;
        }
        while let Some(number) = todo.pop() {
            let mut next = self.before(load, number, &state);
            if let Some(line) = load.step(number).and_then(|one| self.checking(load, one))
                && let Some(from) = state_at(&self.text, line, None)
            {
                next.printed(&self.text, line, from, false);
            }
            state = Arc::new(next);
            if (todo.is_empty() || todo.len().is_multiple_of(KEPT))
                && let Ok(mut kept) = load.states.0.lock()
            {
                if kept.len() >= MAX_STATES {
                    kept.clear();
                }
                kept.insert(number, Arc::clone(&state));
            }
        }
        state
    }

    /// What is known after a step, on the way that was followed first.
    #[must_use]
    pub fn after(&self, load: &Load, step: u32) -> State {
        let mut state = (*self.state(load, step)).clone();
        let Some(one) = load.step(step) else {
            return state;
        };
        self.effect(load, one, &mut state);
        let end = load
            .step(step + 1)
            .map_or(load.end, |next| self.split(load, step, next));
        self.own_lines(load, one, end, &mut state);
        state
    }

    /// Before `step`, from what is known before its parent.
    fn before(&self, load: &Load, step: u32, before: &State) -> State {
        let Some(one) = load.step(step) else {
            return State::default();
        };
        let mut state = before.clone();
        let first = step.checked_sub(1).and_then(|at| load.step(at));
        let parent = load.step(one.parent).filter(|_| one.parent < step);
        let Some(parent) = parent else {
            // The first step, or one whose past is not in the log.
            let mut state = State::default();
            let from = first.map_or(load.first, |_| self.split(load, step - 1, one));
            self.lines(load, from, one.line, true, &mut state);
            settle(&mut state, one, None);
            return state;
        };
        self.effect(load, parent, &mut state);
        if one.parent + 1 == step && one.how != How::Switch {
            enter(&mut state, one);
            self.own_lines(load, parent, one.line, &mut state);
            settle(&mut state, one, Some(parent));
            return state;
        }
        enter(&mut state, one);
        let from = first.map_or(load.first, |_| self.split(load, step - 1, one));
        let told = self.lines(load, from, one.line, true, &mut state);
        if !told {
            other_way(load, parent, one, &mut state);
        }
        settle(&mut state, one, Some(parent));
        state
    }

    /// What an instruction itself does to registers and stack; what it makes of them is printed, or simple.
    fn effect(&self, load: &Load, step: &Step, state: &mut State) {
        let Some(insn) = load.insns.get(&step.slot) else {
            return;
        };
        let Some(frame) = state.frame_mut(u32::from(step.frame)) else {
            return;
        };
        let made = match insn.kind {
            InsnKind::Mov if insn.uses_imm => {
                let narrow = insn.width == 4;
                let value = if narrow {
                    i64::from(insn.imm as u32)
                } else {
                    insn.imm
                };
                Some(Fact::Number(value))
            }
            InsnKind::Mov if insn.width == 8 && insn.insn.op() == alu::MOV => {
                frame.reg(insn.insn.src).cloned()
            }
            InsnKind::Load if insn.insn.src == 10 && insn.width == 8 => {
                let off = i32::from(insn.insn.off);
                frame.slot(off).filter(|fact| self.is_spill(fact)).cloned()
            }
            _ => None,
        };
        for reg in insn.writes() {
            frame.set_reg(reg, None);
        }
        if made.is_some() {
            frame.set_reg(insn.insn.dst, made);
        }
        let stores = matches!(insn.kind, InsnKind::Store | InsnKind::Atomic);
        if stores && insn.insn.dst == 10 {
            let first = i32::from(insn.insn.off);
            let last = first + i32::from(insn.width.max(1)) - 1;
            for off in [first.div_euclid(8) * 8, last.div_euclid(8) * 8] {
                frame.set_slot(off, None);
            }
        }
    }

    /// Whether a slot's text is a register's value: 8 letters or digits of `?m0rdif` are bytes.
    fn is_spill(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Number(_) => true,
            Fact::Printed { .. } => !is_bytes(self.fact_text(fact)),
        }
    }

    /// The text of a printed fact.
    #[must_use]
    pub fn fact_text(&self, fact: &Fact) -> &str {
        match fact {
            Fact::Printed {
                line, start, len, ..
            } => {
                let (start, len) = (*start as usize, *len as usize);
                self.text.line(*line).get(start..start + len).unwrap_or("")
            }
            Fact::Number(_) => "",
        }
    }

    /// The states printed behind a step, up to a line.
    fn own_lines(&self, load: &Load, step: &Step, end: u32, state: &mut State) {
        let insn = load.insns.get(&step.slot);
        if let Some(at) = state_at(&self.text, step.line, insn) {
            state.printed(&self.text, step.line, at, false);
        }
        let behind = self.checking(load, step).map_or(step.line, |line| line);
        self.lines(load, behind + 1, end, false, state);
    }

    /// The line of a state that old kernels print while they check an access or a call: what is known before it.
    fn checking(&self, load: &Load, step: &Step) -> Option<u32> {
        let access = matches!(
            step.kind,
            InsnKind::Load | InsnKind::Store | InsnKind::Atomic | InsnKind::Call
        );
        let line = step.line + 1;
        let bare = self.text.lines.get(line as usize)?.slot == NONE;
        (access && load.old && bare && self.text.kind(line) == Some(Kind::State))
            .then_some(line)
            .filter(|_| !self.is_walked(line))
    }

    /// States printed from one line to another; whether there were any.
    fn lines(&self, load: &Load, from: u32, end: u32, switched: bool, state: &mut State) -> bool {
        let mut any = false;
        let mut aside = false;
        for line in from..end {
            match self.text.kind(line) {
                Some(Kind::From) => {
                    if let Some(at) = state_at(&self.text, line, None) {
                        state.printed(&self.text, line, at, true);
                        any = true;
                    }
                    aside = false;
                }
                // A walk of old kernels shows the states it comes to, each with a line of its own behind it.
                Some(Kind::State) if self.is_walked(line) => {}
                Some(Kind::State) if !aside => {
                    if let Some(at) = state_at(&self.text, line, None) {
                        let full = switched && load.old && !any;
                        state.printed(&self.text, line, at, full);
                        any = true;
                    }
                }
                // The two states that an endless loop has in common are shown behind these words.
                Some(Kind::Walk) => {
                    aside = matches!(self.text.line(line), "cur state:" | "old state:");
                }
                _ => {}
            }
        }
        any
    }

    /// Whether the state in a line is one that a precision walk came to, not the current one.
    fn is_walked(&self, line: u32) -> bool {
        let next = line + 1;
        self.text.kind(next) == Some(Kind::Walk) && self.text.line(next).starts_with("parent ")
    }

    /// The first line between a step and the next in the log that is the next one's alone.
    fn split(&self, load: &Load, step: u32, next: &Step) -> u32 {
        let Some(one) = load.step(step) else {
            return next.line;
        };
        if next.parent == step && next.how != How::Switch {
            return next.line;
        }
        let range = one.line + 1..next.line;
        for line in range.clone() {
            if matches!(self.text.kind(line), Some(Kind::From | Kind::Func)) {
                return line;
            }
        }
        let mut found = next.line;
        for line in range.rev() {
            match (self.text.kind(line), self.text.lines.get(line as usize)) {
                (Some(Kind::State), Some(at)) if at.slot == next.slot => found = line,
                (Some(Kind::Safe | Kind::Insn), _) => break,
                _ => {}
            }
        }
        found
    }
}

/// Whether a slot is not, as a whole, one register's value.
fn is_bytes(text: &str) -> bool {
    let (bytes, value) = slot_parts(text);
    value.is_none() || bytes.contains(['?', 'm', '0', 'd', 'i', 'f'])
}

/// A slot's 8 letters, highest address first, and the text of the register's value in it: `mmmmmmmm`, `0000????`,
/// `inv5`, and since 6.8 `??000`: two bytes not written, two of zero, and a number of four bytes.
#[must_use]
pub fn slot_parts(text: &str) -> (String, Option<&str>) {
    let letters = text
        .bytes()
        .take_while(|byte| matches!(byte, b'?' | b'm' | b'0' | b'r' | b'd' | b'i' | b'f'))
        .count();
    if letters == text.len() && letters == 8 {
        return (text.to_owned(), None);
    }
    if slot_kind(text) != "spill" {
        let letter = match slot_kind(text) {
            "dynptr" => "d",
            "iter" => "i",
            _ => "f",
        };
        return (letter.repeat(8), None);
    }
    // Bytes come in halves or quarters of a slot; what follows them is a value, if only `0`.
    for count in [7, 6, 4] {
        let Some((head, value)) = text.split_at_checked(count) else {
            continue;
        };
        let bytes = letters >= count || head.bytes().all(|byte| matches!(byte, b'?' | b'm' | b'0'));
        if bytes && head.contains(['?', 'm']) && !value.is_empty() {
            return (format!("{head}{}", "r".repeat(8 - count)), Some(value));
        }
    }
    ("r".repeat(8), Some(text))
}

/// `spill`, `bytes`, `dynptr`, `iter`, `irq`.
#[must_use]
pub fn slot_kind(text: &str) -> &'static str {
    if text.starts_with("dynptr") {
        "dynptr"
    } else if text.starts_with("iter") {
        "iter"
    } else if text.starts_with("irq") {
        "irq"
    } else if text.len() == 8
        && text
            .bytes()
            .all(|byte| matches!(byte, b'?' | b'm' | b'0' | b'r' | b'd' | b'i' | b'f'))
    {
        "bytes"
    } else {
        "spill"
    }
}

/// A call's frame before anything is printed of it.
fn enter(state: &mut State, one: &Step) {
    let depth = usize::from(one.frame);
    if !matches!(one.how, How::Call | How::Callback) || state.frames.len() > depth || depth == 0 {
        return;
    }
    let _ = state.frame_mut(u32::from(one.frame));
}

/// Frames are as many as the step's depth says.
fn settle(state: &mut State, one: &Step, parent: Option<&Step>) {
    let depth = usize::from(one.frame) + 1;
    state.frames.truncate(depth.max(1));
    if state.frame_mut(u32::from(one.frame)).is_none() {
        return;
    }
    if one.how == How::Return
        && let (Some(frame), Some(_)) = (state.frame_mut(u32::from(one.frame)), parent)
    {
        for reg in 1..=5 {
            frame.set_reg(reg, None);
        }
    }
}

/// The way of a branch that was not followed first, where its state is not printed: an equality tells a number.
fn other_way(load: &Load, parent: &Step, one: &Step, state: &mut State) {
    let Some(insn) = load.insns.get(&parent.slot) else {
        return;
    };
    if insn.kind != InsnKind::Branch || !insn.uses_imm || insn.width != 8 {
        return;
    }
    let taken = insn.target == Some(one.slot);
    let equal = match insn.op.as_str() {
        "==" => taken,
        "!=" => !taken,
        _ => false,
    };
    if equal
        && insn.target != Some(insn.next())
        && one.parent != NONE
        && let Some(frame) = state.frame_mut(u32::from(parent.frame))
    {
        frame.set_reg(insn.insn.dst, Some(Fact::Number(insn.imm)));
    }
}
