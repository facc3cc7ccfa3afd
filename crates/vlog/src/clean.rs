//! Bytes to lines: without colours, prefixes, quotes, escapes and a terminal's line breaks.
//!
//! What a paste is wrapped in is told from its first lines: the prefix before instructions (`> `, a timestamp, a
//! journal's words, a line number), and the width at which a terminal broke lines.
use std::collections::HashMap;

use crate::escapes::{decoded, listed, listed_alone, message, unescaped};
use crate::folded::Fold;
use crate::lines::{Kind, classify, find};
use crate::tokens::{Token, tokens};

/// Who takes the lines.
pub(crate) trait Sink {
    fn line(&mut self, line: &str);
}

/// A line longer than this is cut.
const LONGEST: usize = 1 << 20;
/// Bytes that are looked at before the first line is handed on.
const SNIFFED: usize = 256 << 10;
/// Pieces a line may be broken into.
const PIECES: usize = 64;
/// Columns a terminal may have.
pub(crate) const WIDTHS: std::ops::RangeInclusive<usize> = 60..=400;

const USUAL: [usize; 6] = [80, 100, 120, 132, 160, 200];

#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    rest: Vec<u8>,
    first: Vec<u8>,
    style: Option<Style>,
    held: Option<(String, usize)>,
    /// A line that was folded with its prefix: what of it was met, its last piece, and how many there are.
    folded: Option<(String, String, usize)>,
    /// Within the sections that 7.3 adds.
    report: bool,
}

#[derive(Debug, Default)]
struct Style {
    prefix: Vec<Part>,
    /// Blanks behind the prefix.
    blanks: usize,
    indent: usize,
    /// Lines are of a structured logger, or of a list of strings.
    logger: bool,
    /// Lines are strings of a list, one below the other.
    strings: bool,
    width: Option<usize>,
    /// Lines were folded when they had the prefix.
    fold: Option<Fold>,
}

/// A piece of a prefix's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Digits,
    Blank,
    Char(char),
}

impl Cleaner {
    pub(crate) fn feed(&mut self, data: &[u8], sink: &mut dyn Sink) {
        if self.style.is_some() {
            self.lines(data, sink);
            return;
        }
        let room = SNIFFED.saturating_sub(self.first.len());
        let (now, later) = data.split_at(room.min(data.len()));
        self.first.extend_from_slice(now);
        if self.first.len() >= SNIFFED {
            self.sniff(sink);
            self.lines(later, sink);
        }
    }

    pub(crate) fn finish(&mut self, sink: &mut dyn Sink) {
        if self.style.is_none() {
            self.sniff(sink);
        }
        if !self.rest.is_empty() {
            let whole = std::mem::take(&mut self.rest);
            self.raw(&whole, true, sink);
        }
        if let Some((whole, ..)) = self.folded.take() {
            self.text(&whole, true, sink);
        }
        if let Some((held, _)) = self.held.take() {
            sink.line(&held);
        }
    }

    fn sniff(&mut self, sink: &mut dyn Sink) {
        let first = std::mem::take(&mut self.first);
        self.style = Some(Style::of(&first));
        self.lines(&first, sink);
    }

    fn lines(&mut self, mut data: &[u8], sink: &mut dyn Sink) {
        let special = self.style.as_ref().is_some_and(|style| style.logger)
            || data
                .iter()
                .any(|byte| matches!(byte, 0x1b | b'\\' | b'&' | 0 | 0xc2 | 0xe2));
        while let Some(at) = data.iter().position(|byte| *byte == b'\n') {
            let (line, after) = data.split_at(at);
            data = after.get(1..).unwrap_or(&[]);
            if self.rest.is_empty() {
                self.raw(line, special, sink);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line.get(..LONGEST.min(line.len())).unwrap_or(line));
                self.raw(&whole, true, sink);
                whole.clear();
                self.rest = whole;
            }
        }
        let room = LONGEST.saturating_sub(self.rest.len());
        self.rest
            .extend_from_slice(data.get(..room.min(data.len())).unwrap_or(&[]));
    }

    fn raw(&mut self, line: &[u8], special: bool, sink: &mut dyn Sink) {
        let line = line.get(..line.len().min(LONGEST)).unwrap_or(&[]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(text) => self.unfolded(text, special, sink),
            Err(_) => self.unfolded(&String::from_utf8_lossy(line), special, sink),
        }
    }

    fn unfolded(&mut self, line: &str, special: bool, sink: &mut dyn Sink) {
        let Some(style) = &self.style else { return };
        let Some(fold) = style.fold else {
            return self.text(line, special, sink);
        };
        let prefixed = style.has_prefix(&decoded(line));
        if let Some((mut whole, last, pieces)) = self.folded.take() {
            if !prefixed && pieces < PIECES && fold.goes_on(&last, line) {
                fold.join(&mut whole, &last, line);
                self.folded = Some((whole, line.to_owned(), pieces + 1));
                return;
            }
            self.text(&whole, true, sink);
        }
        if prefixed {
            self.folded = Some((line.to_owned(), line.to_owned(), 1));
        } else {
            self.text(line, special, sink);
        }
    }

    fn text(&mut self, line: &str, special: bool, sink: &mut dyn Sink) {
        if special {
            let mut cleaned = decoded(line);
            if self.style.as_ref().is_some_and(|style| style.strings)
                && let Some(text) = listed_alone(&cleaned)
            {
                cleaned = text;
            }
            if let Some(lines) = listed(&cleaned) {
                lines.iter().for_each(|one| self.unwrapped(one, sink));
                return;
            }
            if let Some(text) = message(&cleaned) {
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                if text.contains('\n') {
                    text.split('\n').for_each(|one| self.unwrapped(one, sink));
                    return;
                }
                cleaned = text;
            }
            if let Some(text) = unescaped(&cleaned) {
                for one in text.split('\n') {
                    self.unwrapped(one.strip_suffix('\r').unwrap_or(one), sink);
                }
                return;
            }
            self.unwrapped(&cleaned, sink);
        } else {
            self.unwrapped(line, sink);
        }
    }

    fn unwrapped(&mut self, line: &str, sink: &mut dyn Sink) {
        let Some(style) = &self.style else { return };
        let line = style.without_prefix(line);
        if line.starts_with("Verification failed") {
            self.report = true;
        } else if self.report && classify(line.as_bytes()).0 == Kind::Count {
            self.report = false;
        }
        let wide = style
            .width
            .is_some_and(|width| line.chars().count() == width);
        if let Some((mut held, pieces)) = self.held.take() {
            let kind = classify(line.as_bytes()).0;
            // A piece of a broken line is no line of its own; one that looks like a state goes on with the state.
            let goes_on = match kind {
                // A report's own lines are indented.
                _ if self.report => !line.is_empty() && !line.starts_with([' ', '\t']),
                // Of one that holds a whole error only what ends it.
                Kind::Told if is_brief_open(&held) => line.contains(" omitted)"),
                Kind::Told => !starts_new(line),
                // `var_off=(0x0` and, behind the break, `; 0xff))`.
                Kind::Source => is_open(&held) && line.contains(')'),
                Kind::State => {
                    let full = held.chars().count() % style.width.unwrap_or(1) == 0;
                    full && !line.starts_with(|c: char| c.is_ascii_digit())
                }
                _ => false,
            };
            if goes_on && pieces < PIECES {
                if held.ends_with(';') && !line.starts_with(' ') {
                    held.push(' ');
                }
                held.push_str(line);
                if wide || ends_open(&held) || is_brief_open(&held) {
                    self.held = Some((held, pieces + 1));
                } else {
                    sink.line(&held);
                }
                return;
            }
            sink.line(&held);
        }
        if wide || ends_open(line) || is_brief_open(line) {
            self.held = Some((line.to_owned(), 1));
        } else {
            sink.line(line);
        }
    }
}

/// Words that begin a line whatever came before.
fn starts_new(line: &str) -> bool {
    matches!(line.as_bytes(), [b'R', digit, ..] if digit.is_ascii_digit())
        || [
            "invalid ",
            "libbpf: ",
            "processed ",
            "math between",
            "Unreleased",
            "BPF program is",
            "func '",
            "last_idx ",
            "-- ",
        ]
        .iter()
        .any(|stem| line.starts_with(stem))
}

/// cilium/ebpf's one line, without the count of omitted lines that ends it.
fn is_brief_open(line: &str) -> bool {
    line.rsplit_once("load program: ").is_some_and(|(_, rest)| {
        rest.split_once(": ").is_some_and(|(words, said)| {
            crate::words::errno(words).is_some() && !said.is_empty() && !said.contains(" omitted)")
        })
    })
}

/// Whether brackets are left open.
fn is_open(line: &str) -> bool {
    let count = |one: u8| line.bytes().filter(|byte| *byte == one).count();
    count(b'(') > count(b')')
}

/// Whether brackets are closed that were not opened.
fn is_open_backwards(line: &str) -> bool {
    let at = |one: char| line.find(one).unwrap_or(line.len());
    at(')') < at('(')
}

/// A state that breaks off between the two parts of `var_off=(0x0; 0xff)`.
fn ends_open(line: &str) -> bool {
    line.ends_with(';')
        && !line.starts_with(';')
        && line
            .rsplit_once("var_off=(")
            .is_some_and(|(_, tail)| !tail.contains(')'))
}

impl Style {
    fn of(first: &[u8]) -> Self {
        let text = String::from_utf8_lossy(first);
        let mut shapes: HashMap<Vec<Part>, (usize, usize)> = HashMap::new();
        let mut plain = 0;
        let mut indents: HashMap<usize, usize> = HashMap::new();
        let mut lines = Vec::new();
        let mut logger = false;
        let mut strings = 0;
        for raw in text.split('\n').take(8192) {
            let mut line = decoded(raw.strip_suffix('\r').unwrap_or(raw));
            if let Some(text) = message(&line) {
                logger = true;
                line = text;
            }
            if let Some(text) = listed_alone(&line).filter(|text| anchor(text).is_some()) {
                strings += 1;
                line = text;
            }
            logger |= line.contains("\", \"") && listed(&line).is_some();
            if !line.contains("\\n")
                && let Some(at) = anchor(&line)
            {
                let prefix = line.get(..at).unwrap_or("");
                if prefix.trim().is_empty() {
                    plain += 1;
                    *indents.entry(prefix.len()).or_insert(0) += 1;
                } else if prefix.len() <= 160
                    && !prefix.contains("load program")
                    && !prefix.contains("erifier ")
                {
                    let head = prefix.trim_end();
                    let blanks = prefix.len() - head.len();
                    let one = shapes.entry(shape(head)).or_insert((0, blanks));
                    one.0 += 1;
                    one.1 = one.1.min(blanks);
                }
            }
            lines.push(line);
        }
        let mut style = Self {
            logger: logger || strings > 0,
            strings: strings > 0,
            ..Self::default()
        };
        // The most frequent; of equals the shortest, so that the answer is the same every time.
        let best = shapes
            .into_iter()
            .max_by(|a, b| a.1.0.cmp(&b.1.0).then_with(|| b.0.len().cmp(&a.0.len())));
        match best {
            Some((prefix, (count, blanks))) if count > plain => {
                style.prefix = prefix;
                style.blanks = blanks;
            }
            // A whole paste is indented by as much as all its lines; tables in it by one or two more.
            _ => style.indent = indents.keys().min().copied().unwrap_or(0),
        }
        style.fold = style.folded(&text);
        if style.fold.is_none() {
            style.width = style.wrapped(&lines);
        }
        style
    }

    fn has_prefix(&self, line: &str) -> bool {
        matched(&self.prefix, line).is_some()
    }

    fn folded(&self, text: &str) -> Option<Fold> {
        if self.prefix.is_empty() || self.logger {
            return None;
        }
        let lines: Vec<(&str, bool)> = text
            .split('\n')
            .take(8192)
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
            .map(|line| (line, self.has_prefix(&decoded(line))))
            .collect();
        Fold::of(&lines)
    }

    /// The width at which lines were broken.
    fn wrapped(&self, lines: &[String]) -> Option<usize> {
        let lines: Vec<&str> = lines.iter().map(|line| self.without_prefix(line)).collect();
        let widths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
        let most = widths.iter().max().copied()?;
        if !WIDTHS.contains(&most) {
            return None;
        }
        let line_at = |at: usize| lines.get(at).copied().unwrap_or("");
        let mut full = 0;
        let mut broken = 0;
        let mut opened = 0;
        let mut proven = false;
        for (at, width) in widths.iter().enumerate() {
            if *width != most {
                continue;
            }
            full += 1;
            let (line, next) = (line_at(at), line_at(at + 1));
            let kind = classify(next.as_bytes()).0;
            let whole = classify(line.as_bytes()).0;
            // No line of a log has brackets that the next one closes, or half of its counts.
            let state = matches!(whole, Kind::State | Kind::From | Kind::Insn);
            proven |= state && is_open(line) && is_open_backwards(next)
                || whole == Kind::Count
                    && line.starts_with("processed ")
                    && !line.contains("mark_read ")
                    && next.contains("mark_read ");
            // A state goes on: brackets or a value are missing, or registers follow that begin no line.
            let behind = whole == Kind::Insn && (line.contains("; R") || line.contains("; frame"));
            let more = is_open(line)
                || line.ends_with('=')
                || behind && kind == Kind::State
                || kind == Kind::Told
                    && tokens(next).any(|one| matches!(one, Token::Reg(..) | Token::Slot(..)))
                || behind
                    && kind == Kind::Told
                    && !next.starts_with(' ')
                    && !starts_new(next)
                    && classify(line_at(at + 2).as_bytes()).0.is_sure();
            let open = state
                && !next.is_empty()
                && matches!(kind, Kind::Told | Kind::State | Kind::Source)
                && more;
            opened += usize::from(open);
            let told = matches!(kind, Kind::Told) && !next.is_empty() && !starts_new(next);
            if open || told {
                broken += 1;
            }
        }
        // Lines as long as each other are no proof; brackets left open are, and one pair at a terminal's usual width.
        let least = if USUAL.contains(&most) { 1 } else { 2 };
        let proof = opened >= least || opened >= 1 && broken >= 3;
        (proven || proof && broken * 2 >= full).then_some(most)
    }

    fn without_prefix<'a>(&self, line: &'a str) -> &'a str {
        if self.indent > 0 {
            let blanks = line
                .bytes()
                .take(self.indent)
                .take_while(|byte| matches!(byte, b' ' | b'\t'))
                .count();
            return line.get(blanks..).unwrap_or(line);
        }
        if self.prefix.is_empty() {
            return line;
        }
        let Some(rest) = matched(&self.prefix, line) else {
            return line;
        };
        let blanks = rest
            .bytes()
            .take(self.blanks)
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        rest.get(blanks..).unwrap_or(rest)
    }
}

/// Where `12: (bf) ..` begins, or the counts do.
pub(crate) fn anchor(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..)?, b": (").map(|at| at + from) {
        let code = bytes.get(at + 3..at + 7);
        let sure = code.is_some_and(
            |code| matches!(code, [a, b, b')', b' '] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
        );
        let digits = bytes.get(..at).map_or(0, |head| {
            head.iter().rev().take_while(|b| b.is_ascii_digit()).count()
        });
        if sure && (1..=7).contains(&digits) {
            let start = at - digits;
            // `subprog 1: ..` in prose is none; an instruction's number stands alone.
            let before = start.checked_sub(1).and_then(|at| bytes.get(at));
            let walk = bytes
                .get(..start)
                .is_some_and(|head| head.ends_with(b" before "));
            let alone =
                before.is_none_or(|b| matches!(b, b' ' | b'\t' | b'|' | b'>' | b':' | b']'));
            if alone && !walk {
                return Some(start);
            }
        }
        from = at + 3;
    }
    find(bytes, b"processed ").filter(|at| bytes.get(*at..).is_some_and(crate::lines::is_processed))
}

fn shape(prefix: &str) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    for one in prefix.chars() {
        let part = if one.is_ascii_digit() {
            Part::Digits
        } else if one == ' ' || one == '\t' {
            Part::Blank
        } else {
            Part::Char(one)
        };
        // How many digits and blanks there are differs by line.
        if out.last() != Some(&part) || matches!(part, Part::Char(_)) {
            out.push(part);
        }
    }
    if out.first() != Some(&Part::Blank) {
        out.insert(0, Part::Blank);
    }
    out
}

/// What stands behind a prefix of this shape.
fn matched<'a>(shape: &[Part], line: &'a str) -> Option<&'a str> {
    let mut rest = line;
    for part in shape {
        match part {
            Part::Digits => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                if digits == 0 {
                    return None;
                }
                rest = rest.get(digits..)?;
            }
            Part::Blank => rest = rest.trim_start_matches([' ', '\t']),
            Part::Char(one) => rest = rest.strip_prefix(*one)?,
        }
    }
    Some(rest)
}
