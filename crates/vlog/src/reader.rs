//! Lines to a log: streaming, with bounded memory.
//!
//! Long because it is one state machine: what a line means depends on the lines before it, and every kind of line changes
//! the same few fields.
use crate::clean::{Cleaner, Sink};
use crate::insn;
use crate::lines::{self, Kind, classify, from_line, leading};
use crate::log::{Line, Load, NONE, Paste, Text};
use crate::path::Walk;
use crate::report::{self, Report};
use crate::words;

mod next;
mod thin;

/// Bytes of text that are kept at most, unless told otherwise.
pub(crate) const KEEP: usize = 32 << 20;
/// Lines of no use that are listed at most.
const LISTED: usize = 10_000;
/// Lines and steps that are kept at most.
const MAX_LINES: usize = 2 << 20;
const MAX_LOADS: usize = 4096;
const MAX_INSNS: usize = 1 << 20;

/// Takes a paste in pieces.
#[derive(Debug)]
pub struct Reader {
    cleaner: Cleaner,
    taker: Taker,
}

/// Reads one paste.
#[must_use]
pub fn read(data: &[u8]) -> Paste {
    let mut reader = Reader::new(KEEP.max(data.len()).min(1 << 30));
    reader.feed(data);
    reader.finish()
}

impl Reader {
    /// `keep`: bytes of text that are kept at most.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self {
            cleaner: Cleaner::default(),
            taker: Taker::new(keep.clamp(1 << 16, 1 << 30)),
        }
    }

    /// The next bytes.
    pub fn feed(&mut self, data: &[u8]) {
        self.cleaner.feed(data, &mut self.taker);
    }

    /// What was in it.
    #[must_use]
    pub fn finish(mut self) -> Paste {
        self.cleaner.finish(&mut self.taker);
        self.taker.finish()
    }
}

/// What a table's rows are of: instructions that are listed, not followed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Table {
    #[default]
    None,
    Listing,
}

#[derive(Debug)]
pub(crate) struct Taker {
    keep: usize,
    text: Text,
    done: Vec<Load>,
    load: Load,
    walk: Walk,
    table: Table,
    in_report: bool,
    /// Lines that only a verifier writes were met, of this load.
    sure: bool,
    /// The counts were met, which end a log.
    counted: bool,
    /// A loader's words began the log.
    framed: bool,
    /// What follows is not the verifier's.
    closed: bool,
    /// An empty line was met behind the message.
    gap: bool,
    source: u32,
    slot: u32,
    /// What a loader's one line had of the load, before its log.
    brief: Vec<String>,
}

impl Sink for Taker {
    fn line(&mut self, line: &str) {
        self.take(line);
    }
}

impl Taker {
    fn new(keep: usize) -> Self {
        Self {
            keep,
            text: Text::default(),
            done: Vec::new(),
            load: Load::default(),
            walk: Walk::default(),
            table: Table::None,
            in_report: false,
            sure: false,
            counted: false,
            framed: false,
            closed: false,
            gap: false,
            source: NONE,
            slot: NONE,
            brief: Vec::new(),
        }
    }

    fn push(&mut self, line: &str, kind: Kind, slot: u32) -> u32 {
        let start = self.text.all.len() as u32;
        self.text.all.push_str(line);
        let end = self.text.all.len() as u32;
        self.text.all.push('\n');
        self.text.lines.push(Line {
            start,
            end,
            slot,
            kind,
        });
        (self.text.lines.len() - 1) as u32
    }

    fn take(&mut self, line: &str) {
        if self.text.all.len() + line.len() > self.keep || self.text.lines.len() >= MAX_LINES {
            self.thin();
        }
        if self.in_report {
            if report::goes_on(line) {
                if let Some(report) = &mut self.load.report {
                    report.line(line);
                }
                self.push(line, Kind::Report, NONE);
                return;
            }
            self.in_report = false;
        }
        let (mut kind, slot) = classify(line.as_bytes());
        if self.table == Table::Listing {
            match kind {
                Kind::Insn => kind = Kind::Live,
                Kind::Live | Kind::Empty => {}
                _ => self.table = Table::None,
            }
        } else if kind == Kind::Insn && line.contains('\t') && is_row(line) {
            kind = Kind::Live;
        }
        if kind == Kind::Count {
            if self.counts_anew(line) {
                let at = self.push(line, Kind::Beside, NONE);
                return self.beside(at);
            }
        } else if kind.is_sure() && (self.counted || self.closed && kind != Kind::Report) {
            self.recall();
            self.another();
        }
        match kind {
            Kind::Insn => self.insn(line, slot.unwrap_or(NONE)),
            Kind::State => self.state(line, slot),
            Kind::Source => {
                self.source = self.push(line, kind, NONE);
            }
            Kind::From => {
                self.sure = true;
                if let Some((from, to, at)) = from_line(line.as_bytes()) {
                    self.walk.from(from, to);
                    let rest = line.get(at..).unwrap_or("").trim();
                    if rest == "safe" {
                        self.walk.pruned(&mut self.load.steps, &self.load.insns);
                    } else {
                        self.frame_of(rest);
                        self.old_style(line);
                    }
                }
                self.push(line, kind, NONE);
            }
            Kind::Safe => {
                self.sure = true;
                self.walk.safe();
                self.push(line, kind, slot.unwrap_or(NONE));
            }
            Kind::Func => {
                self.sure = true;
                self.func(line);
                self.push(line, kind, NONE);
            }
            Kind::Live => {
                self.sure = true;
                self.live(line);
                self.push(line, kind, slot.unwrap_or(NONE));
            }
            Kind::Count => {
                self.count(line);
                self.push(line, kind, NONE);
            }
            Kind::Report => {
                self.in_report = true;
                self.sure = true;
                self.load.report = Some(Report::begin(line));
                self.push(line, kind, NONE);
            }
            Kind::Walk | Kind::Frame => {
                self.sure = true;
                let caller = line.strip_prefix("to caller at ");
                if let Some((slot, _)) = caller.and_then(|rest| leading(rest.as_bytes())) {
                    self.walk.returned(slot);
                }
                self.push(line, kind, NONE);
            }
            Kind::Empty => {
                self.gap = !self.load.told.is_empty() && self.sure;
                self.push(line, kind, NONE);
            }
            Kind::Told | Kind::Beside | Kind::Unknown => self.told(line),
        }
        if kind.is_sure() {
            self.gap = false;
        }
    }

    // ------------------------------------------------------------ loads

    fn next_load(&mut self) {
        self.recall();
        let next = self.text.len();
        self.close(next);
    }

    /// A log that breaks off right before the instruction that the loader's one line told: that, and why.
    fn recall(&mut self) {
        let brief = std::mem::take(&mut self.brief);
        let Some((Kind::Insn, Some(slot))) = brief.first().map(|line| classify(line.as_bytes()))
        else {
            return;
        };
        let last = self.load.steps.last();
        let next = last
            .and_then(|one| self.load.insns.get(&one.slot))
            .map(crate::insn::LogInsn::next);
        let quiet = !self.counted
            && self
                .load
                .told
                .last()
                .is_none_or(|line| last.is_some_and(|one| *line < one.line));
        if quiet && next == Some(slot) {
            (self.closed, self.gap) = (false, false);
            brief.iter().for_each(|line| self.take(line));
        }
    }

    /// The load before has no end: the next begins with the source line that was just read, if one was.
    fn another(&mut self) {
        let source = self.source;
        let end = self.text.len();
        let mine = source != NONE && source.saturating_add(1) == end;
        self.close(if mine { source } else { end });
        if mine {
            self.source = source;
        }
    }

    fn close(&mut self, next: u32) {
        let mut load = std::mem::take(&mut self.load);
        load.end = next;
        let walk = std::mem::take(&mut self.walk);
        load.gap |= walk.gap;
        if self.done.len() < MAX_LOADS {
            self.done.push(load);
        }
        self.load.first = next;
        self.table = Table::None;
        self.in_report = false;
        self.sure = false;
        self.counted = false;
        self.framed = false;
        self.closed = false;
        self.gap = false;
        self.source = NONE;
        self.slot = NONE;
    }

    fn finish(mut self) -> Paste {
        self.recall();
        let end = self.text.len();
        let nothing =
            !self.sure && !self.counted && !self.framed && self.load.message_line.is_none();
        if nothing && !self.done.is_empty() {
            // What follows the last log is not another.
            let first = self.load.first;
            if let Some(last) = self.done.last_mut() {
                last.end = end;
                for line in first..end {
                    last.beside.push(line);
                    if let Some(one) = self.text.lines.get_mut(line as usize)
                        && one.kind != Kind::Empty
                    {
                        one.kind = Kind::Beside;
                    }
                }
                last.failed |= self.load.failed;
                last.errno = last.errno.or(self.load.errno);
                last.program = last.program.take().or_else(|| self.load.program.take());
                last.loader = self.load.loader.or(last.loader);
            }
        } else {
            self.close(end);
        }
        let mut paste = Paste {
            text: self.text,
            loads: self.done,
        };
        crate::finish::finish(&mut paste);
        paste
    }

    // ------------------------------------------------------------ lines

    fn insn(&mut self, line: &str, slot: u32) {
        if slot == 0 && self.walk.anew(&self.load.steps, &self.load.insns) {
            self.another();
        }
        self.sure = true;
        let indent = line.len() - line.trim_start().len();
        let used = line
            .as_bytes()
            .get(indent..)
            .and_then(leading)
            .map_or(0, |(_, used)| used);
        let start = indent + used + 2;
        let rest = line.get(start..).unwrap_or("");
        let known = self
            .load
            .insns
            .get(&slot)
            .map(|one| (one.text.len(), rest.starts_with(&one.text)));
        let length = match known {
            Some((length, true)) if boundary(rest, length) => length,
            _ => self.read_insn(slot, rest),
        };
        let tail = rest.get(length..).unwrap_or("");
        let trimmed = tail.trim_start();
        // A line whose end is missing: what follows is another.
        let (own, other) = if trimmed.is_empty() || trimmed.starts_with(';') {
            (line, None)
        } else {
            // Loaders that put the last lines into one part them by `: `.
            let other = trimmed.strip_prefix(": ").unwrap_or(trimmed);
            (line.get(..start + length).unwrap_or(line), Some(other))
        };
        let at = self.push(own, Kind::Insn, slot);
        if let Some(insn) = self.load.insns.get(&slot) {
            if !insn.exact && self.load.unknown.len() < LISTED {
                self.load.unknown.push(at);
            }
            self.walk
                .add(&mut self.load.steps, &self.load.insns, insn, at);
        }
        *self.load.visits.entry(slot).or_insert(0) += 1;
        if self.slot != slot {
            self.slot = slot;
        }
        if self.source != NONE {
            self.load.sources.entry(slot).or_insert(self.source);
        }
        if other.is_none() && trimmed.len() > 1 {
            self.old_style(trimmed);
        }
        if let Some(other) = other {
            self.take(other);
        }
    }

    /// Reads an instruction that was not met before, or looks otherwise: bytes of its text.
    fn read_insn(&mut self, slot: u32, rest: &str) -> usize {
        let Some((made, used)) = insn::read(slot, rest) else {
            return rest.len();
        };
        if self.load.insns.len() < MAX_INSNS || self.load.insns.contains_key(&slot) {
            let keep = self.load.insns.get(&slot).is_some_and(|one| one.exact) && !made.exact;
            if !keep {
                self.load.insns.insert(slot, made);
            }
        }
        used
    }

    fn state(&mut self, line: &str, slot: Option<u32>) {
        self.sure = true;
        let trimmed = line.trim_start();
        let from = leading(trimmed.as_bytes())
            .filter(|(_, used)| trimmed.as_bytes().get(*used) == Some(&b':'))
            .map_or(0, |(_, used)| used + 1);
        let state = trimmed.get(from..).unwrap_or("");
        if slot.is_some() {
            self.frame_of(state);
        }
        self.old_style(line);
        let at = self.push(line, Kind::State, slot.unwrap_or(NONE));
        // An empty one is `9:`, which is of no use but known.
        if self.load.unknown.len() < LISTED
            && crate::tokens::tokens(state)
                .any(|one| matches!(one, crate::tokens::Token::Unknown(_)))
        {
            self.load.unknown.push(at);
        }
    }

    fn frame_of(&mut self, state: &str) {
        let state = state.trim_start();
        let number = state
            .strip_prefix("frame")
            .and_then(|rest| leading(rest.as_bytes()))
            .map_or(0, |(number, _)| number);
        if !state.is_empty() {
            self.walk.frame(number.min(31));
        }
    }

    fn old_style(&mut self, line: &str) {
        if !self.load.old && (line.contains("(id=0") || line.contains("=inv")) {
            self.load.old = true;
        }
    }

    fn live(&mut self, line: &str) {
        if line.starts_with("Live regs before") {
            self.table = Table::Listing;
            return;
        }
        let Some(at) = line.find("(") else { return };
        let Some(rest) = line.get(at..) else { return };
        let head = line.get(..at).unwrap_or("");
        let number = head.split(':').next().unwrap_or("");
        let number = number.split_whitespace().next_back().unwrap_or("");
        if let Ok(slot) = number.parse::<u32>()
            && slot < 2_000_000
            && !self.load.insns.contains_key(&slot)
        {
            self.read_insn(slot, rest);
        }
    }

    fn func(&mut self, line: &str) {
        if line.starts_with("Validating ") {
            self.walk.start();
            self.source = NONE;
            return;
        }
        if line.starts_with("subprog#") || line.starts_with("stack use/def") {
            self.table = Table::Listing;
        }
        crate::finish::function(&mut self.load, line);
    }

    fn count(&mut self, line: &str) {
        self.sure = true;
        self.counted |= lines::is_processed(line.as_bytes());
        crate::finish::count(&mut self.load, line);
    }

    fn told(&mut self, line: &str) {
        // Messages that lack their line's end have the counts behind them.
        if !self.closed {
            for stem in ["verification time ", "processed "] {
                let Some(at) = line.find(stem).filter(|at| *at > 0) else {
                    continue;
                };
                let (message, rest) = line.split_at(at);
                if classify(rest.as_bytes()).0 == Kind::Count {
                    self.take(message.trim_end());
                    self.take(rest);
                    return;
                }
            }
        }
        if let Some(said) = words::said(line) {
            self.loader(line, &said);
            return;
        }
        let at = self.push(line, Kind::Told, NONE);
        if lines::is_cut_insn(line) {
            self.beside(at);
            return;
        }
        let fence = line.trim_start();
        let fence = ["```", "~~~", "$ ", "[root@", "root@"]
            .iter()
            .any(|stem| fence.starts_with(stem));
        if self.closed || self.counted || self.gap || fence {
            let last = self.load.steps.last();
            let said = self.load.told.last();
            // A block of text ends, and the message was in it.
            self.closed |= fence && said > last.map(|one| &one.line) && last.is_some();
            self.beside(at);
            return;
        }
        if self.load.told.len() >= LISTED {
            self.load.told.remove(LISTED / 2);
        }
        self.load.told.push(at);
    }

    fn beside(&mut self, at: u32) {
        if let Some(one) = self.text.lines.get_mut(at as usize) {
            one.kind = Kind::Beside;
        }
        if self.load.beside.len() < LISTED {
            self.load.beside.push(at);
        }
    }

    fn loader(&mut self, line: &str, said: &words::Said) {
        let same = said.program.is_none() || said.program == self.load.program;
        if said.begins && self.load.brief && same {
            // The same load again, now with its whole log.
            let old = std::mem::take(&mut self.load);
            self.load.first = old.first;
            self.load.program = old.program;
            self.load.loader = old.loader;
            self.load.errno = old.errno;
            self.walk = Walk::default();
            (self.sure, self.closed, self.counted, self.source) = (false, false, false, NONE);
            for at in old.first..self.text.len() {
                self.beside(at);
            }
        } else if said.begins && (self.counted || self.sure) {
            self.next_load();
        }
        if said.begins || !self.sure {
            // What stood before a loader's words is not the verifier's.
            for at in std::mem::take(&mut self.load.told) {
                self.beside(at);
            }
        }
        let own = said.rest.and_then(|at| line.get(..at)).unwrap_or(line);
        let at = self.push(own, Kind::Told, NONE);
        self.beside(at);
        self.load.loader = said.loader.or(self.load.loader);
        if said.program.is_some() {
            self.load.program.clone_from(&said.program);
        }
        self.load.errno = said.errno.or(self.load.errno);
        self.load.failed |= said.failed;
        if said.begins {
            self.framed = true;
            self.closed = false;
        }
        if said.ends || self.sure && !said.begins {
            self.closed = true;
        }
        if let Some(rest) = said.rest.and_then(|at| line.get(at..)) {
            self.take(rest.trim_start());
        }
        if let (Some("cilium"), Some((lines, omitted))) = (said.loader, words::one_line(line)) {
            lines.iter().for_each(|line| self.take(line));
            if !omitted
                && lines
                    .first()
                    .is_some_and(|line| classify(line.as_bytes()).0 == Kind::State)
            {
                return; // a whole log begins in this line
            }
            self.brief = lines;
            self.load.cut_head |= omitted;
            self.load.brief = true;
            self.closed = true;
        }
    }
}

/// Whether a text ends behind so many bytes: a blank, or nothing.
fn boundary(rest: &str, length: usize) -> bool {
    matches!(rest.as_bytes().get(length), None | Some(b' ' | b'\t'))
}

/// A row of a table of 7.3 and newer: what it does to frame pointers stands behind a tab.
fn is_row(line: &str) -> bool {
    line.split_once("\tr").is_some_and(|(_, rest)| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains(": ")
    })
}
